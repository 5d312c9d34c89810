"""How many persons are needed, who still may, and what raises the number. Called by gate.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from reconciler.approvals import numbers
from reconciler.approvals.consent import (
    WRITERS,
    contributors_of,
    owners_may_approve,
    person_of_word,
    role_of,
)
from reconciler.approvals.words import commands_in, reviews_in, standing, vanished
from reconciler.model.approval import Evidence, Form, Reason, RuleSet, Word
from reconciler.model.principal import Person
from reconciler.model.pull_request import Account, ReviewState, TimelineEvent, TimelineKind
from reconciler.model.verdict import Requirement

CLOCKS_DIFFER = timedelta(minutes=5)

ONE_OTHER_PERSON = Requirement(1, None, "default")
"""What holds where a verdict asks for nothing: nobody forgot to ask, so one person other than the author."""


def requirements_of(rules: RuleSet) -> tuple[Requirement, ...]:
    """What this version of the rules asks for, never nothing."""
    return rules.verdict.requirements or (ONE_OTHER_PERSON,)


def needs_nobody(evidence: Evidence) -> bool:
    """Whether every version of the rules frees this change from approval (a development tier)."""
    return all(need.approvals <= 0 for rules in evidence.rule_sets for need in requirements_of(rules))


# -- what raises the number ----------------------------------------------------------------------------------------


def unknown_hands(evidence: Evidence) -> Iterator[Reason]:
    """Each address that the forge knows nobody for may be one of the approvers: one more person for each (6, 7)."""
    for address, number in contributors_of(evidence.reading, evidence.landing).unknown:
        yield Reason(number, f"{HANDS[number]} {address}, whom the forge does not know; one more person must approve")


HANDS = {
    numbers.COMMITTED: "a commit is by",
    numbers.CO_AUTHOR: "a co-author or suggester is",
    numbers.PUSHED: "part of it is by",
}


def dismissed_by_another(evidence: Evidence) -> Iterator[Reason]:
    """An objection that somebody else dismissed, changed or deleted stands, unless one more person approves (20)."""
    for account in reviewers_who_matter(evidence):
        for last in standing(evidence, account):
            if last.state is not ReviewState.DISMISSED or was_an_approval(evidence, last):
                continue
            if not dismissed_by_the_reviewer(evidence, last):
                yield Reason(
                    numbers.DISMISSED_BY_ANOTHER,
                    f"review {last.id} of {account.login} was dismissed, and not by {account.login}; "
                    "they review again or one more person approves",
                )
                break
    for word in reviews_in(evidence):
        gone = word.account is None and word.state is ReviewState.DISMISSED
        if gone and not was_an_approval(evidence, word):
            text = f"review {word.id} of an account that is gone was dismissed; one more person approves"
            yield Reason(numbers.DISMISSED_BY_ANOTHER, text)
    for account_id in sorted({seen.account for seen in evidence.first_seen}):
        if all(rules.principals.person_of(account_id) is None for rules in evidence.rule_sets):
            continue
        for seen in vanished(evidence, account_id):
            yield Reason(
                numbers.DISMISSED_BY_ANOTHER,
                f"{seen.form} {seen.id}, in which {seen.login} objected, was changed or deleted; "
                "they approve or one more person does",
            )


def was_an_approval(evidence: Evidence, word: Word) -> bool:
    """Whether the timeline says that an approval was dismissed, and so no objection (forges do it at every push)."""
    said = [event.was for event in dismissals_of(evidence, word)]
    return bool(said) and all(was is ReviewState.APPROVED for was in said)


def dismissed_by_the_reviewer(evidence: Evidence, word: Word) -> bool:
    """Whether the timeline proves that the reviewer took the review back; no event proves nothing."""
    actors = [event.account for event in dismissals_of(evidence, word)]
    return bool(actors) and all(
        actor is not None and word.account is not None and actor.id == word.account.id for actor in actors
    )


def dismissals_of(evidence: Evidence, word: Word) -> list[TimelineEvent]:
    """What the timeline says of the dismissal of a review; more than one event only if the forge is inconsistent."""
    return [
        event
        for event in evidence.reading.timeline
        if event.kind is TimelineKind.REVIEW_DISMISSED and event.review == word.id
    ]


# -- what blocks ---------------------------------------------------------------------------------------------------


def clocks(evidence: Evidence, now: datetime) -> Iterator[Reason]:
    """Clocks differ by a little. A word that is minutes ahead of ours says that one of them is wrong, and then nothing
    is known of what came first, nor of how old anything is (69).
    """
    for word in (*reviews_in(evidence), *commands_in(evidence)):
        if word.submitted_at is not None and word.submitted_at - now > CLOCKS_DIFFER:
            ahead = int((word.submitted_at - now).total_seconds())
            text = f"{word.form} {word.id} was given {ahead} s from now: the forge's clock or ours is wrong"
            yield Reason(numbers.CLOCKS, text)


def objections(evidence: Evidence, _now: datetime) -> Iterator[Reason]:
    """A person who may write and asked for changes has to be answered (19). An account that is gone may have been one,
    and its review is only set aside by being dismissed, its comment by being deleted (13).
    """
    for word in (*reviews_in(evidence), *commands_in(evidence)):
        if word.account is None and word.state is ReviewState.CHANGES_REQUESTED:
            text = f"an account that is gone asked for changes ({word.form} {word.id})"
            yield Reason(numbers.DELETED_ACCOUNT, text)
    for account in reviewers_who_matter(evidence):
        for last in standing(evidence, account):
            if last.state is ReviewState.CHANGES_REQUESTED:
                why = f": {first_line(last)}" if last.form is Form.COMMENT else ""
                text = f"{account.login} asked for changes ({last.form} {last.id}){why}"
                yield Reason(numbers.NO_LONGER_THE_LAST_WORD, text)
                break


def first_line(word: Word) -> str:
    """The command of a comment with the reason that was given."""
    return word.body.splitlines()[0]


def draft(evidence: Evidence, _now: datetime) -> Iterator[Reason]:
    """A draft is not proposed yet (27)."""
    if evidence.landing is None and evidence.reading.pull_request.draft:
        yield Reason(numbers.NOT_OPEN, "the pull request is a draft; mark it as ready for review")


def held(evidence: Evidence, _now: datetime) -> Iterator[Reason]:
    """Windows, suspensions and holds stop every path alike (58)."""
    for hold in evidence.holds:
        yield Reason(numbers.HELD, hold)


def reviewers_who_matter(evidence: Evidence) -> tuple[Account, ...]:
    """Accounts of registered persons (under any version of the rules) who said something and may write, or might when
    they were first heard: nobody is demoted out of an objection (19). A role that is not known, now or then, counts as
    writing, because an objection is not lost for want of an answer.
    """
    heard = {seen.account for seen in evidence.first_seen if seen.role is None or seen.role in WRITERS}
    accounts: dict[int, Account] = {}
    for word in (*reviews_in(evidence), *commands_in(evidence)):
        account = word.account
        if account is None or all(rules.principals.person_of(account.id) is None for rules in evidence.rule_sets):
            continue
        role = role_of(evidence.reading, account)
        if role is None or role in WRITERS or account.id in heard:
            accounts.setdefault(account.id, account)
    return tuple(accounts.values())


# -- who is missing ------------------------------------------------------------------------------------------------


def missing(evidence: Evidence, counted: Sequence[Word], extra: int) -> tuple[str, ...]:
    """Sentences for the comment, one per requirement that is not met, of all versions of the rules; empty when all
    are met. `extra` persons are needed beyond each requirement that needs anybody.
    """
    sentences: list[str] = []
    for rules in evidence.rule_sets:
        persons = {person.name: person for word in counted if (person := person_of_word(rules.principals, word))}
        for need in requirements_of(rules):
            if need.approvals <= 0:
                continue
            have = [p for p in persons.values() if need.from_group is None or need.from_group in p.groups]
            lacking = need.approvals + extra - len(have)
            if lacking > 0:
                sentences.append(sentence(evidence, rules, need, lacking, set(persons)))
    return tuple(dict.fromkeys(sentences))


def sentence(evidence: Evidence, rules: RuleSet, need: Requirement, lacking: int, have: set[str]) -> str:
    """Who is missing for one requirement, by name where few enough can be named."""
    count = "one approval is" if lacking == 1 else f"{lacking} approvals are"
    group = f" from group {need.from_group}" if need.from_group else ""
    asked = "" if need.rule == ONE_OTHER_PERSON.rule else f", asked for by rule {need.rule}"
    able = sorted(p.name for p in eligible(evidence, rules, need) if p.name not in have)
    if len(able) < lacking:
        who = (
            "but too few who had no part in it are registered: "
            "a second person is added to principals.yaml, or an agent proposes the change"
        )
    else:
        who = f"by {' or '.join(able)}" if len(able) <= 5 else f"by one of {len(able)} persons"
    return f"{count} missing{group}{asked}: {who}"


def eligible(evidence: Evidence, rules: RuleSet, need: Requirement) -> Iterator[Person]:
    """Registered persons of the group that had no part in the change under these rules."""
    contributors = contributors_of(evidence.reading, evidence.landing)
    agents = [rules.principals.agent_of(account) for account, _ in contributors.accounts]
    owners = set() if owners_may_approve(rules) else {agent.owner for agent in agents if agent}
    for person in rules.principals.people:
        if need.from_group is not None and need.from_group not in person.groups:
            continue
        if person.name in owners or any(contributors.number(account) is not None for account in person.accounts):
            continue
        yield person
