"""One difference between git and a host, with before, after and cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.model.location import Location


class ChangeKind(StrEnum):
    """What happens to the subject."""

    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"
    STATE = "state"  # runs where it should not, or does not run where it should


class SubjectKind(StrEnum):
    """What a change is about."""

    SERVICE = "service"
    CONTAINER = "container"
    NETWORK = "network"
    VOLUME = "volume"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """A service by its name; a container by its name (orphans, one-offs); a network, volume or directory by its
    name there.
    """

    kind: SubjectKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Value:
    """One side of a change. `digestable` is what the plan digest covers (a fingerprint for an environment value);
    `text` is what people see: the clear value where it is known not to be secret, else a masked one."""

    digestable: Any
    text: str


ABSENT = Value(None, "absent")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `field` is the aspect, like "image" or "environment.GREETING", "" for the whole subject.

    `found_by` is "fields" or "config-hash" (an attribute that inspect does not show). `cause` names file and line
    where git says it; None where only the host differs. `destroys` is true where data or a whole subject goes.
    """

    kind: ChangeKind
    subject: Subject
    field: str
    before: Value
    after: Value
    why: str
    cause: Location | None = None
    found_by: str = "fields"
    destroys: bool = False
