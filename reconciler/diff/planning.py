"""plan: from changes to ordered operations with one digest. Called by control at review and again before an apply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from reconciler.diff.containers import attached, is_temporary, is_temporary_name, name_of
from reconciler.diff.definition import definition_digest, plain
from reconciler.diff.obstacles import is_in_the_way, obstacles
from reconciler.diff.ordering import layers
from reconciler.diff.resources import network_definition, volume_definition
from reconciler.diff.service_work import service_operations
from reconciler.model.canonical import digest
from reconciler.model.change import Change, ChangeKind, SubjectKind
from reconciler.model.desired import DesiredService, DesiredTarget
from reconciler.model.observed import ImageResolution, ObservedState
from reconciler.model.plan import (
    CreateDirectory,
    CreateNetwork,
    CreateVolume,
    Operation,
    Plan,
    PullImage,
    RecreateNetwork,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    ServiceOperation,
    ShipFiles,
)

_DIGEST_VERSION = 1


def plan(
    desired: DesiredTarget,
    observed: ObservedState,
    changes: tuple[Change, ...],
    resolutions: Mapping[str, ImageResolution],
) -> Plan:
    """The operations that turn the changes into nothing, in order, with what stands in their way.

    What is shipped, pulled and digested belongs to the services that are touched, whether the host has it or not, so
    that the plan is the same before and after somebody pulled an image by hand.
    """
    replaced = _replaced_networks(changes)
    work = service_operations(desired, observed, changes, replaced)
    services = [service for service in desired.services if service.name in work]
    stages = [stage for stage in _stages(desired, observed, changes, services, work, replaced) if stage]
    operations = tuple(operation for stage in stages for operation in stage)
    images = tuple(sorted({(s.image, dict(desired.images).get(s.image, "")) for s in services}))
    files = tuple(sorted({(bundle.source, bundle.digest) for s in services for bundle in s.bundles}))
    definitions = tuple(sorted((s.name, definition_digest(s)) for s in services))
    engine = observed.engine.id
    return Plan(
        target=desired.target,
        engine_id=engine,
        changes=changes,
        operations=operations,
        stages=_indexes(stages),
        images=images,
        files=files,
        obstacles=obstacles(desired, observed, changes, resolutions, work, replaced) if changes else (),
        digest=digest(
            {
                "version": _DIGEST_VERSION,
                "target": str(desired.target),
                "engine": engine,
                "changes": [_digested_change(change) for change in changes],
                "operations": [digested_operation(operation) for operation in operations],
                "definitions": plain(definitions),
                "images": plain(images),
                "files": plain(files),
            }
        ),
        definitions=definitions,
    )


def _digested_change(change: Change) -> dict[str, Any]:
    """What of a change is consented to: no cause, no reason, no text for people."""
    return {
        "kind": change.kind.value,
        "subject": change.subject.kind.value,
        "name": _steady(change.subject.name),
        "field": change.field,
        "before": plain(change.before.digestable),
        "after": plain(change.after.digestable),
        "destroys": change.destroys,
    }


def digested_operation(operation: Operation) -> dict[str, Any]:
    """What of an operation is consented to: its kind and what it acts on, without reason and place in git."""
    kind = {"operation": type(operation).__name__}
    match operation:
        case ShipFiles(bundle=bundle):
            return {**kind, "source": bundle.source, "digest": bundle.digest}
        case CreateNetwork(network=network):
            return {**kind, "name": network.name, "network": network_definition(network)}
        case RecreateNetwork(network=network, disconnects=disconnects):
            network_value = {"name": network.name, "network": network_definition(network)}
            return {**kind, **network_value, "disconnects": sorted(map(_steady, disconnects))}
        case CreateVolume(volume=volume):
            return {**kind, "name": volume.name, "volume": volume_definition(volume)}
        case RemoveContainer(container=container):
            return {**kind, "container": _steady(container)}
        case _:
            fields: dict[str, Any] = plain(asdict(operation))
            return {**kind, **{name: value for name, value in fields.items() if name != "why"}}


def _steady(name: str) -> str:
    """A container's name without the id that an interrupted recreate puts before it."""
    return f"temporary of {name[13:]}" if is_temporary_name(name) else name


def _replaced_networks(changes: Iterable[Change]) -> dict[str, str]:
    return {
        change.subject.name: change.why
        for change in changes
        if change.subject.kind is SubjectKind.NETWORK and change.kind is ChangeKind.UPDATE
    }


def _stages(
    desired: DesiredTarget,
    observed: ObservedState,
    changes: Sequence[Change],
    services: Sequence[DesiredService],
    work: Mapping[str, ServiceOperation],
    replaced: Mapping[str, str],
) -> list[list[Operation]]:
    """Everything that can fail without harm first, then what makes room, then the services, then what is left over."""
    temporaries, in_the_way, left_over = _removals(desired, observed, changes)
    return [
        _ships(services),
        _pulls(desired, services),
        [*_directories(changes), *_volumes(desired, changes), *_networks(desired, changes)],
        temporaries,
        in_the_way,
        *_network_replacements(desired, observed, replaced, [*temporaries, *in_the_way]),
        *_service_stages(desired, observed, work),
        left_over,
        [RemoveNetwork(c.subject.name, c.why) for c in _of(changes, SubjectKind.NETWORK, ChangeKind.REMOVE)],
        [RemoveVolume(c.subject.name, c.why) for c in _of(changes, SubjectKind.VOLUME, ChangeKind.REMOVE)],
    ]


def _of(changes: Iterable[Change], subject: SubjectKind, kind: ChangeKind) -> list[Change]:
    return [change for change in changes if change.subject.kind is subject and change.kind is kind]


def _ships(services: Sequence[DesiredService]) -> list[Operation]:
    bundles = {bundle.digest: bundle for service in services for bundle in service.bundles}
    users: dict[str, list[str]] = {}
    for service in services:
        for bundle in service.bundles:
            users.setdefault(bundle.digest, []).append(service.name)
    ordered = sorted(bundles.values(), key=lambda bundle: (bundle.source, bundle.digest))
    return [ShipFiles(bundle, f"mounted by {', '.join(sorted(set(users[bundle.digest])))}") for bundle in ordered]


def _pulls(desired: DesiredTarget, services: Sequence[DesiredService]) -> list[Operation]:
    exact = dict(desired.images)
    users: dict[str, list[str]] = {}
    for service in services:
        users.setdefault(service.image, []).append(service.name)
    return [
        PullImage(reference, exact[reference], f"used by {', '.join(names)}")
        for reference, names in sorted(users.items())
        if reference in exact
    ]


def _directories(changes: Sequence[Change]) -> list[Operation]:
    return [CreateDirectory(c.subject.name, c.why) for c in _of(changes, SubjectKind.DIRECTORY, ChangeKind.CREATE)]


def _volumes(desired: DesiredTarget, changes: Sequence[Change]) -> list[Operation]:
    declared = {volume.name: volume for volume in desired.volumes}
    return [
        CreateVolume(declared[change.subject.name], change.why)
        for change in _of(changes, SubjectKind.VOLUME, ChangeKind.CREATE)
    ]


def _networks(desired: DesiredTarget, changes: Sequence[Change]) -> list[Operation]:
    declared = {network.name: network for network in desired.networks}
    return [
        CreateNetwork(declared[change.subject.name], change.why)
        for change in _of(changes, SubjectKind.NETWORK, ChangeKind.CREATE)
    ]


def _network_replacements(
    desired: DesiredTarget, observed: ObservedState, replaced: Mapping[str, str], removed_before: Sequence[Operation]
) -> list[list[Operation]]:
    declared = {network.name: network for network in desired.networks}
    gone = {operation.container for operation in removed_before if isinstance(operation, RemoveContainer)}
    stages: list[list[Operation]] = []
    for name, why in sorted(replaced.items()):
        there = (name_of(container) for container in attached(observed, name))
        stages.append([RecreateNetwork(declared[name], tuple(each for each in there if each not in gone), why)])
    return stages


def _service_stages(
    desired: DesiredTarget, observed: ObservedState, work: Mapping[str, ServiceOperation]
) -> list[list[Operation]]:
    return [[work[name] for name in layer] for layer in layers(desired, observed, work)]


def _removals(
    desired: DesiredTarget, observed: ObservedState, changes: Sequence[Change]
) -> tuple[list[Operation], list[Operation], list[Operation]]:
    """Containers to remove: temporaries, those in the way of a service, and those that can go last."""
    live = {name_of(container): container for container in observed.containers}
    temporaries: list[Operation] = []
    in_the_way: list[Operation] = []
    left_over: list[Operation] = []
    for change in _of(changes, SubjectKind.CONTAINER, ChangeKind.REMOVE):
        operation = RemoveContainer(change.subject.name, change.why)
        container = live[change.subject.name]
        if is_temporary(container):
            temporaries.append(operation)
        elif is_in_the_way(desired, container):
            in_the_way.append(operation)
        else:
            left_over.append(operation)
    return temporaries, in_the_way, left_over


def _indexes(stages: Sequence[Sequence[Operation]]) -> tuple[tuple[int, ...], ...]:
    numbered: list[tuple[int, ...]] = []
    count = 0
    for stage in stages:
        numbered.append(tuple(range(count, count + len(stage))))
        count += len(stage)
    return tuple(numbered)
