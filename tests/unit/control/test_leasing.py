"""A lease is held by one, renewed while its block runs, given back after it; whoever loses it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy.exc import OperationalError

from reconciler.control import leasing
from reconciler.control.leasing import LEASE_SECONDS, RENEW_SECONDS, lease
from reconciler.model.errors import Retryable
from reconciler.storage import Database
from reconciler.storage.states import SqlLeases
from tests.unit.control.plane import StoppedClock, wait_for


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "RENEW_SECONDS", 0.01)


def test_it_is_renewed_several_times_before_it_runs_out() -> None:
    assert RENEW_SECONDS * 3 <= LEASE_SECONDS


def test_only_one_holds_it_and_the_next_one_after_it(database: Database) -> None:
    leases, clock = SqlLeases(database), StoppedClock()
    with lease(leases, clock, "environment shop/production", "one") as held:
        with (
            pytest.raises(Retryable, match="worked on by another process"),
            lease(leases, clock, "environment shop/production", "two"),
        ):
            pytest.fail("two hold one lease")
        with lease(leases, clock, "environment shop/staging", "two"):
            pass
        assert held.lost is None
    with lease(leases, clock, "environment shop/production", "two"):
        pass


def test_it_is_given_back_when_the_work_fails(database: Database) -> None:
    leases, clock = SqlLeases(database), StoppedClock()
    with pytest.raises(ZeroDivisionError), lease(leases, clock, "a", "one"):
        raise ZeroDivisionError
    with lease(leases, clock, "a", "two"):
        pass


@pytest.mark.usefixtures("quick")
def test_it_lasts_as_long_as_the_block_however_long_that_is(database: Database) -> None:
    leases, clock = SqlLeases(database), StoppedClock()
    with lease(leases, clock, "a", "one") as held:
        for _ in range(3):
            clock.move(seconds=LEASE_SECONDS - 1)
            until = clock.now().timestamp() + LEASE_SECONDS
            wait_for(lambda until=until: until_of(database) == until, "a renewal")  # type: ignore[misc]
        assert leases.acquire("a", "two", LEASE_SECONDS, clock.now()) is None
        assert held.lost is None


def until_of(database: Database) -> float:
    with database.engine.connect() as connection:
        return float(connection.exec_driver_sql("select until from leases where name = 'a'").scalar() or 0)


@pytest.mark.usefixtures("quick")
def test_whoever_loses_it_is_told_and_does_not_take_it_from_the_next(database: Database) -> None:
    leases, clock = SqlLeases(database), StoppedClock()
    with lease(leases, clock, "a", "one") as held:
        later = datetime.fromtimestamp(until_of(database) + 1, tz=clock.now().tzinfo)
        while (taken := leases.acquire("a", "two", LEASE_SECONDS, later)) is None:
            later = datetime.fromtimestamp(until_of(database) + 1, tz=clock.now().tzinfo)
        wait_for(lambda: held.lost is not None, "the loss is noticed")
        assert held.lost == "the lease on a was taken over"
    assert taken == 2
    assert leases.renew("a", "two", 2, LEASE_SECONDS, later), "the end of the first block gave back the second's lease"


class Broken(SqlLeases):
    """A database that is gone when the lease is renewed."""

    error: Callable[[], Exception] = staticmethod(lambda: OperationalError("update leases", {}, Exception("disk full")))

    def renew(self, key: str, owner: str, generation: int, seconds: float, now: datetime) -> bool:
        raise type(self).error()


@pytest.mark.usefixtures("quick")
def test_a_lease_that_cannot_be_renewed_for_whatever_reason_is_lost(database: Database) -> None:
    with lease(Broken(database), StoppedClock(), "a", "one") as held:
        wait_for(lambda: held.lost is not None, "the failure is noticed")
    assert "could not be renewed" in (held.lost or "")
    assert "disk full" in (held.lost or "")
