"""The engine's objects in the shapes of the Docker Engine API 1.41. Pure; called by the HTTP interface."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reconciler.simulation.engine import (
    API_VERSION,
    HOST_NAME,
    MINIMUM_API_VERSION,
    OPERATING_SYSTEM,
    VERSION,
    Engine,
    mountpoint,
)
from reconciler.simulation.image import EMPTY_CONFIG, StoredImage
from reconciler.simulation.state import NEVER, Container, Endpoint, Network, Volume

_CONTAINER_DIRECTORY = "/var/lib/docker/containers"
_KERNEL = "0.0.0-simulated"


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC as Go writes it: a fraction without trailing zeros, or none."""
    # strftime does not pad the year of Go's zero time on every platform.
    text = f"{at.year:04d}-{at:%m-%dT%H:%M:%S}"
    return f"{text}.{at.microsecond:06d}".rstrip("0").rstrip(".") + "Z"


def version() -> dict[str, Any]:
    """`GET /version`."""
    details = {
        "ApiVersion": API_VERSION,
        "Arch": "amd64",
        "Experimental": "false",
        "KernelVersion": _KERNEL,
        "MinAPIVersion": MINIMUM_API_VERSION,
        "Os": "linux",
    }
    return {
        "Platform": {"Name": OPERATING_SYSTEM},
        "Components": [{"Name": "Engine", "Version": VERSION, "Details": details}],
        "Version": VERSION,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MINIMUM_API_VERSION,
        "GitCommit": "simulated",
        "GoVersion": "",
        "Os": "linux",
        "Arch": "amd64",
        "KernelVersion": _KERNEL,
    }


def information(engine: Engine) -> dict[str, Any]:
    """`GET /info`; its id, name and operating system say that it is simulated."""
    states = [container.state.status for container in engine.containers.values()]
    running, paused = states.count("running"), states.count("paused")
    return {
        "ID": engine.id,
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len(engine.images),
        "Driver": "simulated",
        "DriverStatus": None,
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file"],
        },
        "MemoryLimit": True,
        "SwapLimit": True,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "IPv4Forwarding": True,
        "OomKillDisable": True,
        "SystemTime": timestamp(engine.now()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "1",
        "KernelVersion": _KERNEL,
        "OperatingSystem": OPERATING_SYSTEM,
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": "x86_64",
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {"InsecureRegistryCIDRs": [], "IndexConfigs": {}, "Mirrors": []},
        "NCPU": 2,
        "MemTotal": 4 * 1024**3,
        "GenericResources": None,
        "DockerRootDir": "/var/lib/docker",
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": HOST_NAME,
        "Labels": ["simulated=true"],
        "ExperimentalBuild": False,
        "ServerVersion": VERSION,
        "Runtimes": {"runc": {"path": "runc"}},
        "DefaultRuntime": "runc",
        "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": ""},
        "LiveRestoreEnabled": False,
        "Isolation": "",
        "SecurityOptions": ["name=seccomp,profile=default"],
        "Warnings": ["This engine is simulated: no process runs and no data is kept"],
    }


def inspected_container(container: Container) -> dict[str, Any]:
    """`GET /containers/{id}/json`."""
    state, arguments = container.state, container.arguments
    files = f"{_CONTAINER_DIRECTORY}/{container.id}" if state.started_at is not NEVER else ""
    shown_state: dict[str, Any] = {
        "Status": state.status,
        "Running": state.alive,
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": False,
        "Dead": False,
        "Pid": state.process_id,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": timestamp(state.started_at),
        "FinishedAt": timestamp(state.finished_at),
    }
    if state.health is not None:
        log = [
            {**entry, "Start": timestamp(entry["Start"]), "End": timestamp(entry["End"])} for entry in state.health.log
        ]
        shown_state["Health"] = {
            "Status": state.health.status,
            "FailingStreak": state.health.failing_streak,
            "Log": log,
        }
    return {
        "Id": container.id,
        "Created": timestamp(container.created),
        "Path": arguments[0],
        "Args": arguments[1:],
        "State": shown_state,
        "Image": container.image_id,
        "ResolvConfPath": files and f"{files}/resolv.conf",
        "HostnamePath": files and f"{files}/hostname",
        "HostsPath": files and f"{files}/hosts",
        "LogPath": files and f"{files}/{container.id}-json.log",
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": "simulated",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": container.host_config,
        "GraphDriver": {"Data": None, "Name": "simulated"},
        "Mounts": container.mounts,
        "Config": {**container.config, "Labels": dict(sorted(container.config["Labels"].items()))},
        "NetworkSettings": _network_settings(container),
    }


def listed_container(engine: Engine, container: Container) -> dict[str, Any]:
    """One entry of `GET /containers/json`."""
    quoted = [f"'{word}'" if " " in word else word for word in container.arguments]
    networks = {
        name: {**_endpoint(endpoint), "Aliases": None} for name, endpoint in sorted(container.endpoints.items())
    }
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": engine.shown_image(container),
        "ImageID": container.image_id,
        "Command": " ".join(quoted),
        "Created": int(container.created.timestamp()),
        "Ports": _listed_ports(container),
        "Labels": dict(sorted(container.config["Labels"].items())),
        "State": container.state.status,
        "Status": status_text(container, engine.now()),
        "HostConfig": {"NetworkMode": container.host_config["NetworkMode"]},
        "NetworkSettings": {"Networks": networks},
        "Mounts": [_listed_mount(mount) for mount in container.mounts],
    }


def status_text(container: Container, now: datetime) -> str:
    """The sentence in the STATUS column of `docker ps`."""
    state = container.state
    match state.status:
        case "running" | "paused":
            text = f"Up {duration(now, state.started_at)}"
            if state.status == "paused":
                return f"{text} (Paused)"
            if state.health is None:
                return text
            return f"{text} ({'health: starting' if state.health.status == 'starting' else state.health.status})"
        case "restarting":
            return f"Restarting ({state.exit_code}) {duration(now, state.finished_at)} ago"
        case "created":
            return "Created"
        case _:
            return f"Exited ({state.exit_code}) {duration(now, state.finished_at)} ago"


def duration(now: datetime, then: datetime) -> str:
    """The time between, in Docker's words (go-units HumanDuration)."""
    seconds = int((now - then).total_seconds())
    minutes, hours = seconds // 60, (seconds + 1800) // 3600
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours <= 1 else f"{hours} hours"
    if hours < 24 * 14:
        return f"{hours // 24} days"
    if hours < 24 * 60:
        return f"{hours // 24 // 7} weeks"
    return f"{hours // 24 // 30} months" if hours < 24 * 365 * 2 else f"{hours // 24 // 365} years"


def shown_network(engine: Engine, network: Network, with_containers: bool) -> dict[str, Any]:
    """`GET /networks/{id}`; a list has no containers in it."""
    containers = {
        container.id: {
            "Name": container.name,
            "EndpointID": endpoint.endpoint_id,
            "MacAddress": endpoint.mac,
            "IPv4Address": f"{endpoint.address}/{endpoint.prefix_length}" if endpoint.address else "",
            "IPv6Address": "",
        }
        for container, endpoint in engine.endpoints_of(network)
    }
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": timestamp(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": network.ipv6,
        "IPAM": network.ipam,
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": containers if with_containers else {},
        "Options": network.options,
        "Labels": network.labels,
    }


def shown_volume(volume: Volume) -> dict[str, Any]:
    """`GET /volumes/{name}`."""
    return {
        "CreatedAt": f"{volume.created:%Y-%m-%dT%H:%M:%SZ}",
        "Driver": volume.driver,
        "Labels": volume.labels,
        "Mountpoint": mountpoint(volume),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    }


def inspected_image(stored: StoredImage) -> dict[str, Any]:
    """`GET /images/{name}/json`."""
    image = stored.image
    return {
        "Id": stored.id,
        "RepoTags": stored.tags,
        "RepoDigests": stored.digests,
        "Parent": "",
        "Comment": "",
        "Created": image.created,
        "Container": "",
        "ContainerConfig": dict(EMPTY_CONFIG),
        "DockerVersion": "",
        "Author": "",
        "Config": image.full_config(),
        "Architecture": image.architecture,
        "Os": "linux",
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {"Data": None, "Name": "simulated"},
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Metadata": {"LastTagTime": timestamp(NEVER)},
    }


def listed_image(stored: StoredImage) -> dict[str, Any]:
    """One entry of `GET /images/json`."""
    return {
        "Containers": -1,
        "Created": int(datetime.fromisoformat(stored.image.created).timestamp()),
        "Id": stored.id,
        "Labels": stored.image.config.get("Labels"),
        "ParentId": "",
        "RepoDigests": stored.digests or None,
        "RepoTags": stored.tags or None,
        "SharedSize": -1,
        "Size": stored.image.size,
        "VirtualSize": stored.image.size,
    }


def container_matches(engine: Engine, container: Container, filters: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a container passes the filters of `GET /containers/json`: every label, and one value of each other."""
    labels, state = container.config["Labels"], container.state

    def one(name: str, value: str) -> bool:
        match name:
            case "id":
                return container.id.startswith(value)
            case "name":
                return bool(re.search(value, container.name) or re.search(value, f"/{container.name}"))
            case "status":
                return state.status == value
            case "exited":
                return state.status == "exited" and str(state.exit_code) == value
            case "health":
                return (state.health.status if state.health else "none") == value
            case "network":
                return any(value == n or e.network_id.startswith(value) for n, e in container.endpoints.items())
            case "volume":
                return any(value in {mount.get("Name"), mount["Destination"]} for mount in container.mounts)
            case _:  # ancestor
                return value in {engine.shown_image(container), container.image_id} or (
                    (stored := engine.images.get(container.image_id)) is not None and value in stored.tags
                )

    return all(
        all(label_matches(labels, value) for value in values)
        if name == "label"
        else any(one(name, value) for value in values)
        for name, values in filters.items()
    )


def label_matches(labels: Mapping[str, str] | None, wanted: str) -> bool:
    """`key` or `key=value`."""
    key, equals, value = wanted.partition("=")
    return labels is not None and key in labels and (not equals or labels[key] == value)


def _network_settings(container: Container) -> dict[str, Any]:
    started = container.state.started_at is not NEVER
    sandbox = "default" if container.host_config["NetworkMode"] == "host" else container.sandbox[:12]
    settings: dict[str, Any] = {
        "Bridge": "",
        "SandboxID": container.sandbox,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": container.ports,
        "SandboxKey": f"/var/run/docker/netns/{sandbox}" if started else "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
    }
    bridge = container.endpoints.get("bridge")
    shown = _endpoint(bridge) if bridge is not None else {}
    for key in ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen"):
        settings[key] = shown.get(key, 0 if key.endswith("Len") else "")
    settings |= {"IPv6Gateway": "", "MacAddress": shown.get("MacAddress", "")}
    settings["Networks"] = {name: _endpoint(endpoint) for name, endpoint in sorted(container.endpoints.items())}
    return settings


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "IPAMConfig": endpoint.ipam,
        "Links": endpoint.links,
        "Aliases": endpoint.aliases,
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.endpoint_id,
        "Gateway": endpoint.gateway,
        "IPAddress": endpoint.address,
        "IPPrefixLen": endpoint.prefix_length,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": endpoint.mac,
        "DriverOpts": endpoint.driver_options,
    }


def _listed_mount(mount: Mapping[str, Any]) -> Mapping[str, Any]:
    """A volume that only the image or Config.Volumes asked for is listed without its source."""
    return {**mount, "Source": ""} if mount["Type"] == "volume" and not mount["Mode"] else mount


def _listed_ports(container: Container) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for port, bindings in sorted(container.ports.items()):
        number, _, protocol = port.partition("/")
        private = {"PrivatePort": int(number), "Type": protocol or "tcp"}
        if not bindings:
            shown.append(private)
        for binding in bindings or ():
            shown.append(
                {"IP": binding["HostIp"], "PrivatePort": int(number), "PublicPort": int(binding["HostPort"])}
                | {"Type": protocol or "tcp"}
            )
    return shown
