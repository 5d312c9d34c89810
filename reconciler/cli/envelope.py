"""How every command answers: one JSON envelope on stdout with --json, else text; and the exit codes.

0 ok · 1 error · 2 usage · 3 not allowed · 4 waiting for approval · 5 differences found · 6 verification failed
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import click

from reconciler.model.errors import InvalidInput, NotAllowed, ReconcilerError, Terminal, VerificationFailed
from reconciler.reports.escape import visible

P = ParamSpec("P")

OK, ERROR, USAGE, NOT_ALLOWED, WAITING, DIFFERENCES, UNVERIFIED = range(7)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found: `data` for --json, `text` for people, and the exit code. `exact` text is for programs too
    and is written byte for byte.
    """

    data: Any
    text: str
    code: int = OK
    exact: bool = False


def answering(function: Callable[P, Answer]) -> Callable[P, None]:
    """Give a command --json, print its answer, turn errors into the envelope's and the exit code."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.pop("as_json"))
        with telling_errors(as_json):
            answer = function(*args, **kwargs)
        if as_json:
            click.echo(json.dumps({"ok": answer.code in (OK, WAITING, DIFFERENCES), "data": plain(answer.data)}))
        elif answer.text:
            click.echo(answer.text if answer.exact else shown(answer.text))
        sys.exit(answer.code)

    return command


@contextmanager
def telling_errors(as_json: bool) -> Iterator[None]:
    """Say every error of the block in one way and exit with its code; this is where a face catches what nobody foresaw.

    With RECONCILER_TRACEBACK in the environment that is shown as Python shows it.
    """
    try:
        yield
    except ReconcilerError as error:
        fail(error, as_json)
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        if os.environ.get("RECONCILER_TRACEBACK"):
            raise
        if isinstance(error, OSError):
            fail(Terminal(error.strerror or str(error), where=error.filename), as_json)
        hint = "this is a fault of reconciler; RECONCILER_TRACEBACK=1 shows where it is"
        fail(Terminal(f"{type(error).__name__}: {error}", hint=hint), as_json)


def text_of(lines: Iterable[str]) -> str:
    """Lines for people. What others wrote stays within its line and shows every character that would hide."""
    return "\n".join(map(visible, lines))


def shown(text: str) -> str:
    """Text whose lines are ours already; no control character of anybody reaches a terminal."""
    return text_of(text.split("\n"))


def fail(error: ReconcilerError, as_json: bool) -> None:
    """Print an error as the envelope's (stdout) or as text (stderr) and exit with its code."""
    if as_json:
        body: dict[str, Any] = {"ok": False, "error": str(error), "code": error.code}
        if error.hint:
            body["hint"] = error.hint
        if isinstance(error, InvalidInput) and error.problems:
            body["problems"] = [
                {"file": p.location.file, "line": p.location.line, "text": p.text, "hint": p.hint}
                | ({"gate": p.gate} if p.gate is not None else {})
                for p in error.problems
            ]
        click.echo(json.dumps(body))
    else:
        click.echo(shown(f"error: {error}"), err=True)
    if isinstance(error, NotAllowed):
        sys.exit(NOT_ALLOWED)
    sys.exit(UNVERIFIED if isinstance(error, VerificationFailed) else ERROR)


def plain(value: Any) -> Any:
    """A value of ours as JSON values."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("reconciler-server.yaml"),
    show_default=True,
    help="The server's configuration file.",
)

yes_option = click.option("--yes", is_flag=True, help="Do it; without this, nothing is changed.")


def need_yes(yes: bool, what: str) -> None:
    """NotAllowed unless --yes was given or a person at a terminal says yes."""
    if yes or (sys.stdin.isatty() and sys.stderr.isatty() and click.confirm(f"{what}?", err=True)):
        return
    raise NotAllowed(f"{what}: not confirmed", hint="add --yes")
