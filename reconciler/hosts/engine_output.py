"""Turns the engine's answers into model values; pure, called by engine_api and host.

Environment values become keyed fingerprints here and are taken out of every section that is kept. What is not
understood is an error that names the field; nothing is guessed.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.hosts.sections import CONFIG, ENDPOINT, HOST_CONFIG, MOUNT, Kind, misfit
from reconciler.model.errors import NotUnderstood
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import (
    ContainerState,
    EngineIdentity,
    ForeignContainer,
    ObservedContainer,
    ObservedEnvironmentValue,
    ObservedImage,
    ObservedNetwork,
    ObservedState,
    ObservedVolume,
)

PROJECT_LABEL = "com.docker.compose.project"
_STATUSES = frozenset({"created", "running", "paused", "restarting", "removing", "exited", "dead"})
_HEALTHS = frozenset({"", "none", "starting", "healthy", "unhealthy"})
_LOWEST_API = (1, 41)
_COUNT = re.compile("[0-9]{1,9}")
_LONGEST_GRACE = 24 * 3600  # seconds; what is longer is no grace but a container that nothing stops
_ID = re.compile("sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NamedImage:
    """Of an image on the host: its id, its tags and its digests, each with the repository."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]


def parsed(body: bytes) -> Any:
    """The value of a JSON answer; ValueError for what is none, or what could not be written as JSON again."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)  # strictly, which json would not do
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # half a character has no bytes
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    return value


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no number")


def api_version(version: Any) -> str:
    """The API version to speak: 1.41, so that every engine answers in one shape, or the engine's lowest above it."""
    answer = _mapping(version, "version")
    highest, lowest = _version(answer, "ApiVersion"), _version(answer, "MinAPIVersion")
    if highest < _LOWEST_API:
        raise NotUnderstood(
            f"the engine speaks API {highest[0]}.{highest[1]} at most; 1.41 (Docker 20.10) is needed",
            hint="upgrade Docker on the host",
        )
    chosen = max(_LOWEST_API, lowest)
    return f"{chosen[0]}.{chosen[1]}"


def identity(version: Any, info: Any) -> EngineIdentity:
    """From GET /version and GET /info."""
    answer = _mapping(info, "info")
    options = _texts(answer, "SecurityOptions", "info")
    return EngineIdentity(
        id=_text(answer, "ID", "info"),
        version=_text(_mapping(version, "version"), "Version", "version"),
        api_version=api_version(version),
        rootless=any(option.split(",")[0] == "name=rootless" for option in options),
    )


def project_ids(listing: Any, compose_project: str) -> tuple[str, ...]:
    """The ids of a project's containers in GET /containers/json?all=1, sorted."""
    return tuple(
        sorted(
            _text(entry, "Id", "container")
            for entry in _entries(listing, "containers")
            if _labels(entry, "container").get(PROJECT_LABEL) == compose_project
        )
    )


def others(listing: Any, compose_project: str) -> tuple[ForeignContainer, ...]:
    """All containers of the listing that are not the project's, sorted by name.

    `ports` are the published ones, like 0.0.0.0:8080/tcp or [::]:8080/tcp; a stopped container has none.
    """
    found = []
    for entry in _entries(listing, "containers"):
        labels = _labels(entry, "container")
        if labels.get(PROJECT_LABEL) == compose_project:
            continue
        names = [name.removeprefix("/") for name in _texts(entry, "Names", "container")]
        settings = _mapping(entry.get("NetworkSettings"), "container.NetworkSettings")
        found.append(
            ForeignContainer(
                id=_text(entry, "Id", "container"),
                name=next((name for name in names if "/" not in name), ""),  # the others are links
                project=labels.get(PROJECT_LABEL, ""),
                ports=tuple(sorted({port for item in _list(entry, "Ports", "container") for port in _published(item)})),
                networks=tuple(sorted(_mapping(settings.get("Networks"), "container.Networks"))),
                status=_text(entry, "State", "container"),
            )
        )
    return tuple(sorted(found, key=lambda c: (c.name, c.id)))


def container(inspected: Any, fingerprinter: Fingerprinter, scope: str) -> ObservedContainer:
    """From GET /containers/{id}/json."""
    answer = _mapping(inspected, "container")
    name = _text(answer, "Name", "container").removeprefix("/")
    at = f"container {name}"
    config = _required(answer, "Config", at)
    labels = _labels(config, at)
    number = labels.get("com.docker.compose.container-number", "0")
    if not _COUNT.fullmatch(number):
        raise NotUnderstood(f"container number '{number}' is not a number", where=at)
    settings = _required(answer, "NetworkSettings", at)
    networks = _mapping(settings.get("Networks"), f"{at}: Networks")
    endpoints = {key: _section(value, ENDPOINT, f"{at}: network {key}") for key, value in sorted(networks.items())}
    return ObservedContainer(
        id=_text(answer, "Id", at),
        name=name,
        service=labels.get("com.docker.compose.service", ""),
        number=int(number),
        one_off=labels.get("com.docker.compose.oneoff", "False").lower() == "true",
        image=_text(config, "Image", at),
        image_id=_text(answer, "Image", at),
        state=_state(_required(answer, "State", at), _number(answer, "RestartCount", at), at),
        labels=labels,
        environment=_environment(config, fingerprinter, scope, at),
        config=_section({key: value for key, value in config.items() if key != "Env"}, CONFIG, f"{at}: Config"),
        host_config=_section(_required(answer, "HostConfig", at), HOST_CONFIG, f"{at}: HostConfig"),
        mounts=tuple(_section(mount, MOUNT, f"{at}: Mounts") for mount in _list(answer, "Mounts", at)),
        networks=endpoints,
        created_at=_text(answer, "Created", at),
    )


def network(inspected: Any) -> ObservedNetwork:
    """From GET /networks/{id}. A subnet is (subnet, gateway), the gateway "" where there is none."""
    answer = _mapping(inspected, "network")
    name = _text(answer, "Name", "network")
    at = f"network {name}"
    subnets = []
    for item in _list(_mapping(answer.get("IPAM"), f"{at}: IPAM"), "Config", at):
        entry = _mapping(item, f"{at}: IPAM")
        subnets.append((_optional(entry, "Subnet", at), _optional(entry, "Gateway", at)))
    return ObservedNetwork(
        id=_text(answer, "Id", at),
        name=name,
        driver=_text(answer, "Driver", at),
        options=_strings(answer.get("Options"), f"{at}: Options"),
        internal=_flag(answer, "Internal", at),
        attachable=_flag(answer, "Attachable", at),
        ipv6=_flag(answer, "EnableIPv6", at),
        subnets=tuple(sorted(subnets)),
        labels=_labels(answer, at),
        containers=tuple(sorted(_mapping(answer.get("Containers"), f"{at}: Containers"))),
    )


def wanted_networks(listing: Any, compose_project: str, names: Iterable[str]) -> tuple[str, ...]:
    """The ids in GET /networks of the project's networks and of those with these names, sorted."""
    wanted = frozenset(names)
    return tuple(
        sorted(
            _text(entry, "Id", "network")
            for entry in _entries(listing, "networks")
            if _labels(entry, "network").get(PROJECT_LABEL) == compose_project
            or _text(entry, "Name", "network") in wanted
        )
    )


def volumes(listing: Any, compose_project: str, names: Iterable[str]) -> tuple[ObservedVolume, ...]:
    """From GET /volumes: those of the project and those with these names, sorted by name."""
    wanted = frozenset(names)
    found = []
    for item in _list(_mapping(listing, "volumes"), "Volumes", "volumes"):
        entry = _mapping(item, "volume")
        name = _text(entry, "Name", "volume")
        labels = _labels(entry, f"volume {name}")
        if labels.get(PROJECT_LABEL) == compose_project or name in wanted:
            options = _strings(entry.get("Options"), f"volume {name}: Options")
            found.append(ObservedVolume(name, _text(entry, "Driver", f"volume {name}"), options, labels))
    return tuple(sorted(found, key=lambda volume: volume.name))


def image(inspected: Any, fingerprinter: Fingerprinter, scope: str) -> ObservedImage:
    """From GET /images/{name}/json."""
    answer = _mapping(inspected, "image")
    number = _text(answer, "Id", "image")
    at = f"image {number[:19]}"
    config = _mapping(answer.get("Config"), at)
    return ObservedImage(
        id=number,
        tags=tuple(sorted(tag for tag in _texts(answer, "RepoTags", at) if tag != "<none>:<none>")),
        digests=tuple(sorted(d for d in _texts(answer, "RepoDigests", at) if not d.startswith("<none>@"))),
        environment=_environment(config, fingerprinter, scope, at),
        config=_section({key: value for key, value in config.items() if key != "Env"}, CONFIG, f"{at}: Config"),
    )


def named_image(inspected: Any) -> NamedImage:
    """From GET /images/{name}/json, where only its names matter. What is deployed by its id has a whole one."""
    answer = _mapping(inspected, "image")
    number = _text(answer, "Id", "image")
    if not _ID.fullmatch(number):
        raise NotUnderstood(f"the image id '{number[:80]}'", where="image")
    return NamedImage(number, tuple(_texts(answer, "RepoTags", "image")), tuple(_texts(answer, "RepoDigests", "image")))


def digest_of_registry(answer: Any) -> str | None:
    """The digest in GET /distribution/{name}/json, None where there is none that can be deployed."""
    found = _mapping(_mapping(answer, "registry").get("Descriptor"), "registry: Descriptor").get("digest")
    return found if isinstance(found, str) and _ID.fullmatch(found) else None


def owner(inspected: Any, what: str) -> Mapping[str, str]:
    """The labels of a network or volume that is there already."""
    return _labels(_mapping(inspected, what), what)


def named(listing: Any, name: str) -> Mapping[str, Any] | None:
    """The first entry of a listing with exactly this name."""
    return next((entry for entry in _entries(listing or [], "networks") if entry.get("Name") == name), None)


def to_stop(inspected: Any) -> tuple[str, str, int]:
    """Of a container that is to go: its id, its state, and its own seconds of grace (10 where it has none)."""
    answer = _mapping(inspected, "container")
    own = _mapping(answer.get("Config"), "container: Config").get("StopTimeout")
    grace = own if isinstance(own, int) and not isinstance(own, bool) and 0 <= own <= _LONGEST_GRACE else 10
    found = _text(answer, "Id", "container"), _text(_required(answer, "State", "container"), "Status", "container")
    return (*found, grace)


def log_source(inspected: Any) -> tuple[str, bool, Mapping[str, Any]]:
    """Of a container whose log is read: the image's id, whether it has a terminal, and its Config."""
    answer = _mapping(inspected, "container")
    config = _mapping(answer.get("Config"), "container: Config")
    return _text(answer, "Image", "container"), config.get("Tty") is True, config


def state(
    host: str,
    compose_project: str,
    engine: EngineIdentity,
    containers: Iterable[ObservedContainer],
    networks: Iterable[ObservedNetwork],
    found_volumes: Iterable[ObservedVolume],
    images: Iterable[ObservedImage],
    foreign: Iterable[ForeignContainer],
    observed_at: datetime,
) -> ObservedState:
    """Everything of one observation, each kind in an order that does not depend on the engine's."""
    return ObservedState(
        host=host,
        compose_project=compose_project,
        engine=engine,
        containers=tuple(sorted(containers, key=lambda c: (c.service, c.number, c.name, c.id))),
        networks=tuple(sorted(networks, key=lambda n: (n.name, n.id))),
        volumes=tuple(found_volumes),
        images=tuple(sorted({i.id: i for i in images}.values(), key=lambda i: i.id)),
        others=tuple(foreign),
        observed_at=observed_at,
    )


def environment_values(config: Any) -> Mapping[str, str]:
    """The clear environment of an inspected Config, for masking it in logs and for nothing else."""
    return dict(_pairs(_mapping(config, "Config"), "environment"))


def message(body: bytes) -> str:
    """The engine's own words in an error answer."""
    try:
        answer = parsed(body)
    except ValueError:
        return body.decode("utf-8", "replace")
    text = answer.get("message") if isinstance(answer, dict) else None
    return text if isinstance(text, str) else "no reason given"


def demultiplex(data: bytes) -> bytes:
    """The text of a log stream of a container without a terminal (eight bytes of header per frame).

    A frame that is cut off at the end is kept as far as it goes.
    """
    text = bytearray()
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack(">BxxxI", data[at : at + 8])
        if kind > 2:
            raise NotUnderstood(f"a log frame of kind {kind}", where="logs")
        text += data[at + 8 : at + 8 + size]
        at += 8 + size
    return bytes(text)


def _state(answer: Mapping[str, Any], restarts: int, at: str) -> ContainerState:
    status = _text(answer, "Status", at)
    health = _optional(_mapping(answer.get("Health"), f"{at}: Health"), "Status", at)
    if status not in _STATUSES:
        raise NotUnderstood(f"state '{status}'", where=at)
    if health not in _HEALTHS:
        raise NotUnderstood(f"health '{health}'", where=at)
    return ContainerState(
        status=status,
        exit_code=_number(answer, "ExitCode", at),
        error=_optional(answer, "Error", at),
        oom_killed=_flag(answer, "OOMKilled", at),
        health="" if health == "none" else health,
        started_at=_optional(answer, "StartedAt", at),
        finished_at=_optional(answer, "FinishedAt", at),
        restart_count=restarts,
    )


def _environment(
    config: Mapping[str, Any], fingerprinter: Fingerprinter, scope: str, at: str
) -> tuple[ObservedEnvironmentValue, ...]:
    values = dict(_pairs(config, at))  # of two with one name the later counts, as for the process
    return tuple(ObservedEnvironmentValue(name, fingerprinter.of(scope, name, values[name])) for name in sorted(values))


def _pairs(config: Mapping[str, Any], at: str) -> Iterable[tuple[str, str]]:
    for entry in _texts(config, "Env", at):
        name, equals, value = entry.partition("=")
        if equals:  # a bare name only takes the image's variable away
            yield name, value


def _published(port: Any) -> Iterable[str]:
    entry = _mapping(port, "container: Ports")
    if entry.get("PublicPort") is None:
        return
    address = _optional(entry, "IP", "container: Ports")
    address = f"[{address}]" if ":" in address else address
    yield f"{address}:{_number(entry, 'PublicPort', 'container: Ports')}/{_text(entry, 'Type', 'container: Ports')}"


def _version(answer: Mapping[str, Any], key: str) -> tuple[int, int]:
    text = _text(answer, key, "version")
    major, _, minor = text.partition(".")
    if not (_COUNT.fullmatch(major) and _COUNT.fullmatch(minor)):
        raise NotUnderstood(f"{key} '{text}'", where="version")
    return int(major), int(minor)


def _entries(value: Any, at: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise NotUnderstood("not a list", where=at)
    return [_mapping(entry, at) for entry in value]


def _labels(answer: Mapping[str, Any], at: str) -> Mapping[str, str]:
    return _strings(answer.get("Labels"), f"{at}: Labels")


def _strings(value: Any, at: str) -> Mapping[str, str]:
    found = _mapping(value, at)
    if not all(isinstance(item, str) for item in found.values()):
        raise NotUnderstood("a value that is not text", where=at)
    return dict(sorted(found.items()))


def _required(answer: Mapping[str, Any], key: str, at: str) -> Mapping[str, Any]:
    if not isinstance(answer.get(key), dict):
        raise NotUnderstood(f"{key} is missing", where=at)
    return _mapping(answer[key], at)


def _section(value: Any, kinds: Mapping[str, Kind], at: str) -> Mapping[str, Any]:
    """A part of an inspect answer whose values are all of the kind that the comparison expects."""
    section = _mapping(value, at)
    wrong = misfit(section, kinds)
    if wrong is not None:
        raise NotUnderstood(f"{wrong} is not what an engine says there", where=at)
    return section


def _mapping(value: Any, at: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NotUnderstood("not an object", where=at)
    return value


def _list(answer: Mapping[str, Any], key: str, at: str) -> Sequence[Any]:
    value = answer.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise NotUnderstood(f"{key} is not a list", where=at)
    return value


def _texts(answer: Mapping[str, Any], key: str, at: str) -> Sequence[str]:
    values = _list(answer, key, at)
    if not all(isinstance(value, str) for value in values):
        raise NotUnderstood(f"{key} holds something that is not text", where=at)
    return values


def _text(answer: Mapping[str, Any], key: str, at: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise NotUnderstood(f"{key} is missing", where=at)
    return value


def _optional(answer: Mapping[str, Any], key: str, at: str) -> str:
    value = answer.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotUnderstood(f"{key} is not text", where=at)
    return value


def _number(answer: Mapping[str, Any], key: str, at: str) -> int:
    value = answer.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotUnderstood(f"{key} is not a number", where=at)
    return value


def _flag(answer: Mapping[str, Any], key: str, at: str) -> bool:
    value = answer.get(key, False)
    if not isinstance(value, bool):
        raise NotUnderstood(f"{key} is not true or false", where=at)
    return value
