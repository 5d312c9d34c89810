"""Who counts: which approvals come from a person who had no part in the change. Called by gate.py.

Authorship is taken widely (whoever shaped the change) and consent narrowly (a registered person with write access);
an identity that nobody can name counts against the approvals, never for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.approvals import numbers
from reconciler.approvals.words import standing, vanished
from reconciler.model.approval import Evidence, Form, Landing, Reason, RuleSet, Word
from reconciler.model.principal import Person, Principals
from reconciler.model.pull_request import (
    Account,
    PullRequestCommit,
    PullRequestReading,
    ReviewState,
    TimelineKind,
)

WEB_FLOW = 19864447
"""GitHub's own account, committer of what is done in its web pages; skipped as a committer and nowhere else."""

WRITERS = frozenset({"write", "maintain", "admin"})

NOREPLY = re.compile(r"^([0-9]{1,18})\+[^@\s]+@users\.noreply\.github\.com$")
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
    """Opener, authors, committers, co-authors and pushers of a pull request and of what it adopts, and the co-authors
    its landing names.
    """
    known: dict[int, int] = {}
    unknown: dict[str, int] = {}
    adopted = reading.adopted
    commits = (*reading.commits, *(adopted.commits if adopted is not None else ()))
    addresses = known_addresses(commits)

    def add(account: int | None, text: str, number: int) -> None:
        found = account if account is not None else resolved(text, addresses)
        named = noreply_number(text)
        if named not in (None, found, WEB_FLOW):
            known.setdefault(named, numbers.ONLY_AN_ADDRESS)  # the forge says one account, and its address another
        if found is None or found == WEB_FLOW:
            unknown.setdefault(address_in(text), number)
        elif account is None and number == numbers.COMMITTED:
            known.setdefault(found, numbers.ONLY_AN_ADDRESS)  # which proves nothing, and takes an approver away
        else:
            known.setdefault(found, number)

    if reading.pull_request.author is not None:
        known[reading.pull_request.author.id] = numbers.OWN_PULL_REQUEST
    for commit in commits:
        if is_empty_update(commit):
            continue
        add(commit.author.id if commit.author else None, commit.author_email.strip() or commit.sha, numbers.COMMITTED)
        if not is_web_flow(commit.committer):
            add(
                commit.committer.id if commit.committer else None,
                commit.committer_email.strip() or commit.sha,
                numbers.COMMITTED,
            )
        for text, id_ in commit.trailers:
            add(id_, text, numbers.CO_AUTHOR)
    for event in reading.timeline:
        if event.kind in (TimelineKind.HEAD_FORCE_PUSHED, TimelineKind.COMMITTED) and event.account is not None:
            known.setdefault(event.account.id, numbers.PUSHED)
        elif event.kind is TimelineKind.HEAD_FORCE_PUSHED:
            unknown["whoever force-pushed the head"] = numbers.PUSHED
    # from the update's own parent to the update: a push that brought other commits with it is no empty update
    updates = {(commit.parents[0], commit.sha) for commit in reading.commits if is_empty_update(commit)}
    for push in reading.pushes:
        deleted = push.after is not None and set(push.after) == {"0"}
        if (push.before, push.after) in updates or deleted:
            continue
        if push.account is not None:
            known.setdefault(push.account.id, numbers.PUSHED)
        else:
            unknown[f"whoever pushed {push.after}"] = numbers.PUSHED
    for account in adopted.pushers if adopted is not None else ():
        known.setdefault(account.id, numbers.PUSHED)
    if adopted is not None and not adopted.pushers:
        unknown[f"whoever pushed {adopted.revision}"] = numbers.PUSHED
    for text, id_ in landing.co_authors if landing else ():
        add(id_, text, numbers.CO_AUTHOR)
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
    numbered = noreply_number(text)
    return numbered if numbered is not None else addresses.get(address_in(text))


def noreply_number(text: str) -> int | None:
    """The account that a noreply address names by its id."""
    noreply = NOREPLY.match(address_in(text))
    return int(noreply.group(1)) if noreply else None


def address_in(text: str) -> str:
    """The address of `Name <address>`; the text itself where there is none."""
    found = ADDRESS.search(text)
    return (found.group(1) if found else text).strip().lower()


# -- conditions: one approval, judged by every version of the rules ------------------------------------------------


def by_a_person(evidence: Evidence, word: Word) -> Iterator[Reason]:
    """A registered account of kind person under every version of the rules; never a bot, an app, an agent (3, 13), and
    no stranger who comments (49).
    """
    if word.account is None:
        yield Reason(numbers.DELETED_ACCOUNT, f"{word.form} {word.id} is by an account that is gone")
        return
    account = word.account
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
                numbers.NOT_A_PERSON if word.form is Form.REVIEW else numbers.ANYONE_COMMENTS,
                f"{account.login} (account {account.id}) is nobody in principals.yaml ({rules.origin})",
            )
            return


def by_a_writer(evidence: Evidence, word: Word) -> Iterator[Reason]:
    """The account may write to the repository now, by its role read afresh (11; 49 for a comment)."""
    role = role_of(evidence.reading, word.account)
    if role not in WRITERS:
        login = word.account.login if word.account else "an account that is gone"
        number = numbers.ONLY_READS if word.form is Form.REVIEW else numbers.ANYONE_COMMENTS
        yield Reason(number, f"{login} has the role {role or 'unknown'}, not write")


def by_the_same_account(evidence: Evidence, word: Word) -> Iterator[Reason]:
    """The login, by which the forge is asked for a role, still belongs to the account that spoke (10)."""
    for permission in evidence.reading.permissions:
        if word.account is not None and permission.account == word.account.id and not permission.same_account:
            yield Reason(numbers.ANOTHER_ACCOUNT, f"{word.account.login} is another account's login by now")


def as_it_was_given(evidence: Evidence, word: Word) -> Iterator[Reason]:
    """Who approved could do so when that was first seen, and did: nobody is made a writer, or somebody else, afterwards
    (12), and no other review becomes an approval (62).
    """
    for seen in evidence.first_seen:
        if (seen.form, seen.id) != (word.form, word.id):
            continue
        given = f"when {word.form} {word.id} was given"
        if word.form is Form.REVIEW and seen.state is not word.state:
            text = f"review {word.id} of {seen.login} said {seen.state} when it was first seen, and {word.state} now"
            yield Reason(numbers.ANSWERS_DISAGREE, f"{text}; approve again")
        role = role_of(evidence.reading, word.account)
        if (seen.role in WRITERS) is not (role in WRITERS):
            text = f"{seen.login} had the role {seen.role or 'unknown'} {given}, and has {role or 'none'} now"
            yield Reason(numbers.NOT_SO_THEN, f"{text}; approve again")
        for rules in evidence.rule_sets:
            person = person_of_word(rules.principals, word)
            now = person.name if person is not None else None
            if now != seen.person:
                text = (
                    f"{seen.login} was {seen.person or 'nobody'} in principals.yaml {given}, and is {now or 'nobody'}"
                )
                yield Reason(numbers.NOT_SO_THEN, f"{text} now; approve again")
                break


def not_a_contributor(evidence: Evidence, word: Word) -> Iterator[Reason]:
    """The person had no part in the change, through none of their accounts (1, 2, 6, 7, 8)."""
    contributors = contributors_of(evidence.reading, evidence.landing)
    account = word.account
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
    numbers.ONLY_AN_ADDRESS: "is who an address in this pull request names",
    numbers.OWN_PULL_REQUEST: "opened this pull request and cannot approve it",
    numbers.COMMITTED: "is author or committer of a commit in this pull request",
    numbers.CO_AUTHOR: "is a co-author, or the change holds their suggestion",
    numbers.PUSHED: "pushed to the head of this pull request, or what it adopts",
}


def not_the_agents_owner(evidence: Evidence, word: Word) -> Iterator[Reason]:
    """Who stands behind the agent that wrote it may approve only where every environment says so (4)."""
    if word.account is None:
        return
    contributors = contributors_of(evidence.reading, evidence.landing)
    for rules in evidence.rule_sets:
        person = rules.principals.person_of(word.account.id)
        if person is None or owners_may_approve(rules):
            continue
        for agent in (rules.principals.agent_of(account) for account, _ in contributors.accounts):
            if agent is not None and agent.owner == person.name:
                yield Reason(
                    numbers.AGENTS_OWNER,
                    f"{word.account.login} stands behind the agent {agent.name}, which wrote this",
                )
                return


def owners_may_approve(rules: RuleSet) -> bool:
    """Whether all environments concerned let the owner of an agent approve what it wrote."""
    return bool(rules.environments) and all(e.agent_owner_may_approve for e in rules.environments)


def the_last_word(evidence: Evidence, word: Word) -> Iterator[Reason]:
    """The account said nothing else since: a later objection or dismissal never falls back to an approval (19), also
    where the objection is no longer there to see (20).
    """
    if word.account is None:
        return
    for last in standing(evidence, word.account):
        if last.state is not ReviewState.APPROVED:
            said = "was dismissed" if last.state is ReviewState.DISMISSED else "objects"
            text = f"the last word of {word.account.login} ({last.form} {last.id}) {said}"
            yield Reason(numbers.NO_LONGER_THE_LAST_WORD, text)
            return
    for seen in vanished(evidence, word.account.id):
        text = f"{seen.login} objected in {seen.form} {seen.id}, which was changed or deleted; they approve again"
        yield Reason(numbers.DISMISSED_BY_ANOTHER, text)


def role_of(reading: PullRequestReading, account: Account | None) -> str | None:
    """The role of an account, None where the forge did not say or said two things."""
    if account is None:
        return None
    roles = {permission.role for permission in reading.permissions if permission.account == account.id}
    return roles.pop() if len(roles) == 1 else None


def person_of_word(principals: Principals, word: Word) -> Person | None:
    """The person behind a word under these principals."""
    return principals.person_of(word.account.id if word.account else None)
