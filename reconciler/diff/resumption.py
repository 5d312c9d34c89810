"""remaining: what is left of an approved plan after an interruption, or that more differs now. Called by apply."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.diff.containers import is_temporary_name
from reconciler.diff.planning import digested_operation
from reconciler.model.canonical import canonical
from reconciler.model.change import Change, Subject, SubjectKind
from reconciler.model.plan import (
    CreateNetwork,
    CreateService,
    Operation,
    Plan,
    RecreateNetwork,
    RecreateService,
    RemoveContainer,
    RunJob,
    ScaleService,
    StartService,
)

_SERVICE = (CreateService, RecreateService, StartService, ScaleService, RunJob)


@dataclass(frozen=True, slots=True)
class Remaining:
    """Everything that is left was approved; `plan` may be carried out (it may be empty)."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Diverged:
    """These differences, or these operations, are not part of what was approved."""

    changes: tuple[Change, ...]
    operations: tuple[Operation, ...] = ()


def remaining(approved: Plan, fresh: Plan) -> Remaining | Diverged:
    """Judge the plan made after an interruption against the approved one.

    An operation is covered by the same one on the same subject, or by one that does more to it: a recreate covers the
    create or the start that is needed when it was cut off in the middle. Services must end as they were approved.
    """
    if fresh.target != approved.target or fresh.engine_id != approved.engine_id:
        return Diverged(fresh.changes, fresh.operations)
    operations = tuple(o for o in fresh.operations if not _covered(o, approved, fresh))
    changes = tuple(change for change in fresh.changes if not _approved_change(change, approved, fresh))
    pinned = set(fresh.images) <= set(approved.images) and set(fresh.files) <= set(approved.files)
    if not pinned:
        return Diverged(changes or fresh.changes, operations)
    if operations or changes:
        return Diverged(changes or _changes_of(operations, fresh), operations)
    return Remaining(fresh)


def _covered(operation: Operation, approved: Plan, fresh: Plan) -> bool:
    form = canonical(digested_operation(operation))
    for other in approved.operations:
        if canonical(digested_operation(other)) == form:
            return True
        if _does_more(other, operation, fresh):
            return True
    return False


def _does_more(approved: Operation, now: Operation, fresh: Plan) -> bool:
    match approved, now:
        case RecreateNetwork(), CreateNetwork():
            return approved.network.name == now.network.name and _same_network(approved, now)
        case RecreateNetwork(), RecreateNetwork():  # fewer containers may be attached by now
            return (
                approved.network.name == now.network.name
                and set(now.disconnects) <= set(approved.disconnects)
                and _same_network(approved, now)
            )
        case (CreateService() | RecreateService(), CreateService() | StartService() | ScaleService()):
            return approved.service == now.service and approved.replicas == now.replicas
        case ScaleService(), StartService(unpause=()):  # a replica was created and did not start
            return approved.service == now.service and approved.replicas == now.replicas
        case StartService(), StartService():  # what was unpaused already needs no second time
            return (
                approved.service == now.service
                and approved.replicas == now.replicas
                and set(now.unpause) <= set(approved.unpause)
            )
        case (CreateService() | RecreateService() | RunJob(), RemoveContainer(container=name)):
            return is_temporary_name(name) and _left_by(approved.service, name, fresh)
        case _:
            return False


def _same_network(approved: RecreateNetwork, now: CreateNetwork | RecreateNetwork) -> bool:
    one, other = digested_operation(approved)["network"], digested_operation(now)["network"]
    return canonical(one) == canonical(other)


def _left_by(service: str, temporary: str, fresh: Plan) -> bool:
    return any(
        change.subject == Subject(SubjectKind.CONTAINER, temporary) and change.before.digestable == {"service": service}
        for change in fresh.changes
    )


def _approved_change(change: Change, approved: Plan, fresh: Plan) -> bool:
    if change.subject.kind is SubjectKind.SERVICE:
        name = change.subject.name
        # What the service ends as is its whole definition; how it gets there is its operation, which is judged.
        return dict(approved.definitions).get(name) == dict(fresh.definitions).get(name)
    if change.subject.kind is SubjectKind.CONTAINER:
        return True  # its one operation is judged
    return any(change.subject == other.subject for other in approved.changes)  # and so is its operation


def _changes_of(operations: tuple[Operation, ...], fresh: Plan) -> tuple[Change, ...]:
    services = {operation.service for operation in operations if isinstance(operation, _SERVICE)}
    found = tuple(c for c in fresh.changes if c.subject.kind is SubjectKind.SERVICE and c.subject.name in services)
    return found or fresh.changes
