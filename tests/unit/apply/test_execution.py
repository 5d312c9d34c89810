"""execute: what is done to a host and in which order, where it stops, and what the record then says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.apply.execution import subject_of
from reconciler.model.deployment import DeploymentState
from reconciler.model.desired import HealthPolicy
from reconciler.model.errors import HostUnreachable, Retryable, Terminal
from reconciler.model.health import Health
from reconciler.model.observed import EngineIdentity
from reconciler.ports import ComposeResult
from tests.builders import (
    a_bundle,
    a_foreigner,
    a_service,
    deployed,
    empty_host,
    image_id,
    with_container,
    without_containers,
)
from tests.unit.apply.conftest import World
from tests.unit.apply.surroundings import HostInMemory, prepared, wanted

BEFORE = {"db": {"image": "db:1"}, "web": {"image": "web:1"}, "old": {"image": "web:1"}}
AFTER = {
    "api": {"image": "api:2", "depends_on": ["db"]},
    "db": {"image": "db:2", "volumes": [{"type": "volume", "source": "data", "target": "/data"}]},
    "web": {"image": "web:2", "depends_on": ["db"], "networks": {"default": None, "front": None}},
}
DB, WEB, API = ("RecreateService", "db"), ("RecreateService", "web"), ("CreateService", "api")


def kept(image: str) -> tuple[str, str, str]:
    name, digest = image.partition(":")[0], image_id(image)
    return ("keep", digest, f"reconciler-keep/shop/{name}:{digest.removeprefix('sha256:')[:12]}")


def test_operations_are_done_in_the_order_of_the_plan_and_the_record_says_each(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.SUCCEEDED
    assert finished.reason == "healthy, and equal to git"
    assert set(host.done[:6]) == {call for i in ("api:2", "db:2", "web:2") for call in (("pull", image_id(i)), kept(i))}
    assert set(host.done[6:8]) == {("create volume", "shop_data"), ("create network", "shop_front")}
    assert host.done[8] == DB
    assert set(host.done[9:11]) == {API, WEB}
    assert host.done[11:] == [("remove container", "shop-old-1")]
    (result,) = finished.targets
    assert [r.index for r in result.operations] == list(range(9))
    assert {r.outcome for r in result.operations} == {"done"}
    assert sorted((r.operation, r.subject, r.why) for r in result.operations) == sorted(
        (type(o).__name__, subject_of(o), o.why) for o in target.plan.operations
    )
    assert (result.plan_digest, result.engine_id) == (target.plan.digest, "ENGINE-1")
    assert result.health is Health.HEALTHY
    assert dict(result.containers) == {c.name: c.id for c in host.state.containers}
    assert world.deployments.journal("d-1", target.desired.target) == result.operations


def test_the_whole_is_done_under_one_lock_of_ours_on_the_host(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    world.execute((target,))
    assert host.locks == ["this process locks shop/production@web-1"]
    assert host.locked_by == []


def test_files_are_shipped_with_their_contents_before_anything_changes(world: World) -> None:
    services = (a_service("web", {"image": "web:2"}, bundles=(a_bundle(),)),)
    target, host = prepared(wanted(services), empty_host())
    world.execute((target,))
    assert host.done[0] == ("ship", "projects/shop/site", "projects/shop/site/index.html")


@pytest.mark.parametrize("image", ["api:2", "db:2", "web:2"])
def test_an_image_that_cannot_be_had_stops_it_before_anything_changes(world: World, image: str) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.refusals["pull", image_id(image)] = Terminal("the registry does not know it", where=image)
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.FAILED
    assert finished.reason == f"shop/production@web-1: PullImage {image}: {image}: the registry does not know it"
    assert host.changed == []
    assert replace(host.state, images=()) == replace(deployed(wanted(BEFORE)), images=())


def test_it_stops_at_the_first_operation_that_fails(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.refusals[DB] = ComposeResult(1, "Error response: no space left\n")
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.FAILED
    assert finished.reason == "shop/production@web-1: RecreateService db: Error response: no space left"
    assert [call for call in host.calls if call in (WEB, API) or call[0] == "remove container"] == []
    (result,) = finished.targets
    last = result.operations[-1]
    assert (last.operation, last.subject, last.outcome) == ("RecreateService", "db", "failed")
    assert last.detail == "Error response: no space left"
    assert result.health is not Health.HEALTHY
    assert not world.stored().outcome.final, "the pipeline stores the end, after the ledger"


def test_a_failure_without_a_word_has_its_exit_code(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.refusals[DB] = ComposeResult(17, " \n")
    assert world.execute((target,)).reason == "shop/production@web-1: RecreateService db: exit code 17"


def test_what_runs_beside_an_operation_that_fails_is_recorded_too(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.refusals[WEB] = ComposeResult(1, "no")
    (result,) = world.execute((target,)).targets
    assert {(r.subject, r.outcome) for r in result.operations[-2:]} == {("api", "done"), ("web", "failed")}
    assert world.deployments.journal("d-1", target.desired.target) == result.operations
    assert ("remove container", "shop-old-1") not in host.calls


def test_an_error_of_the_host_that_lasts_is_a_failed_operation(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.refusals["create volume", "shop_data"] = Terminal("no such driver")
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.FAILED
    assert finished.reason == "shop/production@web-1: CreateVolume shop_data: no such driver"
    assert DB not in host.calls


def test_a_service_that_does_not_arrive_stops_it_with_its_last_words(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.said = "cannot open /data\npassword=•••\n"

    def crash(self: HostInMemory) -> None:
        if self.done[-1] == DB:
            self.state = with_container(
                self.state, "shop-db-1", state={"status": "created", "exit_code": 127, "error": "exec failed"}
            )

    host.after_each = crash
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.NOT_CONVERGED
    assert finished.reason == (
        "shop/production@web-1: db: shop-db-1 could not start: exec failed\n"
        "last lines of shop-db-1:\ncannot open /data\npassword=•••"
    )
    assert WEB not in host.calls
    assert API not in host.calls


def test_a_service_that_never_gets_healthy_fails_after_its_time(world: World) -> None:
    health = HealthPolicy(timeout=timedelta(seconds=30), stable_for=timedelta(seconds=5))
    target, host = prepared(wanted(AFTER, health=health), deployed(wanted(BEFORE)))

    def starting(self: HostInMemory) -> None:
        if self.done[-1] == DB:
            self.state = with_container(self.state, "shop-db-1", state={"health": "starting"})

    host.after_each = starting
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.NOT_CONVERGED
    assert "db: it did not arrive within 30 s: the health check of shop-db-1 has not passed yet" in finished.reason
    assert WEB not in host.calls


def test_it_ends_only_after_the_services_stayed_as_they_are(world: World) -> None:
    health = HealthPolicy(timeout=timedelta(seconds=60), stable_for=timedelta(seconds=20))
    target, _ = prepared(wanted(AFTER, health=health), deployed(wanted(BEFORE)))
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.SUCCEEDED
    assert finished.finished_at is not None
    assert finished.finished_at - finished.started_at >= timedelta(seconds=20)


def test_what_still_differs_afterwards_is_not_converged_however_well_it_runs(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))

    def meddle(self: HostInMemory) -> None:
        if self.done[-1][0] == "remove container":
            self.state = with_container(self.state, "shop-web-1", environment={"DEBUG": "on"})

    host.after_each = meddle
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.NOT_CONVERGED
    assert finished.reason == "shop/production@web-1: still differs from git: service web environment.DEBUG"
    assert finished.targets[0].health is Health.DEGRADED


def test_a_container_that_is_gone_when_it_is_verified_is_not_converged(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))

    def lose(self: HostInMemory) -> None:
        if self.done[-1][0] == "remove container":
            self.state = without_containers(self.state, "shop-db-1")

    host.after_each = lose
    assert world.execute((target,)).outcome is DeploymentState.NOT_CONVERGED


def test_a_plan_without_operations_is_verified_all_the_same(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(AFTER)))
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.SUCCEEDED
    assert host.calls == []
    assert finished.targets[0].operations == ()


def test_another_engine_than_the_plan_was_made_for_gets_nothing(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.state = replace(host.state, engine=EngineIdentity("ENGINE-2", "20.10.24", "1.41"))
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.CANCELLED
    assert "another engine answers (ENGINE-2) than the plan was made for" in finished.reason
    assert host.calls == []


def test_a_host_that_moved_since_the_approval_gets_nothing(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.state = without_containers(host.state, "shop-db-1")
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.CANCELLED
    assert "the live state moved" in finished.reason
    assert "new consent is needed" in finished.reason
    assert host.calls == []


def test_an_obstacle_in_the_plan_stops_it_before_anything(world: World) -> None:
    services = {"web": {"image": "web:2", "ports": [{"target": 80, "published": "8080", "protocol": "tcp"}]}}
    target, host = prepared(wanted(services), empty_host(others=(a_foreigner(ports=("0.0.0.0:8080/tcp",)),)))
    assert target.plan.obstacles, "the builders' host has a clash"
    finished = world.execute((target,))
    assert finished.outcome is DeploymentState.FAILED
    assert finished.reason == f"shop/production@web-1: {target.plan.obstacles[0].text}"
    assert host.calls == []


@pytest.mark.parametrize("call", [("observe",), ("pull", image_id("db:2")), DB], ids=lambda call: call[0])
def test_a_host_that_goes_away_leaves_it_unfinished_and_the_lock_free(world: World, call: tuple[str, ...]) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.refusals[call] = HostUnreachable("no route", where="web-1")
    with pytest.raises(HostUnreachable):
        world.execute((target,))
    assert world.stored().outcome is DeploymentState.QUEUED
    assert host.locked_by == []
    del host.refusals[call]
    assert world.execute((target,)).outcome is DeploymentState.SUCCEEDED


def test_a_host_that_somebody_else_has_locked_is_left_alone(world: World) -> None:
    target, host = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    host.locked_by.append("another process")
    with pytest.raises(Retryable, match="locked by another process"):
        world.execute((target,))
    assert host.calls == []


def test_progress_names_states_and_operations_and_no_model(world: World) -> None:
    target, _ = prepared(wanted(AFTER), deployed(wanted(BEFORE)))
    world.execute((target,))
    states = [fields["state"] for event, fields in world.events if event == "deployment.state"]
    assert list(dict.fromkeys(states)) == ["pulling", "operating", "verifying"]
    operations = [fields for event, fields in world.events if event == "operation.finished"]
    assert len(operations) == len(target.plan.operations)
    assert all(fields["deployment"] == "d-1" and fields["target"] == "shop/production@web-1" for fields in operations)
