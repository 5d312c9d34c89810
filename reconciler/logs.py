"""Structured logs on stderr: JSON lines by default, readable ones on a terminal. Set up by the faces."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

import structlog


def set_up(as_json: bool) -> None:
    """Configure structlog once per process; no locals in tracebacks, because they hold secrets."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if as_json else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.getLogger("paramiko").setLevel(
        logging.CRITICAL
    )  # its failures reach us as exceptions, with the host's name


def progress(event: str, fields: Mapping[str, Any]) -> None:
    """Say what happened, as one event with fields."""
    structlog.get_logger().info(event, **fields)
