"""Children within their bounds."""

import os
import sys
import time
from pathlib import Path

import pytest

from reconciler.compose.process import Bounds, run

SHELL = ("/bin/sh", "-c")


def test_input_output_and_code_come_through_whole(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    finished = run((*SHELL, "/bin/cat; echo said >&2; exit 3"), {}, tmp_path, data, Bounds(30, 4_000_000))
    assert (finished.stdout == data, finished.stderr, finished.exit_code) == (True, b"said\n", 3)
    assert not finished.timed_out
    assert not finished.overflowed


def test_a_child_that_does_not_read_its_input_is_no_error(tmp_path: Path) -> None:
    finished = run((*SHELL, "exit 0"), {}, tmp_path, b"x" * 3_000_000, Bounds(30, 100))
    assert finished.exit_code == 0


def test_only_the_end_of_a_long_output_is_kept(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"
    finished = run((*SHELL, script), {}, tmp_path, b"", Bounds(30, 100))
    assert len(finished.stdout) == 100
    assert finished.stdout.endswith(b"line 1998\nline 1999\n")
    assert finished.overflowed


def test_nothing_of_ours_is_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_OURS", "1")
    finished = run(
        (sys.executable, "-Ic", "import os; print(dict(os.environ).keys() - {'LC_CTYPE'})"),
        {"A": "b"},
        tmp_path,
        b"",
        Bounds(30, 1000),
    )
    assert finished.stdout == b"{'A'}\n"


def test_when_the_time_is_over_the_children_of_the_child_end_too(tmp_path: Path) -> None:
    script = f"/bin/sleep 60 & echo $! > {tmp_path}/pid; echo before; wait"
    finished = run((*SHELL, script), {}, tmp_path, b"", Bounds(1, 1000))
    assert finished.timed_out
    assert finished.stdout == b"before\n"
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not _lives(pid):
            return
        time.sleep(0.05)
    raise AssertionError("the grandchild goes on")


def test_memory_is_bounded(tmp_path: Path) -> None:
    program = (sys.executable, "-Ic", "import time; time.sleep(0.5); b'x' * (300 << 20)")
    assert run(program, {}, tmp_path, b"", Bounds(30, 10_000, memory=200 << 20)).exit_code != 0
    assert run(program, {}, tmp_path, b"", Bounds(30, 10_000)).exit_code == 0


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False
