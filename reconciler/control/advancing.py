"""The next step of an environment along the deploy branch: deploy a landing, stop, or stand at the tip.

Landings are taken one by one in first-parent order. One that does not touch the environment's inputs is passed over;
what nobody approved holds it until it is adopted, or until a later, approved boundary undoes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from reconciler import approvals
from reconciler.control import (
    adopting,
    changes,
    evidence,
    execution,
    history,
    host_records,
    marks,
    pinning,
    planning,
    publishing,
    remembering,
)
from reconciler.control.execution import Deploy
from reconciler.control.parts import Parts
from reconciler.control.planning import Snapshot
from reconciler.model.approval import Gate, Open, Reason, Refused, Stale, Waiting
from reconciler.model.deployment import Authority, DeploymentKind, DeploymentState
from reconciler.model.desired import EnvironmentSpec
from reconciler.model.errors import InvalidInput, NotFound, UntrustedHistory
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import EnvironmentRecord, TrustRecord

UNREACHABLE_AGAIN = timedelta(seconds=5)
UNTOLD_AGAIN = timedelta(seconds=30)
NOT_PINNED_BY_US = (
    "what is trusted was not pinned with this installation's key: the database was changed, or the key was lost "
    "(gate 68); docs/how-to/trust.md says what to do"
)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why it does not go on. `again` is when to look again where nobody will tell: a host that is down, a window.
    `authorised` is what was approved and failed, which does not stand in the way of the next landing.
    """

    hold: str
    reason: str
    commit: str | None
    again: timedelta | None = None
    authorised: bool = False

    @property
    def undecided(self) -> bool:
        """Whether the hosts are not to be looked at beside it: one does not answer, or a deployment left them as they
        are.
        """
        return self.authorised or self.hold == "Unreachable"


@dataclass(frozen=True, slots=True)
class UpToDate:
    """Everything up to the tip is deployed or does not concern this environment. Where it is `held`, this is its last
    approved state instead, in which it stays.
    """

    revision: str
    at: Snapshot
    record: EnvironmentRecord
    held: bool = False


NextStep = Deploy | Stopped | UpToDate


def next_step(parts: Parts, trust: TrustRecord, name: EnvironmentName) -> NextStep:
    """What to do now for one environment, from git, forge and hosts as they are now.

    At the tip already, the forge is not asked: one that is down keeps nobody from seeing or healing drift.
    """
    tip = parts.source.branch_head(parts.branch)
    start = _start(parts, trust, remembering.record(parts, name), tip)
    if isinstance(start, Stopped):
        return start
    record, known, verified, former = start.record, start.known, start.verified, start.former
    try:
        steps = history.steps(parts, trust.repository, verified, tip)
    except UntrustedHistory as error:
        return Stopped("Held", str(error), tip)
    before = planning.snapshot(parts.source.tree(verified))
    stopped: Stopped | None = None
    if known is None and (before.state.environment(name) is not None or _had(former, name)):
        stopped = _failed(parts, name, trust.revision)
        if stopped is None:
            return _genesis(parts, trust, name, before, former)
    rules = planning.readable(parts, tip)
    walk = _Walk(parts, trust, name, before, verified, rules, adopting.landed(parts, steps, tip))
    for step in steps:
        match walk.step(step, stopped):
            case Deploy() as deploy:
                return deploy
            case found:
                stopped = found
    if stopped is not None:
        return stopped
    if walk.verified != known:
        record = remembering.verified(parts, name, walk.verified)
        host_records.passed_over(parts, trust, name, walk.verified)
    return UpToDate(walk.verified, walk.at, record)


@dataclass(frozen=True, slots=True)
class _Start:
    """Where an environment's way begins. `known` is None where nothing is verified since what root persons pinned, and
    `former` what was verified before that.
    """

    record: EnvironmentRecord
    known: str | None
    verified: str
    former: _Former | None


def _start(parts: Parts, trust: TrustRecord, record: EnvironmentRecord, tip: str) -> _Start | Stopped:
    """The last verified revision by the database and by the hosts' records, or what root persons pinned."""
    if record.verified != tip:
        remembering.trusted(parts)
    heard = host_records.look(parts, trust, record, tip)
    if isinstance(heard, host_records.Refused):
        return Stopped("Held", heard.reason, None, UNTOLD_AGAIN)
    record, former = _since_trust(parts, trust, heard)
    if former is None and record.verified is not None:
        return _Start(record, record.verified, record.verified, None)
    if not pinning.genuine(parts, trust):
        return Stopped("Held", NOT_PINNED_BY_US, None, UNTOLD_AGAIN)
    begin = trust.revision if former is not None else beginning(parts, trust, record.name, tip)
    return _Start(record, None, begin, former)


@dataclass(frozen=True, slots=True)
class _Former:
    """What was verified before root persons pinned a later revision; `at` is None where it cannot be read."""

    revision: str
    at: Snapshot | None


def _since_trust(
    parts: Parts, trust: TrustRecord, record: EnvironmentRecord
) -> tuple[EnvironmentRecord, _Former | None]:
    """Where root persons have pinned a later revision than the verified one, that one is deployed by their word, and
    what it replaces is given. Made of the same at both, the environment is there already.
    """
    old = record.verified
    settled = host_records.settled(parts, trust, record)
    if old is None or settled or not host_records.before_trust(parts, trust, old):
        return record, None
    at, now = planning.readable(parts, old), planning.snapshot(parts.source.tree(trust.revision))
    same = at is not None and planning.inputs(parts, at, record.name) == planning.inputs(parts, now, record.name)
    if same and pinning.genuine(parts, trust):
        return remembering.verified(parts, record.name, trust.revision), None
    return record, _Former(old, at)


def _had(former: _Former | None, name: EnvironmentName) -> bool:
    return former is not None and former.at is not None and former.at.state.environment(name) is not None


def beginning(parts: Parts, trust: TrustRecord, name: EnvironmentName, tip: str) -> str:
    """Where the way of an environment begins that nothing is known of yet: at the newest revision up to which another
    one is verified and at which this one was not there.

    Every change of the rules up to there was judged when it landed. Judged again it would find its approvals too old,
    and the new environment would wait for ever.
    """
    begin = trust.revision
    at = planning.readable(parts, begin)
    if at is not None and at.state.environment(name) is not None:
        return begin
    for other in parts.states.environments():
        if other.verified is None or not _after_or_at(parts, begin, other.verified, tip):
            continue
        at = planning.readable(parts, other.verified)
        if at is not None and at.state.environment(name) is None:
            begin = other.verified
    return begin


def _after_or_at(parts: Parts, older: str, middle: str, newer: str) -> bool:
    try:
        return parts.source.is_ancestor(older, middle) and parts.source.is_ancestor(middle, newer)
    except NotFound:
        return False


def _failed(parts: Parts, name: EnvironmentName, revision: str) -> Stopped | None:
    """A deployment of this revision that was authorised and did not get there; the same plan is not tried again."""
    for deployment in parts.deployments.of_environment(name):
        past = deployment.kind in (DeploymentKind.HEAL, DeploymentKind.BREAK_GLASS)
        if deployment.revision != revision or past or not deployment.outcome.final:
            continue
        if deployment.outcome in (DeploymentState.SUCCEEDED, DeploymentState.CANCELLED):
            continue
        return Stopped(
            "Parked", f"{deployment.id} {deployment.outcome.value}: {deployment.reason}", revision, authorised=True
        )
    return None


def _genesis(
    parts: Parts, trust: TrustRecord, name: EnvironmentName, at: Snapshot, former: _Former | None
) -> Deploy | Stopped:
    """The state at the revision that root persons pinned: it is deployed by their word, and by nobody else's."""
    before = former.at if former is not None else None
    environment = at.state.environment(name) or (before.state.environment(name) if before is not None else None)
    held = execution.hold(parts, name, at.state.environment(name))
    if held is not None:
        return _held(held)
    plans = planning.plan_environment(parts, before, at, name)
    refusal = _unplannable(plans, trust.revision)
    if refusal is not None or environment is None:
        return refusal or Stopped("Held", f"there is no environment {name}", trust.revision)
    roots = ", ".join(trust.reset.by if trust.reset is not None else [person for person, _, _ in trust.roots])
    return Deploy(
        revision=trust.revision,
        before=former.revision if former is not None and before is not None else None,
        inputs=planning.inputs(parts, at, name),
        plans=planning.planned(plans),
        environment=environment,
        authority=Authority("genesis" if trust.reset is None else "trust-reset", None, roots, (), roots, ""),
        kind=DeploymentKind.CHANGE,
    )


def last_approved(parts: Parts, trust: TrustRecord, name: EnvironmentName) -> UpToDate | None:
    """The state in which a held environment stays, None where there is none that its hosts could be compared with:
    it was never deployed, its hosts say something else of it, root persons have pinned a later one, or something was
    done to it since that did not succeed, and is a person's to look at.
    """
    record = remembering.record(parts, name)
    if record.verified is None or record.deployment is None or marks.of(record.detail):
        return None
    heard = host_records.look(parts, trust, record, parts.source.branch_head(parts.branch))
    if isinstance(heard, host_records.Refused) or heard.verified != record.verified:
        return None
    if host_records.before_trust(parts, trust, record.verified):
        return None
    for deployment in parts.deployments.of_environment(name):
        if deployment.id == record.deployment:
            break
        if deployment.kind is not DeploymentKind.HEAL:
            return None
    try:
        at = planning.readable(parts, record.verified)
    except NotFound:  # the branch was written anew, and this is no longer in the mirror
        return None
    return UpToDate(record.verified, at, record, held=True) if at is not None else None


class _Walk:
    """One environment's way from its last verified revision to the tip.

    `before` is what it was made of before what holds it, and what had stopped it there already: when the hold ends, it
    is there again.
    """

    def __init__(
        self,
        parts: Parts,
        trust: TrustRecord,
        name: EnvironmentName,
        at: Snapshot,
        verified: str,
        tip: Snapshot | None,
        adoptions: Mapping[str, adopting.Landed],
    ) -> None:
        self.parts, self.trust, self.name, self.tip = parts, trust, name, tip
        self.adoptions = adoptions
        self.at, self.verified = at, verified
        self.rules = at
        self.before: tuple[Snapshot, Stopped | None] = (at, None)

    def step(self, step: history.Step, stopped: Stopped | None) -> Deploy | Stopped | None:
        """One landing, or one commit that is none; what stops the walk after it, None when nothing does."""
        parent = planning.readable(self.parts, step.first_parent)
        found = self.look(step, parent, stopped)
        if isinstance(found, Stopped) and _blocks(found) and not _blocks(stopped):
            self.before = (parent or self.at, stopped)
        return found

    def look(self, step: history.Step, parent: Snapshot | None, stopped: Stopped | None) -> Deploy | Stopped | None:
        try:
            change = changes.between(self.parts, parent or self.at, self.parts.source.tree(step.revision))
        except InvalidInput as error:
            unreadable = Stopped("Held", f"{step.revision[:12]} cannot be read: {error}", step.revision)
            return stopped if _blocks(stopped) else unreadable
        if stopped is not None and _blocks(stopped):
            return self.still_held(step, change, stopped)
        touched = self.name in change.environments
        if not touched and not change.rules.rules_touched:
            if stopped is None:
                self.pass_over(step.revision, change.after)
            return stopped
        if isinstance(step, history.Unapproved):
            return self.adopted(step, change, stopped)
        return self.land(step, change) if touched else self.take_rules(step, change, stopped)

    def pass_over(self, revision: str, after: Snapshot) -> None:
        self.verified, self.at, self.rules = revision, after, after

    def still_held(self, step: history.Step, change: changes.Change, stopped: Stopped) -> Stopped | None:
        """A hold ends at an approved boundary at which the environment is what it was before it."""
        if isinstance(step, history.Unapproved) or not self.undone(change.after):
            return stopped
        before, earlier = self.before
        if not isinstance(self.accepted(step, change, planning.targets_of(before, change.after, self.name)), Open):
            return stopped
        if earlier is None:
            self.pass_over(step.revision, change.after)
        return earlier

    def undone(self, after: Snapshot) -> bool:
        """Whether all that this environment is made of, and every rule, is as it was before the hold."""
        before, _ = self.before
        files = self.parts.source.changed_paths(before.tree.oid, after.tree.oid)
        rules = approvals.rule_changes(before.state, after.state, files)
        return not rules.rules_touched and self.inputs(after) == self.inputs(before)

    def adopted(
        self, step: history.Unapproved, change: changes.Change, stopped: Stopped | None
    ) -> Deploy | Stopped | None:
        """A commit that nobody approved holds the environment, unless a pull request since then has adopted it."""
        adoption = self.adoptions.get(step.revision)
        if adoption is None or not adoption.covers(self.name, change):
            return Stopped("Held", f"{_told((step.reason,))}; undo it, or adopt it", step.revision)
        try:
            commit = adopting.taken_over(self.parts, step, adoption)
        except (InvalidInput, NotFound) as error:
            return Stopped("Held", f"{_told((step.reason,))}; {error}", step.revision)
        touched = self.name in change.environments
        return self.land(commit, change) if touched else self.take_rules(commit, change, stopped)

    def take_rules(
        self, step: history.Landed | adopting.TakenOver, change: changes.Change, stopped: Stopped | None
    ) -> Stopped | None:
        """A change of the rules that leaves this environment what it is."""
        gate = self.accepted(step, change)
        if not isinstance(gate, Open):
            return _closed(gate, step.revision)
        self.rules = change.after
        if stopped is None:
            self.pass_over(step.revision, change.after)
        return stopped

    def inputs(self, at: Snapshot) -> str | None:
        return planning.inputs(self.parts, at, self.name)

    def accepted(
        self, step: history.Landed | adopting.TakenOver, change: changes.Change, freed: tuple[Target, ...] = ()
    ) -> Gate:
        """The gate of a landing for what it changes beside this environment's plans: its rules, and what it sets free,
        which asks for no less than a change of it does.
        """
        return self.decide(step, change, (), None, freed)

    def decide(
        self,
        step: history.Landed | adopting.TakenOver,
        change: changes.Change,
        plans: tuple[planning.TargetPlan, ...],
        environment: EnvironmentSpec | None,
        freed: tuple[Target, ...] = (),
    ) -> Gate:
        reading = replace(self.parts.forge.reading(step.pull_request), adopted=step.adopted)
        held = execution.hold(self.parts, self.name, environment) if plans else None
        place = evidence.Place(
            environment=self.name,
            targets=planning.targets_of(self.at, change.after, self.name) if plans else (),
            holds=(held,) if held is not None else (),
            rules=self.rules,
            tip=self.tip,
            ends_hold_of=freed,
        )
        kind = changes.kind_of(self.parts, reading, change)
        found = evidence.after_merge(self.parts, self.trust, reading, change, step.landing, plans, place, kind)
        gate = approvals.decide(found, self.parts.clock.now())
        publishing.record_gate(self.parts, f"landing/{step.revision}/{self.name}", found, gate)
        if plans and isinstance(gate, Stale | Waiting):
            publishing.ask_again(self.parts, reading, plans, gate, step.landing.first_parent)
        self.kind, self.reading, self.found = kind, reading, found
        return gate

    def land(self, step: history.Landed | adopting.TakenOver, change: changes.Change) -> Deploy | Stopped:
        """A landing that touches this environment: plan it on the live hosts, judge it, and give the plans on."""
        failed = _failed(self.parts, self.name, step.revision)
        if failed is not None:
            return failed
        now = change.after.state.environment(self.name)
        environment = now or self.at.state.environment(self.name) or change.before.state.environment(self.name)
        if environment is None:
            return Stopped("Held", f"there is no environment {self.name} at {step.revision[:12]}", step.revision)
        held = execution.hold(self.parts, self.name, now)
        if held is not None:
            return _held(held)
        plans = planning.plan_environment(self.parts, self.at, change.after, self.name)
        refusal = _unplannable(plans, step.revision)
        if refusal is not None:
            return refusal
        gate = self.decide(step, change, plans, now)
        marked = marks.live(remembering.record(self.parts, self.name).detail)
        if not isinstance(gate, Open):
            stopped = _closed(gate, step.revision)
            return replace(stopped, authorised=True) if marked and self.only_the_plan_moved() else stopped
        if marked and not self.seen_as_it_is(gate, plans):
            return self.over_the_mark(step, plans, marked)
        pull = self.reading.pull_request
        return Deploy(
            revision=step.revision,
            before=self.verified,
            inputs=self.inputs(change.after),
            plans=planning.planned(plans),
            environment=environment,
            authority=Authority(
                kind="approval",
                pull_request=pull.number,
                author=pull.author.login if pull.author else "",
                approvals=gate.approvals,
                merged_by=pull.merged_by.login if pull.merged_by else "",
                attestation=gate.attestation,
            ),
            kind=self.kind.kind,
            reverts=self.kind.reverts.id if self.kind.reverts else None,
        )

    def seen_as_it_is(self, gate: Open, plans: tuple[planning.TargetPlan, ...]) -> bool:
        """After break-glass a landing goes on where it reproduces what runs, or where somebody approved exactly these
        plans, which were made against what runs; consent to the revision, or that nobody was needed, is not enough.
        """
        if all(plan.plan.empty for plan in planning.planned(plans)):
            return True
        pull = self.reading.pull_request
        shown = [plan for plan in evidence.posted(self.parts, self.reading) if plan.head_sha == pull.head_sha][-1:]
        digests = dict(shown[0].digests) if shown else {}
        same = all(digests.get(plan.target) == plan.plan.digest for plan in planning.planned(plans))
        return bool(shown) and same and any(given.submitted_at >= shown[0].updated_at for given in gate.approvals)

    def only_the_plan_moved(self) -> bool:
        """Whether the revision has all the consent that it needs, to another plan than break-glass has left to do. Such
        a landing waits, and a later one is approved with a plan that shows it too.
        """
        bound = tuple(
            replace(rules, environments=tuple(replace(each, bind="revision") for each in rules.environments))
            for rules in self.found.rule_sets
        )
        return isinstance(approvals.decide(replace(self.found, rule_sets=bound), self.parts.clock.now()), Open)

    def over_the_mark(
        self,
        step: history.Landed | adopting.TakenOver,
        plans: tuple[planning.TargetPlan, ...],
        marked: tuple[marks.Break, ...],
    ) -> Stopped:
        """It would undo an emergency's work without anybody having seen that: the plan is shown, and waits."""
        waiting = Waiting(("an approval of the plan that is made against what runs since then",), ())
        publishing.ask_again(self.parts, self.reading, plans, waiting, step.landing.first_parent)
        text = "this would undo what runs since the glass was broken; approve the plan as it is now"
        return Stopped(marks.HOLD, f"{text}: {marks.text(marked, None)}", step.revision, authorised=True)


def _blocks(stopped: Stopped | None) -> bool:
    """What was authorised and failed, or would undo what broke the glass, does not stand in the way of the next
    landing, whose plan shows it as well; all else does.
    """
    return stopped is not None and not stopped.authorised


def _held(reason: str) -> Stopped:
    hold = "Suspended" if reason.startswith("suspended") else "Frozen"
    return Stopped(hold, reason, None, UNTOLD_AGAIN)


def _unplannable(plans: tuple[planning.TargetPlan, ...], commit: str) -> Stopped | None:
    """Why these plans cannot be carried out now: a host that does not answer, an obstacle."""
    for away in planning.unplanned(plans):
        down = away.error.code == "HOST_UNREACHABLE"
        return Stopped("Unreachable" if down else "Held", f"{away.target}: {away.error}", commit, UNREACHABLE_AGAIN)
    for plan in planning.planned(plans):
        for obstacle in plan.plan.obstacles:
            return Stopped("Held", f"{plan.target}: {obstacle.text}", commit, UNTOLD_AGAIN)
    return None


def _told(reasons: Iterable[Reason]) -> str:
    return "; ".join(f"{reason.text} (gate {reason.rule})" for reason in reasons)


def _closed(gate: Gate, commit: str) -> Stopped:
    """How a gate that is not open shows on the environment."""
    match gate:
        case Refused(reasons=reasons):
            return Stopped("Held", _told(reasons), commit)
        case Stale(reasons=reasons):
            return Stopped("AwaitingConsent", _told(reasons), commit)
        case Waiting(missing=missing, rejected=rejected):
            return Stopped("Parked" if rejected else "AwaitingConsent", "; ".join(missing), commit)
        case Open():
            raise AssertionError("an open gate does not stop anything")
