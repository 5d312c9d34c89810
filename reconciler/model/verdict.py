"""What the policy says of a change: single findings, and all of them folded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.location import Location


class Severity(StrEnum):
    """A denial stops; a note is shown."""

    DENY = "deny"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One policy result. `rule` is a rule's id or the name of a built-in check; `gate` its number in the gate's
    list, if any. `digest` is what a waiver names (64 hex digits), None for what nothing waives; `waived` says that one
    did.
    """

    rule: str
    severity: Severity
    text: str
    location: Location | None = None
    gate: int | None = None
    digest: str | None = None
    waived: bool = False


@dataclass(frozen=True, slots=True)
class Requirement:
    """So many approvals, out of a group when one is named, asked for by a rule (or by the built-in default)."""

    approvals: int
    from_group: str | None
    rule: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings folded: denied when any finding denies; otherwise every requirement must be met."""

    findings: tuple[Finding, ...]
    requirements: tuple[Requirement, ...]
    policy_digest: str

    @property
    def denied(self) -> tuple[Finding, ...]:
        """The findings that stop it."""
        return tuple(f for f in self.findings if f.severity is Severity.DENY)

    @property
    def waived(self) -> tuple[str, ...]:
        """What would stop it and was allowed by an accepted waiver: digests of findings, sorted."""
        return tuple(sorted({f.digest for f in self.findings if f.waived and f.digest is not None}))
