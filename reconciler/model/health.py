"""Health of a service and of the whole; the worst one wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """From best to worst, in this order."""

    HEALTHY = "Healthy"
    SUSPENDED = "Suspended"
    PROGRESSING = "Progressing"
    MISSING = "Missing"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"


class Sync(StrEnum):
    """Whether the host equals git."""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """Health of one service with the reason."""

    service: str
    health: Health
    reason: str


def worst(healths: Iterable[Health]) -> Health:
    """The worst of them; Healthy when there are none."""
    order = list(Health)
    return max(healths, key=order.index, default=Health.HEALTHY)
