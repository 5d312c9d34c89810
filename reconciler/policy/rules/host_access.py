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
    "/etc",
    "/proc",
    "/sys",
    "/dev",
    "/root",
    "/boot",
    "/run",
    "/var/run",
    "/var/lib/docker",
    "/var/lib/reconciler",
)

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
    """One note for each way in which the model reaches for the host; a rule may deny them."""
    for check, text in reaches(model):
        yield Finding(check, Severity.NOTE, text, gate=GATE)


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
    for key in KEYS:
        if service.get(key):
            yield key.replace("_", "-"), f"uses {key}"
    for option in service.get("security_opt") or ():
        if any(word in str(option) for word in UNCONFINED):
            yield "unconfined", f"security_opt {option}"
    for hook in ("post_start", "pre_stop"):
        if any(
            isinstance(h, Mapping) and (h.get("privileged") or h.get("user") == "root") for h in service.get(hook) or ()
        ):
            yield "privileged-hook", f"a {hook} hook runs privileged or as root"
    for mount in service.get("volumes") or ():
        source = mount.get("source") if isinstance(mount, Mapping) and mount.get("type") == "bind" else None
        if isinstance(source, str) and source.startswith("/"):
            yield from of_bind(source)


def of_bind(source: str) -> Iterator[tuple[str, str]]:
    """What an absolute bind source gives away."""
    path = "/" + normpath(source).lstrip("/")
    if path.endswith(".sock"):
        yield "socket-bind", f"mounts the socket {path}"
    elif path == "/" or any(path == own or path.startswith(own + "/") for own in HOST_PATHS) or path == "/var":
        yield "host-path-bind", f"mounts {path} of the host"
