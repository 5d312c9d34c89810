"""What the process may do to the machine: privileged, capabilities, devices, security options, a writable root."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.diff.pair import Difference, Pair, differ


def check(pair: Pair) -> Iterable[Difference]:
    wanted, host = pair.wanted, pair.host
    yield from differ("privileged", bool(host.get("Privileged")), bool(wanted.get("privileged")))
    yield from differ("read_only", bool(host.get("ReadonlyRootfs")), bool(wanted.get("read_only")))
    for key, name in (("cap_add", "CapAdd"), ("cap_drop", "CapDrop")):
        yield from differ(key, _capabilities(host.get(name)), _capabilities(wanted.get(key)))
    yield from differ("security_opt", _options(host.get("SecurityOpt")), _options(wanted.get("security_opt")))
    live = sorted([str(d["PathOnHost"]), str(d["PathInContainer"]), str(d["CgroupPermissions"])] for d in _live(host))
    yield from differ("devices", live, sorted(_device(device) for device in wanted.get("devices") or ()))
    rules = sorted(wanted.get("device_cgroup_rules") or ())
    yield from differ("device_cgroup_rules", sorted(host.get("DeviceCgroupRules") or ()), rules)


def _live(host: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    devices: Iterable[Mapping[str, Any]] = host.get("Devices") or ()
    return devices


def _capabilities(values: Iterable[str] | None) -> list[str]:
    return sorted({value.upper().removeprefix("CAP_") for value in values or ()})


def _options(values: Iterable[str] | None) -> list[str]:
    """A seccomp profile shows as its whole text, and SELinux engines add label=disable: both are left to the hash."""
    options = {value.replace(":", "=", 1) if "=" not in value else value for value in values or ()}
    options = {"no-new-privileges=true" if option == "no-new-privileges" else option for option in options}
    hidden = (o for o in options if o.startswith(("seccomp=", "systempaths=")) and o != "seccomp=unconfined")
    return sorted(options - {*hidden, "label=disable"})


def _device(device: object) -> list[str]:
    if isinstance(device, Mapping):
        source = str(device.get("source"))
        return [source, str(device.get("target") or source), str(device.get("permissions") or "rwm")]
    source, _, rest = str(device).partition(":")
    target, _, permissions = rest.partition(":")
    return [source, target or source, permissions or "rwm"]
