"""Is an approval about this thing, and about this thing still? One function per way it can go stale; called by gate.py.

An approval consents to the plan that the ledger holds for its commit. All times are the forge's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from reconciler.approvals import numbers
from reconciler.approvals.completeness import short
from reconciler.model.approval import Evidence, PostedPlan, Reason
from reconciler.model.desired import Consent
from reconciler.model.pull_request import Review, TimelineKind

TIME_TO_LIVE = timedelta(hours=72)
"""How long an approval is worth something (24)."""

WAITS = frozenset({numbers.LOOKED_AT_ANOTHER_PLAN, numbers.EDITED_TEXT})
"""Numbers under which an approval never counted, so that somebody has to look again; the others made it stale."""

QUOTED_DIGITS = 12
HEX_RUN = re.compile(r"(?<![0-9a-f])[0-9a-f]{12,64}(?![0-9a-f])")


def of_this_head(evidence: Evidence, review: Review, _now: datetime) -> Iterator[Reason]:
    """The review is bound to the commit that is the head now (16, 17)."""
    head = evidence.reading.pull_request.head_sha
    if review.commit is None:
        yield Reason(numbers.OLD_COMMIT, f"review {review.id} is of a commit that the forge no longer has")
    elif review.commit != head:
        already_there = any(p.head_sha == head and before(p.updated_at, review.submitted_at) for p in evidence.posted)
        if already_there:
            text = f"approved {short(review.commit)} when the head was {short(head)} already"
            yield Reason(numbers.OLD_COMMIT, text)
        else:
            text = f"approved at {short(review.commit)}, head is now {short(head)}"
            yield Reason(numbers.PUSH_AFTER_APPROVAL, text)


def nothing_moved_since(evidence: Evidence, review: Review, _now: datetime) -> Iterator[Reason]:
    """No force-push, no other base, no reopening after the approval, even if it moved back (23, 25, 26)."""
    for event in evidence.reading.timeline:
        if event.kind in VOIDING and not before(event.at, review.submitted_at):
            number, text = VOIDING[event.kind]
            yield Reason(number, f"{text} after review {review.id} approved it")


VOIDING = {
    TimelineKind.HEAD_FORCE_PUSHED: (numbers.FORCE_PUSH, "the head was force-pushed"),
    TimelineKind.BASE_CHANGED: (numbers.RETARGETED, "the base branch was changed"),
    TimelineKind.REOPENED: (numbers.REOPENED, "the pull request was reopened"),
}


def before(event: datetime | None, approval: datetime | None) -> bool:
    """Whether an event certainly happened before an approval; forges count in whole seconds, so equal is not."""
    return event is not None and approval is not None and event < approval


def still_fresh(_evidence: Evidence, review: Review, now: datetime) -> Iterator[Reason]:
    """An approval is not kept warm for ever (24)."""
    if review.submitted_at is not None and now - review.submitted_at > TIME_TO_LIVE:
        hours = int(TIME_TO_LIVE.total_seconds() // 3600)
        yield Reason(numbers.TOO_OLD, f"review {review.id} is older than {hours} hours; approve again")


def after_the_plan(evidence: Evidence, review: Review, _now: datetime) -> Iterator[Reason]:
    """The plan stood there, unchanged, for as long as the rules ask before the click (18)."""
    shown = shown_to(evidence, review)
    delay = timedelta(seconds=consent_delay(evidence))
    if review.submitted_at is None:
        yield Reason(numbers.LOOKED_AT_ANOTHER_PLAN, f"the forge does not say when review {review.id} was submitted")
    elif shown is None:
        text = f"review {review.id} approved before the plan for {short(review.commit)} was posted; approve again"
        yield Reason(numbers.LOOKED_AT_ANOTHER_PLAN, text)
    elif not before(shown.updated_at, review.submitted_at):
        text = f"the plan was posted in the second in which review {review.id} approved one; read it and approve again"
        yield Reason(numbers.LOOKED_AT_ANOTHER_PLAN, text)
    elif review.submitted_at - shown.updated_at < delay:
        yield Reason(
            numbers.LOOKED_AT_ANOTHER_PLAN,
            f"the plan changed under the reviewer: it was posted less than {delay.total_seconds():g} s before "
            f"review {review.id}; read it and approve again",
        )


def of_our_text(evidence: Evidence, review: Review, _now: datetime) -> Iterator[Reason]:
    """Nobody else wrote into the comment that the reviewer read (21)."""
    shown = shown_to(evidence, review)
    if shown is not None and shown.edited_by_others:
        text = f"the plan comment that review {review.id} saw was edited by somebody else; approve again"
        yield Reason(numbers.EDITED_TEXT, text)


def of_this_base(evidence: Evidence, review: Review, _now: datetime) -> Iterator[Reason]:
    """The plan was shown for the branch that the change goes to (26)."""
    shown = shown_to(evidence, review)
    base = evidence.reading.pull_request.base_ref
    if shown is not None and shown.base_ref != base:
        yield Reason(numbers.RETARGETED, f"the plan was approved for {shown.base_ref}, the base is now {base}")


def of_this_plan(evidence: Evidence, review: Review, _now: datetime) -> Iterator[Reason]:
    """The plan made now is, target by target, the plan that the reviewer saw (28 at apply, 29 before)."""
    shown = shown_to(evidence, review)
    if shown is None:
        return
    approved = dict(shown.digests)
    number = numbers.PLAN_CHANGED if evidence.landing is None else numbers.PLAN_CHANGED_SINCE_MERGE
    for plan in evidence.plans:
        if approved.get(plan.target) != plan.digest:
            yield Reason(
                number,
                f"the plan for {plan.target} is now {short(plan.digest)}, "
                f"review {review.id} approved {short(approved.get(plan.target))}",
            )


def quotes_the_plan(evidence: Evidence, review: Review, _now: datetime) -> Iterator[Reason]:
    """Where consent is `quoted`, the review repeats at least twelve digits of every digest (18)."""
    if consent_mode(evidence) is not Consent.QUOTED:
        return
    quoted = HEX_RUN.findall(review.body.lower())
    for plan in evidence.plans:
        if not any(plan.digest.startswith(run) for run in quoted):
            yield Reason(
                numbers.LOOKED_AT_ANOTHER_PLAN,
                f"review {review.id} does not quote the digest of {plan.target}: {plan.digest[:QUOTED_DIGITS]}",
            )


def shown_to(evidence: Evidence, review: Review) -> PostedPlan | None:
    """The plan that the ledger holds for the review's commit as it stood when the review was submitted."""
    submitted = review.submitted_at
    if submitted is None:
        return None
    of_commit = [p for p in evidence.posted if p.head_sha == review.commit and p.updated_at <= submitted]
    return max(of_commit, key=lambda posted: posted.updated_at, default=None)


def consent_mode(evidence: Evidence) -> Consent:
    """The strictest form of consent that any environment concerned asks for."""
    modes = list(Consent)
    asked = [e.consent for rules in evidence.rule_sets for e in rules.environments]
    return max(asked, key=modes.index, default=Consent.REVIEW)


def consent_delay(evidence: Evidence) -> float:
    """Seconds; the longest that any environment concerned asks for."""
    return max((e.consent_delay_seconds for rules in evidence.rule_sets for e in rules.environments), default=0.0)
