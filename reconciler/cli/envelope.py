"""How every command answers: one JSON envelope on stdout with --json, else text; and the exit codes.

0 ok · 1 error · 2 usage · 3 not allowed · 4 waiting for approval · 5 differences found · 6 verification failed
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import click

from reconciler.model.errors import InvalidInput, NotAllowed, ReconcilerError, VerificationFailed

P = ParamSpec("P")

OK, ERROR, USAGE, NOT_ALLOWED, WAITING, DIFFERENCES, UNVERIFIED = range(7)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found: `data` for --json, `text` for people, and the exit code."""

    data: Any
    text: str
    code: int = OK


def answering(function: Callable[P, Answer]) -> Callable[P, None]:
    """Give a command --json, print its answer, turn errors into the envelope's and the exit code."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.pop("as_json"))
        try:
            answer = function(*args, **kwargs)
        except ReconcilerError as error:
            fail(error, as_json)
        if as_json:
            click.echo(json.dumps({"ok": answer.code in (OK, WAITING, DIFFERENCES), "data": plain(answer.data)}))
        elif answer.text:
            click.echo(answer.text)
        sys.exit(answer.code)

    return command


def fail(error: ReconcilerError, as_json: bool) -> None:
    """Print an error as the envelope's (stdout) or as text (stderr) and exit with its code."""
    if as_json:
        body: dict[str, Any] = {"ok": False, "error": str(error), "code": error.code}
        if error.hint:
            body["hint"] = error.hint
        if isinstance(error, InvalidInput) and error.problems:
            body["problems"] = [
                {"file": p.location.file, "line": p.location.line, "text": p.text, "hint": p.hint}
                for p in error.problems
            ]
        click.echo(json.dumps(body))
    else:
        click.echo(f"error: {error}", err=True)
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
