"""When a service has arrived after an operation: `judge`, a pure reading of what was seen since. Called by apply.

The rules are those of a table that was measured against a real engine; the first that matches wins. Two things decide
over time and are kept in a Watch: since when a container is as it is, and since when it is unhealthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.diff.checks.restart import wanted_policy
from reconciler.diff.containers import containers_of
from reconciler.model.desired import DesiredService, HealthPolicy
from reconciler.model.observed import ContainerState, ObservedState

_RESTARTS_THAT_FAIL = 2
_FAILED = ("dead", "removing", "paused")
_ENDLESS = ("always", "unless-stopped")


@dataclass(frozen=True, slots=True)
class Arrived:
    """It is where it shall be."""


@dataclass(frozen=True, slots=True)
class ArrivalFailed:
    """It will not get there; `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Too early to say; `reason` says for what."""

    reason: str


Arrival = Arrived | ArrivalFailed | Wait


@dataclass(frozen=True, slots=True)
class Sighting:
    """A container as it was seen last. Times are seconds since the operation began.

    `steady_since` is when its id, start, restart count and health were first seen as they are; `unhealthy_since` when
    its health check was first seen to fail without passing since; `first_restarts` its restart count when first seen.
    """

    state: ContainerState
    steady_since: float
    unhealthy_since: float | None
    first_restarts: int


@dataclass(frozen=True, slots=True)
class Watch:
    """What was seen of all containers since an operation began. `oom` holds ids of containers that had an oom event."""

    observed: ObservedState
    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    elapsed: float = 0.0
    oom: frozenset[str] = frozenset()

    @classmethod
    def begin(cls, before: ObservedState) -> Watch:
        """Start from an observation made before the operation: restarts from then on count."""
        first = {c.id: Sighting(c.state, 0.0, None, c.state.restart_count) for c in before.containers}
        return cls(before, first)

    def saw(self, observed: ObservedState, elapsed: float, oom: frozenset[str] = frozenset()) -> Watch:
        """The same watch after another look, `elapsed` seconds after the operation began."""
        now = {c.id: _sighting(self.sightings.get(c.id), c.state, elapsed) for c in observed.containers}
        return replace(self, observed=observed, sightings=now, elapsed=elapsed, oom=self.oom | oom)


def _sighting(before: Sighting | None, state: ContainerState, elapsed: float) -> Sighting:
    unhealthy = state.health == "unhealthy"
    if before is None:
        # A container that was not there before is new: the engine counts its restarts from zero.
        return Sighting(state, elapsed, elapsed if unhealthy else None, 0)
    steady = _identity(before.state) == _identity(state)
    since = before.unhealthy_since
    return Sighting(
        state,
        before.steady_since if steady else elapsed,
        (elapsed if since is None else since) if unhealthy else None,
        before.first_restarts,
    )


def _identity(state: ContainerState) -> tuple[str, str, int, str]:
    return (state.status, state.started_at, state.restart_count, state.health)


def judge(service: DesiredService, health: HealthPolicy, watch: Watch) -> Arrival:
    """Whether every container of the service has arrived; the first that failed decides."""
    if not service.replicas:
        return Arrived()
    containers = containers_of(watch.observed, service.name)
    answers = [_container(service, health, watch, c.id, c.name.lstrip("/")) for c in containers]
    failed = next((answer for answer in answers if isinstance(answer, ArrivalFailed)), None)
    if failed is not None:
        return failed
    waiting = next((answer for answer in answers if isinstance(answer, Wait)), None)
    if len(containers) < (1 if service.is_job else service.replicas):
        waiting = Wait(f"{len(containers)} of {service.replicas} containers are there")
    if waiting is None:
        return Arrived()
    timeout = health.timeout.total_seconds()
    if watch.elapsed >= timeout:
        return ArrivalFailed(f"it did not arrive within {timeout:g} s: {waiting.reason}")
    return waiting


def _container(service: DesiredService, health: HealthPolicy, watch: Watch, identity: str, name: str) -> Arrival:
    sighting = watch.sightings.get(identity)
    if sighting is None:
        return Wait(f"{name} was not looked at yet")
    state = sighting.state
    broken = _broken(state, name, identity in watch.oom)
    if broken is not None:
        return broken
    policy = wanted_policy(service.execution)
    if state.status == "exited":
        return _ended(policy, state, name)
    restarts = state.restart_count - sighting.first_restarts
    if policy in _ENDLESS and restarts >= _RESTARTS_THAT_FAIL:
        return ArrivalFailed(f"{name} ended and was restarted {restarts} times (exit code {state.exit_code})")
    return _running(service, health, watch, sighting, name)


def _broken(state: ContainerState, name: str, oom: bool) -> ArrivalFailed | None:
    if state.status == "created" and (state.error or state.exit_code):
        return ArrivalFailed(f"{name} could not start: {state.error or f'exit code {state.exit_code}'}")
    if state.status in _FAILED:
        return ArrivalFailed(f"{name} is {state.status}")
    if oom or (state.oom_killed and state.status == "exited"):
        return ArrivalFailed(f"{name} ran out of memory")
    return None


def _ended(policy: str, state: ContainerState, name: str) -> Arrival:
    if policy in _ENDLESS:
        return Wait(f"{name} ended with exit code {state.exit_code} and is to be restarted")
    if state.exit_code == 0:
        return Arrived()
    retries = int(policy.partition(":")[2] or 0)
    tries_again = policy.startswith("on-failure") and (not retries or state.restart_count < retries)
    if tries_again:
        return Wait(f"{name} ended with exit code {state.exit_code} and is to be tried again")
    return ArrivalFailed(f"{name} ended with exit code {state.exit_code}")


def _running(service: DesiredService, health: HealthPolicy, watch: Watch, sighting: Sighting, name: str) -> Arrival:
    state, stable_for = sighting.state, health.stable_for.total_seconds()
    if state.status != "running":
        return Wait(f"{name} is {state.status}")
    if service.is_job:
        return Wait(f"the job {name} has not ended")
    if state.health == "starting":
        return Wait(f"the health check of {name} has not passed yet")
    if state.health == "unhealthy":
        since = sighting.unhealthy_since
        if since is not None and watch.elapsed - since > stable_for:
            return ArrivalFailed(f"the health check of {name} fails")
        return Wait(f"the health check of {name} fails")
    if watch.elapsed - sighting.steady_since >= stable_for:
        return Arrived()
    return Wait(f"{name} has to stay as it is for {stable_for:g} s")
