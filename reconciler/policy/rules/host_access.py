"""Whether a service reaches for the host (gate 78): the rule family, and the built-in findings that are always shown.

Everything is read from the rendered model, because that is what runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from posixpath import normpath
from typing import Any

from reconciler.model.policy import Rule
from reconciler.model.verdict import Finding, Severity
from reconciler.policy.facts import Facts

GATE = 78
BESIDE = 79
"""Commands that run beside the service's own; always shown, because no engine shows them to a comparison."""

OTHERS = 80
"""Networks and volumes of somebody else; always shown, because a plan names them by the key that the author chose."""

HOST_NAMESPACES = ("network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup")

KEYS = (
    "cap_add",
    "devices",
    "device_cgroup_rules",
    "gpus",
    "volumes_from",
    "sysctls",
    "cgroup_parent",
    "runtime",
    "credential_spec",
    "oom_kill_disable",
    "use_api_socket",
    "provider",
)

HOST_PATHS = (
    "/bin",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/dev",
    "/root",
    "/boot",
    "/run",
    "/usr",
    "/var/run",
    "/var/spool",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/reconciler",
)

OWN_NETWORKS = ("", "none", "bridge", "default", "host")
"""Values of network_mode that lead to no network of somebody else (`host` is a namespace)."""

HOOKS = ("post_start", "pre_stop")

UNCONFINED = ("unconfined", "label:disable", "label=disable")


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether some service of the rendered model reaches for the host as the rule says."""
    wanted = rule.when.privileged
    if wanted is None:
        return True
    if facts.subject is None or facts.subject.model is None:
        return None
    return any(True for _ in reaches(facts.subject.model)) is wanted


def findings(model: Mapping[str, Any]) -> Iterator[Finding]:
    """One note for each way in which the model reaches for the host (a rule may deny them), for each hook, and for
    each network or volume of somebody else.
    """
    for check, text in reaches(model):
        yield Finding(check, Severity.NOTE, text, gate=GATE)
    for check, text in hooks(model):
        yield Finding(check, Severity.NOTE, text, gate=BESIDE)
    for check, text in shared(model):
        yield Finding(check, Severity.NOTE, text, gate=OTHERS)


def hooks(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What each service runs after its start or before its end."""
    for name, service in sorted((model.get("services") or {}).items()):
        for hook in HOOKS:
            for each in service.get(hook) or () if isinstance(service, Mapping) else ():
                command = each.get("command") if isinstance(each, Mapping) else each
                words = command if isinstance(command, list) else [command]
                yield "hook", f"service {name}: {hook} runs {' '.join(str(word) for word in words)}"


def shared(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Networks and volumes that this environment uses and does not own, by their names on the host."""
    for section, word in (("networks", "network"), ("volumes", "volume")):
        for key, declared in sorted((model.get(section) or {}).items()):
            if isinstance(declared, Mapping) and declared.get("external"):
                name = str(declared.get("name") or key).replace("$$", "$")
                yield f"external-{word}", f"{word} {key} is {name} of this host, which is not this environment's own"


def reaches(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name of the check and sentence, services and volumes in the order of their names."""
    for name, service in sorted((model.get("services") or {}).items()):
        if isinstance(service, Mapping):
            yield from ((check, f"service {name}: {text}") for check, text in of_service(service))
    for name, volume in sorted((model.get("volumes") or {}).items()):
        options = volume.get("driver_opts") if isinstance(volume, Mapping) else None
        if options:
            yield "volume-driver-options", f"volume {name} is mounted with driver options {', '.join(sorted(options))}"


def of_service(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What one rendered service reaches for."""
    if service.get("privileged"):
        yield "privileged", "runs privileged"
    for key in HOST_NAMESPACES:
        value = str(service.get(key) or "")
        if value == "host" or value.startswith("container:"):
            yield "host-namespace", f"{key} is {value}"
    network = str(service.get("network_mode") or "")
    if network not in OWN_NETWORKS and not network.startswith(("service:", "container:")):
        yield "foreign-network", f"network_mode is {network}, a network that this environment does not declare"
    for key in KEYS:
        if service.get(key):
            yield key.replace("_", "-"), f"uses {key}"
    resources = (service.get("deploy") or {}).get("resources") or {}
    if (resources.get("reservations") or {}).get("devices"):
        yield "gpus", "reserves devices of the host"
    for option in service.get("security_opt") or ():
        if any(word in str(option) for word in UNCONFINED):
            yield "unconfined", f"security_opt {option}"
    for hook in HOOKS:
        if any(isinstance(h, Mapping) and (h.get("privileged") or is_root(h)) for h in service.get(hook) or ()):
            yield "privileged-hook", f"a {hook} hook runs privileged or as root"
    for mount in service.get("volumes") or ():
        source = mount.get("source") if isinstance(mount, Mapping) and mount.get("type") == "bind" else None
        if isinstance(source, str) and source.startswith("/"):
            yield from of_bind(source)


def is_root(hook: Mapping[str, Any]) -> bool:
    """Whether a hook asks for root, in whichever way the engine reads it."""
    return str(hook.get("user") or "").partition(":")[0] in ("root", "0")


def of_bind(source: str) -> Iterator[tuple[str, str]]:
    """What an absolute bind source gives away."""
    path = "/" + normpath(source).lstrip("/")
    if path.endswith(".sock"):
        yield "socket-bind", f"mounts the socket {path}"
    elif any(own == path or own.startswith(path.rstrip("/") + "/") or path.startswith(own + "/") for own in HOST_PATHS):
        yield "host-path-bind", f"mounts {path} of the host"
