"""Whether persons may deploy past the gate in an emergency (56): the statement that they sign, and the decision.

Called by control, which gathers the evidence and does what is decided. No pull request is asked for here: it comes
afterwards, and until it reproduces what was done the environment is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from reconciler.approvals import numbers
from reconciler.approvals.quorum import requirements_of
from reconciler.model.approval import (
    Approval,
    Form,
    Gate,
    Open,
    PlannedTarget,
    Reason,
    Refused,
    RuleSet,
    Stale,
    Waiting,
)
from reconciler.model.canonical import digest
from reconciler.model.principal import Person, Principals
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Requirement

NAMESPACE = "reconciler-break-glass"
"""Of the SSH signature over a statement, so that no signature made for something else fits."""

REVIEW_NAMESPACE = "reconciler-break-glass-review"
"""Of the signature with which another person says afterwards that they looked at what was done."""

LIVES = timedelta(minutes=15)
AHEAD = timedelta(minutes=1)
REVIEW_WITHIN = timedelta(hours=24)
TWO_PERSONS = 2
LONGEST_REASON = 500  # characters, as below
LONGEST_TICKET = 100


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed: exactly these plans of one environment at one revision, why, and when it was said.

    `repository` is the forge's id, `issued` UTC in whole seconds. `despite_suspension` says that whoever signs knows
    that somebody suspended the environment.
    """

    repository: int
    environment: EnvironmentName
    revision: str
    plans: tuple[tuple[Target, str], ...]
    reason: str
    ticket: str
    issued: datetime
    despite_suspension: bool = False


def statement_text(statement: Statement) -> bytes:
    """Lines that a person can read; the same statement is the same bytes."""
    lines = [
        "reconciler break-glass",
        f"repository {statement.repository}",
        f"environment {statement.environment}",
        f"revision {statement.revision}",
        *(f"plan {target} {planned}" for target, planned in sorted(statement.plans)),
        f"reason {statement.reason}",
        f"ticket {statement.ticket}",
        *(["despite suspension"] if statement.despite_suspension else []),
        f"issued {statement.issued.isoformat()}",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


@dataclass(frozen=True, slots=True)
class Emergency:
    """Everything that the decision may look at.

    `signers` has for each signature the registered key that made it over exactly the statement's bytes, None where none
    did. `account` is whose forge token it was, None while the forge cannot be asked. `rule_sets` are the rules that
    were accepted last and, where they can be read, those of the tip; all must pass, and none comes from the revision.
    `expected` are the environment's targets by git alone, `plans` those made now, `unplanned` says why one is missing.
    `on_a_branch` is whether a branch of the repository itself contains the revision; `rules_touched` what the revision
    would change of the rules; `deployed` whether the environment was ever deployed through the gate. `used` is whether
    the statement was used before, `suspended` and `under_way` are sentences, `overdue` names earlier ones that nobody
    reviewed in time.
    """

    statement: Statement
    signers: tuple[str | None, ...]
    account: int | None
    rule_sets: tuple[RuleSet, ...]
    expected: tuple[Target, ...]
    plans: tuple[PlannedTarget, ...]
    unplanned: tuple[str, ...] = ()
    on_a_branch: bool = False
    rules_touched: tuple[str, ...] = ()
    deployed: bool = False
    used: bool = True
    suspended: str | None = None
    under_way: str | None = None
    overdue: tuple[str, ...] = ()


def reason(text: str) -> Reason:
    """Every reason of this page has the same number."""
    return Reason(numbers.BREAK_GLASS, text)


# -- what makes it impossible --------------------------------------------------------------------------------------


def says_why(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """A reason and a ticket, each on one line that hides nothing (56)."""
    said = (
        ("reason", evidence.statement.reason, LONGEST_REASON),
        ("ticket", evidence.statement.ticket, LONGEST_TICKET),
    )
    for name, text, longest in said:
        if not text.strip():
            yield reason(f"no {name} is given; it is signed, and shows wherever the environment does")
        elif text != text.strip() or not text.isprintable() or len(text) > longest:
            yield reason(f"the {name} has to be one plain line of at most {longest} characters")


def not_of_a_time_to_come(evidence: Emergency, now: datetime) -> Iterator[Reason]:
    """A statement cannot be stored up for later (56)."""
    issued = evidence.statement.issued
    if issued - now > AHEAD:
        yield reason(f"the statement is of {issued.isoformat()}, which has not come yet")


def signed_by_persons(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """Signatures over exactly this statement, each by a key of exactly one registered person: no token, whoever's it
    is, breaks the glass, and no key of an agent, who has none (56).
    """
    if not evidence.signers:
        yield reason("nobody signed it; a forge token alone breaks no glass")
    if not evidence.rule_sets:
        yield reason("there are no accepted rules to judge by")
    for number, key in enumerate(evidence.signers, start=1):
        if key is None:
            yield reason(
                f"signature {number} is not over this statement by a key that principals.yaml has for a person"
            )
            continue
        for rules in evidence.rule_sets:
            holders = [person.name for person in persons_of_key(rules.principals, key)]
            if not holders:
                yield reason(f"signature {number} is by a key that nobody has any more ({rules.origin})")
            elif len(holders) > 1:
                yield reason(f"signature {number} is by a key of {' and '.join(holders)}; a key is one person's")
    names = [tuple(person_of_key(rules.principals, key) for key in evidence.signers) for rules in evidence.rule_sets]
    if len(set(names)) > 1:
        yield reason("a signing key belongs to somebody else by now")


def by_whose_token_it_is(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """Whoever breaks the glass holds a person's forge account and that person's key: an agent never, with whichever key
    (56).
    """
    if evidence.account is None:
        return
    for rules in evidence.rule_sets:
        agent = rules.principals.agent_of(evidence.account)
        person = rules.principals.person_of(evidence.account)
        if agent is not None:
            yield reason(f"the token is that of the agent {agent.name}; agents break no glass")
        elif person is None:
            yield reason(f"the token's account {evidence.account} is nobody in principals.yaml ({rules.origin})")
        elif person.name not in signing(rules.principals, evidence.signers):
            yield reason(f"the token is that of {person.name}, who did not sign")


def of_this_repository(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """The revision lies on a branch of the repository itself; a pull request's head from a fork does not (56)."""
    if not evidence.on_a_branch:
        revision = evidence.statement.revision
        yield reason(f"no branch of the repository contains {revision[:12]}; push the fix to a branch of it")


def changes_no_rules(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """It deploys an environment and never rules: policy, principals, hosts and gate fields are as accepted (56)."""
    if evidence.rules_touched:
        what = ", ".join(evidence.rules_touched)
        yield reason(
            f"the revision has other rules than those accepted last ({what}); put the fix alone on top of them"
        )
    if not evidence.deployed:
        text = "was never deployed through the gate, so there is no glass to break"
        yield reason(f"{evidence.statement.environment} {text}")


def whole(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """Every target of the environment has a plan that can be carried out (56)."""
    for text in evidence.unplanned:
        yield reason(f"not planned: {text}")
    planned = {plan.target for plan in evidence.plans}
    if not evidence.expected or (planned != set(evidence.expected) and not evidence.unplanned):
        yield reason("there is not exactly one plan for each target of the environment")
    for plan in evidence.plans:
        for obstacle in plan.obstacles:
            yield reason(f"{plan.target}: {obstacle}")


def allowed(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """The policy lets somebody break the glass, and denies nothing of what would run: what is dangerous stays denied
    in an emergency, by its own number where it has one (56).
    """
    for rules in evidence.rule_sets:
        for finding in rules.verdict.denied:
            number = numbers.BREAK_GLASS if finding.gate is None else finding.gate
            yield Reason(number, f"policy denies it ({finding.rule}): {finding.text}")


def not_used(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """A statement works once (56)."""
    if evidence.used:
        yield reason("this statement was used already; ask for a new one and sign that")


def not_suspended(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """Windows do not stop it; a suspension does, unless that is signed too (56)."""
    if evidence.suspended and not evidence.statement.despite_suspension:
        yield reason(f"{evidence.statement.environment} is {evidence.suspended}; --despite-suspension is for that")


def nothing_overdue(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """Who did not have the last one reviewed does not break the glass again (56)."""
    for text in evidence.overdue:
        yield reason(text)


# -- what makes it another thing than was signed -------------------------------------------------------------------


def fresh(evidence: Emergency, now: datetime) -> Iterator[Reason]:
    """It lives for minutes (56)."""
    issued = evidence.statement.issued
    if now - issued > LIVES:
        minutes = LIVES // timedelta(minutes=1)
        yield reason(f"the statement is of {issued.isoformat()} and lives {minutes} minutes; look again and sign anew")


def the_plan_that_was_shown(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """What would be done now is, digest by digest, what was signed (56)."""
    signed = dict(evidence.statement.plans)
    for plan in evidence.plans:
        if signed.get(plan.target) != plan.digest:
            was = (signed.get(plan.target) or "nothing")[:12]
            yield reason(f"the plan for {plan.target} is now {plan.digest[:12]}, signed is {was}; look again")
    for target in sorted(signed.keys() - {plan.target for plan in evidence.plans}):
        yield reason(f"a plan for {target} is signed, and there is none now")


# -- who is missing ------------------------------------------------------------------------------------------------


def one_after_the_other(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """Not into a deployment that runs (56)."""
    if evidence.under_way is not None:
        yield reason(evidence.under_way)


def enough_persons(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """As many different persons as the rules ask for, two keys of one being one person (56)."""
    for rules in evidence.rule_sets:
        people = signing(rules.principals, evidence.signers)
        for need in requirements_of(rules):
            have = [
                name for name in people if need.from_group is None or name in rules.principals.members(need.from_group)
            ]
            lacking = max(1, need.approvals) - len(have)
            if lacking > 0:
                group = f" of group {need.from_group}" if need.from_group else ""
                count = "one more person" if lacking == 1 else f"{lacking} more persons"
                yield reason(f"{count}{group} must sign it (rule {need.rule}, {rules.origin})")


def two_eyes_more(evidence: Emergency, _now: datetime) -> Iterator[Reason]:
    """One person alone only where the forge says whose token it is, and where somebody else can review it (56)."""
    for rules in evidence.rule_sets:
        people = signing(rules.principals, evidence.signers)
        if len(people) >= TWO_PERSONS:
            continue
        if evidence.account is None:
            yield reason("while the forge cannot say whose token it is, two persons must sign")
        elif not reviewers(rules.principals, groups_asked(rules.verdict.requirements), people):
            yield reason("nobody else who has a signing key could review it afterwards; a second person must sign now")


Condition = Callable[[Emergency, datetime], Iterable[Reason]]

REFUSALS: tuple[Condition, ...] = (
    says_why,
    not_of_a_time_to_come,
    signed_by_persons,
    by_whose_token_it_is,
    of_this_repository,
    changes_no_rules,
    whole,
    allowed,
    not_used,
    not_suspended,
    nothing_overdue,
)
STALE: tuple[Condition, ...] = (fresh, the_plan_that_was_shown)
MISSING: tuple[Condition, ...] = (one_after_the_other, enough_persons, two_eyes_more)


def decide(evidence: Emergency, now: datetime) -> Gate:
    """Refused when it must not happen, Stale when something else was signed or too long ago, Waiting when a person is
    missing, Open for exactly these plans, now and once. `now` is UTC and aware.
    """
    return fold(found(REFUSALS, evidence, now), found(STALE, evidence, now), found(MISSING, evidence, now), evidence)


def fold(
    refused: tuple[Reason, ...], stale: tuple[Reason, ...], missing: tuple[Reason, ...], evidence: Emergency
) -> Gate:
    """The answer, from what every family of conditions has found."""
    if refused:
        return Refused(refused)
    if stale:
        return Stale(stale)
    if missing:
        return Waiting(tuple(each.text for each in missing), missing)
    return Open(
        approvals=approvals(evidence),
        digests=tuple(sorted((plan.target, plan.digest) for plan in evidence.plans)),
        head_sha=evidence.statement.revision,
        attestation=attestation(evidence),
    )


def found(family: Iterable[Condition], evidence: Emergency, now: datetime) -> tuple[Reason, ...]:
    """All reasons of a family, each once."""
    return tuple(dict.fromkeys(chain.from_iterable(condition(evidence, now) for condition in family)))


def approvals(evidence: Emergency) -> tuple[Approval, ...]:
    """Who signed, each person once, in the order of the signatures."""
    principals = evidence.rule_sets[0].principals if evidence.rule_sets else Principals()
    given: dict[str, Approval] = {}
    for key in evidence.signers:
        for person in persons_of_key(principals, key):
            given.setdefault(
                person.name,
                Approval(
                    person=person.name,
                    account=min(person.accounts, key=lambda each: each != evidence.account, default=0),
                    review=0,
                    head_sha=evidence.statement.revision,
                    submitted_at=evidence.statement.issued,
                    groups=person.groups,
                    form=Form.STATEMENT,
                    key=key,
                ),
            )
    return tuple(given.values())


def attestation(evidence: Emergency) -> str:
    """SHA-256 over what it was decided from."""
    return digest(
        {
            "statement": statement_text(evidence.statement).decode(),
            "signers": list(evidence.signers),
            "account": evidence.account,
            "rules": [
                {
                    "origin": rules.origin,
                    "policy": rules.verdict.policy_digest,
                    "requirements": [[r.approvals, r.from_group, r.rule] for r in rules.verdict.requirements],
                }
                for rules in evidence.rule_sets
            ],
        }
    )


# -- persons and their keys ----------------------------------------------------------------------------------------


def plain(key: str) -> list[str]:
    """Type and base64: what a comment behind them says makes no other key."""
    return key.split()[:2]


def persons_of_key(principals: Principals, key: str | None) -> tuple[Person, ...]:
    """Everyone for whom a key is registered."""
    if key is None:
        return ()
    return tuple(person for person in principals.people if plain(key) in map(plain, person.signing_keys))


def person_of_key(principals: Principals, key: str | None) -> str | None:
    """Whose key it is, None where it is nobody's or several persons'."""
    holders = persons_of_key(principals, key)
    return holders[0].name if len(holders) == 1 else None


def signing(principals: Principals, signers: Iterable[str | None]) -> tuple[str, ...]:
    """The persons behind signatures, each once."""
    names = (person_of_key(principals, key) for key in signers)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def groups_asked(requirements: Iterable[Requirement]) -> tuple[str, ...]:
    """The groups out of which the rules want whoever breaks the glass."""
    return tuple(sorted({need.from_group for need in requirements if need.from_group is not None}))


def reviewers(principals: Principals, groups: Iterable[str], by: Iterable[str]) -> tuple[str, ...]:
    """Who could review what `by` did: another person, of the groups that were asked for, with a key to sign with."""
    able = [p.name for p in principals.people if p.signing_keys and p.name not in by and set(groups) <= set(p.groups)]
    return tuple(sorted(able))


# -- the review afterwards -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Review:
    """Somebody says that they looked at what was done: `key` made the signature over the same statement in the
    review's namespace (None: no registered key did), `account` is whose token it was, `by` who broke the glass,
    `groups` those that the rules asked for then. `principals` are those that were accepted last, and those of the tip.
    """

    key: str | None
    account: int | None
    by: tuple[str, ...]
    groups: tuple[str, ...]
    principals: tuple[Principals, ...]


def review_refusals(review: Review) -> Iterator[Reason]:
    """Why a review does not count: it is by another person than those who broke the glass, who could have signed with
    them (56).
    """
    if not review.principals:
        yield reason("there are no accepted rules to judge by")
    for principals in review.principals:
        name = person_of_key(principals, review.key)
        account = principals.person_of(review.account)
        if name is None:
            yield reason("the review is not signed by a key of one registered person")
        elif account is None or account.name != name:
            yield reason(f"the signature is that of {name}, and the token is not")
        elif name in review.by:
            yield reason(f"{name} broke the glass; somebody else reviews it")
        elif name not in reviewers(principals, review.groups, review.by):
            yield reason(f"{name} is not of group {' and '.join(review.groups)}")
