"""Gathering what one decision looks at: verdicts under each version of the rules, posted plans, the landing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from reconciler import approvals, policy
from reconciler.approvals.consent import contributors_of
from reconciler.control import consents, planning
from reconciler.control.changes import Change, Kind
from reconciler.control.parts import Parts
from reconciler.control.planning import Planned, Snapshot, TargetPlan
from reconciler.model.approval import Evidence, GateRules, Landing, PlannedTarget, PostedPlan, RuleSet
from reconciler.model.canonical import digest_bytes
from reconciler.model.deployment import DeploymentKind
from reconciler.model.desired import Consent
from reconciler.model.ledger_entry import LedgerEntry
from reconciler.model.policy import Action
from reconciler.model.pull_request import Comment, PullRequestReading
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import TrustRecord


def judge(
    parts: Parts,
    change: Change,
    plans: Sequence[TargetPlan],
    targets: Sequence[Target],
    kind: Kind,
    reading: PullRequestReading,
    landing: Landing | None,
    origins: Mapping[str, Snapshot],
) -> tuple[RuleSet, ...]:
    """The verdict on `targets` under each version of the rules; `origins` names them, as the comment shall."""
    contributors = contributors_of(reading, landing)
    authors: tuple[int | None, ...] = (*(account for account, _ in contributors.accounts),) + (
        (None,) if contributors.unknown else ()
    )
    deploying = Action.ROLLBACK if kind.kind is DeploymentKind.ROLLBACK else Action.DEPLOY
    actions = ((deploying,) if targets else ()) + change.rules.actions
    request = asked_of_policy(parts, change, plans, targets, actions, authors)
    new = any(change.before.state.environment(target.environment_name) is None for target in targets)
    all_concerned = change.rules.rules_touched or new
    return tuple(
        RuleSet(
            origin=origin,
            principals=rules.state.principals,
            verdict=policy.evaluate(request, rules.state.policy, rules.state.principals, waivers(rules)),
            environments=tuple(_gate_rules(change, target, rules) for target in targets),
            consent=approvals.strictest_consent(change.before.state, rules.state) if all_concerned else Consent.REVIEW,
        )
        for origin, rules in origins.items()
    )


def asked_of_policy(
    parts: Parts,
    change: Change,
    plans: Sequence[TargetPlan],
    targets: Sequence[Target],
    actions: tuple[Action, ...],
    authors: tuple[int | None, ...],
) -> policy.PolicyRequest:
    """What the policy is asked about a change: who wants to do what to which targets."""
    by_target = {plan.target: plan for plan in plans}
    return policy.PolicyRequest(
        actions=actions,
        targets=tuple(_facts(parts, change, target, by_target.get(target)) for target in targets),
        authors=authors,
        changed_files=change.files,
        findings=(*change.rules.findings, *policy.unseen(change.files, change.after.tree.files)),
        removal=_removal(parts, change),
    )


def _facts(parts: Parts, change: Change, target: Target, plan: TargetPlan | None) -> policy.TargetFacts:
    environment = change.after.state.environment(target.environment_name)
    model: Mapping[str, object] = {}
    if environment is not None and target in environment.targets:
        model = planning.render(parts, change.after, environment).model
    return policy.TargetFacts(
        target=target,
        tier=_gate_rules(change, target, change.before).tier,
        model=model,
        destroys_data=any(c.subject.kind == "volume" for c in plan.plan.destroys)
        if isinstance(plan, Planned)
        else None,
        around=surroundings(parts, target, change.before, change.after),
        proposed=environment.waivers if environment is not None else (),
    )


def waivers(rules: Snapshot) -> policy.Waivers:
    """The waivers of every environment under one version of the rules."""
    return {environment.name: environment.waivers for environment in rules.state.environments}


def surroundings(parts: Parts, target: Target, *states: Snapshot) -> policy.Surroundings:
    """What the target has to keep away from on its host, by the trees before and after a change."""
    environments = [each for at in states for each in at.state.environments]
    own = [each.compose_project for each in environments if each.name == target.environment_name]
    hosts = [host for at in states if (host := at.state.host(target.host)) is not None]
    return policy.Surroundings(
        compose_project=own[-1] if own else "",
        neighbours=tuple(sorted({each.compose_project for each in environments} - set(own))),
        host_paths=tuple(sorted({path for host in hosts for path in (host.socket, host.directory)})),
        shared=tuple(sorted({each for at in states for each in _others_binds(parts, target, at)})),
    )


def _others_binds(parts: Parts, target: Target, at: Snapshot) -> Iterator[tuple[str, bool, str]]:
    """What the other environments of a host mount of it."""
    for environment in at.state.environments:
        if environment.name != target.environment_name and target.host in environment.hosts:
            model = planning.render(parts, at, environment).model
            yield from ((path, writable, str(environment.name)) for path, writable, _ in policy.absolute_binds(model))


def _removal(parts: Parts, change: Change) -> policy.Removal:
    """The services that git has no more, host by host, of all that it had."""
    before, after = _services(parts, change.before), _services(parts, change.after)
    gone = sorted(before - after)
    names = sorted({target.environment_name for target, _ in gone})
    return policy.Removal(
        before=len(before),
        after=len(after),
        gone=tuple(
            (name, tuple(f"{service} on {target.host}" for target, service in gone if target.environment_name == name))
            for name in names
        ),
    )


def _services(parts: Parts, at: Snapshot) -> set[tuple[Target, str]]:
    """Every service that a tree wants to run, on every target."""
    found: set[tuple[Target, str]] = set()
    for environment in at.state.environments:
        services = policy.running(planning.render(parts, at, environment).model)
        found |= {(target, name) for target in environment.targets for name in services}
    return found


def _gate_rules(change: Change, target: Target, rules: Snapshot) -> GateRules:
    """Under one version of the rules; what that version has no more, the rules before the change still say."""
    name, host = target.environment_name, target.host
    before, after = change.before.state, change.after.state
    return approvals.stricter(
        rules.state.environment(name) or before.environment(name),
        after.environment(name),
        rules.state.host(host) or before.host(host),
        after.host(host),
        target,
    )


def before_merge(
    parts: Parts,
    trust: TrustRecord,
    reading: PullRequestReading,
    change: Change,
    plans: Sequence[TargetPlan],
    judged: tuple[RuleSet, ...],
) -> Evidence:
    """All that the decision on an open pull request looks at."""
    found = Evidence(
        repository=trust.repository,
        deploy_branch=parts.branch,
        reading=reading,
        plans=_planned(plans),
        expected=change.targets,
        posted=posted(parts, reading),
        rule_sets=judged,
        landing=None,
        policy_readable=True,
        rules_touched=change.rules.rules_touched,
        others_touched=change.rules.others_touched,
    )
    return _heard(parts, found, (change.before,))


def _heard(parts: Parts, found: Evidence, origins: Sequence[Snapshot]) -> Evidence:
    """With what has to be found out about the words that were said."""
    names = sorted({target.environment_name for target in found.expected})
    return replace(
        found,
        signed=tuple(consents.signed(parts, found)),
        first_seen=consents.first_seen(parts, subject(found.reading.pull_request.number), found),
        closed=consents.closed_times(found.reading, origins, names, parts.clock.now()),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a decision after the merge is made: one environment (or none, for a landing that only changes rules).

    `rules` are those that were accepted last before the landing, `tip` those of now, None where they cannot be read.
    `ends_hold_of` are targets that nothing is done to, and that only an approval good enough for them sets free.
    """

    environment: EnvironmentName | None
    targets: tuple[Target, ...]
    holds: tuple[str, ...]
    rules: Snapshot
    tip: Snapshot | None
    ends_hold_of: tuple[Target, ...] = ()


def after_merge(
    parts: Parts,
    trust: TrustRecord,
    reading: PullRequestReading,
    change: Change,
    landing: Landing,
    plans: Sequence[TargetPlan],
    place: Place,
    kind: Kind,
) -> Evidence:
    """All that the decision on a landing looks at: the rules before it and at the tip must both pass."""
    origins = {"before the landing": place.rules}
    if place.tip is not None:
        origins["the tip"] = place.tip
    judged = judge(parts, change, plans, place.targets or place.ends_hold_of, kind, reading, landing, origins)
    if not place.targets:
        judged = tuple(map(_at_once, judged))
    found = Evidence(
        repository=trust.repository,
        deploy_branch=parts.branch,
        reading=reading,
        plans=_planned(plans),
        expected=place.targets,
        posted=posted(parts, reading),
        rule_sets=judged,
        landing=landing,
        policy_readable=place.tip is not None,
        rules_touched=change.rules.rules_touched,
        others_touched=change.rules.others_touched,
        holds=place.holds,
    )
    return _heard(parts, found, tuple(origins.values()))


def _at_once(rules: RuleSet) -> RuleSet:
    """Without a time in which to read plans: there is none to be read where nothing is done."""
    return replace(rules, environments=tuple(replace(e, consent_delay_seconds=0.0) for e in rules.environments))


def posted(parts: Parts, reading: PullRequestReading) -> tuple[PostedPlan, ...]:
    """The plans that the ledger holds for a pull request, oldest first, and whether their comment was tampered with.

    Our comments are compared with what we wrote last, text and time; a difference is noted in the ledger, because the
    plan will be shown afresh and the tampering must not be forgotten.
    """
    number = reading.pull_request.number
    key = subject(number)
    plans = parts.ledger.find("plan-posted", key)
    if plans and _tampered(reading.comments, _written(parts, key)):
        with parts.saying:  # or we wrote since it was read
            for said, how in _tampered(parts.forge.comments(number), _written(parts, key)):
                facts = {"comment": said.data["comment"], "how": how}
                noted = [e for e in parts.ledger.find("plan-edited", key) if e.data["comment"] == facts["comment"]]
                if not noted or noted[-1].sequence < said.sequence:
                    parts.ledger.append("plan-edited", key, facts, parts.clock.now())
            plans = parts.ledger.find("plan-posted", key)
    edits = [entry.sequence for entry in parts.ledger.find("plan-edited", key)]
    following = [entry.sequence for entry in plans[1:]] + [sys.maxsize]
    return tuple(
        _posted(
            entry.data,
            any(entry.sequence < edit < after for edit in edits),
        )
        for entry, after in zip(plans, following, strict=False)
    )


def _written(parts: Parts, key: str) -> tuple[LedgerEntry, ...]:
    """What the ledger says of each of our comments as it was written last; after the merge there are several, of which
    each shows the plans of some environments.
    """
    last = {entry.data["comment"]: entry for entry in parts.ledger.find("gate", key)}
    return tuple(last.values())


def _tampered(comments: Sequence[Comment], written: Iterable[LedgerEntry]) -> list[tuple[LedgerEntry, str]]:
    """Those of our comments that differ from what we wrote last, and how."""
    found = {comment.id: comment for comment in comments}
    return [(said, how) for said in written if (how := _differs(found.get(said.data["comment"]), said.data))]


def _differs(comment: Comment | None, said: Mapping[str, Any]) -> str | None:
    if comment is None:
        return "it was deleted"
    if body_digest(comment.body) != said["body"]:
        return "the text is not ours"
    if comment.updated_at.isoformat() != said["comment_updated_at"]:
        return "it was edited after we wrote it"
    return None


def body_digest(body: str) -> str:
    """A comment's text as we compare it: forges may change line ends and drop what is blank at the end."""
    return digest_bytes(body.replace("\r\n", "\n").rstrip().encode())


def subject(number: int) -> str:
    """What ledger entries about a pull request are filed under."""
    return f"pull-request/{number}"


def _posted(data: Mapping[str, Any], edited: bool) -> PostedPlan:
    return PostedPlan(
        head_sha=data["head_sha"],
        base_ref=data["base_ref"],
        digests=tuple(sorted((Target.parse(target), digest) for target, digest in data["digests"].items())),
        comment=data["comment"],
        updated_at=datetime.fromisoformat(data["updated_at"]),
        edited_by_others=edited,
    )


def _planned(plans: Sequence[TargetPlan]) -> tuple[PlannedTarget, ...]:
    return tuple(
        PlannedTarget(
            plan.target,
            plan.plan.digest,
            tuple(obstacle.text for obstacle in plan.plan.obstacles),
            destroys=any(plan.plan.destroys),
        )
        for plan in plans
        if isinstance(plan, Planned)
    )
