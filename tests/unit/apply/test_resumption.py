"""A run that is cut off, at every point, and run again: it ends where it should, and nothing is done twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from reconciler.apply import PreparedTarget
from reconciler.model.deployment import DeploymentState
from reconciler.model.errors import HostUnreachable, Terminal
from reconciler.ports import ComposeResult
from tests.builders import a_foreigner, deployed, with_container
from tests.unit.apply.conftest import World
from tests.unit.apply.surroundings import Cut, HostInMemory, prepared, wanted

BEFORE = {"db": {"image": "db:1"}, "web": {"image": "web:1"}, "old": {"image": "web:1"}}
AFTER = {
    "api": {"image": "api:2", "depends_on": ["db"]},
    "db": {"image": "db:2", "volumes": [{"type": "volume", "source": "data", "target": "/data"}]},
    "web": {"image": "web:2", "depends_on": ["db"], "networks": {"default": None, "front": None}},
}
STEPS = 12  # that the plan from BEFORE to AFTER takes on the host, pulling and keeping counted apart
ONCE = [
    ("CreateVolume", "shop_data"),
    ("CreateNetwork", "shop_front"),
    ("RecreateService", "db"),
    ("CreateService", "api"),
    ("RecreateService", "web"),
    ("RemoveContainer", "shop-old-1"),
]
ONE, TWO, THREE = "web-1", "web-2", "web-3"


def test_the_steps_are_counted_right(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    world.execute((target,))
    assert len(host.done) == STEPS


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(STEPS))
def test_a_run_that_is_cut_off_at_any_step_goes_on_and_does_nothing_twice(world: World, step: int, when: str) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    setattr(host, f"cut_{when}", step)
    with pytest.raises(Cut):
        world.execute((target,))
    assert not world.stored().outcome.final
    host.cut_before = host.cut_after = None
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.SUCCEEDED, finished.reason
    assert set(Counter(host.changed).values()) == {1}
    assert sorted(c.id for c in host.state.containers) == sorted(c.id for c in deployed(wanted(AFTER)).containers)
    (result,) = finished.targets
    assert {r.index for r in result.operations} >= set(range(len(target.plan.operations)))
    assert {r.outcome for r in result.operations} <= {"done", "already"}
    again = Counter((r.operation, r.subject) for r in result.operations) - Counter(dict.fromkeys(ONCE, 1))
    assert {operation for operation, _ in again} == {"PullImage"}, "to make sure of an image twice is harmless"


def test_what_was_done_and_not_noted_is_in_the_record_as_found_done_already(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.cut_after = 8
    with pytest.raises(Cut):
        world.execute((target,))
    assert host.done[-1] == ("RecreateService", "db")
    assert "db" not in {r.subject for r in world.deployments.journal("d-1", target.desired.target)}
    host.cut_after = None
    (result,) = world.execute((target,)).targets
    (db,) = (r for r in result.operations if r.subject == "db")
    assert (db.operation, db.outcome) == ("RecreateService", "already")
    assert result.operations == world.deployments.journal("d-1", target.desired.target)


def test_what_somebody_changed_during_the_interruption_is_not_overwritten(world: World) -> None:
    target, host = prepared(wanted(AFTER | {"calm": {}}), deployed(wanted(BEFORE | {"calm": {}})))
    host.cut_before = 9
    with pytest.raises(Cut):
        world.execute((target,))
    host.cut_before = None
    host.state = with_container(host.state, "shop-calm-1", environment={"DEBUG": "on"})
    done = list(host.done)
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.INTERRUPTED
    assert finished.reason == (
        "shop/production@web-1: after the interruption more differs than was approved: service calm environment.DEBUG"
    )
    assert host.done == done


def test_an_obstacle_that_came_during_the_interruption_stops_it(world: World) -> None:
    published = {"web": {"image": "web:2", "ports": [{"target": 80, "published": "8080", "protocol": "tcp"}]}}
    target, host = prepared(wanted(published), deployed(wanted({"web": {"image": "web:1"}})))
    host.cut_before = 0
    with pytest.raises(Cut):
        world.execute((target,))
    host.cut_before = None
    host.state = replace(host.state, others=(a_foreigner(ports=("0.0.0.0:8080/tcp",)),))
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.FAILED
    assert "8080" in finished.reason
    assert host.done == []


def test_without_a_noted_intent_a_host_that_moved_needs_new_consent(world: World) -> None:
    """What was cut off before it had begun has no right to call the host's own changes a remainder of its own."""
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.refusals["observe",] = HostUnreachable("gone", where=ONE)
    with pytest.raises(HostUnreachable):
        world.execute((target,))
    host.refusals.clear()
    host.arrive("db")
    assert world.execute((target,)).outcome is DeploymentState.CANCELLED
    assert host.done == []


# -- waves ----------------------------------------------------------------------------------------------------------


def three_hosts() -> list[tuple[PreparedTarget, HostInMemory]]:
    return [prepared(wanted(AFTER, host), deployed(wanted(BEFORE, host))) for host in (ONE, TWO, THREE)]


def broken(host: HostInMemory) -> None:
    host.refusals["RecreateService", "db"] = ComposeResult(1, "no space left")


def test_waves_follow_each_other_with_the_pause_between(world: World) -> None:
    (one, a), (two, b), (three, c) = three_hosts()
    seen: list[str] = []
    for name, host in ((ONE, a), (TWO, b), (THREE, c)):
        host.after_each = lambda _, name=name: seen.append(name)
    finished = world.execute((one,), (two, three), pause=30)
    assert finished.outcome is DeploymentState.SUCCEEDED
    assert seen[:STEPS] == [ONE] * STEPS
    assert set(seen[STEPS:]) == {TWO, THREE}
    assert [seconds for seconds in world.clock.slept if seconds == 30] == [30]
    assert [result.target.host for result in finished.targets] == [ONE, TWO, THREE]


def test_after_a_failed_wave_the_next_is_left_alone(world: World) -> None:
    (one, a), (two, b), _ = three_hosts()
    broken(a)
    finished = world.execute((one,), (two,), pause=30)
    assert finished.outcome is DeploymentState.FAILED
    assert finished.reason.startswith("shop/production@web-1: RecreateService db: no space left")
    assert [result.target.host for result in finished.targets] == [ONE]
    assert b.calls == []
    assert 30 not in world.clock.slept


def test_a_failure_leaves_the_others_of_its_wave_to_finish(world: World) -> None:
    (one, a), (two, b), (three, c) = three_hosts()
    broken(a)
    finished = world.execute((one, two), (three,))
    assert finished.outcome is DeploymentState.FAILED
    assert b.state.containers != deployed(wanted(BEFORE, TWO)).containers
    assert c.calls == []


def test_as_many_hosts_may_fail_as_the_rollout_says(world: World) -> None:
    (one, a), (two, b), (three, c) = three_hosts()
    broken(a)
    broken(b)
    finished = world.execute((one,), (two,), (three,), max_failed_hosts=1)
    assert finished.outcome is DeploymentState.FAILED
    assert a.calls
    assert b.calls
    assert c.calls == []


def test_a_failed_host_that_was_allowed_still_makes_the_whole_a_failure(world: World) -> None:
    (one, a), (two, b), _ = three_hosts()
    broken(a)
    finished = world.execute((one,), (two,), max_failed_hosts=1)
    assert finished.outcome is DeploymentState.FAILED
    assert b.done


@pytest.mark.parametrize("at", [0, 1])
def test_what_is_no_longer_allowed_stops_before_its_wave(world: World, at: int) -> None:
    (one, a), (two, b), _ = three_hosts()
    answers = [*[None] * at, "suspended: by operator"]
    world.asked = lambda: answers.pop(0)
    finished = world.execute((one,), (two,))
    assert finished.outcome is DeploymentState.CANCELLED
    assert finished.reason == "suspended: by operator"
    assert bool(a.calls) is (at == 1)
    assert b.calls == []


def test_a_host_that_is_done_is_not_looked_at_again_after_a_cut(world: World) -> None:
    (one, a), (two, b), _ = three_hosts()
    b.cut_before = 5
    with pytest.raises(Cut):
        world.execute((one,), (two,), pause=30)
    b.cut_before = None
    a.refusals["observe",] = Terminal("nobody may look here again")
    finished = world.execute((one,), (two,), pause=30)
    assert finished.outcome is DeploymentState.SUCCEEDED
    assert [result.target.host for result in finished.targets] == [ONE, TWO]
    assert set(Counter(a.changed).values()) == {1}


def test_a_host_that_failed_is_tried_again_after_a_cut_and_not_taken_for_done(world: World) -> None:
    (one, a), (two, b), _ = three_hosts()
    broken(a)
    b.cut_before = 5
    with pytest.raises(Cut):
        world.execute((one,), (two,), max_failed_hosts=1)
    assert world.stored().targets == ()
    a.refusals.clear()
    b.cut_before = None
    assert world.execute((one,), (two,), max_failed_hosts=1).outcome is DeploymentState.SUCCEEDED


def test_no_pause_and_no_question_where_everything_is_done_already(world: World) -> None:
    """Cut off after the last host and before the end was written: what is deployed is not called cancelled."""
    (one, _), (two, _), _ = three_hosts()
    world.execute((one,), (two,), pause=30)
    world.clock.slept.clear()
    world.asked = lambda: "suspended: by operator"
    finished = world.execute((one,), (two,), pause=30)
    assert finished.outcome is DeploymentState.SUCCEEDED
    assert world.clock.slept == []
