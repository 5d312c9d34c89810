"""The immutable record of one execution."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.model.approval import Approval
from reconciler.model.health import Health, ServiceHealth, worst
from reconciler.model.target import Target


class DeploymentKind(StrEnum):
    """Why something was executed."""

    CHANGE = "change"
    ROLLBACK = "rollback"
    HEAL = "heal"
    OPERATION = "operation"
    BREAK_GLASS = "break-glass"


class DeploymentState(StrEnum):
    """The first five move; the others end it."""

    QUEUED = "queued"
    SHIPPING = "shipping"
    PULLING = "pulling"
    OPERATING = "operating"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_CONVERGED = "not-converged"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    RESTORED = "restored"

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL = frozenset(
    {
        DeploymentState.SUCCEEDED,
        DeploymentState.FAILED,
        DeploymentState.NOT_CONVERGED,
        DeploymentState.INTERRUPTED,
        DeploymentState.CANCELLED,
        DeploymentState.RESTORED,
    }
)


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What became of one operation. `index` is its place in the approved plan; `detail` is redacted.

    `outcome` is done, failed, already (a run that was cut off had done it) or unknown (one was cut off in it, and what
    there is now does not tell).
    """

    index: int
    operation: str
    subject: str
    why: str
    outcome: str
    detail: str
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class TargetResult:
    """One target of a deployment: its plan, its operations, its health after."""

    target: Target
    plan_digest: str
    engine_id: str
    operations: tuple[OperationResult, ...]
    health: Health
    services: tuple[ServiceHealth, ...]
    containers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Authority:
    """By what right it was executed: `kind` is approval (a pull request), genesis (trust init), trust-reset (the word
    of root persons), heal (an earlier approved state) or break-glass (persons who signed for it, who then say a
    `reason` and a `ticket`).
    """

    kind: str
    pull_request: int | None
    author: str
    approvals: tuple[Approval, ...]
    merged_by: str
    attestation: str
    reason: str = ""
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One execution of the plans of one environment at one revision. `id` is deterministic: it names target set
    and plan.

    `plan_digest` covers all targets: SHA-256 over the sorted (target, digest) pairs, or the single target's own
    digest.
    `reverts` is the id of the deployment that this one undoes; `reverted_by` is derived when asked.
    """

    id: str
    kind: DeploymentKind
    project: str
    environment: str
    hosts: tuple[str, ...]
    revision: str
    plan_digest: str
    authority: Authority
    started_at: datetime
    finished_at: datetime | None
    outcome: DeploymentState
    reason: str
    targets: tuple[TargetResult, ...]
    reverts: str | None = None

    @property
    def health(self) -> Health:
        return worst(t.health for t in self.targets)
