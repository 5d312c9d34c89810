"""The straight line: what happens to a pull request, and what happens to an environment. Read this first.

    review(pull request)     forge and git are read, plans are made on live hosts, policy and gate judge, all is posted
    reconcile(environment)   every landing since the last verified revision, in order: judged again, applied, verified
    execute(deployment)      exactly the approved plans, journaled; a run that was cut off goes on here

Every line can be run twice, and the second time does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.control import advancing, checkpoints, drifting, execution, judging, publishing, remembering
from reconciler.control.parts import Parts
from reconciler.control.requests import Again, Done, Parked, Result
from reconciler.model.approval import Gate
from reconciler.model.deployment import Deployment, DeploymentState
from reconciler.model.errors import ForgeUnavailable, InvalidInput
from reconciler.model.revision import CleanMerge, MergeConflict
from reconciler.model.target import EnvironmentName
from reconciler.ports import EnvironmentRecord, TrustRecord

WAITING_FOR_WORDS = ("AwaitingConsent", "BrokenGlass", "Held", "Parked")
"""What somebody can end by saying something on the forge, of which nothing in git tells."""


def review(parts: Parts, number: int) -> Gate | None:
    """Plan one open pull request, judge it, post statuses and the comment. None when there is nothing to judge."""
    trust = remembering.trusted(parts)
    reading = parts.forge.reading(number)
    pull = reading.pull_request
    if pull.state != "open" or pull.base_ref != parts.branch:
        return None
    base = parts.source.branch_head(parts.branch)
    match parts.source.merge_preview(base, pull.head_sha):
        case MergeConflict(paths=paths):
            publishing.unplannable(parts, reading, f"does not merge with {parts.branch}: {', '.join(paths)}")
            return None
        case CleanMerge(tree=merged):
            pass
    try:
        judged = judging.open_pull_request(parts, trust, reading, base, merged)
    except InvalidInput as error:
        publishing.unplannable(parts, reading, str(error))
        return None
    publishing.post(parts, reading, judged.plans, judged.verdicts, judged.gate, judged.notes)
    return judged.gate


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Where the environment is now, the deployments made on the way, and what the loop does next."""

    record: EnvironmentRecord
    deployments: tuple[Deployment, ...]
    result: Result


def reconcile(parts: Parts, name: EnvironmentName) -> Reconciled:
    """Bring one environment to its last approved state, landing by landing; then look for drift."""
    trust = remembering.pinned(parts)
    remembering.marked_again(parts, name)
    made: list[Deployment] = []
    for cut_off in parts.deployments.unfinished():
        if remembering.environment_of(cut_off) == name:
            made.append(parts.engine.execute(cut_off.id))
    while True:
        match _next_step(parts, trust, name, made):
            case execution.Deploy() as deploy:
                made.append(parts.engine.execute(execution.queue(parts, name, deploy)))
                if made[-1].outcome is not DeploymentState.SUCCEEDED:
                    record = remembering.record(parts, name)
                    return Reconciled(record, tuple(made), Parked(record.hold_reason))
            case advancing.Stopped() as stopped:
                record = remembering.stopped(parts, name, stopped.hold, stopped.reason, stopped.commit)
                if stopped.commit is not None:
                    publishing.deployed(parts, stopped.commit)
                result = _after(stopped)
                if not stopped.undecided:
                    record, result = _while_held(parts, trust, name, record, made, result)
                return Reconciled(record, tuple(made), result)
            case advancing.UpToDate() as place:
                match drifting.look(parts, name, place):
                    case drifting.Heal() as heal:
                        made.append(parts.engine.execute(execution.queue(parts, name, heal.deploy)))
                        return Reconciled(remembering.record(parts, name), tuple(made), Done())
                    case drifting.Seen(record=record, again=again):
                        after = Again(again, "drift or an unreachable host") if again is not None else Done()
                        if record != place.record or not publishing.told(parts, place.revision):
                            publishing.deployed(parts, place.revision)
                        return Reconciled(record, tuple(made), after)


def _next_step(parts: Parts, trust: TrustRecord, name: EnvironmentName, made: list[Deployment]) -> advancing.NextStep:
    """Where the forge does not answer, nothing new is deployed, and what is deployed is still watched (gate 63)."""
    try:
        return advancing.next_step(parts, trust, name)
    except ForgeUnavailable:
        _while_held(parts, trust, name, remembering.record(parts, name), made, Done())
        raise


def _while_held(
    parts: Parts,
    trust: TrustRecord,
    name: EnvironmentName,
    record: EnvironmentRecord,
    made: list[Deployment],
    result: Result,
) -> tuple[EnvironmentRecord, Result]:
    """A held environment stays at its last approved state, and drift from that is handled as it says."""
    place = advancing.last_approved(parts, trust, name)
    if place is None:
        return record, result
    match drifting.look(parts, name, place):
        case drifting.Heal() as heal:
            made.append(parts.engine.execute(execution.queue(parts, name, heal.deploy)))
            return remembering.record(parts, name), result
        case drifting.Seen(record=record, again=again):
            soon = again is not None and not (isinstance(result, Again) and result.after <= again)
            return record, Again(again, "drift or an unreachable host") if soon and again is not None else result


def _after(stopped: advancing.Stopped) -> Result:
    return Parked(stopped.reason) if stopped.again is None else Again(stopped.again, stopped.reason)


def execute(parts: Parts, deployment: str) -> Deployment:
    """Run a queued or cut-off deployment to its end, record it, say so on the forge. The engine calls this."""
    finished, context = execution.run(parts, deployment)
    remembering.concluded(parts, finished, context)
    checkpoints.at_once(parts)
    publishing.deployed(parts, finished.revision)
    return finished


def resume(parts: Parts, deployment: str) -> Deployment:
    """Go on with a deployment that a restart found unfinished."""
    return parts.engine.execute(deployment)


def held(parts: Parts) -> tuple[EnvironmentName, ...]:
    """Environments that wait for consent, that somebody rejected, or that wait for unapproved commits to be undone."""
    return tuple(r.name for r in parts.states.environments() if r.hold in WAITING_FOR_WORDS)


def environments(parts: Parts) -> tuple[EnvironmentName, ...]:
    """Every environment that git has at the tip, or that we have deployed."""
    return remembering.environments(parts)
