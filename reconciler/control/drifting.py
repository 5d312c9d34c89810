"""What differs on the hosts although nobody proposed it, and whether it is healed; called by the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from reconciler import approvals, diff, policy
from reconciler.approvals import emergency
from reconciler.control import evidence, execution, marks, planning, remembering
from reconciler.control.advancing import UpToDate
from reconciler.control.execution import Deploy
from reconciler.control.parts import Parts
from reconciler.control.planning import Planned, Snapshot
from reconciler.model.change import Change, ChangeKind
from reconciler.model.deployment import Authority, Deployment, DeploymentKind, DeploymentState
from reconciler.model.desired import DriftMode, EnvironmentSpec
from reconciler.model.errors import InvalidInput
from reconciler.model.health import Health, Sync, worst
from reconciler.model.plan import CreateService, PullImage, RecreateService, ScaleService, ShipFiles, StartService
from reconciler.model.policy import Action
from reconciler.model.target import EnvironmentName
from reconciler.ports import EnvironmentRecord

HEALABLE = (ShipFiles, PullImage, CreateService, RecreateService, StartService, ScaleService)
UNAPPROVED = (DeploymentKind.HEAL, DeploymentKind.BREAK_GLASS)  # what they ran, no pull request has approved by that
BACKOFF = (timedelta(seconds=10), timedelta(seconds=30), timedelta(minutes=5))
FLAPPING = timedelta(hours=1)
UNREACHABLE_AGAIN = timedelta(seconds=10)
NEVER_BEGAN = emergency.LIVES
OVERDUE_AFTER = timedelta(seconds=1)  # so that the look that is due then finds the time to be over
RECORDS = 1000  # deployments of one environment in which an approved image is looked for


@dataclass(frozen=True, slots=True)
class Seen:
    """The environment as it was found; `again` is when it has to be looked at again without being asked."""

    record: EnvironmentRecord
    again: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Heal:
    """Bring it back to its last approved state."""

    deploy: Deploy


def look(parts: Parts, name: EnvironmentName, place: UpToDate) -> Seen | Heal:
    """Compare the live hosts with the last verified revision; report, and heal where the environment says so.

    An environment that is held stays at that revision, and its record goes on to say what holds it.
    """
    now = place.record
    environment = place.at.state.environment(name)
    if environment is None or now.deployment is None:
        return Seen(now if place.held else remembering.write(parts, name, remembering.freed))
    ended = _ended_breaks(parts, now)  # before the hosts are looked at, so that what they show comes after it
    plans = planning.plan_environment(parts, place.at, place.at, name)
    for away in planning.unplanned(plans):
        reason = f"{away.target}: {away.error}"
        return Seen(
            remembering.write(parts, name, _place_of(place, partial(_unreachable, reason=reason))), UNREACHABLE_AGAIN
        )
    seen = planning.planned(plans)
    health = worst(s.health for plan in seen for s in diff.health(plan.prepared.desired, plan.observed))
    drifted = [plan for plan in seen if plan.plan.changes]
    known = now.detail.get("drift")
    detail = remembering.record(parts, name).detail  # as it is after the hosts were looked at
    if marks.live(detail) or (marks.of(detail) and not drifted):
        return _marked(parts, name, health, place.revision, ended, drifted)
    if not drifted or environment.drift is DriftMode.OFF:
        if known:
            parts.ledger.append("drift-ended", str(name), {"since": known["since"]}, parts.clock.now())
            parts.progress("drift.ended", {"environment": str(name)})
        return Seen(remembering.write(parts, name, _place_of(place, partial(_synced, health=health)), now))
    drift = _remember(parts, name, known, drifted)
    refusal = _not_healed(parts, name, environment, place, drifted)
    if refusal is not None:
        held = "Parked" if refusal.startswith("flapping") else None
        if held is not None and (now.hold, now.hold_reason) != (held, refusal):
            said = {"hold": held, "reason": refusal, "commit": place.revision}
            parts.ledger.append("hold", str(name), said, parts.clock.now())
        left = partial(_drifted, health=health, drift=drift, hold=held, why=refusal)
        return Seen(remembering.write(parts, name, _place_of(place, left)))
    due = _due(parts, name, datetime.fromisoformat(drift["since"]))
    wait = due - parts.clock.now()
    text = f"drift is healed at {due.isoformat(timespec='seconds')}"
    healing = partial(_drifted, health=health, drift=drift, hold=None, why=text)
    record = remembering.write(parts, name, _place_of(place, healing))
    if wait > timedelta(0):
        return Seen(record, wait)
    last = parts.deployments.get(now.deployment)
    return Heal(
        Deploy(
            revision=place.revision,
            before=place.revision,
            inputs=planning.inputs(parts, place.at, name),
            plans=tuple(drifted),
            environment=environment,
            authority=_inherited(last),
            kind=DeploymentKind.HEAL,
        )
    )


def _ended_breaks(parts: Parts, now: EnvironmentRecord) -> frozenset[str]:
    """The marks whose deployment has ended, whatever became of it; one that never began has after some time."""
    found = set()
    for each in marks.live(now.detail):
        deployment = parts.deployments.get(each.deployment)
        old = parts.clock.now() - datetime.fromisoformat(each.since) > NEVER_BEGAN
        if deployment.outcome.final if deployment is not None else old:
            found.add(each.deployment)
    return frozenset(found)


def _marked(
    parts: Parts,
    name: EnvironmentName,
    health: Health,
    revision: str,
    ended: frozenset[str],
    drifted: Sequence[Planned],
) -> Seen:
    """After break-glass: what it did is no drift to be healed away, whatever the environment says. Where nothing
    differs any more, git has caught up with it or it was undone.
    """
    now = parts.clock.now()
    known = remembering.record(parts, name).detail.get("drift")
    drift = _remember(parts, name, known, drifted) if drifted else None
    if drift is None:
        remembering.reproduced(parts, name, {"revision": revision, "pull_request": None}, only=ended)
        if known:
            parts.ledger.append("drift-ended", str(name), {"since": known["since"]}, now)

    def change(record: EnvironmentRecord) -> EnvironmentRecord:
        left = marks.of(record.detail)
        reason = marks.text(left, now)
        if drift is None:
            return replace(_synced(record, health), hold_reason=reason)
        return _drifted(record, health, drift, marks.HOLD if left else None, reason)

    found = remembering.write(parts, name, change)
    due = [
        datetime.fromisoformat(each.review_by) - now for each in marks.of(found.detail) if each.review_by is not None
    ]
    ahead = [wait for wait in due if wait > timedelta(0)]
    return Seen(found, min(ahead) + OVERDUE_AFTER if ahead else None)


def _place_of(
    place: UpToDate, change: Callable[[EnvironmentRecord], EnvironmentRecord]
) -> Callable[[EnvironmentRecord], EnvironmentRecord]:
    """The change as it is or, where the environment is held, without touching what is said of the hold: what is to be
    said of the drift is said beside it.
    """
    if not place.held:
        return change

    def held(now: EnvironmentRecord) -> EnvironmentRecord:
        seen = change(now)
        detail = dict(seen.detail)
        if detail.get("drift"):
            detail["drift"] = {**detail["drift"], "why": seen.hold_reason}
        return replace(
            seen, hold=now.hold, hold_reason=now.hold_reason, hold_commit=now.hold_commit, sync=now.sync, detail=detail
        )

    return held


def _unreachable(now: EnvironmentRecord, reason: str) -> EnvironmentRecord:
    unknown = replace(now, sync=Sync.UNKNOWN.value, health=Health.UNKNOWN.value)
    if marks.of(now.detail):
        return remembering.freed(unknown)
    return replace(unknown, hold=None, hold_reason=reason)


def _synced(now: EnvironmentRecord, health: Health) -> EnvironmentRecord:
    detail = {**now.detail, "drift": None}
    return replace(remembering.freed(now), sync=Sync.SYNCED.value, health=health.value, detail=detail)


def _drifted(
    now: EnvironmentRecord, health: Health, drift: Mapping[str, Any], hold: str | None, why: str
) -> EnvironmentRecord:
    seen = replace(now, sync=Sync.OUT_OF_SYNC.value, health=health.value, detail={**now.detail, "drift": dict(drift)})
    return replace(seen, hold=hold, hold_reason=why)


def _remember(
    parts: Parts, name: EnvironmentName, known: Mapping[str, Any] | None, drifted: Sequence[Planned]
) -> dict[str, Any]:
    """The drift's record: what and since when; a new kind of drift is a new ledger entry."""
    digests = {str(plan.target): plan.plan.digest for plan in drifted}
    if known is not None and known["plans"] == digests:
        return dict(known)
    drift = {
        "since": parts.clock.now().isoformat(),
        "plans": digests,
        "changes": [described(plan, change) for plan in drifted for change in plan.plan.changes],
    }
    parts.ledger.append("drift", str(name), drift, parts.clock.now())
    parts.progress("drift.found", {"environment": str(name), "changes": len(drift["changes"])})
    return drift


def described(plan: Planned, change: Change) -> dict[str, Any]:
    """One change as people and scripts see it; values are masked where they are not known to be harmless."""
    return {
        "target": str(plan.target),
        "subject": str(change.subject),
        "field": change.field,
        "kind": change.kind.value,
        "before": change.before.text,
        "after": change.after.text,
        "why": change.why,
        "cause": str(change.cause) if change.cause else None,
        "found_by": change.found_by,
        "destroys": change.destroys,
    }


def _not_healed(
    parts: Parts, name: EnvironmentName, environment: EnvironmentSpec, place: UpToDate, drifted: list[Planned]
) -> str | None:
    """Why this drift is only reported, None when it may be healed."""
    if environment.drift is not DriftMode.HEAL:
        return "drift is reported, not healed (drift: report)"
    held = execution.hold(parts, name, environment)
    if held is not None:
        return held
    for plan in drifted:
        for obstacle in plan.plan.obstacles:
            return f"{plan.target}: {obstacle.text}"
        for operation in plan.plan.operations:
            if not isinstance(operation, HEALABLE):
                return f"{plan.target}: {type(operation).__name__} is not done without a person ({operation.why})"
        stopped = [c for c in plan.plan.changes if c.kind is ChangeKind.STATE]
        if stopped and not environment.heal_stopped:
            return f"{plan.target}: {stopped[0].subject} was stopped by hand (heal_stopped: false)"
    unapproved = _unapproved_image(parts, name, drifted)
    if unapproved is not None:
        return unapproved
    denied = _denied(parts, environment, place, drifted)
    if denied is not None:
        return denied
    heals = _heals(parts, name)
    if len(heals) >= len(BACKOFF):
        return f"flapping: healed {len(heals)} times within an hour; a person looks at it"
    return None


def _unapproved_image(parts: Parts, name: EnvironmentName, drifted: list[Planned]) -> str | None:
    """An image that this heal would run and nobody approved."""
    for planned in drifted:
        target = str(planned.target)
        by_service = {service.name: service.image for service in planned.prepared.desired.services}
        moving = {
            by_service.get(change.subject.name)
            for change in planned.plan.changes
            if change.field == "image" or change.kind is ChangeKind.CREATE
        }
        wanted = {reference for reference, _ in planned.plan.images}
        approved = _approved_images(parts, name, target, wanted)
        found = approvals.unapproved_image(target, planned.plan.images, moving, approved)
        if found is not None:
            return f"{found.text} (gate {found.rule})"
    return None


def _approved_images(parts: Parts, name: EnvironmentName, target: str, wanted: set[str]) -> dict[str, str]:
    """Reference to what was deployed for it, by the newest approved and finished plan of the target that used it."""
    images: dict[str, str] = {}
    for deployment in parts.deployments.of_environment(name, RECORDS):
        if wanted <= images.keys():
            break
        if deployment.kind not in UNAPPROVED and deployment.outcome is DeploymentState.SUCCEEDED:
            plan = (parts.deployments.context(deployment.id).get("plans") or {}).get(target) or {}
            for reference, deploy_as in plan.get("images") or ():
                images.setdefault(reference, deploy_as)
    return images


def _denied(parts: Parts, environment: EnvironmentSpec, place: UpToDate, drifted: list[Planned]) -> str | None:
    """A verified state stays approved, but today's denies hold for it too, those of the tip where it is held."""
    request = policy.PolicyRequest(
        actions=(Action.DEPLOY,),
        targets=tuple(
            policy.TargetFacts(
                target=plan.target,
                tier=environment.tier,
                model=planning.render(parts, place.at, environment).model,
                destroys_data=False,
                around=evidence.surroundings(parts, plan.target, place.at),
                proposed=environment.waivers,
            )
            for plan in drifted
        ),
        authors=(),
        changed_files=(),
        removal=policy.Removal(0, 0),
    )
    for at in (place.at, _tip(parts) if place.held else None):
        if at is not None:
            verdict = policy.evaluate(request, at.state.policy, at.state.principals, evidence.waivers(at))
            if verdict.denied:
                return f"policy denies it: {verdict.denied[0].text}"
    return None


def _tip(parts: Parts) -> Snapshot | None:
    try:
        return planning.snapshot(parts.source.tree(parts.source.branch_head(parts.branch)))
    except InvalidInput:
        return None


def _heals(parts: Parts, name: EnvironmentName) -> tuple[Deployment, ...]:
    """Heals of the last hour, newest first."""
    since = parts.clock.now() - FLAPPING
    return tuple(
        d for d in parts.deployments.of_environment(name) if d.kind is DeploymentKind.HEAL and d.started_at > since
    )


def _due(parts: Parts, name: EnvironmentName, since: datetime) -> datetime:
    """When the next heal may begin: a longer wait after each one within the hour."""
    heals = _heals(parts, name)
    begin = max(since, heals[0].finished_at or since) if heals else since
    return begin + BACKOFF[min(len(heals), len(BACKOFF) - 1)]


def _inherited(last: Deployment | None) -> Authority:
    """A heal acts by the consent to the state that it restores."""
    if last is None or last.outcome is not DeploymentState.SUCCEEDED:
        return Authority("heal", None, "", (), "", "")
    return replace(last.authority, kind="heal")
