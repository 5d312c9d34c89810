"""judge: each row of the table of arrival, and how time enters."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.diff.arrival import Arrival, ArrivalFailed, Arrived, Wait, Watch, judge
from reconciler.model.desired import DesiredTarget, HealthPolicy
from reconciler.model.observed import ObservedState
from tests.builders import a_service, a_target, deployed, empty_host, hex_of, with_container, without_containers

POLICY = HealthPolicy(timeout=timedelta(seconds=60), stable_for=timedelta(seconds=10))
LATER = 30.0


def arrived(target: DesiredTarget, *looks: tuple[float, ObservedState], before: ObservedState | None = None) -> Arrival:
    watch = Watch.begin(empty_host() if before is None else before)
    for elapsed, observed in looks:
        watch = watch.saw(observed, elapsed)
    return judge(target.services[0], POLICY, watch)


def host(target: DesiredTarget, **state: Any) -> ObservedState:
    return (
        with_container(deployed(target), f"shop-{target.services[0].name}-1", state=state)
        if state
        else deployed(target)
    )


WEB = a_target({"web": {}})
ALWAYS = a_target({"web": {"restart": "always"}})
RETRIES = a_target({"web": {"restart": "on-failure:3"}})
JOB = a_target((a_service("migrate", is_job=True),))

TABLE: tuple[tuple[DesiredTarget, dict[str, Any], type[Arrival]], ...] = (
    (WEB, {"status": "created", "error": "no such file"}, ArrivalFailed),
    (WEB, {"status": "created", "exit_code": 127}, ArrivalFailed),
    (WEB, {"status": "created"}, Wait),
    (WEB, {"status": "dead"}, ArrivalFailed),
    (WEB, {"status": "removing"}, ArrivalFailed),
    (WEB, {"status": "paused"}, ArrivalFailed),
    (WEB, {"status": "exited", "oom_killed": True, "exit_code": 137}, ArrivalFailed),
    (WEB, {"status": "exited", "exit_code": 0}, Arrived),
    (WEB, {"status": "exited", "exit_code": 1}, ArrivalFailed),
    (RETRIES, {"status": "exited", "exit_code": 0}, Arrived),
    (RETRIES, {"status": "exited", "exit_code": 1, "restart_count": 1}, Wait),
    (RETRIES, {"status": "exited", "exit_code": 1, "restart_count": 3}, ArrivalFailed),
    (ALWAYS, {"status": "exited", "exit_code": 0}, Wait),
    (ALWAYS, {"restart_count": 2}, ArrivalFailed),
    (ALWAYS, {"status": "restarting", "restart_count": 2}, ArrivalFailed),
    (ALWAYS, {"status": "restarting", "restart_count": 1}, Wait),
    (WEB, {"health": "starting"}, Wait),
    (WEB, {"health": "healthy"}, Arrived),
    (JOB, {"status": "running"}, Wait),
    (JOB, {"status": "exited", "exit_code": 0, "started_at": "later"}, Arrived),
    (JOB, {"status": "exited", "exit_code": 4}, ArrivalFailed),
)


@pytest.mark.parametrize(("target", "state", "expected"), TABLE, ids=lambda value: str(value)[:60])
def test_each_row_of_the_table(target: DesiredTarget, state: dict[str, Any], expected: type[Arrival]) -> None:
    observed = host(target, **state)
    assert type(arrived(target, (1.0, observed), (LATER, observed))) is expected


def test_a_running_service_arrives_only_after_it_stayed_as_it_is() -> None:
    assert isinstance(arrived(WEB, (1.0, host(WEB)), (10.9, host(WEB))), Wait)
    assert isinstance(arrived(WEB, (1.0, host(WEB)), (11.0, host(WEB))), Arrived)


@pytest.mark.parametrize("moved", [{"started_at": "later"}, {"restart_count": 1}])
def test_a_restart_sets_the_clock_back(moved: dict[str, Any]) -> None:
    again = host(WEB, **moved)
    assert isinstance(arrived(WEB, (1.0, host(WEB)), (9.0, again), (12.0, again)), Wait)
    assert isinstance(arrived(WEB, (1.0, host(WEB)), (9.0, again), (19.0, again)), Arrived)


def test_a_new_container_sets_the_clock_back() -> None:
    other = with_container(deployed(WEB), "shop-web-1", id=hex_of("another"))
    assert isinstance(arrived(WEB, (1.0, host(WEB)), (12.0, other)), Wait)


def test_restarts_before_the_operation_do_not_count() -> None:
    often = host(ALWAYS, restart_count=7)
    assert isinstance(arrived(ALWAYS, (1.0, often), (LATER, often), before=often), Arrived)


def test_an_unhealthy_service_may_recover_and_fails_when_it_does_not() -> None:
    sick = host(WEB, health="unhealthy")
    well = host(WEB, health="healthy")
    assert isinstance(arrived(WEB, (1.0, sick), (11.0, sick)), Wait)
    assert isinstance(arrived(WEB, (1.0, sick), (11.1, sick)), ArrivalFailed)
    assert isinstance(arrived(WEB, (1.0, sick), (9.0, well), (15.0, sick), (20.0, sick)), Wait)
    assert isinstance(arrived(WEB, (1.0, sick), (9.0, well), (20.0, well)), Arrived)


def test_an_event_of_memory_running_out_fails_although_process_one_lives() -> None:
    observed = host(WEB)
    watch = Watch.begin(empty_host()).saw(observed, 1.0, frozenset({observed.containers[0].id})).saw(observed, LATER)
    assert judge(WEB.services[0], POLICY, watch) == ArrivalFailed("shop-web-1 ran out of memory")


def test_every_replica_has_to_arrive_and_one_failure_decides() -> None:
    target = a_target({"web": {"deploy": {"replicas": 2}}})
    both = deployed(target)
    assert isinstance(arrived(target, (1.0, both), (LATER, both)), Arrived)
    one = without_containers(both, "shop-web-2")
    assert arrived(target, (1.0, one), (LATER, one)) == Wait("1 of 2 containers are there")
    failed = with_container(both, "shop-web-2", state={"status": "dead"})
    assert isinstance(arrived(target, (1.0, failed)), ArrivalFailed)


def test_what_does_not_arrive_in_time_has_failed_and_says_what_it_waited_for() -> None:
    starting = host(WEB, health="starting")
    outcome = arrived(WEB, (1.0, starting), (60.0, starting))
    reason = "it did not arrive within 60 s: the health check of shop-web-1 has not passed yet"
    assert outcome == ArrivalFailed(reason)


def test_a_service_that_git_wants_none_of_has_arrived() -> None:
    target = a_target({"web": {"deploy": {"replicas": 0}}})
    assert isinstance(arrived(target, (0.0, empty_host())), Arrived)


def test_without_a_time_to_stay_one_look_is_enough() -> None:
    at_once = replace(POLICY, stable_for=timedelta(0))
    assert judge(WEB.services[0], at_once, Watch.begin(empty_host()).saw(host(WEB), 0.2)) == Arrived()
