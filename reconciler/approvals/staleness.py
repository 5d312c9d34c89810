"""Is an approval about this thing, and about this thing still? One function per way it can go stale; called by gate.py.

An approval consents to the plan that the ledger holds for its commit. All times are the forge's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from reconciler.approvals import numbers
from reconciler.approvals.completeness import short
from reconciler.approvals.order import before, latest
from reconciler.approvals.words import quoted_in
from reconciler.model.approval import Evidence, Form, PlannedTarget, PostedPlan, Reason, Word
from reconciler.model.desired import Consent
from reconciler.model.pull_request import Capability, TimelineKind

TIME_TO_LIVE = timedelta(hours=72)
"""How long an approval is worth something (24)."""

WAITS = frozenset(
    {numbers.LOOKED_AT_ANOTHER_PLAN, numbers.ANOTHER_HEAD, numbers.EDITED_TEXT, numbers.SOMEBODY_ELSES_TOKEN}
)
"""Numbers under which an approval never counted, so that somebody has to look again; the others made it stale."""

QUOTED_DIGITS = 12


LACKING = {
    Capability.ACTIVITY: (numbers.PUSHED, "who pushed to the head branch"),
    Capability.ROLES: (numbers.ONLY_READS, "what a reviewer may do in the repository"),
    Capability.TIMELINE: (numbers.FORCE_PUSH, "what happened to the pull request since the approval"),
}


def said_at_all(evidence: Evidence) -> Iterator[Reason]:
    """Evidence that a forge cannot give is made up for by signatures, or else it is missing (8, 11, 25)."""
    if consent_mode(evidence) is Consent.SIGNED:
        return
    for lacking in evidence.reading.lacks:
        number, what = LACKING[lacking]
        yield Reason(number, f"this forge does not say {what}; where consent is signed that is not needed")


def of_this_head(evidence: Evidence, word: Word, _now: datetime) -> Iterator[Reason]:
    """The word is bound to the commit that is the head now (16, 17)."""
    head = evidence.reading.pull_request.head_sha
    if word.commit is None and word.form is Form.REVIEW:
        yield Reason(numbers.OLD_COMMIT, f"{word.form} {word.id} is of a commit that the forge no longer has")
    elif word.commit not in (None, head):
        already_there = any(p.head_sha == head and before(p.updated_at, word.submitted_at) for p in evidence.posted)
        if already_there:
            text = f"approved {short(word.commit)} when the head was {short(head)} already"
            yield Reason(numbers.OLD_COMMIT, text)
        else:
            text = f"approved at {short(word.commit)}, head is now {short(head)}"
            yield Reason(numbers.PUSH_AFTER_APPROVAL, text)


def nothing_moved_since(evidence: Evidence, word: Word, _now: datetime) -> Iterator[Reason]:
    """No force-push, no other base, no reopening after the approval, even if it moved back (23, 25, 26)."""
    for event in evidence.reading.timeline:
        if event.kind in VOIDING and not before(event.at, word.submitted_at):
            number, text = VOIDING[event.kind]
            yield Reason(number, f"{text} after {word.form} {word.id} approved it")


VOIDING = {
    TimelineKind.HEAD_FORCE_PUSHED: (numbers.FORCE_PUSH, "the head was force-pushed"),
    TimelineKind.BASE_CHANGED: (numbers.RETARGETED, "the base branch was changed"),
    TimelineKind.REOPENED: (numbers.REOPENED, "the pull request was reopened"),
}


def still_fresh(evidence: Evidence, word: Word, now: datetime) -> Iterator[Reason]:
    """An approval is not kept warm for ever; the time in which a window kept everything closed does not count (24)."""
    if word.submitted_at is None:
        return
    age = now - word.submitted_at
    counted = word.submitted_at  # no time is taken off twice, whatever is said of it
    for begin, end in evidence.closed:
        age -= max(min(end, now) - max(begin, counted), timedelta(0))
        counted = max(counted, end)
    if age > TIME_TO_LIVE:
        hours = TIME_TO_LIVE // timedelta(hours=1)
        yield Reason(numbers.TOO_OLD, f"{word.form} {word.id} is older than {hours} hours; approve again")


def after_the_plan(evidence: Evidence, word: Word, _now: datetime) -> Iterator[Reason]:
    """The plan stood there, unchanged, for as long as the rules ask before the click (18), and not only those of other
    heads (32). Who names its digest has seen it, however fast.
    """
    shown = shown_to(evidence, word)
    delay = timedelta(seconds=consent_delay(evidence))
    if word.submitted_at is None:
        yield Reason(numbers.LOOKED_AT_ANOTHER_PLAN, f"the forge does not say when {word.form} {word.id} was submitted")
    elif shown is None:
        what = f"the plan for {short(word.commit)}" if word.form is Form.REVIEW else "any plan"
        of_others = (
            word.form is Form.REVIEW and evidence.posted and all(p.head_sha != word.commit for p in evidence.posted)
        )
        number = numbers.ANOTHER_HEAD if of_others else numbers.LOOKED_AT_ANOTHER_PLAN
        yield Reason(number, f"{word.form} {word.id} approved before {what} was posted; approve again")
    elif word.form is Form.COMMENT:
        return
    elif not before(shown.updated_at, word.submitted_at):
        text = (
            f"the plan was posted in the second in which {word.form} {word.id} approved one; read it and approve again"
        )
        yield Reason(numbers.LOOKED_AT_ANOTHER_PLAN, text)
    elif word.submitted_at - shown.updated_at < delay:
        yield Reason(
            numbers.LOOKED_AT_ANOTHER_PLAN,
            f"the plan changed under the reviewer: it was posted less than {delay.total_seconds():g} s before "
            f"{word.form} {word.id}; read it and approve again",
        )


def of_our_text(evidence: Evidence, word: Word, _now: datetime) -> Iterator[Reason]:
    """Nobody else wrote into the comment that the reviewer read, nor into the text that approves: a comment, or the
    review where consent is `quoted` (21).
    """
    shown = shown_to(evidence, word)
    if shown is not None and shown.edited_by_others:
        text = f"the plan comment that {word.form} {word.id} saw was edited by somebody else; approve again"
        yield Reason(numbers.EDITED_TEXT, text)
    if word.edited and (word.form is Form.COMMENT or consent_mode(evidence) is Consent.QUOTED):
        text = f"{word.form} {word.id} was edited after it was written, or the forge does not say that it was not"
        yield Reason(numbers.EDITED_TEXT, f"{text}; write a new one, or a review")


def of_this_base(evidence: Evidence, word: Word, _now: datetime) -> Iterator[Reason]:
    """The plan was shown for the branch that the change goes to (26)."""
    shown = shown_to(evidence, word)
    base = evidence.reading.pull_request.base_ref
    if shown is not None and shown.base_ref != base:
        yield Reason(numbers.RETARGETED, f"the plan was approved for {shown.base_ref}, the base is now {base}")


def of_this_plan(evidence: Evidence, word: Word, _now: datetime) -> Iterator[Reason]:
    """The plan made now is, target by target, the plan that the reviewer saw (28 at apply, 29 before), and consent to
    one target is none to another (22). Where environments are bound to the revision, another plan of it is no other
    thing, unless it destroys data.
    """
    shown = shown_to(evidence, word)
    if shown is None:
        return
    approved = dict(shown.digests)
    number = numbers.PLAN_CHANGED if evidence.landing is None else numbers.PLAN_CHANGED_SINCE_MERGE
    for plan in evidence.plans:
        if approved.get(plan.target) == plan.digest:
            continue
        if evidence.landing is not None and bound_to_revision(evidence, plan):
            continue
        said = f"{word.form} {word.id} approved {short(approved.get(plan.target))}"
        yield Reason(
            number if plan.target in approved else numbers.REPLAYED,
            f"the plan for {plan.target} is now {short(plan.digest)}, {said}",
        )


def bound_to_revision(evidence: Evidence, plan: PlannedTarget) -> bool:
    """Whether every version of the rules takes consent to the revision for consent to this plan of it."""
    environments = [e for rules in evidence.rule_sets for e in rules.environments if e.target == plan.target]
    return bool(environments) and all(e.bind == "revision" for e in environments) and not plan.destroys


def quotes_the_plan(evidence: Evidence, word: Word, _now: datetime) -> Iterator[Reason]:
    """A comment, and a review where consent is `quoted`, repeats at least twelve digits of every digest (18)."""
    if word.form is Form.REVIEW and consent_mode(evidence) is not Consent.QUOTED:
        return
    quoted = quoted_in(word)
    for plan in evidence.plans:
        if not any(plan.digest.startswith(run) for run in quoted):
            yield Reason(
                numbers.LOOKED_AT_ANOTHER_PLAN,
                f"{word.form} {word.id} does not quote the digest of {plan.target}: {plan.digest[:QUOTED_DIGITS]}",
            )


def signed_where_asked(evidence: Evidence, word: Word, _now: datetime) -> Iterator[Reason]:
    """Where consent is `signed`, it carries a signature over exactly this by a key that every version of the rules
    registers for that person: a token alone, in whoever's hands, approves nothing (5).
    """
    if consent_mode(evidence) is not Consent.SIGNED or word.account is None:
        return
    if signing_key(evidence, word) is None:
        text = (
            f"consent is signed here, and {word.form} {word.id} of {word.account.login} carries no signature over this "
            "by a key of theirs; `reconciler approvals approve --sign` makes one"
        )
        yield Reason(numbers.SOMEBODY_ELSES_TOKEN, text)


def signing_key(evidence: Evidence, word: Word) -> str | None:
    """The registered key that signed a word for this head, this base and all plans of now, None when none did."""
    if word.form is not Form.COMMENT or word.account is None:
        return None
    pull_request = evidence.reading.pull_request
    people = [rules.principals.person_of(word.account.id) for rules in evidence.rule_sets]
    for signed in evidence.signed:
        digests = dict(signed.digests)
        if (
            (signed.comment, signed.head_sha, signed.base_ref)
            == (word.id, pull_request.head_sha, pull_request.base_ref)
            and all(digests.get(plan.target) == plan.digest for plan in evidence.plans)
            and people
            and all(person is not None and signed.key in person.signing_keys for person in people)
        ):
            return signed.key
    return None


def shown_to(evidence: Evidence, word: Word) -> PostedPlan | None:
    """The plan that the ledger holds for the word's commit as it stood when the word was said."""
    submitted = word.submitted_at
    if submitted is None:
        return None
    return latest([p for p in evidence.posted if p.head_sha == word.commit and p.updated_at <= submitted])


def consent_mode(evidence: Evidence) -> Consent:
    """The strictest form of consent that any environment concerned, or a change of the rules, asks for."""
    modes = list(Consent)
    asked = [e.consent for rules in evidence.rule_sets for e in rules.environments]
    return max([*asked, *(rules.consent for rules in evidence.rule_sets)], key=modes.index, default=Consent.REVIEW)


def consent_delay(evidence: Evidence) -> float:
    """Seconds; the longest that any environment concerned asks for."""
    return max((e.consent_delay_seconds for rules in evidence.rule_sets for e in rules.environments), default=0.0)
