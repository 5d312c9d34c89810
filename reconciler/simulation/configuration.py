"""A container's configuration as the engine keeps it: defaults filled in, the image's part merged. Pure; called when
the engine creates a container. Compared side by side with Docker Engine 20.10 (tests/integration/test_simulation.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.simulation.errors import EngineRefusal

_CONFIG_DEFAULTS: Mapping[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
_CONFIG_WHERE_GIVEN = (
    "ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal", "StopTimeout", "Shell",
)  # fmt: skip
_HOST_DEFAULTS: Mapping[str, Any] = {
    "Binds": None,
    "ContainerIDFile": "",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "NetworkMode": "default",
    "PortBindings": None,
    "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "VolumeDriver": "",
    "VolumesFrom": None,
    "CapAdd": None,
    "CapDrop": None,
    "CgroupnsMode": "host",
    "Dns": None,
    "DnsOptions": None,
    "DnsSearch": None,
    "ExtraHosts": None,
    "GroupAdd": None,
    "IpcMode": "private",
    "Cgroup": "",
    "Links": None,
    "OomScoreAdj": 0,
    "PidMode": "",
    "Privileged": False,
    "PublishAllPorts": False,
    "ReadonlyRootfs": False,
    "SecurityOpt": None,
    "UTSMode": "",
    "UsernsMode": "",
    "ShmSize": 67108864,
    "Runtime": "runc",
    "ConsoleSize": [0, 0],
    "Isolation": "",
    "CpuShares": 0,
    "Memory": 0,
    "NanoCpus": 0,
    "CgroupParent": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": None,
    "BlkioDeviceReadBps": None,
    "BlkioDeviceWriteBps": None,
    "BlkioDeviceReadIOps": None,
    "BlkioDeviceWriteIOps": None,
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "Devices": None,
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "KernelMemory": 0,
    "KernelMemoryTCP": 0,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": None,
    "OomKillDisable": False,
    "PidsLimit": None,
    "Ulimits": None,
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
    "MaskedPaths": [
        "/proc/asound",
        "/proc/acpi",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
    ],
    "ReadonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
}
_HOST_WHERE_GIVEN = ("Mounts", "Tmpfs", "Sysctls", "StorageOpt", "Init")
_MINIMUM_MEMORY = 6 * 1024 * 1024


def merged_config(
    requested: Mapping[str, Any], image: Mapping[str, Any], short_id: str, host_name: str
) -> dict[str, Any]:
    """The Config section of inspect. `requested` is the body of the create call, `image` the image's configuration.

    Raises EngineRefusal (400) where neither names a command.
    """
    config = {key: requested.get(key, default) for key, default in _CONFIG_DEFAULTS.items()}
    network_mode = str((requested.get("HostConfig") or {}).get("NetworkMode", ""))
    if not config["Hostname"] and not network_mode.startswith("container:"):
        config["Hostname"] = host_name if network_mode == "host" else short_id
    if not config["Hostname"]:
        config["Hostname"] = short_id
    config["Entrypoint"], config["Cmd"] = _command(requested, image)
    if not (config["Entrypoint"] or config["Cmd"]):
        raise EngineRefusal(400, "No command specified")
    config["Env"] = _environment(requested.get("Env") or (), image.get("Env") or ())
    config["User"] = config["User"] or image.get("User") or ""
    config["WorkingDir"] = config["WorkingDir"] or image.get("WorkingDir") or ""
    config["Labels"] = {**(image.get("Labels") or {}), **(requested.get("Labels") or {})}
    config["Volumes"] = {**(image.get("Volumes") or {}), **(requested.get("Volumes") or {})} or None
    given = {key: requested[key] for key in _CONFIG_WHERE_GIVEN if requested.get(key) not in (None, "")}
    ports = {**(image.get("ExposedPorts") or {}), **(requested.get("ExposedPorts") or {})}
    if ports:
        given["ExposedPorts"] = dict(sorted(ports.items()))
    if health := _healthcheck(requested.get("Healthcheck"), image.get("Healthcheck")):
        given["Healthcheck"] = health
    if signal := requested.get("StopSignal") or image.get("StopSignal"):
        given["StopSignal"] = signal
    return {**config, **given}


def merged_host_config(requested: Mapping[str, Any]) -> dict[str, Any]:
    """The HostConfig section of inspect, from that of the create call."""
    host = {key: requested.get(key, default) for key, default in _HOST_DEFAULTS.items()}
    host.update({key: requested[key] for key in _HOST_WHERE_GIVEN if requested.get(key)})
    if requested.get("Init") is not None:
        host["Init"] = requested["Init"]
    for key in ("ShmSize", "Runtime", "IpcMode", "CgroupnsMode", "NetworkMode", "ConsoleSize"):
        host[key] = requested.get(key) or _HOST_DEFAULTS[key]
    log = requested.get("LogConfig") or {}
    host["LogConfig"] = {"Type": log.get("Type") or "json-file", "Config": log.get("Config") or {}}
    policy = requested.get("RestartPolicy") or {}
    host["RestartPolicy"] = {
        "Name": policy.get("Name", ""),
        "MaximumRetryCount": policy.get("MaximumRetryCount", 0),
    }
    check_restart_policy(host["RestartPolicy"])
    host["OomKillDisable"] = bool(requested.get("OomKillDisable"))
    if host["Privileged"]:
        host["MaskedPaths"] = host["ReadonlyPaths"] = None
        host["SecurityOpt"] = host["SecurityOpt"] or ["label=disable"]
    else:
        host["MaskedPaths"] = requested.get("MaskedPaths") or _HOST_DEFAULTS["MaskedPaths"]
        host["ReadonlyPaths"] = requested.get("ReadonlyPaths") or _HOST_DEFAULTS["ReadonlyPaths"]
    if bindings := requested.get("PortBindings"):
        host["PortBindings"] = {
            port: [
                {"HostIp": binding.get("HostIp", ""), "HostPort": str(binding.get("HostPort", ""))}
                for binding in (given or ())
            ]
            for port, given in bindings.items()
        }
    if mounts := host.get("Mounts"):
        host["Mounts"] = [_mount_as_kept(mount) for mount in mounts]
    if 0 < host["Memory"] < _MINIMUM_MEMORY:
        raise EngineRefusal(400, "Minimum memory limit allowed is 6MB")
    if host["Memory"] > 0 and host["MemorySwap"] == 0:
        host["MemorySwap"] = 2 * host["Memory"]
    return host


def check_restart_policy(policy: Mapping[str, Any]) -> None:
    """Refuse a restart policy that is none (400)."""
    name, count = policy.get("Name", ""), policy.get("MaximumRetryCount", 0)
    if name not in {"", "no", "always", "unless-stopped", "on-failure"}:
        raise EngineRefusal(400, f"invalid restart policy '{name}'")
    if count and name != "on-failure":
        raise EngineRefusal(400, f"maximum retry count cannot be used with restart policy '{name}'")


@dataclass(frozen=True, slots=True)
class MountRequest:
    """One mount of a container before the engine has made it. `name` is a volume's, "" for an anonymous one.

    `strict`: a missing bind source is refused instead of created (HostConfig.Mounts against HostConfig.Binds).
    """

    kind: str
    name: str
    source: str
    destination: str
    mode: str
    read_write: bool
    propagation: str
    strict: bool
    driver: str = "local"
    options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


def requested_mounts(config: Mapping[str, Any], host: Mapping[str, Any]) -> tuple[MountRequest, ...]:
    """All mounts of a container, in the order in which it names them; the image's volumes last."""
    found = [_bind(text) for text in host["Binds"] or ()]
    found.extend(_mount(mount) for mount in host.get("Mounts") or ())
    taken = {mount.destination for mount in found} | set(host.get("Tmpfs") or ())
    found.extend(
        MountRequest("volume", "", "", path, "", True, "", strict=False)
        for path in sorted(config["Volumes"] or ())
        if path not in taken
    )
    destinations = [mount.destination for mount in found]
    for destination in destinations:
        if destinations.count(destination) > 1:
            raise EngineRefusal(400, f"Duplicate mount point: {destination}")
    return tuple(found)


def _bind(text: str) -> MountRequest:
    source, colon, rest = text.partition(":")
    if not colon:
        raise EngineRefusal(400, f"invalid volume specification: '{text}'")
    destination, _, mode = rest.partition(":")
    words = mode.split(",") if mode else []
    writable = "ro" not in words
    if source.startswith("/"):
        propagation = next((word for word in words if word.lstrip("r") in {"private", "shared", "slave"}), "rprivate")
        return MountRequest("bind", "", source, destination, mode, writable, propagation, strict=False)
    return MountRequest("volume", source, "", destination, mode or "z", writable, "", strict=False)


def _mount(mount: Mapping[str, Any]) -> MountRequest:
    kind, target, writable = mount.get("Type", "volume"), mount.get("Target", ""), not mount.get("ReadOnly", False)
    if not target:
        raise EngineRefusal(400, f'invalid mount config for type "{kind}": field Target must not be empty')
    if kind == "bind":
        options = mount.get("BindOptions") or {}
        source, propagation = mount.get("Source", ""), options.get("Propagation") or "rprivate"
        return MountRequest("bind", "", source, target, "", writable, propagation, strict=True)
    if kind == "tmpfs":
        return MountRequest("tmpfs", "", "", target, "", writable, "", strict=False)
    if kind != "volume":
        raise EngineRefusal(400, f'invalid mount config: mount type unknown: "{kind}"')
    options = mount.get("VolumeOptions") or {}
    driver = options.get("DriverConfig") or {}
    return MountRequest(
        "volume",
        mount.get("Source", ""),
        "",
        target,
        "z",
        writable,
        "",
        strict=False,
        driver=driver.get("Name") or "local",
        options=tuple(sorted((driver.get("Options") or {}).items())),
        labels=tuple(sorted((options.get("Labels") or {}).items())),
    )


def _mount_as_kept(mount: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: mount[key] for key in ("Type", "Source", "Target", "ReadOnly", "Consistency") if mount.get(key)}
    if mount.get("BindOptions") is not None:
        allowed = ("Propagation", "NonRecursive")
        kept["BindOptions"] = {key: mount["BindOptions"][key] for key in allowed if mount["BindOptions"].get(key)}
    if mount.get("VolumeOptions") is not None:
        kept["VolumeOptions"] = {key: value for key, value in mount["VolumeOptions"].items() if value}
    if mount.get("TmpfsOptions") is not None:
        kept["TmpfsOptions"] = {key: value for key, value in mount["TmpfsOptions"].items() if value}
    return kept


def _command(requested: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[list[str] | None, list[str] | None]:
    entrypoint, command = _words(requested.get("Entrypoint")), _words(requested.get("Cmd"))
    if not entrypoint:
        # An empty entrypoint drops the image's and keeps its command; a named one drops both.
        command = command or _words(image.get("Cmd"))
        entrypoint = _words(image.get("Entrypoint")) if entrypoint is None else entrypoint
    return (None if entrypoint == [""] else entrypoint), command


def _words(value: str | Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    return [value] if isinstance(value, str) else list(value)


def _environment(requested: Sequence[str], image: Sequence[str]) -> list[str]:
    named = {entry.partition("=")[0] for entry in requested}
    return [*requested, *(entry for entry in image if entry.partition("=")[0] not in named)]


def _healthcheck(requested: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not requested:
        return dict(image) if image else None
    inherited = dict(image or {})
    merged = {**inherited, **{key: value for key, value in requested.items() if value}}
    return {key: value for key, value in merged.items() if value}
