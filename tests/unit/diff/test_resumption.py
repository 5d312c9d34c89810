"""remaining: after an interruption, what is left of an approved plan goes on, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler import diff
from reconciler.model.desired import DesiredTarget
from reconciler.model.observed import ObservedState
from reconciler.model.plan import CreateService, Plan, RecreateService, RemoveContainer
from tests.builders import (
    ENGINE,
    FINGERPRINTER,
    a_network,
    a_service,
    a_target,
    deployed,
    hex_of,
    resolutions,
    with_container,
    without_containers,
)

SERVICES: dict[str, dict[str, Any]] = {"web": {"user": "2"}, "db": {"user": "2"}, "calm": {}}
TARGET = a_target(SERVICES)
BEFORE = deployed(a_target({"web": {"user": "1"}, "db": {"user": "1"}, "calm": {}}))
AFTER = deployed(TARGET)


def plan_of(target: DesiredTarget, observed: ObservedState) -> Plan:
    changes = diff.compare(target, observed, {}, FINGERPRINTER)
    return diff.plan(target, observed, changes, resolutions(target))


def mixed(**containers: ObservedState) -> ObservedState:
    """A host on which each named service is as in the given one, and the others as before."""
    kept = [c for c in BEFORE.containers if c.service not in containers]
    taken = [c for name, state in containers.items() for c in state.containers if c.service == name]
    return replace(BEFORE, containers=tuple(kept + taken))


APPROVED = plan_of(TARGET, BEFORE)


def cut_off_after_removing() -> ObservedState:
    """The old container is gone, the new one still has its temporary name."""
    (web,) = (c for c in AFTER.containers if c.service == "web")
    temporary = replace(
        web,
        id=hex_of("temporary"),
        name="0123456789ab_shop-web-1",
        state=replace(web.state, status="created"),
        labels={**web.labels, "com.docker.compose.replace": "web-1"},
    )
    rest = without_containers(mixed(), "shop-web-1")
    return replace(rest, containers=(*rest.containers, temporary))


CONTINUED: dict[str, Callable[[], ObservedState]] = {
    "nothing was done": lambda: BEFORE,
    "one of two is done": lambda: mixed(web=AFTER),
    "all is done": lambda: AFTER,
    "one is gone": lambda: without_containers(BEFORE, "shop-web-1"),
    "one was created and not started": lambda: with_container(
        mixed(web=AFTER), "shop-web-1", state={"status": "created"}
    ),
    "a temporary is left": cut_off_after_removing,
}


@pytest.mark.parametrize("situation", CONTINUED)
def test_every_point_of_an_interruption_leaves_a_rest_that_was_approved(situation: str) -> None:
    fresh = plan_of(TARGET, CONTINUED[situation]())
    assert diff.remaining(APPROVED, fresh) == diff.Remaining(fresh)


def test_the_rest_after_a_cut_recreate_removes_the_temporary_and_creates() -> None:
    fresh = plan_of(TARGET, cut_off_after_removing())
    left = [type(o) for o in fresh.operations]
    assert RemoveContainer in left
    assert CreateService in left


def test_a_temporary_of_a_service_that_was_not_approved_is_not_removed() -> None:
    state = cut_off_after_removing()
    calm = next(c for c in BEFORE.containers if c.service == "calm")
    theirs = replace(state.containers[-1], service="calm", name="0123456789ab_shop-calm-1", id=calm.id[::-1])
    fresh = plan_of(TARGET, replace(BEFORE, containers=(*BEFORE.containers, theirs)))
    assert isinstance(diff.remaining(APPROVED, fresh), diff.Diverged)


def test_drift_of_another_service_was_not_approved() -> None:
    fresh = plan_of(TARGET, with_container(BEFORE, "shop-calm-1", config={"User": "root"}))
    outcome = diff.remaining(APPROVED, fresh)
    assert isinstance(outcome, diff.Diverged)
    assert [change.subject.name for change in outcome.changes] == ["calm"]


def test_another_end_than_the_approved_one_is_refused() -> None:
    other = a_target({**SERVICES, "web": {"user": "3"}})
    outcome = diff.remaining(APPROVED, plan_of(other, BEFORE))
    assert isinstance(outcome, diff.Diverged)
    assert [change.subject.name for change in outcome.changes] == ["web"]


def test_another_image_behind_the_same_tag_is_refused() -> None:
    moved = replace(TARGET, images=(("demo:1", f"sha256:{hex_of('moved')}"),))
    assert isinstance(diff.remaining(APPROVED, plan_of(moved, BEFORE)), diff.Diverged)


def test_another_engine_is_refused() -> None:
    elsewhere = replace(BEFORE, engine=replace(ENGINE, id="ENGINE-2"))
    assert isinstance(diff.remaining(APPROVED, plan_of(TARGET, elsewhere)), diff.Diverged)


def test_a_scaling_that_left_a_replica_unstarted_goes_on() -> None:
    target = a_target({"web": {"deploy": {"replicas": 2}}})
    approved = plan_of(target, without_containers(deployed(target), "shop-web-2"))
    fresh = plan_of(target, with_container(deployed(target), "shop-web-2", state={"status": "created"}))
    assert diff.remaining(approved, fresh) == diff.Remaining(fresh)
    paused = plan_of(target, with_container(deployed(target), "shop-web-2", state={"status": "paused"}))
    assert isinstance(diff.remaining(approved, paused), diff.Diverged)


def test_a_start_that_was_approved_does_not_become_a_recreate() -> None:
    target = a_target({"web": {}})
    approved = plan_of(target, with_container(deployed(target), "shop-web-1", state={"status": "exited"}))
    fresh = plan_of(target, with_container(deployed(target), "shop-web-1", config={"User": "root"}))
    outcome = diff.remaining(approved, fresh)
    assert isinstance(outcome, diff.Diverged)
    assert any(isinstance(operation, RecreateService) for operation in outcome.operations)


def test_a_removal_that_was_not_approved_is_refused() -> None:
    extra = deployed(a_target({**SERVICES, "extra": {}}))
    fresh = plan_of(TARGET, replace(BEFORE, containers=(*BEFORE.containers, extra.containers[2])))
    assert extra.containers[2].service == "extra"
    assert isinstance(diff.remaining(APPROVED, fresh), diff.Diverged)


def test_a_network_replacement_that_was_cut_off_goes_on() -> None:
    target = a_target({"web": {}, "db": {}}, networks=(a_network(internal=True),))
    before = deployed(a_target({"web": {}, "db": {}}))
    approved = plan_of(target, before)
    disconnected = with_container(before, "shop-db-1", networks={"shop_default": None})
    removed = replace(disconnected, networks=())
    recreated = replace(disconnected, networks=(replace(deployed(target).networks[0], id="e" * 64),))
    for state in (disconnected, removed, recreated):
        fresh = plan_of(target, state)
        assert diff.remaining(approved, fresh) == diff.Remaining(fresh)


def test_a_job_that_was_cut_off_runs_again_only_if_it_was_approved() -> None:
    target = a_target((a_service("migrate", {"user": "2"}, is_job=True), a_service("web")))
    before = deployed(a_target((a_service("migrate", {"user": "1"}, is_job=True), a_service("web"))))
    failed = with_container(deployed(target), "shop-migrate-1", state={"exit_code": 137})
    approved, fresh = plan_of(target, before), plan_of(target, failed)
    assert diff.remaining(approved, fresh) == diff.Remaining(fresh)
    only_web = plan_of(target, with_container(deployed(target), "shop-web-1", config={"User": "1"}))
    assert isinstance(diff.remaining(only_web, fresh), diff.Diverged)
