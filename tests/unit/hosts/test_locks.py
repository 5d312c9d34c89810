"""What the process that holds a lock says, by whoever answers there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler.hosts import locks
from reconciler.hosts.ssh import Connection
from reconciler.model.errors import ReconcilerError, Retryable
from tests.builders import TARGET
from tests.fuzz.hosts import OddShell


def hold(said: bytes) -> int:
    shell: Any = OddShell(SimpleNamespace(stdout=said))  # type: ignore[arg-type]
    with locks.hold(cast(Connection, shell), "/var/lib/reconciler", TARGET, "us") as held:
        return held.generation


def test_a_lock_is_held_with_its_generation() -> None:
    assert hold(b"held 7 4242\n") == 7


def test_a_lock_of_somebody_else_is_waited_for() -> None:
    with pytest.raises(Retryable, match="lock held by 7 4242 them"):
        hold(b"busy 7 4242 them\n")


@pytest.mark.parametrize(
    "said",
    [b"held x 1\n", b"held \n", b"held 0 1\n", b"held -1 1\n", b"held 7\n", b"held " + b"9" * 5000 + b" 1\n", b""],
)
def test_a_lock_that_nobody_says_is_held_is_not(said: bytes) -> None:
    with pytest.raises(ReconcilerError):
        hold(said)
