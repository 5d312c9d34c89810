"""Rights that a service asks for over its host: capabilities, confinement, devices, namespaces (gate 78)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.policy.contents.catalogue import Discovery, discovery, listed, named, said_yes
from reconciler.policy.request import Surroundings

ORDINARY_CAPABILITIES = frozenset(
    ("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
     "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT")
)  # fmt: skip
"""What the engine gives every container anyway (https://docs.docker.com/engine/containers/run/): adding one back after
`cap_drop: ALL` leaves less than the default, so nothing is said of it.
"""

ORDINARY_OPTIONS = ("seccomp=builtin", "apparmor=docker-default")

NAMESPACES = {
    "network_mode": ("none", "bridge", "default"),
    "pid": (),
    "ipc": ("none", "private", "shareable"),
    "uts": (),
    "userns_mode": (),
    "cgroup": ("private",),
}
"""Namespace keys with the values that lead to nothing but the container itself; `service:` is followed."""

OWN_SYSCTLS = (
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.default.disable_ipv6",
    "kernel.msg",
    "kernel.sem",
    "kernel.shm",
    "fs.mqueue.",
)
"""Beginnings of kernel settings that every container has of its own and that change no route."""

HOOKS = ("post_start", "pre_stop")


def discoveries(model: Mapping[str, Any], around: Surroundings) -> Iterator[Discovery]:
    """What each service asks for."""
    del around
    services = dict(named(model, "services"))
    for name, service in services.items():
        for found in of_service(service, services):
            check, key, value, *shown = found
            yield discovery(check, f"service {name}", key, value, *shown)


def of_service(service: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Check, key, value, and words where the value itself should not be shown."""
    if said_yes(service.get("privileged")):
        yield "privileged", "privileged", True
    for added in listed(service.get("cap_add")):
        capability = str(added).upper().removeprefix("CAP_")
        if capability not in ORDINARY_CAPABILITIES:
            yield "cap-add", "cap_add", capability
    for option in listed(service.get("security_opt")):
        if not ordinary_option(str(option)):
            yield "security-opt", "security_opt", str(option)
    yield from of_devices(service)
    yield from of_namespaces(service, services)
    if said_yes(service.get("use_api_socket")):
        yield "api-socket", "use_api_socket", True
    yield from of_kernel(service)
    for hook in HOOKS:
        for each in listed(service.get(hook)):
            if isinstance(each, Mapping) and (said_yes(each.get("privileged")) or is_root(each.get("user"))):
                words = " ".join(str(word) for word in listed(each.get("command")))
                as_whom = "privileged" if said_yes(each.get("privileged")) else f"as user {each.get('user')}"
                yield "privileged-hook", hook, dict(each), f"({words}, {as_whom})"


def ordinary_option(option: str) -> bool:
    """Whether a security option leaves the engine's confinement as it is, or tightens it."""
    said = option.replace(":", "=")
    if said.partition("=")[0] == "no-new-privileges":
        return True  # `false` is what a container has without it
    return said in ORDINARY_OPTIONS


def of_devices(service: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Devices in each of the ways in which Compose takes them."""
    for key in ("devices", "device_cgroup_rules", "gpus"):
        for device in listed(service.get(key)):
            yield "devices", key, device
    resources = mapping(mapping(service.get("deploy")).get("resources"))
    for device in listed(mapping(resources.get("reservations")).get("devices")):
        yield "devices", "deploy.resources.reservations.devices", device


def of_namespaces(service: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Namespaces of the host or of a container of somebody else, also through another service."""
    for key, ordinary in NAMESPACES.items():
        value = str(service.get(key) or "")
        through, seen = value, {value}
        while through.startswith("service:"):
            through = str(mapping(services.get(through.removeprefix("service:"))).get(key) or "")
            if through in seen:
                break
            seen.add(through)
        if not through or through in ordinary or through.startswith("service:"):
            continue
        if key == "network_mode" and through != "host" and not through.startswith("container:"):
            yield "foreign-network", key, value
        else:
            yield "host-namespace", key, value, value if through == value else f"{value}, which is {through},"


def of_kernel(service: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Kernel settings, cgroups, the runtime and the memory killer."""
    for setting, value in pairs(service.get("sysctls")):
        own = setting.startswith(OWN_SYSCTLS)
        yield "own-sysctl" if own else "sysctl", "sysctls", [setting, value], f"{setting}={value}"
    if service.get("cgroup_parent"):
        yield "cgroup-parent", "cgroup_parent", service["cgroup_parent"]
    for key, ordinary in (("runtime", ("runc", "io.containerd.runc.v2")), ("isolation", ("default",))):
        if service.get(key) and service[key] not in ordinary:
            yield "runtime", key, service[key]
    for annotation, value in pairs(service.get("annotations")):
        yield "annotations", "annotations", [annotation, value], annotation
    if service.get("credential_spec"):
        yield "credential-spec", "credential_spec", service["credential_spec"], ""
    if said_yes(service.get("oom_kill_disable")):
        yield "out-of-memory", "oom_kill_disable", True
    score = str(service.get("oom_score_adj") or "")
    if score.startswith("-"):
        yield "out-of-memory", "oom_score_adj", score


def is_root(user: Any) -> bool:
    """Whether a user is root, in whichever way the engine reads it."""
    name = str(user).partition(":")[0].strip()
    if name == "root":
        return True
    try:
        return int(name) == 0
    except ValueError:
        return False


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is, anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def pairs(value: Any) -> list[tuple[str, str]]:
    """A mapping, or a list of `key=value`, as sorted pairs."""
    if isinstance(value, Mapping):
        return sorted((str(key), str(each)) for key, each in value.items())
    split = (str(each).partition("=") for each in listed(value))
    return sorted((key, each) for key, _, each in split)
