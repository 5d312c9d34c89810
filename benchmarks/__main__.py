"""`python -m benchmarks [CASE…] [--json] [--runs N]`: measure, and show a table or one JSON document."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from benchmarks.cases import CASES, Case, House
from benchmarks.measuring import figures
from benchmarks.report import Measured, document, table
from benchmarks.stage import Failed, Stage, open_stage
from reconciler.demo.machine import MachineError, probe
from reconciler.model.errors import ReconcilerError


@click.command(epilog="Cases: " + "; ".join(f"{case.name} ({case.what})" for case in CASES) + ".")
@click.argument("names", metavar="[CASE]...", nargs=-1, type=click.Choice([case.name for case in CASES]))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--runs", type=click.IntRange(min=1), help="Timed runs of each side, instead of each case's own number.")
def main(names: tuple[str, ...], as_json: bool, runs: int | None) -> None:
    """Measure this program against what one would use instead, side by side in one run."""
    chosen = tuple(case for case in CASES if not names or any(_names(name, case) for name in names))
    missing = probe().why_not("engine", "sshd", "image")
    needing = [case.name for case in chosen if case.engine]
    if missing is not None and needing:
        if names:
            fail(f"{', '.join(needing)} cannot be measured: {missing}", "ENGINE_MISSING", as_json)
        say(f"not measured: {', '.join(needing)} ({missing})")
        chosen = tuple(case for case in chosen if not case.engine)
    signal.signal(signal.SIGTERM, interrupt)
    root = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with ExitStack() as stack:
            house = House(root, once(lambda: stack.enter_context(open_stage(root))))
            results = tuple(run(case, house, runs) for case in chosen)
    except KeyboardInterrupt:
        fail("stopped", "STOPPED", as_json)
    except (Failed, MachineError, ReconcilerError) as error:
        fail(str(error), "NOT_MEASURED", as_json)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if as_json:
        click.echo(json.dumps(document(results)))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(table(results))


def _names(name: str, case: Case) -> bool:
    """A name stands for the cases that begin with it, too: `ledger` for `ledger-append`."""
    return case.name == name or case.name.startswith(f"{name}-")


def run(case: Case, house: House, runs: int | None) -> Measured:
    """Measure one case, saying so, with how busy the machine was."""
    say(f"{case.name}: {case.what}")
    times = case.measure(house, runs or case.runs, case.warm_up)
    say(f"  done; load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors")
    return Measured(case.name, case.peer, figures(times), case.goal)


def once(make: Callable[[], Stage]) -> Callable[[], Stage]:
    """Make the stage when it is first asked for, and hand out the same one afterwards."""
    made: list[Stage] = []

    def get() -> Stage:
        if not made:
            say("starting an engine, an SSH server, the forge and the control plane; deploying 10 services twice")
            made.append(make())
        return made[0]

    return get


def say(text: str) -> None:
    """Progress goes to standard error."""
    click.echo(text, err=True)


def fail(text: str, code: str, as_json: bool) -> NoReturn:
    """The envelope's error, or one line; exit code 1."""
    if as_json:
        click.echo(json.dumps({"ok": False, "error": text, "code": code}))
    else:
        say(f"error: {text}")
    sys.exit(1)


def interrupt(_signal: int, _frame: object) -> None:
    """End as on Ctrl-C, so that everything is stopped in order."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
