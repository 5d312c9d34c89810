"""The gate's answer for people (comment, terminal) and for programs (JSON). Called by control and the faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from reconciler.model.approval import Approval, Form, Gate, Open, Reason, Refused, RuleSet, Stale, Waiting
from reconciler.model.desired import Consent
from reconciler.reports.escape import cut, inline, visible

MOST_LINES = 30
QUOTED_DIGITS = 12


def command(digests: Sequence[str]) -> str:
    """The comment that consents to plans with these digests."""
    return " ".join(["/reconciler approve", *(each[:QUOTED_DIGITS] for each in digests)])


def outcome(gate: Gate) -> str:
    """One word: open, waiting, stale or refused."""
    return type(gate).__name__.lower()


def headline(gate: Gate) -> str:
    """One sentence, for a status and the first line of everything else."""
    match gate:
        case Open(approvals=()):
            return "no approval is needed here; a registered person merges"
        case Open(approvals=approvals):
            return f"approved by {', '.join(approval.person for approval in approvals)}"
        case Waiting(missing=missing):
            return missing[0] if missing else "waiting for an approval"
        case Stale(reasons=reasons):
            return f"approve again: {first(reasons)}"
        case Refused(reasons=reasons):
            return first(reasons)
        case _:
            assert_never(gate)


def first(reasons: Sequence[Reason]) -> str:
    """The first reason with its number, and how many more there are."""
    if not reasons:
        return "no reason was given"
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{numbered(reasons[0])}{more}"


def numbered(reason: Reason) -> str:
    """A reason as `16: approved at …`."""
    return f"{reason.rule}: {reason.text}"


def reasons_of(gate: Gate) -> tuple[Reason, ...]:
    """Why not; empty for an open gate."""
    return () if isinstance(gate, Open) else gate.reasons


def missing_of(gate: Gate) -> tuple[str, ...]:
    """Who or what is missing, in sentences."""
    return gate.missing if isinstance(gate, Waiting) else ()


def said(approval: Approval) -> str:
    """How somebody approved: `review 12`, `comment 13, signed`, `statement, signed` for break-glass."""
    if approval.form is Form.STATEMENT:
        return "statement, signed"
    return f"{approval.form} {approval.review}{', signed' if approval.key else ''}"


def approval_json(approval: Approval) -> dict[str, Any]:
    """An approval that counted, for the ledger and --json."""
    return {
        "person": approval.person,
        "account": approval.account,
        "form": approval.form.value,
        "review": approval.review,
        "head": approval.head_sha,
        "submitted_at": approval.submitted_at.isoformat(),
        "groups": list(approval.groups),
        "key": approval.key,
    }


def gate_text(gate: Gate) -> str:
    """The answer as plain lines for a terminal."""
    lines = [f"{outcome(gate)}: {headline(gate)}"]
    lines += [f"  missing: {sentence}" for sentence in missing_of(gate)]
    lines += [f"  {numbered(reason)}" for reason in reasons_of(gate)]
    if isinstance(gate, Open):
        lines += [f"  {approval.person}: {said(approval)} at {approval.head_sha}" for approval in gate.approvals]
        lines += [f"  {target} {digest}" for target, digest in gate.digests]
    return "\n".join(visible(line) for line in lines)


def gate_markdown(gate: Gate) -> str:
    """The answer as Markdown for the comment's lower part: first what is missing, then what did not count and why."""
    titles = {"open": "Approved", "waiting": "Waiting", "stale": "Approve again", "refused": "Refused"}
    lines = [f"**{titles[outcome(gate)]}**: {inline(headline(gate))}"]
    rest = missing_of(gate)[1:] if isinstance(gate, Waiting) else ()
    lines += [f"- {inline(sentence)}" for sentence in rest[:MOST_LINES]]
    reasons = reasons_of(gate)
    if reasons:
        lines += ["", "Why, by the number in the gate's list:", ""]
        lines += [f"- **{reason.rule}** {inline(reason.text)}" for reason in reasons[:MOST_LINES]]
    if len(reasons) > MOST_LINES:
        lines.append(f"- and {len(reasons) - MOST_LINES} more")
    return "\n".join(lines)


def refusal_json(gate: Gate) -> Mapping[str, Any] | None:
    """`{"code": "GATE_REFUSED", "reasons": [{"rule": 16, "text": …}], …}` for anything but an open gate, else None."""
    if isinstance(gate, Open):
        return None
    return {
        "code": "GATE_REFUSED",
        "outcome": outcome(gate),
        "reasons": [{"rule": reason.rule, "text": reason.text} for reason in gate.reasons],
        "missing": list(missing_of(gate)),
    }


def remarks(rules: RuleSet, digests: Sequence[str] = ()) -> tuple[str, ...]:
    """What a reader has to know about these rules: how to say yes to the plans with these digests, who stands behind
    both sides, and what needs nobody.
    """
    found = []
    asked = max((environment.consent for environment in rules.environments), key=list(Consent).index, default=None)
    if digests and asked is Consent.QUOTED:
        found.append(f"An approval names the plan here: a review whose text does, or the comment: {command(digests)}")
    if digests and asked is Consent.SIGNED:
        found.append("An approval is signed here: `reconciler approvals approve NUMBER --sign` makes and posts it.")
    if any(environment.agent_owner_may_approve for environment in rules.environments):
        found.append("Here the owner of an agent may approve what it wrote: one person may stand behind both.")
    if rules.verdict.requirements and all(need.approvals <= 0 for need in rules.verdict.requirements):
        freed = ", ".join(sorted({need.rule for need in rules.verdict.requirements}))
        found.append(f"No approval is needed here ({cut(freed, 100)}); a registered person has to merge.")
    return tuple(found)
