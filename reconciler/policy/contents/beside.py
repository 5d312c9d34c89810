"""What runs or speaks beside the container: providers, hooks, log drivers, keys that nobody knows (gate 79)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.policy.contents.catalogue import Discovery, discovery, listed, literal, named
from reconciler.policy.contents.privilege import HOOKS, mapping
from reconciler.policy.request import Surroundings

LOCAL_DRIVERS = ("", "json-file", "local", "none", "journald")
"""Log drivers that keep on the host what a container says."""

KNOWN_KEYS = frozenset(
    ("annotations", "attach", "blkio_config", "build", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "command",
     "configs", "container_name", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period",
     "cpu_rt_runtime", "cpu_shares", "cpus", "cpuset", "credential_spec", "depends_on", "deploy", "develop",
     "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "env_file",
     "environment", "expose", "external_links", "extra_hosts", "gpus", "group_add", "healthcheck", "hostname",
     "image", "init", "ipc", "isolation", "label_file", "labels", "links", "logging", "mac_address", "mem_limit",
     "mem_reservation", "mem_swappiness", "memswap_limit", "models", "network_mode", "networks", "oom_kill_disable",
     "oom_score_adj", "pid", "pids_limit", "platform", "ports", "post_start", "pre_stop", "privileged", "profiles",
     "provider", "pull_policy", "pull_refresh_after", "read_only", "restart", "runtime", "scale", "secrets",
     "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "sysctls", "tmpfs",
     "tty", "ulimits", "use_api_socket", "user", "userns_mode", "uts", "volumes", "volumes_from", "working_dir")
)  # fmt: skip
"""Keys of a service that are judged here or elsewhere, or that reach for nothing."""


def discoveries(model: Mapping[str, Any], around: Surroundings) -> Iterator[Discovery]:
    """Everything beside the containers, service by service."""
    del around
    for section in ("services", "networks", "volumes"):
        yield from unreadable(model.get(section), section)
    if model.get("models"):
        yield discovery("models", "the model", "models", literal(model["models"]), ", ".join(sorted(model["models"])))
    for name, service in named(model, "services"):
        subject = f"service {name}"
        for key in sorted(set(service) - KNOWN_KEYS):
            if not key.startswith("x-"):
                yield discovery("unknown-key", subject, key, service[key], "")
        if service.get("provider"):
            kind = mapping(service["provider"]).get("type")
            yield discovery("provider", subject, "provider", service["provider"], str(kind or ""))
        if service.get("models"):
            yield discovery("models", subject, "models", service["models"], ", ".join(sorted(service["models"])))
        if service.get("develop"):
            yield discovery("develop", subject, "develop", None, "")
        for hook in HOOKS:
            for each in listed(service.get(hook)):
                command = mapping(each).get("command") if isinstance(each, Mapping) else each
                yield discovery("hook", subject, hook, None, "runs " + " ".join(str(word) for word in listed(command)))
        logging = mapping(service.get("logging"))
        driver = str(logging.get("driver") or "")
        if driver not in LOCAL_DRIVERS:
            yield discovery("logging", subject, "logging.driver", logging, driver)


def unreadable(section: Any, name: str) -> Iterator[Discovery]:
    """A section or a part of it that is no mapping, and that every other check passes over."""
    if section is None:
        return
    if not isinstance(section, Mapping):
        yield discovery("unreadable", "the model", name, None, "")
        return
    for key, each in sorted(section.items(), key=lambda pair: str(pair[0])):
        if not isinstance(each, Mapping) and not (each is None and name != "services"):
            yield discovery("unreadable", name.removesuffix("s") + f" {key}", "as a whole", None, "")
