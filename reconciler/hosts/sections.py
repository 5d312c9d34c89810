"""The kind of each value of an inspect answer that is compared with git later; pure, called by engine_output.

An engine writes null for whatever is unset. A value of another kind is an error that names it: the comparison relies
on what stands here, and what it would make of anything else is nobody's guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Kind = Callable[[Any], bool] | Mapping[str, Any] | tuple[Any]
"""A test of one value, the kinds of a mapping by key (`*` for each), or in a tuple that of every item of a list."""


def text(value: Any) -> bool:
    return isinstance(value, str)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def number(value: Any) -> bool:
    """Go's int64."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def anything(_value: Any) -> bool:
    return True


def words(value: Any) -> bool:
    """A command: a list of words, or one line in images that are old."""
    return text(value) or (isinstance(value, list) and all(map(text, value)))


TEXTS = (text,)
MAP = {"*": text}
DEVICE = {"PathOnHost": text, "PathInContainer": text, "CgroupPermissions": text}

# fmt: off
HOST_CONFIG: Mapping[str, Kind] = {
    **dict.fromkeys(("NetworkMode", "PidMode", "UTSMode", "UsernsMode", "IpcMode", "CgroupnsMode", "Runtime",
                     "CgroupParent", "CpusetCpus"), text),
    **dict.fromkeys(("Privileged", "ReadonlyRootfs", "Init", "OomKillDisable"), flag),
    **dict.fromkeys(("Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "PidsLimit", "CpuShares", "OomScoreAdj",
                     "CpuQuota", "CpuPeriod", "BlkioWeight", "ShmSize", "MemorySwappiness"), number),
    **dict.fromkeys(("CapAdd", "CapDrop", "SecurityOpt", "DeviceCgroupRules", "GroupAdd", "Dns", "DnsOptions",
                     "DnsSearch", "ExtraHosts", "VolumesFrom"), TEXTS),
    "PortBindings": {"*": ({"HostIp": text, "HostPort": text},)},
    "Devices": (DEVICE,),
    "RestartPolicy": {"Name": text, "MaximumRetryCount": number},
    "Sysctls": MAP,
    "Ulimits": ({"Name": text, "Soft": number, "Hard": number},),
    "LogConfig": {"Type": text, "Config": MAP},
    "Tmpfs": MAP,
}
CONFIG: Mapping[str, Kind] = {
    **dict.fromkeys(("Hostname", "Domainname", "User", "WorkingDir", "StopSignal"), text),
    **dict.fromkeys(("Tty", "OpenStdin"), flag),
    **dict.fromkeys(("Cmd", "Entrypoint"), words),
    "Labels": MAP,
    "StopTimeout": number,
    "Volumes": {"*": anything},
    "Healthcheck": {"Test": TEXTS, **dict.fromkeys(("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"),
                                                   number)},
}
MOUNT: Mapping[str, Kind] = {**dict.fromkeys(("Type", "Name", "Source", "Destination"), text), "RW": flag}
ENDPOINT: Mapping[str, Kind] = {
    "Aliases": TEXTS, "DNSNames": TEXTS, "NetworkID": text, "IPAMConfig": {"IPv4Address": text, "IPv6Address": text},
}
# fmt: on
WHOLE = ("Devices", "Ulimits")
"""Lists whose items have every one of their keys."""


def misfit(section: Mapping[str, Any], kinds: Mapping[str, Kind]) -> str | None:
    """The path of the first value that is not of its kind, None where all are. What no kind is known for passes."""
    found = _misfit(section, kinds, "")
    if found is None:
        for name in WHOLE:
            for item in section.get(name) or ():
                if not item or any(item.get(key) is None for key in kinds[name][0]):  # type: ignore[index]
                    return name
    return found


def _misfit(value: Any, kind: Kind, path: str) -> str | None:
    if value is None:
        return None
    if isinstance(kind, tuple):
        if not isinstance(value, list):
            return path
        return next((found for item in value if (found := _item(item, kind[0], path)) is not None), None)
    if isinstance(kind, Mapping):
        if not isinstance(value, dict):
            return path
        every = kind.get("*")
        for name, each in value.items():
            if name in kind or every is not None:
                found = _misfit(each, kind.get(name, every), f"{path}.{name}".lstrip("."))
                if found is not None:
                    return found
        return None
    return None if kind(value) else path


def _item(item: Any, kind: Kind, path: str) -> str | None:
    return path if item is None else _misfit(item, kind, path)
