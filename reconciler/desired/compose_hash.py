"""Foretells the label com.docker.compose.config-hash that Compose v5 gives a container. Called by execution.py.

Compose takes SHA-256 of the service as Go writes it in JSON, without what does not belong to the container. Within
it the order of keys is that of Go's structures, as `config --format json` of Compose 5.6.1 shows it; at the top it is
another one, pinned since version 2, which no command prints. The tests compare with the program itself. A key that is
not in these lists makes the answer None: a wrong hash would recreate a container at every look, an unknown one only
leaves the comparison to the fields.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

_DROPPED = ("build", "pull_policy", "scale", "depends_on", "profiles")

# fmt: off
_SERVICE = (
    "annotations", "cap_add", "cap_drop", "cgroup_parent", "cgroup", "cpu_count", "cpu_percent", "cpu_period",
    "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpus", "cpuset", "cpu_shares", "command", "configs",
    "container_name", "deploy", "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "domainname",
    "entrypoint", "environment", "expose", "external_links", "extra_hosts", "group_add", "gpus", "hostname",
    "healthcheck", "image", "init", "ipc", "isolation", "labels", "links", "logging", "mem_limit",
    "mem_reservation", "memswap_limit", "mem_swappiness", "mac_address", "network_mode", "networks",
    "oom_kill_disable", "oom_score_adj", "pid", "pids_limit", "platform", "ports", "privileged", "read_only",
    "restart", "runtime", "secrets", "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal",
    "storage_opt", "sysctls", "tmpfs", "tty", "ulimits", "user", "userns_mode", "uts", "volumes", "working_dir",
    "post_start", "pre_stop",
)
# fmt: on

_MAP = "map"  # a Go map: keys sorted
_PLAIN = "plain"  # a scalar, or a list of scalars

_Shape = Any  # _MAP, _PLAIN, or a mapping of key to shape in Go's order

_DEVICES = {
    "capabilities": _PLAIN, "driver": _PLAIN, "count": _PLAIN, "device_ids": _PLAIN, "options": _MAP
}  # fmt: skip
_UPDATE = {
    "parallelism": _PLAIN,
    "delay": _PLAIN,
    "failure_action": _PLAIN,
    "monitor": _PLAIN,
    "max_failure_ratio": _PLAIN,
    "order": _PLAIN,
}
_HOOK = {"command": _PLAIN, "user": _PLAIN, "privileged": _PLAIN, "working_dir": _PLAIN, "environment": _MAP}
_FILE = {"source": _PLAIN, "target": _PLAIN, "uid": _PLAIN, "gid": _PLAIN, "mode": _PLAIN}
_NESTED: Mapping[str, _Shape] = {
    "deploy": {
        "mode": _PLAIN,
        "labels": _MAP,
        "update_config": _UPDATE,
        "rollback_config": _UPDATE,
        "resources": {
            "limits": {"cpus": _PLAIN, "memory": _PLAIN, "pids": _PLAIN},
            "reservations": {
                "cpus": _PLAIN,
                "memory": _PLAIN,
                "devices": _DEVICES,
                "generic_resources": {"discrete_resource_spec": {"kind": _PLAIN, "value": _PLAIN}},
            },
        },
        "restart_policy": {"condition": _PLAIN, "delay": _PLAIN, "max_attempts": _PLAIN, "window": _PLAIN},
        "placement": {
            "constraints": _PLAIN,
            "preferences": {"spread": _PLAIN},
            "max_replicas_per_node": _PLAIN,
        },
        "endpoint_mode": _PLAIN,
    },
    "post_start": _HOOK,
    "pre_stop": _HOOK,
    "annotations": _MAP,
    "configs": _FILE,
    "secrets": _FILE,
    "devices": {"source": _PLAIN, "target": _PLAIN, "permissions": _PLAIN},
    "environment": _MAP,
    "gpus": _DEVICES,
    "labels": _MAP,
    "logging": {"driver": _PLAIN, "options": _MAP},
    "networks": {
        "*": {
            "aliases": _PLAIN,
            "driver_opts": _MAP,
            "gw_priority": _PLAIN,
            "interface_name": _PLAIN,
            "ipv4_address": _PLAIN,
            "ipv6_address": _PLAIN,
            "link_local_ips": _PLAIN,
            "mac_address": _PLAIN,
            "priority": _PLAIN,
        }
    },
    "storage_opt": _MAP,
    "sysctls": _MAP,
    "ulimits": {"*": {"soft": _PLAIN, "hard": _PLAIN}},
    "volumes": {
        "type": _PLAIN,
        "source": _PLAIN,
        "target": _PLAIN,
        "read_only": _PLAIN,
        "consistency": _PLAIN,
        "bind": {"selinux": _PLAIN, "propagation": _PLAIN, "create_host_path": _PLAIN, "recursive": _PLAIN},
        "volume": {"labels": _MAP, "nocopy": _PLAIN, "subpath": _PLAIN},
        "tmpfs": {"size": _PLAIN, "mode": _PLAIN},
    },
    "healthcheck": {
        "test": _PLAIN,
        "timeout": _PLAIN,
        "interval": _PLAIN,
        "retries": _PLAIN,
        "start_period": _PLAIN,
        "start_interval": _PLAIN,
        "disable": _PLAIN,
    },
    "ports": {
        "name": _PLAIN,
        "mode": _PLAIN,
        "host_ip": _PLAIN,
        "target": _PLAIN,
        "published": _PLAIN,
        "protocol": _PLAIN,
        "app_protocol": _PLAIN,
    },
}
_SHAPE: Mapping[str, _Shape] = {key: _NESTED.get(key, _PLAIN) for key in _SERVICE}
_NAMESPACES = ("network_mode", "ipc", "pid")
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


class _Unknown(Exception):
    """A part of the service whose written form is not known for sure."""


def config_hash(service: Mapping[str, Any]) -> str | None:
    """The hash that Compose v5 writes for a service of an execution model, as 64 hex digits.

    `service` has `$$` for a dollar sign in its values, integer modes, and its labels complete. None where the hash
    holds another container's id (network_mode, ipc or pid of a service) or a part whose form is not known here.
    """
    if any(str(service.get(key, "")).startswith("service:") for key in _NAMESPACES):
        return None
    try:
        ordered = _ordered(_as_rendered(service), _SHAPE)
    except _Unknown:
        return None
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPED)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_rendered(service: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in service.items() if key not in _DROPPED}
    if isinstance(kept.get("deploy"), Mapping):
        deploy = {key: value for key, value in kept["deploy"].items() if key != "replicas"}
        kept["deploy"] = {"resources": {}, "placement": {}, **deploy}  # the two that Go never leaves out
    for key in ("configs", "secrets"):
        if key in kept:
            kept[key] = [_with_octal_mode(each) for each in kept[key]]
    return kept


def _with_octal_mode(reference: Mapping[str, Any]) -> Mapping[str, Any]:
    mode = reference.get("mode")
    return {**reference, "mode": f"0{mode:o}"} if isinstance(mode, int) else reference


def _ordered(value: Any, shape: _Shape) -> Any:
    if isinstance(value, list | tuple):
        return [_ordered(item, shape) for item in value]
    if not isinstance(value, Mapping):
        return _scalar(value)
    if shape == _PLAIN:
        raise _Unknown
    if shape == _MAP:
        return {key: _scalar(value[key]) for key in sorted(value)}
    if "*" in shape:
        return {key: _ordered(value[key], shape["*"]) for key in sorted(value)}
    if not set(value) <= set(shape):
        raise _Unknown
    return {key: _ordered(value[key], shape[key]) for key in shape if key in value}


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, float):
        if value.is_integer():
            return int(value)
        if "e" in repr(value):
            raise _Unknown  # Go writes exponents in another form
    if isinstance(value, Mapping | Sequence):
        raise _Unknown
    return value
