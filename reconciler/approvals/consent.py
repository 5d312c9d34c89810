"""Who counts: which approvals come from a person who had no part in the change. Called by gate.py.

Authorship is taken widely (whoever shaped the change) and consent narrowly (a registered person with write access);
an identity that nobody can name counts against the approvals, never for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.approvals import numbers
from reconciler.model.approval import Evidence, Landing, Reason, RuleSet
from reconciler.model.principal import Person, Principals
from reconciler.model.pull_request import (
    Account,
    PullRequestCommit,
    PullRequestReading,
    Review,
    ReviewState,
    TimelineKind,
)

WEB_FLOW = 19864447
"""GitHub's own account, committer of what is done in its web pages; skipped as a committer and nowhere else."""

WRITERS = frozenset({"write", "maintain", "admin"})

DECISIVE = frozenset({ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.DISMISSED})

NOREPLY = re.compile(r"^([0-9]{1,18})\+[^@\s]+@users\.noreply\.github\.com$", re.IGNORECASE)
ADDRESS = re.compile(r"<([^<>\s]+)>")


@dataclass(frozen=True, slots=True)
class Contributors:
    """Everyone who shaped the change: `accounts` maps the account to the number under which it is excluded,
    `unknown` are the addresses behind which the forge knows nobody (each could be one of the approvers).
    """

    accounts: tuple[tuple[int, int], ...]
    unknown: tuple[tuple[str, int], ...]

    def number(self, account: int) -> int | None:
        """Under which number of the gate this account is excluded, None when it had no part in the change."""
        return dict(self.accounts).get(account)


def contributors_of(reading: PullRequestReading, landing: Landing | None = None) -> Contributors:
    """Opener, authors, committers, co-authors and pushers of a pull request, and the co-authors its landing names."""
    known: dict[int, int] = {}
    unknown: dict[str, int] = {}
    addresses = known_addresses(reading.commits)

    def add(account: int | None, text: str, number: int) -> None:
        account = account if account is not None else resolved(text, addresses)
        if account is None or account == WEB_FLOW:
            unknown.setdefault(address_in(text), number)
        else:
            known.setdefault(account, number)

    if reading.pull_request.author is not None:
        known[reading.pull_request.author.id] = numbers.OWN_PULL_REQUEST
    for commit in reading.commits:
        if is_empty_update(commit):
            continue
        add(commit.author.id if commit.author else None, commit.author_email or commit.sha, numbers.COMMITTED)
        if not is_web_flow(commit.committer):
            add(
                commit.committer.id if commit.committer else None,
                commit.committer_email or commit.sha,
                numbers.COMMITTED,
            )
        for text, account in commit.trailers:
            add(account, text, numbers.CO_AUTHOR)
    for event in reading.timeline:
        if event.kind in (TimelineKind.HEAD_FORCE_PUSHED, TimelineKind.COMMITTED) and event.account is not None:
            known.setdefault(event.account.id, numbers.PUSHED)
    for text, account in landing.co_authors if landing else ():
        add(account, text, numbers.CO_AUTHOR)
    return Contributors(tuple(sorted(known.items())), tuple(sorted(unknown.items())))


def is_empty_update(commit: PullRequestCommit) -> bool:
    """ "Update branch": a merge of the base that adds nothing of its own only moves the head."""
    return commit.empty_update_merge and len(commit.parents) == 2


def is_web_flow(account: Account | None) -> bool:
    """Whether this is GitHub's own account."""
    return account is not None and account.id == WEB_FLOW


def known_addresses(commits: tuple[PullRequestCommit, ...]) -> dict[str, int]:
    """Addresses that the forge itself resolved in this pull request; the same address is the same account."""
    pairs = [(address_in(text), account) for commit in commits for text, account in commit.trailers]
    for commit in commits:
        pairs.append((commit.author_email.lower(), commit.author.id if commit.author else None))
        pairs.append((commit.committer_email.lower(), commit.committer.id if commit.committer else None))
    return {address: account for address, account in pairs if address and account not in (None, WEB_FLOW)}


def resolved(text: str, addresses: dict[str, int]) -> int | None:
    """The account behind `Name <address>` or an address, where the forge or the address itself names it."""
    address = address_in(text)
    noreply = NOREPLY.match(address)
    return int(noreply.group(1)) if noreply else addresses.get(address)


def address_in(text: str) -> str:
    """The address of `Name <address>`; the text itself where there is none."""
    found = ADDRESS.search(text)
    return (found.group(1) if found else text).strip().lower()


# -- conditions: one approval, judged by every version of the rules ------------------------------------------------


def by_a_person(evidence: Evidence, review: Review) -> Iterator[Reason]:
    """A registered account of kind person under every version of the rules; never a bot, an app, an agent (3, 13)."""
    if review.account is None:
        yield Reason(numbers.DELETED_ACCOUNT, f"review {review.id} is by an account that is gone")
        return
    account = review.account
    for rules in evidence.rule_sets:
        agent = rules.principals.agent_of(account.id)
        if agent is not None:
            yield Reason(numbers.NOT_A_PERSON, f"{account.login} is the agent {agent.name}; agents never approve")
            return
        if account.kind != "User":
            yield Reason(numbers.NOT_A_PERSON, f"{account.login} is of kind {account.kind}, not a person")
            return
        if rules.principals.person_of(account.id) is None:
            yield Reason(
                numbers.NOT_A_PERSON,
                f"{account.login} (account {account.id}) is nobody in principals.yaml ({rules.origin})",
            )
            return


def by_a_writer(evidence: Evidence, review: Review) -> Iterator[Reason]:
    """The account may write to the repository now, by its role read afresh (11)."""
    role = role_of(evidence.reading, review.account)
    if role not in WRITERS:
        login = review.account.login if review.account else "an account that is gone"
        yield Reason(numbers.ONLY_READS, f"{login} has the role {role or 'unknown'}, not write")


def not_a_contributor(evidence: Evidence, review: Review) -> Iterator[Reason]:
    """The person had no part in the change, through none of their accounts (1, 2, 6, 7, 8)."""
    contributors = contributors_of(evidence.reading, evidence.landing)
    account = review.account
    if account is None:
        return
    number = contributors.number(account.id)
    if number is not None:
        yield Reason(number, f"{account.login} {PARTS[number]}")
        return
    for rules in evidence.rule_sets:
        person = rules.principals.person_of(account.id)
        if person is not None and any(contributors.number(other) is not None for other in person.accounts):
            yield Reason(numbers.SAME_PERSON, f"{account.login} is {person.name}, who changed it as another account")
            return


PARTS = {
    numbers.OWN_PULL_REQUEST: "opened this pull request and cannot approve it",
    numbers.COMMITTED: "is author or committer of a commit in this pull request",
    numbers.CO_AUTHOR: "is a co-author, or the change holds their suggestion",
    numbers.PUSHED: "pushed to the head of this pull request",
}


def not_the_agents_owner(evidence: Evidence, review: Review) -> Iterator[Reason]:
    """Who stands behind the agent that wrote it may approve only where every environment says so (4)."""
    if review.account is None:
        return
    contributors = contributors_of(evidence.reading, evidence.landing)
    for rules in evidence.rule_sets:
        person = rules.principals.person_of(review.account.id)
        if person is None or owners_may_approve(rules):
            continue
        for agent in (rules.principals.agent_of(account) for account, _ in contributors.accounts):
            if agent is not None and agent.owner == person.name:
                yield Reason(
                    numbers.AGENTS_OWNER,
                    f"{review.account.login} stands behind the agent {agent.name}, which wrote this",
                )
                return


def owners_may_approve(rules: RuleSet) -> bool:
    """Whether all environments concerned let the owner of an agent approve what it wrote."""
    return bool(rules.environments) and all(e.agent_owner_may_approve for e in rules.environments)


def the_last_word(evidence: Evidence, review: Review) -> Iterator[Reason]:
    """The account said nothing else since: a later objection or dismissal never falls back to an approval (19)."""
    if review.account is None:
        return
    for last in last_words(decisive_of(evidence.reading, review.account)):
        if last.state is not ReviewState.APPROVED:
            said = "was dismissed" if last.state is ReviewState.DISMISSED else "asked for changes"
            yield Reason(
                numbers.NO_LONGER_THE_LAST_WORD, f"the last review of {review.account.login} ({last.id}) {said}"
            )
            return


def decisive_of(reading: PullRequestReading, account: Account) -> list[Review]:
    """The reviews of one account that decide something, in the forge's order."""
    return [r for r in reading.reviews if r.account is not None and r.account.id == account.id and r.state in DECISIVE]


def last_words(words: list[Review]) -> tuple[Review, ...]:
    """The last review in the forge's order and the last by its clock: one and the same, unless the forge is
    inconsistent; then both have to be an approval to count as one.
    """
    if not words:
        return ()
    latest = words[0]
    for word in words[1:]:
        if latest.submitted_at is None or word.submitted_at is None or word.submitted_at >= latest.submitted_at:
            latest = word
    return (words[-1],) if latest is words[-1] else (words[-1], latest)


def approvals_in(reading: PullRequestReading) -> tuple[Review, ...]:
    """The last approval of each account, in the forge's order; whether it counts is for the conditions to say."""
    last: dict[int | None, Review] = {}
    for review in reading.reviews:
        if review.state is ReviewState.APPROVED:
            last[review.account.id if review.account else None] = review
    return tuple(sorted(last.values(), key=lambda review: reading.reviews.index(review)))


def role_of(reading: PullRequestReading, account: Account | None) -> str | None:
    """The role of an account, None where the forge did not say or said two things."""
    if account is None:
        return None
    roles = {permission.role for permission in reading.permissions if permission.account == account.id}
    return roles.pop() if len(roles) == 1 else None


def person_in(principals: Principals, review: Review) -> Person | None:
    """The person behind a review under these principals."""
    return principals.person_of(review.account.id if review.account else None)
