"""What may be asked of the controller: a key, never an event. Asking twice is asking once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from reconciler.model.target import EnvironmentName


@dataclass(frozen=True, slots=True, order=True)
class Poll:
    """Ask the forge what moved, and put what is due."""

    def __str__(self) -> str:
        return "poll"


@dataclass(frozen=True, slots=True, order=True)
class Resync:
    """Look at everything again, whatever was seen before."""

    def __str__(self) -> str:
        return "resync"


@dataclass(frozen=True, slots=True, order=True)
class CheckpointDue:
    """Sign the ledger's head if it is time, and tell the witness what it does not know."""

    def __str__(self) -> str:
        return "checkpoint"


@dataclass(frozen=True, slots=True, order=True)
class ReviewRequest:
    """Plan a pull request, judge it, post what was found."""

    number: int

    def __str__(self) -> str:
        return f"pull request {self.number}"


@dataclass(frozen=True, slots=True, order=True)
class GroupRequest:
    """Plan and judge a group of the merge queue, named by its branch."""

    branch: str

    def __str__(self) -> str:
        return f"group {self.branch}"


@dataclass(frozen=True, slots=True, order=True)
class ReconcileRequest:
    """Bring one environment to its last approved state."""

    environment: EnvironmentName

    def __str__(self) -> str:
        return str(self.environment)


@dataclass(frozen=True, slots=True, order=True)
class ResumeRequest:
    """Go on with a deployment that was cut off."""

    deployment: str

    def __str__(self) -> str:
        return f"deployment {self.deployment}"


Request = Poll | Resync | CheckpointDue | ReviewRequest | GroupRequest | ReconcileRequest | ResumeRequest


@dataclass(frozen=True, slots=True)
class Done:
    """Handled; nothing more until it is asked for again."""


@dataclass(frozen=True, slots=True)
class Again:
    """Not now; ask again after so long. `reason` is for the log."""

    after: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """It needs a person."""

    reason: str


Result = Done | Again | Parked
