"""Why a plan cannot be carried out, seen before anything is touched; called by planning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from reconciler.diff.checks.ports import published
from reconciler.diff.containers import PROJECT_LABEL, is_of_project, name_of, others_attached, strangers
from reconciler.model.change import Change, ChangeKind, SubjectKind
from reconciler.model.desired import DesiredService, DesiredTarget
from reconciler.model.observed import ImageResolution, MissingImage, ObservedContainer, ObservedState
from reconciler.model.plan import Obstacle

_PORT = re.compile(r"^(?:(?P<address>.*):)?(?P<first>\d+)(?:-(?P<last>\d+))?(?:->[^/]*)?(?:/(?P<protocol>\w+))?$")
_ANY = ("", "0.0.0.0", "::", "*")  # noqa: S104 - recognised, not bound
HostPort = tuple[str, int, str]  # address ("" for any), port, protocol


def obstacles(
    desired: DesiredTarget,
    observed: ObservedState,
    changes: tuple[Change, ...],
    resolutions: Mapping[str, ImageResolution],
    touched: Iterable[str],
    replaced_networks: Iterable[str],
) -> tuple[Obstacle, ...]:
    """Everything that stands in the way of touching these services, sorted by text, each once."""
    services = [service for service in desired.services if service.name in set(touched)]
    found = [
        *_rootless(observed),
        *_strangers(desired, observed),
        *(o for service in services for o in _image(service, resolutions)),
        *(o for service in services for o in _external(desired, service, observed)),
        *_names(desired, services, observed),
        *_ports(desired, services, observed),
        *(o for network in replaced_networks for o in _shared_network(desired, network, observed)),
        *_volumes(changes),
    ]
    return tuple(sorted(set(found), key=lambda obstacle: (obstacle.text, obstacle.hint)))


def _rootless(observed: ObservedState) -> Iterator[Obstacle]:
    if observed.engine.rootless:
        yield Obstacle(
            f"the engine on {observed.host} runs rootless, which is not supported",
            "point the host's socket at an engine that runs as root",
        )


def _strangers(desired: DesiredTarget, observed: ObservedState) -> Iterator[Obstacle]:
    names = [name_of(container) for container in strangers(observed)]
    if names:
        yield Obstacle(
            f"the Compose project {desired.compose_project} on {observed.host} has containers that somebody else "
            f"created: {', '.join(names)}; they are never touched",
            "give this environment another compose_project, or have their owner remove them",
        )


def _image(service: DesiredService, resolutions: Mapping[str, ImageResolution]) -> Iterator[Obstacle]:
    resolution = resolutions.get(service.image)
    if resolution is None:
        yield Obstacle(f"the image {service.image} of {service.name} was not resolved", "plan again")
    elif isinstance(resolution, MissingImage):
        yield Obstacle(
            f"the image {service.image} of {service.name} is missing: {resolution.reason}",
            "push it, or name one that exists",
        )


def _external(desired: DesiredTarget, service: DesiredService, observed: ObservedState) -> Iterator[Obstacle]:
    live_networks = {network.name for network in observed.networks}
    used = set(service.execution.get("networks") or ())
    names = [network.name for network in observed.networks]
    for network in desired.networks:
        if network.key in used and names.count(network.name) > 1:
            text = f"{observed.host} has {names.count(network.name)} networks with the name {network.name}"
            yield Obstacle(text, "remove those that are not the one that is meant")
    for network in desired.networks:
        if network.external and network.key in used and network.name not in live_networks:
            text = f"the external network {network.name} of {service.name} does not exist on {observed.host}"
            yield Obstacle(text, "create it there, or let git declare it without external")
    mounted = {m.get("source") for m in service.execution.get("volumes") or () if m.get("type") == "volume"}
    live_labels = {volume.name: dict(volume.labels) for volume in observed.volumes}
    for volume in desired.volumes:
        if volume.key not in mounted:
            continue
        if volume.external and volume.name not in live_labels:
            text = f"the external volume {volume.name} of {service.name} does not exist on {observed.host}"
            yield Obstacle(text, "create it there, or let git declare it without external")
        labels = live_labels.get(volume.name)
        if not volume.external and labels is not None and not is_of_project(labels, desired.compose_project):
            text = f"the volume {volume.name} of {service.name} exists and belongs to somebody else"
            yield Obstacle(text, "declare it external if it is to be shared, or give it another name")


def _names(desired: DesiredTarget, touched: list[DesiredService], observed: ObservedState) -> Iterator[Obstacle]:
    """Container names that somebody else has, or that two services want."""
    taken = {other.name.lstrip("/"): other.project for other in observed.others}
    wanted: dict[str, set[str]] = {}
    for service in desired.services:
        for name in container_names(desired, service):
            wanted.setdefault(name, set()).add(service.name)
    for service in touched:
        for name in container_names(desired, service):
            if name in taken:
                whose = f"of the project {taken[name]}" if taken[name] else "without Compose labels"
                text = f"the name {name} that {service.name} needs is taken by a container {whose}"
                yield Obstacle(text, "have its owner rename or remove it, or use another container_name")
            if len(wanted[name]) > 1:
                text = f"the container name {name} is wanted by {' and '.join(sorted(wanted[name]))}"
                yield Obstacle(text, "give each service its own container_name")


def container_names(desired: DesiredTarget, service: DesiredService) -> tuple[str, ...]:
    """The names that Compose gives to the containers of a service."""
    own = service.execution.get("container_name")
    if own:
        return (str(own),) if service.replicas else ()
    return tuple(f"{desired.compose_project}-{service.name}-{n}" for n in range(1, service.replicas + 1))


def _ports(desired: DesiredTarget, touched: list[DesiredService], observed: ObservedState) -> Iterator[Obstacle]:
    """Published ports that somebody else has, that two services want, or that replicas want of each other."""
    held: list[tuple[HostPort, str]] = [
        (port, f"the container {other.name.lstrip('/')}" + (f" of {other.project}" if other.project else ""))
        for other in observed.others
        if other.status in ("running", "paused", "restarting", "")
        for text in other.ports
        for port in parse_port(text)
    ]
    for other in desired.services:
        held += [(port, f"the service {other.name}") for port in host_ports(other) if other.replicas]
    by_number: dict[tuple[int, str], list[tuple[HostPort, str]]] = {}  # a range is 65,535 of them, against as many
    for port, holder in held:
        by_number.setdefault(port[1:], []).append((port, holder))
    for service in touched:
        for port in host_ports(service) if service.replicas else ():
            for taken, by in by_number.get(port[1:], ()):
                if by != f"the service {service.name}" and _clash(port, taken):
                    text = f"the port {_shown(port)} that {service.name} publishes is taken by {by}"
                    yield Obstacle(text, "publish another port, or free this one")
        if service.replicas > 1 and any(True for _ in host_ports(service)):
            text = f"{service.name} has {service.replicas} replicas and publishes fixed ports, which only one can have"
            yield Obstacle(text, "publish a range or no host port, or ask for one replica")


def host_ports(service: DesiredService) -> Iterator[HostPort]:
    """The fixed host ports that a service publishes; ranges are the engine's choice and are left out."""
    for port, bindings in published(service.execution).items():
        for binding in bindings:
            address, _, number = binding.rpartition(":")
            if number.isdigit():
                yield ("" if address in _ANY else address, int(number), port.partition("/")[2])


def parse_port(text: str) -> Iterator[HostPort]:
    """The host side of "8080/tcp", "127.0.0.1:8080/tcp", "[::]:8080->80/tcp" or a range; nothing for other text."""
    match = _PORT.match(text)
    if match is None:
        return
    address = (match["address"] or "").strip("[]")
    for number in range(int(match["first"]), int(match["last"] or match["first"]) + 1):
        yield ("" if address in _ANY else address, number, match["protocol"] or "tcp")


def _clash(one: HostPort, other: HostPort) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or not one[0] or not other[0])


def _shown(port: HostPort) -> str:
    address, number, protocol = port
    return f"{address}:{number}/{protocol}" if address else f"{number}/{protocol}"


def _shared_network(desired: DesiredTarget, name: str, observed: ObservedState) -> Iterator[Obstacle]:
    live = next((network for network in observed.networks if network.name == name), None)
    if live is None:
        return
    foreign = others_attached(observed, live)
    if foreign:
        yield Obstacle(
            f"the network {name} has to be replaced, but containers of somebody else are on it: {', '.join(foreign)}",
            "have their owner take them off, or declare the network external",
        )
    owner = live.labels.get(PROJECT_LABEL)
    if owner and owner != desired.compose_project:
        yield Obstacle(
            f"the network {name} belongs to the project {owner}",
            "declare it external if it is to be shared, or give it another name",
        )


def _volumes(changes: tuple[Change, ...]) -> Iterator[Obstacle]:
    for change in changes:
        if change.subject.kind is SubjectKind.VOLUME and change.kind is ChangeKind.UPDATE:
            yield Obstacle(
                f"the volume {change.subject.name} differs from git in {change.field}, "
                "and changing it would delete its data",
                "declare a volume of another name and move the data, or set git to what is there",
            )


def is_in_the_way(desired: DesiredTarget, container: ObservedContainer) -> bool:
    """Whether a left-over container holds a host port or a name that some service of git needs."""
    needed_ports: dict[tuple[int, str], list[HostPort]] = {}
    for wanted in desired.services:
        for port in host_ports(wanted):
            needed_ports.setdefault(port[1:], []).append(port)
    needed_names = {name for wanted in desired.services for name in container_names(desired, wanted)}
    if name_of(container) in needed_names:
        return True
    bindings = container.host_config.get("PortBindings") or {}
    for inner, entries in bindings.items():
        for entry in entries or ():
            text = f"{entry.get('HostIp') or ''}:{entry.get('HostPort') or ''}/{inner.partition('/')[2]}"
            if any(_clash(mine, held) for held in parse_port(text) for mine in needed_ports.get(held[1:], ())):
                return True
    return False
