"""Structured logs on stderr: JSON lines by default, readable ones on a terminal. Set up by the faces."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

import structlog
import structlog.tracebacks


def set_up(as_json: bool) -> None:
    """Configure structlog once per process; no locals in tracebacks, because they hold secrets."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_AS_JSON if as_json else _for_people()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.getLogger("paramiko").setLevel(
        logging.CRITICAL
    )  # its failures reach us as exceptions, with the host's name


def progress(event: str, fields: Mapping[str, Any]) -> None:
    """Say what happened, as one event with fields."""
    structlog.get_logger().bind(**fields).info(event)  # bound, so that no field can take the place of the event


# structlog's own defaults show the locals of every frame.
_AS_JSON: tuple[Any, ...] = (
    structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    structlog.processors.JSONRenderer(default=str),
)


def _for_people() -> tuple[Any, ...]:
    return (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback),
    )
