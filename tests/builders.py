"""Values with defaults for tests: a target as git wants it, and a host that runs exactly that.

`a_target(services)` takes services as Compose renders them. `deployed(target)` is the host right after a successful
deployment of it; `with_container` and friends change one thing about a host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from reconciler.diff.checks.restart import wanted_policy
from reconciler.diff.pair import undo_dollars
from reconciler.diff.units import cpus_in_nano, duration_in_nanoseconds, size_in_bytes
from reconciler.model.change import Change, ChangeKind, Subject, SubjectKind, Value
from reconciler.model.desired import (
    Bundle,
    DataDirectory,
    DesiredNetwork,
    DesiredService,
    DesiredTarget,
    DesiredVolume,
    EnvironmentValue,
    HealthPolicy,
)
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.location import Location
from reconciler.model.observed import (
    OWNER_LABEL,
    OWNER_VALUE,
    ContainerState,
    EngineIdentity,
    ForeignContainer,
    ImageResolution,
    ObservedContainer,
    ObservedEnvironmentValue,
    ObservedImage,
    ObservedNetwork,
    ObservedState,
    ObservedVolume,
    ResolvedImage,
)
from reconciler.model.target import Target

FINGERPRINTER = Fingerprinter("test", b"a key that is no secret")
TARGET = Target("shop", "production", "web-1")
SCOPE = "shop/production"
PROJECT = "shop"
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
STARTED = "2026-01-01T12:00:00Z"
RUNNING = ContainerState("running", 0, "", False, "", STARTED, "0001-01-01T00:00:00Z", 0)
ENGINE = EngineIdentity("ENGINE-1", "20.10.24", "1.41")


def hex_of(text: str) -> str:
    """64 hex digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def image_id(reference: str) -> str:
    return f"sha256:{hex_of(reference)}"


def fingerprint(name: str, value: str) -> str:
    return FINGERPRINTER.of(SCOPE, name, value)


def a_bundle(source: str = "projects/shop/site", content: str = "one") -> Bundle:
    return Bundle(source, hex_of(source + content), True, ())


def a_service(name: str, rendered: Mapping[str, Any] | None = None, **changes: Any) -> DesiredService:
    """A service from its rendered form; `changes` replace fields of the value."""
    rendered = {"image": "demo:1", "networks": {"default": None}, **(rendered or {})}
    if rendered.get("network_mode"):
        rendered.pop("networks", None)
    image = str(rendered["image"])
    labels = {**(rendered.get("labels") or {}), OWNER_LABEL: OWNER_VALUE}
    execution = {key: value for key, value in rendered.items() if key != "depends_on"}
    execution = {**execution, "image": image_id(image), "labels": labels}
    values = undo_dollars(rendered.get("environment") or {})
    deployed = rendered.get("deploy") or {}
    parents = {str(rendered.get(key, "")) for key in ("network_mode", "ipc", "pid")}
    shared = {p.removeprefix("service:") for p in parents if p.startswith("service:")}
    shared |= {str(entry).partition(":")[0] for entry in rendered.get("volumes_from") or ()}
    service = DesiredService(
        name=name,
        definition=rendered,
        execution=execution,
        image=image,
        environment=tuple(EnvironmentValue(k, fingerprint(k, v), v) for k, v in sorted(values.items())),
        replicas=deployed.get("replicas", rendered.get("scale", 1)),
        is_job=False,
        depends_on=tuple(sorted(rendered.get("depends_on") or ())),
        namespace_parents=tuple(sorted(shared)),
        bundles=(),
        config_hash=None if shared else _config_hash(execution),
        location=Location("projects/shop/compose.yaml", 3),
    )
    return replace(service, **changes)


def _config_hash(execution: Mapping[str, Any]) -> str:
    """As Compose has it in this: the number of replicas is not part of it."""
    deployed = {key: value for key, value in (execution.get("deploy") or {}).items() if key != "replicas"}
    kept = {key: value for key, value in execution.items() if key not in ("scale", "deploy")}
    return hex_of(json.dumps({**kept, **({"deploy": deployed} if deployed else {})}, sort_keys=True))


def a_network(key: str = "default", **changes: Any) -> DesiredNetwork:
    network = DesiredNetwork(key, f"{PROJECT}_{key}", False, "bridge", location=Location("projects/shop/compose.yaml"))
    return replace(network, **changes)


def a_volume(key: str = "data", **changes: Any) -> DesiredVolume:
    volume = DesiredVolume(key, f"{PROJECT}_{key}", False, "local", location=Location("projects/shop/compose.yaml"))
    return replace(volume, **changes)


def a_directory(path: str = "/var/lib/reconciler/data/shop/production/uploads") -> DataDirectory:
    return DataDirectory("projects/shop/uploads", path, Location("projects/shop/compose.yaml", 9))


def a_target(
    services: Mapping[str, Mapping[str, Any]] | tuple[DesiredService, ...] | None = None, **changes: Any
) -> DesiredTarget:
    """A target; networks and volumes are those that the services use, unless `changes` say otherwise."""
    if not isinstance(services, tuple):
        named = {"web": {}} if services is None else services
        services = tuple(a_service(name, rendered) for name, rendered in sorted(named.items()))
    networks = sorted({key for service in services for key in service.execution.get("networks") or ()})
    mounts = [mount for service in services for mount in service.execution.get("volumes") or ()]
    volumes = sorted({m["source"] for m in mounts if m["type"] == "volume" and m.get("source")})
    target = DesiredTarget(
        target=TARGET,
        compose_project=PROJECT,
        services=services,
        networks=changes.pop("networks", tuple(a_network(key) for key in networks)),
        volumes=changes.pop("volumes", tuple(a_volume(key) for key in volumes)),
        data_directories=(),
        execution_model={},
        images=tuple(sorted({(service.image, image_id(service.image)) for service in services})),
        health=HealthPolicy(),
    )
    target = replace(target, **changes)
    model: dict[str, Any] = {"name": PROJECT, "services": {s.name: s.execution for s in services}}
    model["networks"] = {n.key: {"name": n.name, "external": True} for n in target.networks}
    model["volumes"] = {v.key: {"name": v.name, "external": True} for v in target.volumes}
    return replace(target, execution_model={**model, **target.execution_model})


def resolutions(target: DesiredTarget) -> dict[str, ImageResolution]:
    """Every image of the target found on the host."""
    return {ref: ResolvedImage(ref, exact, exact, True) for ref, exact in target.images}


def an_image(reference: str, **config: Any) -> ObservedImage:
    """An image on the host; it brings PATH, a command, a label and nothing else unless `config` says so."""
    settings = {"Cmd": ["serve"], "Labels": {"image.label": "one"}, "WorkingDir": "", **config}
    path = ObservedEnvironmentValue("PATH", fingerprint("PATH", "/bin"))
    return ObservedImage(image_id(reference), (reference,), (), (path,), settings)


def a_container(target: DesiredTarget, service: DesiredService, number: int = 1) -> ObservedContainer:
    """The container that the engine has right after Compose created it from the service."""
    wanted = undo_dollars(service.execution)
    name = wanted.get("container_name") or f"{PROJECT}-{service.name}-{number}"
    identity = hex_of(f"{name} of {target.target}")
    labels = {
        "image.label": "one",
        **{key: str(value) for key, value in (wanted.get("labels") or {}).items()},
        "com.docker.compose.project": PROJECT,
        "com.docker.compose.service": service.name,
        "com.docker.compose.container-number": str(number),
        "com.docker.compose.config-hash": service.config_hash or hex_of(f"unknown {service.name}"),
    }
    values = {"PATH": fingerprint("PATH", "/bin"), **{v.name: v.fingerprint for v in service.environment}}
    return ObservedContainer(
        id=identity,
        name=name,
        service=service.name,
        number=number,
        one_off=False,
        image=image_id(service.image),
        image_id=image_id(service.image),
        state=replace(RUNNING, status="exited") if service.is_job else RUNNING,
        labels=labels,
        environment=tuple(ObservedEnvironmentValue(key, value) for key, value in sorted(values.items())),
        config=_config(wanted, identity, labels),
        host_config=_host_config(target, wanted),
        mounts=tuple(_mount(target, mount) for mount in wanted.get("volumes") or ()),
        networks=_endpoints(target, service, wanted, name, identity),
        created_at=STARTED,
    )


def _config(wanted: Mapping[str, Any], identity: str, labels: Mapping[str, str]) -> dict[str, Any]:
    check = wanted.get("healthcheck")
    period = wanted.get("stop_grace_period")
    return {
        "Hostname": wanted.get("hostname") or identity[:12],
        "Domainname": wanted.get("domainname") or "",
        "User": wanted.get("user") or "",
        "Tty": bool(wanted.get("tty")),
        "OpenStdin": bool(wanted.get("stdin_open")),
        "Cmd": wanted.get("command") or (None if wanted.get("entrypoint") else ["serve"]),
        "Entrypoint": wanted.get("entrypoint"),
        "WorkingDir": wanted.get("working_dir") or "",
        "Labels": dict(labels),
        "StopTimeout": None if period is None else duration_in_nanoseconds(period) // 10**9,
        **({"StopSignal": wanted["stop_signal"]} if wanted.get("stop_signal") else {}),
        **({"Healthcheck": _healthcheck(check)} if check else {}),
    }


def _healthcheck(check: Mapping[str, Any]) -> dict[str, Any]:
    if check.get("disable"):
        return {"Test": ["NONE"]}
    names = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    times = {names[key]: duration_in_nanoseconds(check[key]) for key in names if key in check}
    return {"Test": check["test"], **times, **({"Retries": check["retries"]} if "retries" in check else {})}


def _host_config(target: DesiredTarget, wanted: Mapping[str, Any]) -> dict[str, Any]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in wanted.get("ports") or ():
        entry = {"HostIp": port.get("host_ip", ""), "HostPort": str(port.get("published", ""))}
        bindings.setdefault(f"{port['target']}/{port.get('protocol', 'tcp')}", []).append(entry)
    name, _, retries = wanted_policy(wanted).partition(":")
    memory = size_in_bytes(wanted.get("mem_limit"))
    mode = str(wanted.get("network_mode") or "")
    ids = {s.name: hex_of(f"{PROJECT}-{s.name}-1 of {target.target}") for s in target.services}
    if mode.startswith("service:"):
        mode = f"container:{ids[mode.removeprefix('service:')]}"
    return {
        "NetworkMode": mode or f"{PROJECT}_default",
        "PortBindings": bindings,
        "RestartPolicy": {"Name": name, "MaximumRetryCount": int(retries or 0)},
        "LogConfig": {"Type": "json-file", "Config": {}, **_logging(wanted.get("logging") or {})},
        "CapAdd": [f"CAP_{each}" for each in wanted.get("cap_add") or ()] or None,
        "CapDrop": [f"CAP_{each}" for each in wanted.get("cap_drop") or ()] or None,
        "Privileged": bool(wanted.get("privileged")),
        "ReadonlyRootfs": bool(wanted.get("read_only")),
        "SecurityOpt": wanted.get("security_opt"),
        "Devices": [
            {
                "PathOnHost": d["source"],
                "PathInContainer": d.get("target") or d["source"],
                "CgroupPermissions": d.get("permissions") or "rwm",
            }
            for d in wanted.get("devices") or ()
        ],
        "Dns": wanted.get("dns") or [],
        "ExtraHosts": [entry.replace("=", ":", 1) for entry in wanted.get("extra_hosts") or ()] or None,
        "Sysctls": wanted.get("sysctls"),
        "Ulimits": [
            {"Name": key, "Soft": value["soft"], "Hard": value["hard"]}
            for key, value in (wanted.get("ulimits") or {}).items()
        ],
        "Tmpfs": dict(str(entry).partition(":")[::2] for entry in wanted.get("tmpfs") or ()),
        "Memory": memory,
        "MemorySwap": 2 * memory,
        "MemoryReservation": size_in_bytes(wanted.get("mem_reservation")),
        "NanoCpus": cpus_in_nano(wanted.get("cpus")),
        "PidsLimit": wanted.get("pids_limit"),
        "ShmSize": size_in_bytes(wanted.get("shm_size")) or 67108864,
        "IpcMode": wanted.get("ipc") or "private",
        "PidMode": wanted.get("pid") or "",
        "Init": wanted.get("init"),
    }


def _logging(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {"Type": wanted.get("driver") or "json-file", "Config": dict(wanted.get("options") or {})}


def _mount(target: DesiredTarget, mount: Mapping[str, Any]) -> dict[str, Any]:
    live = {"Type": mount["type"], "Destination": mount["target"], "RW": not mount.get("read_only", False)}
    if mount["type"] == "bind":
        return {**live, "Source": mount["source"]}
    if mount["type"] == "volume":
        names = {volume.key: volume.name for volume in target.volumes}
        return {**live, "Name": names.get(mount.get("source", ""), hex_of(mount["target"])), "Source": "/somewhere"}
    return {**live, "Source": ""}


def _endpoints(
    target: DesiredTarget, service: DesiredService, wanted: Mapping[str, Any], name: str, identity: str
) -> dict[str, dict[str, Any]]:
    names = {network.key: network.name for network in target.networks}
    endpoints: dict[str, dict[str, Any]] = {}
    for key, settings in (wanted.get("networks") or {}).items():
        settings = settings or {}
        fixed = {"IPv4Address": settings["ipv4_address"]} if settings.get("ipv4_address") else None
        endpoints[names[key]] = {
            "Aliases": [name, service.name, *(settings.get("aliases") or ()), identity[:12]],
            "NetworkID": hex_of(names[key]),
            "IPAMConfig": fixed,
        }
    return endpoints


def deployed(target: DesiredTarget, **changes: Any) -> ObservedState:
    """A host that runs exactly the target; `changes` replace fields of the observation."""
    containers = tuple(
        a_container(target, service, number) for service in target.services for number in range(1, service.replicas + 1)
    )
    state = ObservedState(
        host=TARGET.host,
        compose_project=PROJECT,
        engine=ENGINE,
        containers=containers,
        networks=tuple(_live_network(network, containers) for network in target.networks),
        volumes=tuple(
            ObservedVolume(v.name, v.driver, dict(v.driver_options), _project_labels("volume", v.key))
            for v in target.volumes
        ),
        images=tuple(an_image(reference) for reference, _ in target.images),
        others=(),
        observed_at=NOON,
    )
    return replace(state, **changes)


def empty_host(**changes: Any) -> ObservedState:
    """A host with an engine and nothing of the project."""
    return replace(deployed(a_target({})), **changes)


def _live_network(network: DesiredNetwork, containers: tuple[ObservedContainer, ...]) -> ObservedNetwork:
    return ObservedNetwork(
        id=hex_of(network.name),
        name=network.name,
        driver=network.driver,
        options=dict(network.driver_options),
        internal=network.internal,
        attachable=network.attachable,
        ipv6=network.ipv6,
        subnets=network.subnets or (("172.20.0.0/16", "172.20.0.1"),),
        labels={**dict(network.labels), **({} if network.external else _project_labels("network", network.key))},
        containers=tuple(c.id for c in containers if network.name in c.networks and c.state.status == "running"),
    )


def _project_labels(kind: str, key: str) -> dict[str, str]:
    return {"com.docker.compose.project": PROJECT, f"com.docker.compose.{kind}": key}


def a_foreigner(name: str = "theirs", **changes: Any) -> ForeignContainer:
    return replace(ForeignContainer(hex_of(name), name, "", (), (), "running"), **changes)


def with_container(state: ObservedState, which: str, /, **changes: Any) -> ObservedState:
    """The same host with one container changed. Mappings are merged into what is there; others replace it."""
    containers = tuple(_changed(c, changes) if c.name == which else c for c in state.containers)
    assert containers != state.containers, f"there is no container {which}, or nothing of it changed"
    return replace(state, containers=containers)


def _changed(container: ObservedContainer, changes: Mapping[str, Any]) -> ObservedContainer:
    fields: dict[str, Any] = {}
    for key, value in changes.items():
        current = getattr(container, key)
        if key == "state":
            fields[key] = replace(current, **value)
        elif key == "environment":
            values = {v.name: v.fingerprint for v in current}
            values.update({k: fingerprint(k, v) for k, v in value.items() if v is not None})
            gone = {k for k, v in value.items() if v is None}
            fields[key] = tuple(ObservedEnvironmentValue(k, v) for k, v in sorted(values.items()) if k not in gone)
        elif isinstance(current, Mapping):
            merged = {**current, **value}
            fields[key] = {k: v for k, v in merged.items() if v is not None}
        else:
            fields[key] = value
    return replace(container, **fields)


def without_containers(state: ObservedState, *names: str) -> ObservedState:
    """The same host after somebody removed containers."""
    return replace(state, containers=tuple(c for c in state.containers if c.name not in names))


def a_change(**changes: Any) -> Change:
    """A service's image, one to two."""
    change = Change(
        ChangeKind.UPDATE,
        Subject(SubjectKind.SERVICE, "web"),
        "image",
        Value("sha256:1", "demo:1"),
        Value("sha256:2", "demo:2"),
        "git changed since shop-web-1 was created",
        Location("projects/shop/compose.yaml", 4),
    )
    return replace(change, **changes)
