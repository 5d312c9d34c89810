"""The decision whether a change was approved, as one readable fold. Called by control when it posts the approval status
and again, with fresh evidence, immediately before the first operation. Nothing else authorises a mutation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from reconciler.approvals import completeness, consent, numbers, provenance, quorum, rules, staleness, words
from reconciler.model.approval import Approval, Evidence, Gate, Open, Reason, Refused, Stale, Waiting, Word
from reconciler.model.canonical import digest

REFUSALS: tuple[Callable[[Evidence], Iterator[Reason]], ...] = (
    completeness.every_page,
    completeness.two_readings_agree,
    completeness.right_repository,
    completeness.right_branch,
    completeness.still_open,
    completeness.every_plan,
    rules.readable,
    rules.alone,
    rules.allowed,
    staleness.said_at_all,
    provenance.author_known,
    provenance.landed_as_approved,
    provenance.merged_by_a_person,
)
"""What makes it impossible, whoever approved."""

BLOCKS: tuple[Callable[[Evidence, datetime], Iterator[Reason]], ...] = (
    quorum.draft,
    quorum.held,
    quorum.clocks,
    quorum.objections,
)
"""What has to go away first."""

RAISES: tuple[Callable[[Evidence], Iterator[Reason]], ...] = (quorum.unknown_hands, quorum.dismissed_by_another)
"""What asks for one more person each."""

COUNTS: tuple[Callable[[Evidence, Word], Iterator[Reason]], ...] = (
    consent.by_a_person,
    consent.by_a_writer,
    consent.by_the_same_account,
    consent.as_it_was_given,
    consent.not_a_contributor,
    consent.not_the_agents_owner,
    consent.the_last_word,
)
"""Who may approve: an approval that fails one of these is no consent at all."""

HOLDS: tuple[Callable[[Evidence, Word, datetime], Iterator[Reason]], ...] = (
    staleness.of_this_head,
    staleness.nothing_moved_since,
    staleness.still_fresh,
    staleness.after_the_plan,
    staleness.of_our_text,
    staleness.of_this_base,
    staleness.of_this_plan,
    staleness.quotes_the_plan,
    staleness.signed_where_asked,
)
"""What they approved: an approval that fails one of these is consent to something else."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One account's last approval in one form: why its giver does not count, and why it is about something else."""

    word: Word
    not_theirs: tuple[Reason, ...]
    not_this: tuple[Reason, ...]


def decide(evidence: Evidence, now: datetime) -> Gate:
    """Whether the consents suffice for exactly the plans in the evidence, before the merge or after it.

    Refused when it must not happen as it is, Waiting when somebody is missing, Stale when the consent there was is to
    something else than what would be done now. `now` is UTC and aware; it only ages approvals.
    """
    refused = reasons(condition(evidence) for condition in REFUSALS)
    if refused:
        return Refused(refused)

    votes = [cast(evidence, word, now) for word in words.approvals_in(evidence)]
    counted = [vote.word for vote in votes if not vote.not_theirs and not vote.not_this]
    blocks = reasons(condition(evidence, now) for condition in BLOCKS)
    raises = reasons(condition(evidence) for condition in RAISES)
    missing = quorum.missing(evidence, counted, extra=len(raises))

    if not missing and not blocks:
        return opened(evidence, counted)
    stale = [r for vote in votes if not vote.not_theirs for r in vote.not_this if r.rule not in staleness.WAITS]
    if stale and not blocks:
        return Stale(reasons([stale]))
    why = reasons([blocks, raises if missing else (), *(vote.not_theirs + vote.not_this for vote in votes)])
    rejected = any(block.rule == numbers.NO_LONGER_THE_LAST_WORD for block in blocks)
    return Waiting(tuple(block.text for block in blocks) + missing, why, rejected)


def cast(evidence: Evidence, word: Word, now: datetime) -> Vote:
    """Judge one approval by every condition."""
    return Vote(
        word,
        reasons(condition(evidence, word) for condition in COUNTS),
        reasons(condition(evidence, word, now) for condition in HOLDS),
    )


def opened(evidence: Evidence, counted: list[Word]) -> Open:
    """The answer yes, with what it was decided from."""
    by_person = {given.person: given for given in (approval(evidence, word) for word in reversed(counted))}
    approvals = tuple(sorted(by_person.values(), key=lambda given: (given.submitted_at, given.review)))
    digests = tuple(sorted((plan.target, plan.digest) for plan in evidence.plans))
    head = evidence.reading.pull_request.head_sha
    return Open(approvals, digests, head, attestation(evidence, approvals))


def approval(evidence: Evidence, word: Word) -> Approval:
    """A word that counted, as the record keeps it: the groups are those under every version of the rules."""
    persons = [
        person for rule_set in evidence.rule_sets if (person := consent.person_of_word(rule_set.principals, word))
    ]
    if word.account is None or word.commit is None or word.submitted_at is None or not persons:
        raise AssertionError("a word without an account, a commit, a time or a person was counted")
    groups = set(persons[0].groups).intersection(*(person.groups for person in persons[1:]))
    return Approval(
        person=persons[0].name,
        account=word.account.id,
        review=word.id,
        head_sha=word.commit,
        submitted_at=word.submitted_at,
        groups=tuple(sorted(groups)),
        form=word.form,
        key=staleness.signing_key(evidence, word),
    )


def attestation(evidence: Evidence, approvals: tuple[Approval, ...]) -> str:
    """SHA-256 over the canonical summary of what was decided from, with the digests of the forge's raw answers."""
    pull_request = evidence.reading.pull_request
    landing = evidence.landing
    return digest(
        {
            "repository": evidence.repository,
            "pull_request": pull_request.number,
            "head": pull_request.head_sha,
            "base_ref": pull_request.base_ref,
            "plans": [[str(plan.target), plan.digest] for plan in sorted(evidence.plans, key=lambda p: p.target)],
            "approvals": [
                [a.person, a.account, a.form.value, a.review, a.key, a.head_sha, a.submitted_at.isoformat()]
                for a in approvals
            ],
            "merged_by": pull_request.merged_by.id if pull_request.merged_by else None,
            "landing": None
            if landing is None
            else {"commits": list(landing.commits), "first_parent": landing.first_parent, "tree": landing.end_tree},
            "rules": [
                {
                    "origin": rule_set.origin,
                    "policy": rule_set.verdict.policy_digest,
                    "requirements": [[r.approvals, r.from_group, r.rule] for r in rule_set.verdict.requirements],
                    "waived": list(rule_set.verdict.waived),
                }
                for rule_set in evidence.rule_sets
            ],
            "answers": sorted([name, raw] for name, raw in evidence.reading.raw_digests),
            "adopts": evidence.reading.adopted.revision if evidence.reading.adopted is not None else None,
        }
    )


def reasons(found: Iterable[Iterable[Reason]]) -> tuple[Reason, ...]:
    """All reasons in the order in which they were found, each once."""
    return tuple(dict.fromkeys(chain.from_iterable(found)))
