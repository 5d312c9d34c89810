"""The loop: one request per key, waits that grow, nobody blocks the others. Its threads, git and database are real."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from reconciler.control import pipeline
from reconciler.control.controller import (
    BACKOFF_CAP,
    LONGEST_ASKED_WAIT,
    WORKERS,
    Controller,
    Seen,
    backoff,
    handle,
    poll,
)
from reconciler.control.requests import Done, Poll, ReconcileRequest, Resync, ReviewRequest
from reconciler.forges.connection import Throttled
from reconciler.model.desired import HostSpec
from reconciler.model.errors import ForgeUnavailable, HostUnreachable, NotAllowed
from reconciler.model.target import EnvironmentName
from reconciler.ports import Host, TrustRecord
from reconciler.sources import GitMirror
from reconciler.storage import Database
from tests.git_remotes import Remote
from tests.unit.control.plane import NOW, REPOSITORY_ID, Events, ToldForge, a_pull, a_reading, parts_of, wait_for

SHOP = {
    "reconciler.yaml": "format: 1\ndeploy_branch: main\n",
    "principals.yaml": "people: {author: {github: 1001}}\n",
    "policy.yaml": "rules: []\n",
    "hosts/web-1.yaml": "address: 192.0.2.1\nuser: r\ntiers: [production]\nhost_key: ssh-ed25519 "
    "AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW\n",
    "projects/shop/production/compose.yaml": "services: {web: {image: 'demo:1'}}\n",
    "projects/shop/production/environment.yaml": "hosts: [web-1]\ntier: production\ncompose: [compose.yaml]\n",
}
PRODUCTION = EnvironmentName("shop", "production")


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    made = Remote.make(tmp_path / "remote.git")
    made.commit(SHOP)
    return made


@pytest.fixture
def mirror(remote: Remote, tmp_path: Path) -> GitMirror:
    return remote.mirror(tmp_path / "mirror.git")


class Forge(ToldForge):
    """Readings are what `answers` say, by number; every question is counted."""

    def __init__(self) -> None:
        super().__init__(reading_of=self.answer)
        self.asked: list[int] = []
        self.answers: dict[int, Callable[[], Any]] = {}
        self.guard = threading.Lock()

    def answer(self, number: int) -> Any:
        with self.guard:
            self.asked.append(number)
        told = self.answers.get(number)
        return told() if told else a_reading(a_pull(number, state="closed"))


class NoHosts:
    """Not one of them answers."""

    def host(self, spec: HostSpec, jumps: tuple[HostSpec, ...]) -> Host:
        raise HostUnreachable("no route", where=spec.name)

    def close(self) -> None:
        """Nothing."""


@contextmanager
def running(parts: Any) -> Iterator[Controller]:
    controller = Controller(parts)
    try:
        yield controller
    finally:
        assert controller.stop(20)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def forge() -> Forge:
    return Forge()


@pytest.fixture
def parts(database: Database, mirror: GitMirror, forge: Forge, events: Events, tmp_path: Path) -> Any:
    made = parts_of(database, mirror, forge=forge, hosts=NoHosts(), events=events, keys=tmp_path)
    made.states.set_trust(TrustRecord(REPOSITORY_ID, mirror.branch_head("main"), (), NOW))
    return made


def raising(error: Exception) -> Callable[[], Any]:
    def raise_it() -> Any:
        raise error

    return raise_it


# -- one at a time per key -------------------------------------------------------------------------------------------


def test_a_hundred_wishes_for_one_thing_are_one_request(parts: Any, forge: Forge) -> None:
    with running(parts) as controller:
        for _ in range(100):
            controller.put(ReviewRequest(1))
        controller.put(ReviewRequest(2))
        controller.start()
        wait_for(lambda: {1, 2} <= set(forge.asked), "both are read")
    assert sorted(forge.asked) == [1, 2]


def test_what_is_wished_for_while_it_runs_runs_once_more_and_never_beside_itself(parts: Any, forge: Forge) -> None:
    go, at_once, most = threading.Semaphore(0), [0], [0]

    def hold() -> Any:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        assert go.acquire(timeout=20)
        at_once[0] -= 1
        return a_reading(a_pull(1, state="closed"))

    forge.answers[1] = hold
    with running(parts) as controller:
        controller.start()
        controller.put(ReviewRequest(1))
        wait_for(lambda: forge.asked == [1], "the first run")
        for _ in range(10):
            controller.put(ReviewRequest(1))
        controller.put(ReviewRequest(2))
        wait_for(lambda: 2 in forge.asked, "another key goes on meanwhile")
        assert forge.asked.count(1) == 1
        go.release(50)
        wait_for(lambda: forge.asked.count(1) == 2, "the second run")
        controller.put(ReviewRequest(3))
        wait_for(lambda: 3 in forge.asked, "and nothing more")
    assert forge.asked.count(1) == 2
    assert most == [1]


def test_the_earlier_of_two_wishes_wins(parts: Any, forge: Forge) -> None:
    with running(parts) as controller:
        controller.put(ReviewRequest(1), timedelta(hours=1))
        controller.put(ReviewRequest(1))
        controller.put(ReviewRequest(1), timedelta(hours=1))
        controller.start()
        wait_for(lambda: forge.asked == [1], "it runs now")


# -- waits -----------------------------------------------------------------------------------------------------------


def test_waits_double_up_to_a_bound_and_half_of_them_is_chance() -> None:
    whole = [backoff(failures, 0.0).total_seconds() for failures in range(12)]
    assert whole[:4] == [1, 2, 4, 8]
    assert whole == sorted(whole)
    assert whole[-1] == BACKOFF_CAP
    assert backoff(10**6, 0.0).total_seconds() == BACKOFF_CAP
    assert backoff(3, 1.0).total_seconds() == 4


def test_a_wait_that_the_other_side_asks_for_is_kept_for_an_hour_at_most() -> None:
    assert backoff(0, 1.0, asked=90).total_seconds() == 90
    assert backoff(20, 1.0, asked=90).total_seconds() == BACKOFF_CAP / 2
    assert backoff(0, 0.0, asked=10**9).total_seconds() == LONGEST_ASKED_WAIT


def fail_again(controller: Controller, events: Events, kind: str) -> float:
    """Put the request at once, let it fail, and say for how long it then waits."""
    known = len(events.of(kind))
    controller.put(ReviewRequest(1))
    wait_for(lambda: len(events.of(kind)) > known, "it fails once more")
    return float(events.of(kind)[known]["again_after"])


def test_each_failure_waits_longer_and_a_success_begins_anew(parts: Any, forge: Forge, events: Events) -> None:
    forge.answers[1] = raising(ForgeUnavailable("down"))
    with running(parts) as controller:
        controller.start()
        waits = [fail_again(controller, events, "request.retry") for _ in range(5)]
        for number, seconds in enumerate(waits):
            assert 2**number / 2 <= seconds <= 2**number, waits
        asked = len(forge.asked)
        forge.answers.clear()
        controller.put(ReviewRequest(1))
        wait_for(lambda: len(forge.asked) > asked, "it succeeds")
        forge.answers[1] = raising(ForgeUnavailable("down again"))
        assert fail_again(controller, events, "request.retry") <= 1.0


def test_a_throttled_forge_is_left_alone_for_as_long_as_it_asks(parts: Any, forge: Forge, events: Events) -> None:
    forge.answers[1] = raising(Throttled(600, where="pulls/1"))
    with running(parts) as controller:
        controller.start()
        assert fail_again(controller, events, "request.retry") == 600


def test_what_nobody_foresaw_is_told_with_its_traceback_and_tried_again(
    parts: Any, forge: Forge, events: Events
) -> None:
    forge.answers[1] = raising(ZeroDivisionError("surprise"))
    with running(parts) as controller:
        controller.start()
        assert fail_again(controller, events, "request.crashed") <= 1.0
        forge.answers.clear()
        controller.put(ReviewRequest(1))
        controller.put(ReviewRequest(2))
        wait_for(lambda: 2 in forge.asked, "the loop goes on")
        assert controller.ready() == (True, "")
    told = events.of("request.crashed")[0]
    assert told["reason"] == "ZeroDivisionError('surprise')"
    assert "raise_it" in told["traceback"]


def test_what_will_fail_again_waits_for_a_person_and_not_for_a_clock(parts: Any, forge: Forge, events: Events) -> None:
    forge.answers[1] = raising(NotAllowed("policy says no"))
    with running(parts) as controller:
        controller.start()
        controller.put(ReviewRequest(1))
        wait_for(lambda: bool(events.of("request.failed")), "it fails")
        controller.put(ReviewRequest(2))
        wait_for(lambda: 2 in forge.asked, "the next")
        assert ReviewRequest(1) not in controller._due
    assert events.of("request.failed")[0]["code"] == "NOT_ALLOWED"
    assert "again_after" not in events.of("request.failed")[0]


# -- one does not block the others -----------------------------------------------------------------------------------


def test_what_hangs_and_what_fails_does_not_keep_the_others_from_their_turn(
    parts: Any, forge: Forge, events: Events
) -> None:
    free = threading.Event()

    def hang() -> Any:
        assert free.wait(20)
        raise HostUnreachable("gone")

    for number in range(1, WORKERS):
        forge.answers[number] = hang
    forge.answers[90] = raising(ForgeUnavailable("down"))
    with running(parts) as controller:
        controller.start()
        wait_for(lambda: Poll() not in controller._running and Poll() not in controller._due, "the first poll")
        for number in (*range(1, WORKERS), 90, *range(100, 120)):
            controller.put(ReviewRequest(number))
        wait_for(lambda: set(range(100, 120)) <= set(forge.asked), "all healthy ones")
        assert not free.is_set()
        free.set()
    assert {told["request"] for told in events.of("request.retry")} >= {"pull request 90"}


def test_stopping_waits_for_what_runs_but_not_for_ever(parts: Any, forge: Forge) -> None:
    free = threading.Event()
    forge.answers[1] = lambda: free.wait(60) and None
    controller = Controller(parts)
    controller.start()
    controller.put(ReviewRequest(1))
    wait_for(lambda: forge.asked == [1], "it hangs")
    assert controller.stop(0.2) is False
    assert controller.ready() == (False, "the loop does not run")
    controller.put(ReviewRequest(2))
    free.set()
    assert controller.stop(20) is True
    assert forge.asked == [1]


# -- readiness -------------------------------------------------------------------------------------------------------


def test_it_is_ready_when_it_runs_over_a_database_and_a_mirror(parts: Any) -> None:
    controller = Controller(parts)
    assert controller.ready() == (False, "the loop does not run")
    controller.start()
    assert controller.ready() == (True, "")
    assert controller.stop(20)
    assert controller.ready() == (False, "the loop does not run")


def test_it_is_not_ready_before_the_repository_was_fetched_once(
    database: Database, remote: Remote, tmp_path: Path, forge: Forge
) -> None:
    never = GitMirror(tmp_path / "never.git", str(tmp_path / "nowhere.git"), "main")
    with running(parts_of(database, never, forge=forge, hosts=NoHosts())) as controller:
        controller.start()
        ready, reason = controller.ready()
    assert not ready
    assert "mirror of main" in reason


def test_it_is_not_ready_without_its_database(parts: Any, tmp_path: Path) -> None:
    with running(parts) as controller:
        controller.start()
        assert controller.ready() == (True, "")
        assert parts.states.trust() is not None, "what is kept in memory is no sign of a database"
        with sqlite3.connect(tmp_path / "reconciler.db") as connection:
            connection.execute("DROP TABLE environments")
        ready, reason = controller.ready()
    assert not ready
    assert "database" in reason


# -- what is due -----------------------------------------------------------------------------------------------------


def test_a_poll_puts_what_moved_and_nothing_else(parts: Any, forge: Forge, remote: Remote) -> None:
    seen = Seen()
    forge.pulls = (a_pull(1), a_pull(2))
    assert poll(parts, seen) == (ReviewRequest(1), ReviewRequest(2), ReconcileRequest(PRODUCTION))
    assert poll(parts, seen) == ()
    forge.pulls = (a_pull(1, head="c" * 40), a_pull(2))
    assert poll(parts, seen) == (ReviewRequest(1),)
    forge.pulls = (a_pull(1, head="c" * 40), a_pull(2, updated_at=NOW + timedelta(seconds=1)))
    assert poll(parts, seen) == (ReviewRequest(2),)
    forge.pulls = ()
    assert poll(parts, seen) == ()
    tip = remote.commit({"README.md": "new\n"}, remote.head("refs/heads/main") or "")
    assert poll(parts, seen) == (ReconcileRequest(PRODUCTION),)
    assert seen.tip == tip


def test_a_poll_that_fails_halfway_has_seen_nothing(parts: Any, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen()
    forge.pulls = (a_pull(1),)
    with monkeypatch.context() as patched:
        full = OperationalError("select", {}, Exception("disk I/O error"))
        patched.setattr(pipeline, "environments", lambda _: raising(full)())
        with pytest.raises(OperationalError):
            poll(parts, seen)
    assert poll(parts, seen) == (ReviewRequest(1), ReconcileRequest(PRODUCTION))


def test_a_resync_puts_everything_whatever_was_seen(parts: Any, forge: Forge) -> None:
    seen = Seen()
    forge.pulls = (a_pull(4),)
    poll(parts, seen)
    assert handle(parts, Resync(), seen) == (Done(), (ReconcileRequest(PRODUCTION), ReviewRequest(4)))


def test_a_pull_request_that_is_not_open_any_more_lets_held_environments_be_looked_at(parts: Any, forge: Forge) -> None:
    from reconciler.control import remembering

    remembering.stopped(parts, PRODUCTION, "Held", "nobody approved it", "d" * 40)
    assert handle(parts, ReviewRequest(1), Seen()) == (Done(), (ReconcileRequest(PRODUCTION),))
    assert forge.asked == [1]
