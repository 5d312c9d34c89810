"""What is mounted: paths and sockets of the host, volumes that are something else, networks of the host (gate 78).

A bind source that is not absolute is a file of the repository or data of the target, which lie in a directory of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from posixpath import normpath
from typing import Any

from reconciler.policy.contents.catalogue import Discovery, discovery, listed, named, said_yes
from reconciler.policy.contents.privilege import is_root, mapping, pairs
from reconciler.policy.request import Surroundings

SYSTEM = (
    "/bin", "/boot", "/cgroup", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/lost+found", "/nix",
    "/proc", "/root", "/run", "/sbin", "/snap", "/sys", "/usr", "/var", "/opt/cni", "/opt/containerd",
    "/tmp",  # noqa: S108 - only a name
)  # fmt: skip
"""Directories of the host's own system. Above them (`/`) and below them nothing is mounted without a waiver."""

DATA = ("/var/lib", "/var/opt", "/var/srv", "/var/www")
"""Below these, other than themselves, lies data of whoever put it there."""

SYSTEM_DATA = (
    "AccountsService", "NetworkManager", "apt", "buildkit", "cloud", "cni", "containerd", "containers", "dbus",
    "docker", "dpkg", "etcd", "kubelet", "libvirt", "lxc", "lxcfs", "lxd", "nfs", "pam", "polkit-1", "portables",
    "private", "rancher", "reconciler", "rpm", "snapd", "sudo", "systemd", "udisks2",
)  # fmt: skip
"""Names in /var/lib that belong to the system, the engine or us."""

EVERYBODYS = ("/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo", "/etc/ssl/certs", "/etc/pki/tls/certs")
"""Read-only, these tell nothing: only noted."""

MEMORY_LIMITS = ("size=", "mode=", "uid=", "gid=", "nr_inodes=")
MEMORY_FLAGS = ("nodev", "nosuid", "noexec", "noatime", "rw", "ro")
"""What the options of a tmpfs may say."""

ENGINE_ID = re.compile(r"[0-9a-f]{12,64}")
"""Compose finds a network by its id as well, the host's own too."""

OWN_DRIVERS = ("", "default", "bridge", "overlay", "none", "null")

BRIDGE_OPTIONS = (
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.container_iface_prefix",
    "com.docker.network.driver.mtu",
)


def discoveries(model: Mapping[str, Any], around: Surroundings) -> Iterator[Discovery]:
    """Mounts of every service, volumes and networks of the model."""
    written = {(path, f"service {name}") for path, writable, name in absolute_binds(model) if writable}
    written |= {(path, whose) for path, writable, whose in around.shared if writable}
    for name, service in named(model, "services"):
        subject = f"service {name}"
        for mount in listed(service.get("volumes")):
            yield from of_mount(subject, service, mount, around, written)
        for other in listed(service.get("volumes_from")):
            yield discovery("volumes-from", subject, "volumes_from", other)
        for key, network in sorted(mapping(service.get("networks")).items()):
            if mapping(network).get("driver_opts"):
                options = mapping(network)["driver_opts"]
                yield discovery("network-driver", subject, f"networks.{key}.driver_opts", options, ", ".join(options))
    for name, volume in named(model, "volumes"):
        yield from of_volume(f"volume {name}", volume)
    for name, network in named(model, "networks"):
        yield from of_network(f"network {name}", network)


def of_mount(
    subject: str, service: Mapping[str, Any], mount: Any, around: Surroundings, written: set[tuple[str, str]]
) -> Iterator[Discovery]:
    """One mount as Compose renders it."""
    kind = mount.get("type") if isinstance(mount, Mapping) else None
    source = str(mount.get("source") or "") if isinstance(mount, Mapping) else ""
    if kind not in ("bind", "volume", "tmpfs") or (kind == "volume" and "/" in source):
        yield discovery("mount-type", subject, "volumes", mount, str(kind or mount))
        return
    if kind != "bind":
        return
    key, options = f"volumes ({mount.get('target')})", mapping(mount.get("bind"))
    propagation = str(options.get("propagation") or "private")
    if propagation not in ("private", "rprivate"):
        yield discovery("mount-propagation", subject, key, dict(mount), propagation)
    if not source.startswith("/"):
        return
    path, read_only = clean(source), said_yes(mount.get("read_only"))
    yield discovery(weight_of(path, read_only, around), subject, key, dict(mount), path)
    # each by itself, and who the other is with it: leave to lie inside what one writes to is none for the next
    for outer, whose in sorted(written):
        if within(path, outer) and path != outer:
            shown = f"{path}, inside {outer} that {whose} mounts for writing,"
            yield discovery("nested-bind", subject, key, [dict(mount), "inside", outer, whose], shown)
    for inner, _, whose in around.shared if not read_only else ():
        if within(inner, path) and inner != path:
            shown = f"{path}, for writing around {inner} of {whose},"
            yield discovery("nested-bind", subject, key, [dict(mount), "around", inner, whose], shown)
    if not read_only and is_root(service.get("user")):
        yield discovery("root-bind", subject, key, [dict(mount), str(service.get("user"))], path)


def weight_of(path: str, read_only: bool, around: Surroundings) -> str:
    """Which check an absolute bind source falls under."""
    ours = [clean(own) for own in around.host_paths]
    if path.endswith(".sock") or path in ours:
        return "socket-bind" if path.endswith(".sock") else "host-path-bind"
    if any(within(path, own) or within(own, path) for own in ours):
        return "host-path-bind"
    if read_only and any(within(path, known) for known in EVERYBODYS):
        return "host-bind"
    for data in DATA:
        if within(path, data) and path != data:
            name = path.removeprefix(f"{data}/").partition("/")[0]
            return "host-path-bind" if data == "/var/lib" and name in SYSTEM_DATA else "host-bind"
    return "host-path-bind" if any(within(path, own) or within(own, path) for own in SYSTEM) else "host-bind"


def within(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies below it."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def clean(path: str) -> str:
    """An absolute path without dots and doubled slashes."""
    return "/" + normpath(path).lstrip("/")


def absolute_binds(model: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """Every absolute bind source of a model, whether it may be written to, and the service that mounts it."""
    for name, service in named(model, "services"):
        for mount in listed(service.get("volumes")):
            if isinstance(mount, Mapping) and mount.get("type") == "bind":
                source = str(mount.get("source") or "")
                if source.startswith("/"):
                    yield clean(source), not said_yes(mount.get("read_only")), name


def of_volume(subject: str, volume: Mapping[str, Any]) -> Iterator[Discovery]:
    """A volume that is not a plain directory of the engine; memory (tmpfs) is fine."""
    driver, options = str(volume.get("driver") or "local"), mapping(volume.get("driver_opts"))
    if driver != "local":
        yield discovery("volume-driver", subject, "driver", [driver, dict(options)], driver)
    elif options and not in_memory(options):
        device, kind = options.get("device") or "none", options.get("type") or "none"
        names = ", ".join(sorted(options))
        yield discovery("volume-driver", subject, "driver_opts", dict(options), f"({names}: {kind} {device})")


def in_memory(options: Mapping[str, Any]) -> bool:
    """Whether local driver options make a tmpfs; an option `bind` would make it a bind whatever its type says."""
    flags = [flag for flag in str(options.get("o") or "").split(",") if flag]
    return (
        set(options) <= {"type", "device", "o"}
        and options.get("type") == "tmpfs"
        and str(options.get("device") or "tmpfs") in ("tmpfs", "none")
        and all(flag.startswith(MEMORY_LIMITS) or flag in MEMORY_FLAGS for flag in flags)
    )


def of_network(subject: str, network: Mapping[str, Any]) -> Iterator[Discovery]:
    """A network that is more than a bridge of its own."""
    driver = str(network.get("driver") or "")
    if driver not in OWN_DRIVERS:
        yield discovery(
            "network-driver", subject, "driver", [driver, dict(mapping(network.get("driver_opts")))], driver
        )
    for option, value in pairs(network.get("driver_opts")):
        if driver in OWN_DRIVERS and option not in BRIDGE_OPTIONS:
            yield discovery("network-driver", subject, "driver_opts", [option, value], f"{option}={value}")
    name = str(network.get("name") or "")
    if name == "host" or ENGINE_ID.fullmatch(name):
        yield discovery("host-namespace", subject, "name", name)
