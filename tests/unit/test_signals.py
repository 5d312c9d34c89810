"""Programs that run until they are told to end, told so at every inconvenient moment."""

from __future__ import annotations

import subprocess
import sys

import pytest

MOMENTS = {
    "before it waits": "os.kill(os.getpid(), number); wait()",
    "while it waits": "threading.Timer(0.2, os.kill, (os.getpid(), number)).start(); wait()",
    "by way of another thread": """
        other = threading.Thread(target=lambda: ready.wait() and time.sleep(60), daemon=True)
        other.start()
        threading.Timer(0.2, lambda: signal.pthread_kill(other.ident, number)).start()
        wait()""",
    "many times": "[os.kill(os.getpid(), number) for _ in range(100_000)]; wait()",
    "after another signal": """
        signal.signal(signal.SIGUSR1, lambda *_: None)
        os.kill(os.getpid(), signal.SIGUSR1)
        threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
        begin = time.monotonic()
        wait()
        assert time.monotonic() - begin > 0.1""",
}
PROGRAM = """
import os, signal, threading, time
from reconciler.signals import await_ending
ready = threading.Event()
wait = await_ending()
number = signal.{name}
ready.set()
{moment}
print("ended", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_who_waits_to_be_told_to_end_hears_it(moment: str, name: str) -> None:
    text = "\n".join(line.strip() for line in MOMENTS[moment].splitlines())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name, moment=text)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr
