"""Every check of a rendered model with its number, its weight and its words; the families beside it make discoveries.

Dangerous means denied unless a waiver names exactly that value. The rest is ordinary use that a reviewer should know
of: a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model.verdict import Severity

DENY, NOTE = Severity.DENY, Severity.NOTE


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `danger` completes "this …", `advice` says what to do instead of asking for a waiver."""

    name: str
    gate: int
    severity: Severity
    danger: str
    advice: str = ""


CHECKS = {
    check.name: check
    for check in (
        # what is built or named (75, 77)
        Check(
            "no-image",
            75,
            DENY,
            "would have to be built, and nothing is built at apply",
            "build and push it, and name it",
        ),
        Check("build", 75, NOTE, "is left out: nothing is built at apply, the image runs"),
        Check(
            "odd-image", 77, DENY, "is no plain image name, and may look like another one", "write it in plain ASCII"
        ),
        # rights over the host (78)
        Check(
            "privileged",
            78,
            DENY,
            "gives the container every right over the host",
            "give it the one capability or device that it needs",
        ),
        Check("cap-add", 78, DENY, "is a capability that the engine withholds from containers", "drop it"),
        Check(
            "security-opt",
            78,
            DENY,
            "changes the confinement that the engine gives every container",
            "leave it to the engine",
        ),
        Check("devices", 78, DENY, "hands a device of the host to the container", "remove it"),
        Check(
            "host-namespace",
            78,
            DENY,
            "lets the container see or change what is not its own",
            "leave it out: a container has its own",
        ),
        Check("api-socket", 78, DENY, "gives the container the engine, and so the host", "remove it"),
        Check("sysctl", 78, DENY, "changes how the kernel routes or shares", "remove it"),
        Check("own-sysctl", 78, NOTE, "is set in the container's own namespace"),
        Check("cgroup-parent", 78, DENY, "puts the container outside of the engine's limits", "remove it"),
        Check("runtime", 78, DENY, "runs the container with another program of the host", "remove it"),
        Check("annotations", 78, DENY, "speaks to the runtime past the engine", "remove it"),
        Check("credential-spec", 78, DENY, "hands credentials of the host to the container", "remove it"),
        Check(
            "out-of-memory",
            78,
            DENY,
            "lets the host run out of memory before the container does",
            "set a memory limit instead",
        ),
        Check(
            "privileged-hook",
            78,
            DENY,
            "runs beside the service with more rights than it has",
            "do it in the image, or in a job",
        ),
        # what is mounted (78)
        Check(
            "socket-bind",
            78,
            DENY,
            "is a socket: who answers there does what the container asks",
            "put a filtering proxy before it, on a network",
        ),
        Check(
            "host-path-bind",
            78,
            DENY,
            "belongs to the host's own system",
            "mount a directory that holds nothing else, below /srv",
        ),
        Check(
            "root-bind", 78, DENY, "lets root write to the host's disk", "run it as another user, or mount it read-only"
        ),
        Check(
            "nested-bind",
            78,
            DENY,
            "is one mount inside another that may be written to: a link planted there leads anywhere",
            "mount the outer one alone, or read-only",
        ),
        Check("host-bind", 78, NOTE, "is the host's own directory, taken by its path"),
        Check("mount-propagation", 78, DENY, "carries mounts from the container to the host", "remove it"),
        Check("mount-type", 78, DENY, "is no kind of mount that is known here", "use a volume"),
        Check(
            "volume-driver",
            78,
            DENY,
            "mounts something of the host or of the network under a volume's name",
            "use a plain volume",
        ),
        Check("volumes-from", 78, DENY, "takes over every mount of another container", "name the volumes themselves"),
        Check("network-driver", 78, DENY, "puts containers onto a network of the host", "use a bridge"),
        # beside the service (79)
        Check("provider", 79, DENY, "runs a program beside Compose instead of a container", "use an image"),
        Check("models", 79, DENY, "starts models through a plugin", "use an image"),
        Check("hook", 79, NOTE, "beside the service's own command"),
        Check("develop", 79, NOTE, "is left out here"),
        Check("logging", 79, DENY, "sends what the container says to somewhere else", "use json-file or local"),
        Check("unknown-key", 79, DENY, "is a key that this version does not know, and cannot judge", "remove it"),
        Check(
            "unreadable", 79, DENY, "has not the form that Compose gives it", "see what `docker compose config` says"
        ),
        # what is somebody else's (80)
        Check("external-network", 80, NOTE, "is not this environment's own"),
        Check(
            "external-volume",
            80,
            DENY,
            "is data of somebody else on this host",
            "declare the volume here, and copy the data",
        ),
        Check(
            "foreign-network",
            80,
            DENY,
            "is a network that this environment does not declare",
            "declare it under networks",
        ),
        Check("taken-name", 80, DENY, "is a name of another environment", "choose a name of its own"),
        Check(
            "external-links", 80, DENY, "reaches for a container of somebody else", "share an external network instead"
        ),
        Check("reserved-label", 80, DENY, "makes it look like another project's", "remove the label"),
    )
}


@dataclass(frozen=True, slots=True)
class Discovery:
    """One thing that a check found. `subject` is like `service web`, `key` where in it, `value` exactly what stands
    there (JSON), `shown` the words for a reader, with nothing that could be a password.
    """

    check: Check
    subject: str
    key: str
    value: Any
    shown: str

    @property
    def text(self) -> str:
        """The sentence without what to do."""
        return f"{self.subject}: {self.key} {self.shown} {self.check.danger}"


def discovery(check: str, subject: str, key: str, value: Any, shown: str | None = None) -> Discovery:
    """A discovery by the name of its check; the value itself is shown where nothing else is said."""
    return Discovery(CHECKS[check], subject, key, value, shown if shown is not None else spoken(value))


def spoken(value: Any) -> str:
    """A value in a sentence: words as they are, lists with commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(spoken(each) for each in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {spoken(each)}" for key, each in sorted(value.items()))
    return str(value)


def literal(value: Any) -> Any:
    """A part of a rendered model with `$$` read as the dollar sign that it stands for."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, Mapping):
        return {literal(str(key)): literal(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [literal(each) for each in value]
    return value


def named(model: Mapping[str, Any], section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The named mappings of a section, sorted; what is none is nothing, or left to the check `unreadable`."""
    found = model.get(section)
    if isinstance(found, Mapping):
        for name, each in sorted(found.items(), key=lambda pair: str(pair[0])):
            if isinstance(each, Mapping):
                yield str(name), literal(each)


def listed(value: Any) -> list[Any]:
    """A list as it is, one thing as a list of it, nothing as an empty one."""
    if value is None or value in ("", {}):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def said_yes(value: Any) -> bool:
    """Whether a switch is on; what is neither clearly on nor off counts as on."""
    return value is not None and str(value).strip().lower() not in ("", "false", "no", "off", "0")
