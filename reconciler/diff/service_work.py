"""What has to be done to each service: one operation or none, from the changes and from what they pull along."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.diff.containers import attached, containers_of, name_of
from reconciler.model.change import Change, ChangeKind, SubjectKind
from reconciler.model.desired import DesiredService, DesiredTarget
from reconciler.model.observed import ObservedState
from reconciler.model.plan import (
    CreateService,
    RecreateService,
    RunJob,
    ScaleService,
    ServiceOperation,
    StartService,
)

_SCALE_FIELD = "replicas"
NEW_CONTAINERS = (CreateService, RecreateService, RunJob)


def service_operations(
    desired: DesiredTarget,
    observed: ObservedState,
    changes: tuple[Change, ...],
    replaced_networks: Mapping[str, str],
) -> dict[str, ServiceOperation]:
    """Service name -> its operation. `replaced_networks` maps engine names of networks to why they are replaced."""
    work: dict[str, ServiceOperation] = {}
    for service in desired.services:
        mine = [c for c in changes if c.subject.kind is SubjectKind.SERVICE and c.subject.name == service.name]
        if mine:
            work[service.name] = _operation(service, mine, observed)
    for network in sorted(replaced_networks):
        for name in sorted({container.service for container in attached(observed, network)}):
            service_on_it = desired.service(name)
            if service_on_it is not None:
                _replace(work, service_on_it, f"its network {network} is replaced")
    _pull_along(desired, work)
    return dict(sorted(work.items()))


def _operation(service: DesiredService, changes: list[Change], observed: ObservedState) -> ServiceOperation:
    why = _why(changes)
    kinds = {change.kind for change in changes}
    fields = {change.field for change in changes if change.kind is ChangeKind.UPDATE}
    dead = any(change.kind is ChangeKind.STATE and change.before.digestable == "dead" for change in changes)
    if service.is_job and (kinds != {ChangeKind.UPDATE} or fields != {_SCALE_FIELD}):
        return RunJob(service.name, why)
    if ChangeKind.CREATE in kinds:
        return CreateService(service.name, service.replicas, why)
    if fields - {_SCALE_FIELD} or dead:
        return RecreateService(service.name, service.replicas, why)
    if ChangeKind.STATE in kinds:
        paused = (c for c in containers_of(observed, service.name) if c.state.status == "paused")
        return StartService(service.name, service.replicas, tuple(name_of(c) for c in paused), why)
    return ScaleService(service.name, service.replicas, why)


def _why(changes: list[Change]) -> str:
    """The reasons of the changes, each once, with the fields that they are about."""
    fields: dict[str, list[str]] = {}
    for change in changes:
        fields.setdefault(change.why, []).append(change.field)
    parts = []
    for why, names in fields.items():
        named = ", ".join(name for name in dict.fromkeys(names) if name)
        parts.append(f"{named}: {why}" if named else why)
    return "; ".join(parts)


def _replace(work: dict[str, ServiceOperation], service: DesiredService, why: str) -> bool:
    """Turn a service's operation into a replacement; false where its containers are new already, or it is finished."""
    if not service.replicas or isinstance(work.get(service.name), NEW_CONTAINERS):
        return False
    if service.is_job:
        return False  # a job that ended is not run again because of what it once used
    before = work.get(service.name)
    work[service.name] = RecreateService(service.name, service.replicas, f"{before.why}; {why}" if before else why)
    return True


def _pull_along(desired: DesiredTarget, work: dict[str, ServiceOperation]) -> None:
    """Services that live in the namespaces of one that gets new containers (or starts again), and those that asked for
    it by `depends_on` with `restart: true`; until nothing more is pulled.
    """
    moved = True
    while moved:
        moved = False
        for service in desired.services:
            for parent in service.namespace_parents:
                if _leaves_dependents(work.get(parent)):
                    why = f"it lives in the namespaces or volumes of {parent}, which gets new containers"
                    moved = _replace(work, service, why) or moved
            for parent in _restarts_with(service):
                if isinstance(work.get(parent), RecreateService):
                    why = f"it asks to be restarted with {parent} (depends_on, restart: true)"
                    moved = _replace(work, service, why) or moved


def _leaves_dependents(operation: ServiceOperation | None) -> bool:
    if isinstance(operation, StartService):
        return not operation.unpause
    return isinstance(operation, NEW_CONTAINERS)


def _restarts_with(service: DesiredService) -> tuple[str, ...]:
    declared = service.definition.get("depends_on")
    if not isinstance(declared, Mapping):
        return ()
    return tuple(sorted(name for name, how in declared.items() if isinstance(how, Mapping) and how.get("restart")))
