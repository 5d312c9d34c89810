"""Two processes that want the same lease, and the same webhook delivery: exactly one gets it."""

from __future__ import annotations

from pathlib import Path

from reconciler.storage import Database
from reconciler.storage.states import SqlLeases
from tests.unit.storage.processes import go, process, side_by_side
from tests.unit.storage.records import NOON

RACE = """
for number in range(30):
    if SqlLeases(database).acquire(f"target {number}", name, 10, NOON) == 1:
        print(number, flush=True)
"""
DELIVERIES = """
from reconciler.storage.states import SqlStates
for number in range(30):
    if not SqlStates(database).delivery_seen(f"delivery {number}", NOON):
        print(number, flush=True)
"""


def test_two_processes_race_for_leases_and_each_has_one_holder(database: Database, file: Path) -> None:
    one, two = side_by_side(file, RACE)
    assert sorted([*one, *two], key=int) == [str(number) for number in range(30)]


def test_two_processes_are_told_of_a_delivery_and_one_takes_it(database: Database, file: Path) -> None:
    one, two = side_by_side(file, DELIVERIES)
    assert sorted([*one, *two], key=int) == [str(number) for number in range(30)]


def test_a_process_that_is_killed_keeps_its_lease_until_it_runs_out(database: Database, file: Path) -> None:
    held = "print(SqlLeases(database).acquire('target', name, 10, NOON), flush=True)\nsys.stdin.readline()\n"
    with process(file, "worker", held) as worker:
        go(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "1\n"
        worker.kill()
        worker.wait()
    leases = SqlLeases(database)
    assert leases.acquire("target", "another", 10, NOON) is None
    assert leases.acquire("target", "another", 10, NOON.replace(second=10)) == 2
