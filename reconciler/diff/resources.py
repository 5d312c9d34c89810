"""Networks, volumes and data directories: what is missing, what differs, what nobody declares. Called by comparison."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import normpath
from typing import Any

from reconciler.diff.containers import attached, containers_of, is_of_project, others_attached, strangers
from reconciler.diff.pair import shown, undo_dollars
from reconciler.model.change import ABSENT, Change, ChangeKind, Subject, SubjectKind, Value
from reconciler.model.desired import DataDirectory, DesiredNetwork, DesiredTarget, DesiredVolume
from reconciler.model.observed import ObservedNetwork, ObservedState, ObservedVolume

_VOLUME_LABEL = "com.docker.compose.volume"
_ENGINE_OPTIONS = "com.docker.network.enable_"  # newer engines write down what they assumed


def network_changes(desired: DesiredTarget, observed: ObservedState) -> Iterator[Change]:
    """Networks of git that are missing or differ, and networks of the project that git no longer has."""
    live = {network.name: network for network in observed.networks}
    for network in desired.networks:
        if network.external:
            continue
        if network.name not in live:
            yield Change(
                ChangeKind.CREATE,
                Subject(SubjectKind.NETWORK, network.name),
                "",
                ABSENT,
                Value(network_definition(network), f"{network.driver} network"),
                f"git declares the network {network.key}, and this host does not have it",
                network.location,
            )
        else:
            yield from _network_differences(desired, network, live[network.name], observed)
    declared = {network.name for network in desired.networks}
    for gone in observed.networks:
        ours = is_of_project(dict(gone.labels), desired.compose_project) and not strangers(observed)
        if gone.name in declared or not ours or others_attached(observed, gone):
            continue
        yield Change(
            ChangeKind.REMOVE,
            Subject(SubjectKind.NETWORK, gone.name),
            "",
            Value({"driver": gone.driver}, f"{gone.driver} network"),
            ABSENT,
            "git no longer has this environment" if desired.removed else "no service of git is on this network",
            destroys=True,
        )


def network_definition(network: DesiredNetwork) -> dict[str, Any]:
    """All that makes a network what it is, as JSON."""
    return {
        "driver": network.driver,
        "options": dict(network.driver_options),
        "internal": network.internal,
        "attachable": network.attachable,
        "ipv6": network.ipv6,
        "subnets": [list(subnet) for subnet in network.subnets],
        "labels": dict(network.labels),
    }


def _network_differences(
    desired: DesiredTarget, network: DesiredNetwork, live: ObservedNetwork, observed: ObservedState
) -> Iterator[Change]:
    stops = ", ".join(c.name.lstrip("/") for c in attached(observed, network.name))
    consequence = f"; replacing it stops {stops}" if stops else ""
    for field, before, after in _network_fields(desired, network, live):
        if before != after:
            yield Change(
                ChangeKind.UPDATE,
                Subject(SubjectKind.NETWORK, network.name),
                field,
                shown(before),
                shown(after),
                f"an engine cannot change a network, so it is replaced{consequence}",
                desired.sources.get(f"networks.{network.key}.{field}", network.location),
            )


def _network_fields(
    desired: DesiredTarget, network: DesiredNetwork, live: ObservedNetwork
) -> Iterator[tuple[str, Any, Any]]:
    yield "driver", live.driver, network.driver
    wanted = dict(network.driver_options)
    options = {k: v for k, v in live.options.items() if k in wanted or not k.startswith(_ENGINE_OPTIONS)}
    yield "driver_opts", options, wanted
    yield "internal", live.internal, network.internal
    yield "attachable", live.attachable, network.attachable
    yield "enable_ipv6", live.ipv6, network.ipv6
    if network.subnets:
        with_gateway = {subnet for subnet, gateway in network.subnets if gateway}
        found = [[subnet, gateway if subnet in with_gateway else ""] for subnet, gateway in live.subnets]
        yield "subnets", sorted(found), sorted([subnet, gateway] for subnet, gateway in network.subnets)
    owner = None if is_of_project(dict(live.labels), desired.compose_project) else "made by somebody else"
    yield "project", owner, None
    labels = {k: v for k, v in live.labels.items() if not k.startswith("com.docker.compose.")}
    labels = {k: v for k, v in labels.items() if k in dict(network.labels) or not k.startswith("dev.reconciler.")}
    yield "labels", labels, dict(network.labels)


def volume_changes(desired: DesiredTarget, observed: ObservedState) -> Iterator[Change]:
    """Volumes of git that are missing or differ, and those that `remove_volumes` gives up; no other volume goes."""
    live = {volume.name: volume for volume in observed.volumes}
    for volume in desired.volumes:
        if volume.external:
            continue
        if volume.name not in live:
            yield Change(
                ChangeKind.CREATE,
                Subject(SubjectKind.VOLUME, volume.name),
                "",
                ABSENT,
                Value(volume_definition(volume), f"new and empty {volume.driver} volume"),
                f"git declares the volume {volume.key}, and this host does not have it",
                volume.location,
            )
        else:
            yield from _volume_differences(desired, volume, live[volume.name])
    declared = {volume.name for volume in desired.volumes}
    for gone in observed.volumes:
        if gone.name not in declared and _may_go(desired, gone):
            yield Change(
                ChangeKind.REMOVE,
                Subject(SubjectKind.VOLUME, gone.name),
                "",
                Value({"driver": gone.driver}, f"{gone.driver} volume with all its data"),
                ABSENT,
                "remove_volumes names it: its data is deleted for good",
                desired.sources.get("remove_volumes"),
                destroys=True,
            )


def volume_definition(volume: DesiredVolume) -> dict[str, Any]:
    """All that makes a volume what it is, as JSON."""
    return {"driver": volume.driver, "options": dict(volume.driver_options), "labels": dict(volume.labels)}


def _may_go(desired: DesiredTarget, volume: ObservedVolume) -> bool:
    """Only a volume of this project, named by its engine name or by its key in the model."""
    if not is_of_project(dict(volume.labels), desired.compose_project):
        return False
    return volume.name in desired.remove_volumes or volume.labels.get(_VOLUME_LABEL) in desired.remove_volumes


def _volume_differences(desired: DesiredTarget, volume: DesiredVolume, live: ObservedVolume) -> Iterator[Change]:
    sides = (
        ("driver", live.driver, volume.driver),
        ("driver_opts", dict(live.options), dict(volume.driver_options)),
    )
    for field, before, after in sides:
        if before != after:
            yield Change(
                ChangeKind.UPDATE,
                Subject(SubjectKind.VOLUME, volume.name),
                field,
                shown(before),
                shown(after),
                "an engine cannot change a volume without deleting its data",
                desired.sources.get(f"volumes.{volume.key}.{field}", volume.location),
                destroys=True,
            )


def directory_changes(desired: DesiredTarget, observed: ObservedState) -> Iterator[Change]:
    """Data directories that no container of their services mounts yet; an existing directory is left as it is."""
    for directory in desired.data_directories:
        if _waits_for(desired, observed, directory):
            yield Change(
                ChangeKind.CREATE,
                Subject(SubjectKind.DIRECTORY, directory.path),
                "",
                ABSENT,
                Value({"source": directory.source}, "a directory for data, never deleted unasked"),
                f"{directory.source} is not in the repository, so it is data of this target",
                directory.location,
            )


def _waits_for(desired: DesiredTarget, observed: ObservedState, directory: DataDirectory) -> bool:
    for service in desired.services:
        sources = {normpath(str(m.get("source"))) for m in undo_dollars(service.execution).get("volumes") or ()}
        if not service.replicas or normpath(directory.path) not in sources:
            continue
        mounted = (
            normpath(str(mount.get("Source")))
            for container in containers_of(observed, service.name)
            for mount in container.mounts
        )
        if normpath(directory.path) not in mounted:
            return True
    return False
