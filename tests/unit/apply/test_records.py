"""What is asked and kept under a target's lock: before anything is done, and when it is verified."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from reconciler.apply import PreparedTarget
from reconciler.model.deployment import DeploymentState
from reconciler.model.errors import HostUnreachable, Terminal
from tests.builders import deployed, empty_host
from tests.unit.apply.conftest import World
from tests.unit.apply.surroundings import Cut, HostInMemory, prepared, wanted

ONE = {"web": {"image": "web:1"}}


@dataclass
class Heard:
    """What was asked, each time with what the host had done by then."""

    host: HostInMemory
    calls: list[tuple[str, int, bool]] = field(default_factory=list)

    def begin(self, target: PreparedTarget) -> None:
        self.calls.append(("begin", len(self.host.done), bool(self.host.locked_by)))

    def keep(self, target: PreparedTarget) -> None:
        self.calls.append(("keep", len(self.host.done), bool(self.host.locked_by)))


def test_it_is_asked_before_anything_is_done_and_kept_after_everything_both_under_the_lock(world: World) -> None:
    target, host = prepared(wanted(ONE), empty_host())
    heard = Heard(host)
    world.may_begin, world.keep = heard.begin, heard.keep
    assert world.execute((target,)).outcome is DeploymentState.SUCCEEDED
    assert heard.calls == [("begin", 0, True), ("keep", len(host.done), True)]
    assert host.done


def test_what_speaks_against_it_stops_it_before_the_first_operation(world: World) -> None:
    target, host = prepared(wanted(ONE), empty_host())
    heard = Heard(host)
    world.may_begin, world.keep = lambda _: "it belongs to somebody else", heard.keep
    finished = world.execute((target,))
    assert (finished.outcome, host.done, heard.calls) == (DeploymentState.CANCELLED, [], [])
    assert finished.reason == "shop/production@web-1: it belongs to somebody else"


def test_a_run_that_was_cut_off_and_may_not_go_on_is_interrupted(world: World) -> None:
    target, host = prepared(wanted(ONE), empty_host())
    host.cut_after = 0
    with pytest.raises(Cut):
        world.execute((target,))
    host.cut_after = None
    world.may_begin = lambda _: "it belongs to somebody else"
    assert world.execute((target,)).outcome is DeploymentState.INTERRUPTED


def test_nothing_is_kept_of_what_is_not_verified(world: World) -> None:
    target, host = prepared(wanted(ONE), empty_host())
    host.refusals["CreateService", "web"] = Terminal("no")
    heard = Heard(host)
    world.keep = heard.keep
    assert world.execute((target,)).outcome is DeploymentState.FAILED
    assert heard.calls == []


def test_what_cannot_be_kept_fails_the_deployment_and_a_host_that_is_gone_leaves_it_unfinished(world: World) -> None:
    def full(_: PreparedTarget) -> None:
        raise Terminal("no room", where="web-1")

    def gone(_: PreparedTarget) -> None:
        raise HostUnreachable("gone", where="web-1")

    target, _ = prepared(wanted(ONE), deployed(wanted(ONE)))
    world.keep = gone
    with pytest.raises(HostUnreachable):
        world.execute((target,))
    assert not world.stored().outcome.final
    world.keep = full
    finished = world.execute((target,))
    assert (finished.outcome, finished.reason) == (DeploymentState.FAILED, "shop/production@web-1: web-1: no room")
