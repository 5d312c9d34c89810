"""What belongs to somebody else on the same host: networks, volumes, names, labels (gate 80)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.policy.contents.catalogue import Discovery, discovery, listed, named
from reconciler.policy.contents.privilege import pairs
from reconciler.policy.request import Surroundings

RESERVED = ("com.docker.compose.", "com.docker.stack.", "com.docker.swarm.", "dev.reconciler.")
"""Labels by which Compose, Swarm and we know what is whose."""


def discoveries(model: Mapping[str, Any], around: Surroundings) -> Iterator[Discovery]:
    """Names on the host that are not this environment's own."""
    for name, service in named(model, "services"):
        subject = f"service {name}"
        container = str(service.get("container_name") or "")
        if taken_by(container, around):
            yield discovery("taken-name", subject, "container_name", container, of(container, around))
        for link in listed(service.get("external_links")):
            yield discovery("external-links", subject, "external_links", link)
        yield from of_labels(subject, service)
    for section, word in (("networks", "network"), ("volumes", "volume")):
        for key, declared in named(model, section):
            subject, real = f"{word} {key}", str(declared.get("name") or "")
            if taken_by(real, around):
                yield discovery("taken-name", subject, "name", real, of(real, around))
            elif declared.get("external"):
                yield discovery(f"external-{word}", subject, "external", real or key)
            yield from of_labels(subject, declared)


def of_labels(subject: str, declared: Mapping[str, Any]) -> Iterator[Discovery]:
    """Labels that only Compose or we may set."""
    for label, value in pairs(declared.get("labels")):
        if label.startswith(RESERVED):
            yield discovery("reserved-label", subject, "labels", [label, value], f"{label}={value}")


def taken_by(name: str, around: Surroundings) -> str | None:
    """The Compose project of another environment to which a name belongs by its beginning (the longest one counts)."""
    projects = [each for each in (*around.neighbours, around.compose_project) if each and belongs(name, each)]
    longest = max(projects, default=None)  # of several beginnings of one name the longest sorts last
    return longest if longest != around.compose_project else None


def belongs(name: str, project: str) -> bool:
    """Whether Compose would give this name to something of the project."""
    return name == project or name.startswith((f"{project}_", f"{project}-"))


def of(name: str, around: Surroundings) -> str:
    """A taken name with whose it is."""
    return f"{name} (of {taken_by(name, around)})"
