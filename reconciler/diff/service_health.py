"""health: how each service of a target is, from one observation. Called by control, apply and the faces."""

from __future__ import annotations

from reconciler.diff.containers import containers_of
from reconciler.model.desired import DesiredService, DesiredTarget
from reconciler.model.health import Health, ServiceHealth, worst
from reconciler.model.observed import ObservedContainer, ObservedState

Judged = tuple[Health, str]


def health(desired: DesiredTarget, observed: ObservedState) -> tuple[ServiceHealth, ...]:
    """One entry per service of git, by name; the worst of its containers wins."""
    return tuple(
        ServiceHealth(service.name, *_service(service, containers_of(observed, service.name)))
        for service in sorted(desired.services, key=lambda each: each.name)
    )


def worst_health(services: tuple[ServiceHealth, ...]) -> Health:
    """The worst of the services; Healthy when there are none."""
    return worst(service.health for service in services)


def _service(service: DesiredService, containers: tuple[ObservedContainer, ...]) -> Judged:
    if not service.replicas:
        return Health.HEALTHY, "no containers are wanted"
    if not containers:
        return Health.MISSING, "it has no container"
    judged = [_container(service, container) for container in containers]
    if len(containers) < service.replicas and not service.is_job:
        judged.append((Health.MISSING, f"{len(containers)} of {service.replicas} containers are there"))
    bad = worst(verdict for verdict, _ in judged)
    return bad, next(reason for verdict, reason in judged if verdict is bad)


def _container(service: DesiredService, container: ObservedContainer) -> Judged:
    state, name = container.state, container.name.lstrip("/")
    because = f": {state.error}" if state.error else ""
    match state.status:
        case "running" if service.is_job:
            return Health.PROGRESSING, f"the job {name} is running"
        case "running" if state.health == "starting":
            return Health.PROGRESSING, f"the health check of {name} has not passed yet"
        case "running" if state.health == "unhealthy":
            return Health.DEGRADED, f"the health check of {name} fails"
        case "running":
            return Health.HEALTHY, f"running{' and healthy' if state.health else ''}"
        case "exited" if service.is_job and state.exit_code == 0:
            return Health.HEALTHY, "ended with exit code 0"
        case "exited":
            memory = ", killed for memory" if state.oom_killed else ""
            return Health.DEGRADED, f"{name} ended with exit code {state.exit_code}{memory}{because}"
        case "paused":
            return Health.SUSPENDED, f"{name} is paused"
        case "restarting":
            return Health.DEGRADED, f"{name} ends and is restarted again and again{because}"
        case "created" if not state.error:
            return Health.PROGRESSING, f"{name} was created and has not started"
        case _:
            return Health.DEGRADED, f"{name} is {state.status}{because}"
