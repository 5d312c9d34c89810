"""Other processes on the same database: each runs a few lines of Python, says what it does, and is ended by its id."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
OPENED = """
import sys
from datetime import UTC, datetime
from reconciler.storage import open_database
from reconciler.storage.ledger import SqlLedger, append_in
from reconciler.storage.states import SqlLeases
from tests.unit.storage.records import SEAL
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
database, name = open_database(sys.argv[1], SEAL), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
"""


@contextmanager
def process(file: Path, name: str, lines: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the database open and waits for a line before it runs `lines`; killed at the end."""
    command = [sys.executable, "-c", OPENED + lines, f"sqlite:///{file}", name]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "ready\n", started.communicate()[1]
            yield started
        finally:
            started.kill()


def go(started: subprocess.Popen[str]) -> None:
    assert started.stdin is not None
    started.stdin.write("go\n")
    started.stdin.flush()


def side_by_side(file: Path, lines: str) -> tuple[list[str], list[str]]:
    """What two processes printed, called one and two; both are told to go once both are ready."""
    with process(file, "one", lines) as one, process(file, "two", lines) as two:
        go(one)
        go(two)
        (said, errors), (also_said, more_errors) = one.communicate(), two.communicate()
    assert errors + more_errors == ""
    return said.splitlines(), also_said.splitlines()
