"""health: how each service is, from one observation."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler import diff
from reconciler.model.health import Health
from tests.builders import a_service, a_target, deployed, empty_host, with_container, without_containers

STATES: tuple[tuple[dict[str, Any], Health], ...] = (
    ({"health": "healthy"}, Health.HEALTHY),
    ({"health": "starting"}, Health.PROGRESSING),
    ({"health": "unhealthy"}, Health.DEGRADED),
    ({"status": "paused"}, Health.SUSPENDED),
    ({"status": "restarting"}, Health.DEGRADED),
    ({"status": "exited", "exit_code": 0}, Health.DEGRADED),
    ({"status": "exited", "exit_code": 137, "oom_killed": True}, Health.DEGRADED),
    ({"status": "created"}, Health.PROGRESSING),
    ({"status": "created", "error": "no such file"}, Health.DEGRADED),
    ({"status": "dead"}, Health.DEGRADED),
)


@pytest.mark.parametrize(("state", "expected"), STATES, ids=lambda value: str(value))
def test_the_state_of_a_container_decides(state: dict[str, Any], expected: Health) -> None:
    target = a_target({"web": {}})
    (judged,) = diff.health(target, with_container(deployed(target), "shop-web-1", state=state))
    assert judged.health is expected
    assert judged.reason


JOBS: tuple[tuple[dict[str, Any], Health], ...] = (
    ({"status": "exited", "exit_code": 0, "restart_count": 1}, Health.HEALTHY),
    ({"status": "exited", "exit_code": 3}, Health.DEGRADED),
    ({"status": "running"}, Health.PROGRESSING),
)


@pytest.mark.parametrize(("state", "expected"), JOBS, ids=lambda value: str(value))
def test_a_job_is_healthy_once_it_has_ended_well(state: dict[str, Any], expected: Health) -> None:
    target = a_target((a_service("migrate", is_job=True),))
    (judged,) = diff.health(target, with_container(deployed(target), "shop-migrate-1", state=state))
    assert judged.health is expected


def test_the_worst_container_and_the_worst_service_win() -> None:
    target = a_target({"web": {"deploy": {"replicas": 2}}, "db": {}})
    observed = with_container(deployed(target), "shop-web-2", state={"status": "restarting"})
    judged = diff.health(target, observed)
    assert [(entry.service, entry.health) for entry in judged] == [("db", Health.HEALTHY), ("web", Health.DEGRADED)]
    assert diff.worst_health(judged) is Health.DEGRADED


def test_a_service_without_containers_or_with_too_few_is_missing() -> None:
    target = a_target({"web": {"deploy": {"replicas": 2}}})
    assert diff.health(target, empty_host())[0].health is Health.MISSING
    (judged,) = diff.health(target, without_containers(deployed(target), "shop-web-2"))
    assert (judged.health, judged.reason) == (Health.MISSING, "1 of 2 containers are there")


def test_containers_of_somebody_else_do_not_count() -> None:
    target = a_target({"web": {}})
    observed = deployed(target)
    theirs = replace(observed, containers=tuple(replace(c, labels={}) for c in observed.containers))
    assert diff.health(target, theirs)[0].health is Health.MISSING


def test_a_service_that_git_wants_none_of_is_healthy() -> None:
    target = a_target({"web": {"deploy": {"replicas": 0}}})
    assert diff.health(target, empty_host())[0].health is Health.HEALTHY
