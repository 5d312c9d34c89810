"""Breaking the glass: deploying one environment past the gate, by persons who sign for exactly one plan, announced
before it acts, on record and marked afterwards. The faces call it; approvals/emergency.py decides, and what is decided
runs like any other deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from reconciler import policy
from reconciler.approvals import emergency
from reconciler.approvals.emergency import Emergency, Review, Statement
from reconciler.control import changes, evidence, execution, marks, planning, publishing, remembering
from reconciler.control.execution import Deploy
from reconciler.control.leasing import lease
from reconciler.control.parts import Parts
from reconciler.control.planning import Planned, Snapshot, TargetPlan
from reconciler.model.approval import Open, PlannedTarget, Reason, RuleSet
from reconciler.model.canonical import digest_bytes
from reconciler.model.deployment import Authority, Deployment, DeploymentKind
from reconciler.model.errors import ForgeUnavailable, InvalidInput, NotAllowed, NotFound, ReconcilerError, Retryable
from reconciler.model.policy import Action
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Requirement, Verdict
from reconciler.ports import Signer, TrustRecord

LONGEST_KEPT = 16_384  # characters of a signature, which anybody may have made


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants deployed past the gate. `plans` are the digests that were shown to them, `issued` is when the
    statement was made that another person signed already (None: now).
    """

    environment: EnvironmentName
    revision: str
    reason: str
    ticket: str
    plans: tuple[str, ...] = ()
    issued: datetime | None = None
    despite_suspension: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """What they show for it: a person's forge token, that person's key, and signatures that were made elsewhere over
    the statement. `forge_is_down` lets it go on where the forge cannot be asked or told.
    """

    token: str
    signer: Signer | None
    signatures: tuple[str, ...] = ()
    forge_is_down: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """The environment, the revision and the rules as they are now."""

    trust: TrustRecord
    verified: str | None
    accepted: Snapshot
    tip: Snapshot | None
    at: Snapshot
    change: changes.Change
    plans: tuple[TargetPlan, ...]
    expected: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A look at what would be done; nothing is changed by it. `may` are the persons whom the rules let break the glass,
    `against` what speaks against it whoever signs.
    """

    plans: tuple[Planned, ...]
    statement: Statement
    may: tuple[str, ...]
    needs: tuple[str, ...]
    against: tuple[Reason, ...]

    @property
    def text(self) -> str:
        """What is signed, byte for byte."""
        return emergency.statement_text(self.statement).decode()


# -- looking --------------------------------------------------------------------------------------------------------


def show(parts: Parts, asked: Asked) -> Shown:
    """The plan that would be carried out, and the statement to sign for it."""
    _fetched(parts, forge_is_down=True)
    place = _place(parts, asked, remembering.pinned(parts))
    statement = _statement(parts, asked, place)
    conditions = [each for each in emergency.REFUSALS if each is not emergency.signed_by_persons]
    may: dict[str, tuple[RuleSet, ...]] = {}
    against: list[Reason] = []
    for person in place.accepted.state.principals.people:
        if not person.signing_keys:
            continue
        rule_sets = _rule_sets(parts, place, person.accounts[:1])
        evident = _emergency(parts, asked, place, statement, (), None, rule_sets)
        found = emergency.found(conditions, evident, parts.clock.now())
        against += found
        groups = emergency.groups_asked(need for rules in rule_sets for need in rules.verdict.requirements)
        if not found and (not groups or any(group in person.groups for group in groups)):
            may[person.name] = rule_sets
    needs = {need for rule_sets in may.values() for rules in rule_sets for need in rules.verdict.requirements}
    if not may and not against:
        against.append(emergency.reason("nobody has a signing key in principals.yaml, so nobody could sign"))
    return Shown(
        plans=planning.planned(place.plans),
        statement=statement,
        may=tuple(sorted(may)),
        needs=tuple(sorted(map(_sentence, needs))),
        against=() if may else tuple(dict.fromkeys(against)),
    )


def _sentence(need: Requirement) -> str:
    count = "one person signs" if need.approvals <= 1 else f"{need.approvals} persons sign"
    group = f" of group {need.from_group}" if need.from_group else ""
    later = ", and where nobody else does, another one reviews it within 24 hours" if need.approvals <= 1 else ""
    return f"{count}{group} (rule {need.rule}){later}"


# -- breaking it ----------------------------------------------------------------------------------------------------


def break_glass(parts: Parts, asked: Asked, shown: Credentials) -> Deployment:
    """Deploy it past the gate, when persons who may have signed for exactly that. The finished record.

    NotAllowed with every reason where not, which is on record too. Retryable where another process has taken over what
    was opened, or the forge could not be told: what was opened goes on like any deployment.
    """
    name = asked.environment
    with lease(parts.leases, parts.clock, f"break-glass {name}", parts.owner):
        deployment = _opened(parts, asked, shown)
    try:
        return parts.engine.execute(deployment)
    except Retryable as error:
        raise Retryable(
            f"{deployment} is opened and queued, and not finished: {error}",
            hint="`reconciler serve` or `reconcile --once` goes on with it; do not sign anew",
        ) from error


def _opened(parts: Parts, asked: Asked, shown: Credentials) -> str:
    """Judge it, put it on record, tell the forge, mark the environment, queue it: in this order."""
    reached = _fetched(parts, shown.forge_is_down)
    trust = remembering.trusted(parts) if reached else remembering.pinned(parts)
    place = _place(parts, asked, trust)
    statement = _statement(parts, asked, place)
    text = emergency.statement_text(statement)
    armored = ((shown.signer.sign(text, emergency.NAMESPACE),) if shown.signer is not None else ()) + shown.signatures
    account = parts.forge.who(shown.token)[0] if reached else None
    keys = _keys(place)
    signers = tuple(parts.signatures.signer_of(text, each, emergency.NAMESPACE, keys) for each in armored)
    rule_sets = _rule_sets(parts, place, tuple(_accounts(place.accepted, signers)))
    found = _emergency(parts, asked, place, statement, signers, account, rule_sets)
    gate = emergency.decide(found, parts.clock.now())
    facts = _facts(statement, account, armored)
    if not isinstance(gate, Open):
        _refuse(parts, asked.environment, facts, gate.reasons)
    if all(plan.plan.empty for plan in planning.planned(place.plans)):
        _refuse(parts, asked.environment, facts, (emergency.reason("there is nothing to do: this is what runs"),))
    deploy = _deploy(parts, asked, place, gate)
    _announce(parts, asked.environment, statement, gate, facts, shown.forge_is_down)
    groups = emergency.groups_asked(need for rules in rule_sets for need in rules.verdict.requirements)
    return _begin(parts, asked.environment, deploy, gate, facts, groups)


def _fetched(parts: Parts, forge_is_down: bool) -> bool:
    """Whether the forge answers; while it does not, what the mirror has is what there is."""
    try:
        parts.source.fetch()
        parts.forge.repository_id()
    except ForgeUnavailable:
        if not forge_is_down:
            raise
        return False
    return True


def _place(parts: Parts, asked: Asked, trust: TrustRecord) -> _Place:
    """InvalidInput with every problem of the revision, NotFound where it or the environment is not there."""
    name = asked.environment
    tip = parts.source.branch_head(parts.branch)
    accepted = changes.accepted_now(parts, trust)
    tree = parts.source.tree(asked.revision)
    change = changes.between(parts, accepted, tree)
    if change.after.state.environment(name) is None or accepted.state.environment(name) is None:
        raise NotFound(f"there is no environment {name} at {asked.revision[:12]}, or not in the accepted state")
    verified = remembering.record(parts, name).verified
    before = planning.snapshot(parts.source.tree(verified)) if verified is not None else accepted
    return _Place(
        trust=trust,
        verified=verified,
        accepted=accepted,
        tip=planning.readable(parts, tip),
        at=change.after,
        change=change,
        plans=planning.plan_environment(parts, before, change.after, name),
        expected=planning.targets_of(before, change.after, name),
    )


def _statement(parts: Parts, asked: Asked, place: _Place) -> Statement:
    """What is signed. Where digests were named they are what is signed, whatever would be done by now."""
    now = {plan.target: plan.plan.digest for plan in planning.planned(place.plans)}
    return Statement(
        repository=place.trust.repository,
        environment=asked.environment,
        revision=asked.revision,
        plans=tuple(_named(now, place.expected, asked.plans) if asked.plans else sorted(now.items())),
        reason=asked.reason,
        ticket=asked.ticket,
        issued=asked.issued or parts.clock.now().replace(microsecond=0),
        despite_suspension=asked.despite_suspension,
    )


def _named(now: dict[Target, str], expected: Sequence[Target], named: Sequence[str]) -> Iterator[tuple[Target, str]]:
    """Each named digest at its target; those that are no plan's any more at the targets that are left, in order."""
    if len(named) != len(expected) or len(set(named)) != len(named):
        raise InvalidInput(f"name the digest of each plan once: there are {len(expected)}, and {len(named)} are named")
    by_digest = {digest: target for target, digest in now.items()}
    fitting = {by_digest[digest]: digest for digest in named if digest in by_digest}
    moved = iter([digest for digest in named if digest not in by_digest])
    for target in sorted(expected):
        yield target, fitting[target] if target in fitting else next(moved)


def _keys(place: _Place) -> tuple[str, ...]:
    """Every key of every person, by the accepted rules: those of the revision count for nothing."""
    return tuple(dict.fromkeys(key for person in place.accepted.state.principals.people for key in person.signing_keys))


def _accounts(accepted: Snapshot, signers: Iterable[str | None]) -> Iterator[int]:
    """Of the persons who signed, one account each: they are who does it, whoever wrote the fix."""
    for key in signers:
        for person in emergency.persons_of_key(accepted.state.principals, key):
            yield from person.accounts[:1]


def _rule_sets(parts: Parts, place: _Place, authors: tuple[int, ...]) -> tuple[RuleSet, ...]:
    """What the accepted rules say, and those of the tip: whether these people may break the glass, how many have to,
    and what is denied of what would run, in an emergency as on any day.
    """
    origins = {"the accepted rules": place.accepted} | ({"the tip": place.tip} if place.tip is not None else {})
    asked = {
        action: evidence.asked_of_policy(
            parts, place.change, place.plans, place.expected, (action,), authors or (None,)
        )
        for action in (Action.BREAK_GLASS, Action.DEPLOY)
    }
    found = []
    for origin, rules in origins.items():
        verdicts = {
            action: policy.evaluate(request, rules.state.policy, rules.state.principals, evidence.waivers(rules))
            for action, request in asked.items()
        }
        breaking, deploying = verdicts[Action.BREAK_GLASS], verdicts[Action.DEPLOY]
        verdict = Verdict(
            tuple(dict.fromkeys((*breaking.findings, *deploying.findings))),
            breaking.requirements,
            breaking.policy_digest,
        )
        found.append(RuleSet(origin, rules.state.principals, verdict, ()))
    return tuple(found)


def _emergency(
    parts: Parts,
    asked: Asked,
    place: _Place,
    statement: Statement,
    signers: tuple[str | None, ...],
    account: int | None,
    rule_sets: tuple[RuleSet, ...],
) -> Emergency:
    name, now = asked.environment, parts.clock.now()
    used = parts.ledger.latest("break-glass-opened", _subject(statement)) is not None
    under_way = [d.id for d in parts.deployments.unfinished() if remembering.environment_of(d) == name]
    known = marks.of(remembering.record(parts, name).detail)
    return Emergency(
        statement=statement,
        signers=signers,
        account=account,
        rule_sets=rule_sets,
        expected=place.expected,
        plans=tuple(
            PlannedTarget(plan.target, plan.plan.digest, tuple(obstacle.text for obstacle in plan.plan.obstacles))
            for plan in planning.planned(place.plans)
        ),
        unplanned=tuple(f"{away.target}: {away.error}" for away in planning.unplanned(place.plans)),
        on_a_branch=parts.source.on_a_branch(asked.revision),
        rules_touched=tuple(str(action) for action in place.change.rules.actions),
        deployed=place.verified is not None,
        used=used,
        suspended=execution.suspended(parts, name),
        under_way=f"{under_way[0]} of {name} is under way; it ends first" if under_way else None,
        overdue=tuple(marks.text([each], now) for each in known if each.overdue(now)),
    )


def _subject(statement: Statement) -> str:
    return f"statement/{digest_bytes(emergency.statement_text(statement))}"


def _facts(statement: Statement, account: int | None, signatures: Sequence[str]) -> dict[str, Any]:
    """What anybody can check with `ssh-keygen -Y verify`: the bytes and their signatures."""
    text = emergency.statement_text(statement)
    return {
        "attempt": digest_bytes(text),
        "statement": text.decode(),
        "signatures": [each for each in signatures if len(each) <= LONGEST_KEPT],
        "account": account,
    }


def _refuse(parts: Parts, name: EnvironmentName, facts: dict[str, Any], reasons: Sequence[Reason]) -> NoReturn:
    """On record, and said with the numbers."""
    listed = [{"rule": each.rule, "text": each.text} for each in reasons]
    parts.ledger.append("break-glass-refused", str(name), facts | {"reasons": listed}, parts.clock.now())
    text = "; ".join(f"{each.text} (gate {each.rule})" for each in reasons)
    raise NotAllowed(f"the glass is not broken: {text}")


def _announce(
    parts: Parts, name: EnvironmentName, statement: Statement, gate: Open, facts: dict[str, Any], forge_is_down: bool
) -> None:
    """Before the first operation: in the ledger, then on the forge. Where the forge does not take it, it goes on only
    if that was said, and the ledger says so as well.
    """
    by = " and ".join(given.person for given in gate.approvals)
    signed = {"by": [given.person for given in gate.approvals], "keys": [given.key for given in gate.approvals]}
    parts.ledger.append("break-glass-announced", str(name), facts | signed, parts.clock.now())
    text = f"break-glass of {name} by {by} ({statement.ticket}): {statement.reason}"
    parts.progress("break_glass.announced", {"environment": str(name), "by": by, "ticket": statement.ticket})
    whole = (
        f"{by} deploy {statement.revision} to {name} past the gate, for the ticket {statement.ticket}: "
        f"{statement.reason}. The environment is marked {marks.HOLD} until a pull request reproduces what runs then."
    )
    try:
        publishing.announced(parts, statement.revision, text, whole)
    except ReconcilerError as error:
        parts.progress("break_glass.untold", {"environment": str(name), "reason": str(error)})
        parts.ledger.append("break-glass-untold", str(name), facts | {"reason": str(error)}, parts.clock.now())
        if not forge_is_down:
            _refuse(
                parts,
                name,
                facts,
                [emergency.reason(f"the forge could not be told: {error}; --forge-is-down goes on without")],
            )


def _deploy(parts: Parts, asked: Asked, place: _Place, gate: Open) -> Deploy:
    """What runs like any other deployment, by the right of those who signed."""
    spec = place.at.state.environment(asked.environment)
    if spec is None:
        raise NotFound(f"there is no environment {asked.environment} at {asked.revision[:12]}")
    return Deploy(
        revision=asked.revision,
        before=place.verified,
        inputs=planning.inputs(parts, place.at, asked.environment),
        plans=planning.planned(place.plans),
        environment=spec,
        authority=Authority(
            kind=DeploymentKind.BREAK_GLASS.value,
            pull_request=None,
            author=gate.approvals[0].person,
            approvals=gate.approvals,
            merged_by="",
            attestation=gate.attestation,
            reason=asked.reason,
            ticket=asked.ticket,
        ),
        kind=DeploymentKind.BREAK_GLASS,
        despite_suspension=asked.despite_suspension,
    )


def _begin(
    parts: Parts, name: EnvironmentName, deploy: Deploy, gate: Open, facts: dict[str, Any], groups: tuple[str, ...]
) -> str:
    """The statement is used from here on; the mark comes before the deployment, and goes where that cannot begin."""
    now = parts.clock.now()
    persons = tuple(given.person for given in gate.approvals)
    due = now + emergency.REVIEW_WITHIN if len(persons) < emergency.TWO_PERSONS else None
    one = marks.Break(
        deployment=execution.identity(parts, name, deploy),
        revision=deploy.revision,
        plans={str(target): digest for target, digest in gate.digests},
        by=persons,
        reason=deploy.authority.reason,
        ticket=deploy.authority.ticket,
        since=now.isoformat(timespec="seconds"),
        statement=facts["attempt"],
        review_by=due.isoformat(timespec="seconds") if due is not None else None,
        groups=groups,
    )
    opened = {"environment": str(name), "deployment": one.deployment, "review_by": one.review_by, "by": list(persons)}
    noted = facts | opened | {"mark": marks.written(one)}
    parts.ledger.append("break-glass-opened", f"statement/{one.statement}", noted, now)
    remembering.mark(parts, name, one)
    try:
        return execution.queue(parts, name, deploy)
    except Retryable as error:
        remembering.never_began(parts, name, one.deployment, str(error))
        raise


# -- the review afterwards ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Due:
    """A review that is due: the mark, and the statement that the reviewer signs as well, in the review's namespace."""

    one: marks.Break
    statement: str


def due(parts: Parts, name: EnvironmentName) -> Due:
    """The oldest review that is due. NotFound where none is."""
    for one in marks.of(remembering.record(parts, name).detail):
        opened = parts.ledger.latest("break-glass-opened", f"statement/{one.statement}")
        if one.review_by is not None and opened is not None:
            return Due(one, opened.data["statement"])
    raise NotFound(f"no review of a broken glass of {name} is due")


def review(parts: Parts, name: EnvironmentName, shown: Credentials) -> Due:
    """Another person says that they looked at what was done, with their token and a signature. NotAllowed where that
    does not count; it counts late too, and says so.
    """
    with lease(parts.leases, parts.clock, f"break-glass {name}", parts.owner):
        found = due(parts, name)
        parts.source.fetch()
        trust = remembering.trusted(parts)
        tip = parts.source.branch_head(parts.branch)
        accepted = changes.accepted_now(parts, trust)
        text = found.statement.encode()
        armored = shown.signer.sign(text, emergency.REVIEW_NAMESPACE) if shown.signer is not None else None
        signature = armored or next(iter(shown.signatures), "")
        keys = tuple(dict.fromkeys(key for person in accepted.state.principals.people for key in person.signing_keys))
        judged = Review(
            key=parts.signatures.signer_of(text, signature, emergency.REVIEW_NAMESPACE, keys),
            account=parts.forge.who(shown.token)[0],
            by=found.one.by,
            groups=found.one.groups,
            principals=tuple(at.state.principals for at in (accepted, planning.readable(parts, tip)) if at is not None),
        )
        reasons = tuple(dict.fromkeys(emergency.review_refusals(judged)))
        facts = {"attempt": found.one.statement, "account": judged.account, "signatures": [signature[:LONGEST_KEPT]]}
        if reasons:
            _refuse(parts, name, facts | {"review_of": found.one.deployment}, reasons)
        by = emergency.person_of_key(accepted.state.principals, judged.key)
        remembering.reviewed(parts, name, found.one, {"by": by, "key": judged.key, **facts})
        return found
