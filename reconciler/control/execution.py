"""From a decision to a finished deployment: queue it with its plans, run it, or go on with one that was cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler import apply
from reconciler.apply.plan_record import decode_plan, encode_plan
from reconciler.control import checkpoints, host_records, planning, remembering, windows
from reconciler.control.leasing import Held, lease
from reconciler.control.parts import Parts
from reconciler.control.planning import Planned, Unplanned
from reconciler.model.canonical import digest
from reconciler.model.deployment import Authority, Deployment, DeploymentKind, DeploymentState
from reconciler.model.desired import EnvironmentSpec
from reconciler.model.errors import NotFound, VerificationFailed
from reconciler.model.target import EnvironmentName, Target


@dataclass(frozen=True, slots=True)
class Deploy:
    """What has been authorised: these plans for this environment at this revision.

    `before` is the revision that was deployed last (None at first), `inputs` the digest of all that the environment is
    made of. `despite_suspension` is for break-glass alone, whose signers may say so.
    """

    revision: str
    before: str | None
    inputs: str | None
    plans: tuple[Planned, ...]
    environment: EnvironmentSpec
    authority: Authority
    kind: DeploymentKind
    reverts: str | None = None
    despite_suspension: bool = False


def identity(parts: Parts, name: EnvironmentName, deploy: Deploy) -> str:
    """The id that it has or will have once it is queued."""
    whole = _whole({str(plan.target): plan.plan.digest for plan in deploy.plans})
    attempt = sum(
        1
        for earlier in parts.deployments.of_environment(name)
        if earlier.outcome.final and (earlier.revision, earlier.plan_digest) == (deploy.revision, whole)
    )
    what = {"environment": str(name), "revision": deploy.revision, "plan": whole, "kind": deploy.kind.value}
    return f"d-{digest({**what, 'attempt': attempt})[:16]}"


def _whole(plans: Mapping[str, str]) -> str:
    return next(iter(plans.values())) if len(plans) == 1 else digest(plans)


def queue(parts: Parts, name: EnvironmentName, deploy: Deploy) -> str:
    """Store the deployment, its approved plans and its intent in the ledger; the id. Twice is as good as once."""
    plans = {str(plan.target): plan.plan.digest for plan in deploy.plans}
    deployment = Deployment(
        id=identity(parts, name, deploy),
        kind=deploy.kind,
        project=name.project,
        environment=name.environment,
        hosts=tuple(sorted(plan.target.host for plan in deploy.plans)),
        revision=deploy.revision,
        plan_digest=_whole(plans),
        authority=deploy.authority,
        started_at=parts.clock.now(),
        finished_at=None,
        outcome=DeploymentState.QUEUED,
        reason="",
        targets=(),
        reverts=deploy.reverts,
    )
    context = {
        "before": deploy.before,
        "inputs": deploy.inputs,
        "plans": {str(plan.target): encode_plan(plan.plan) for plan in deploy.plans},
        "waves": [list(wave) for wave in _waves(deploy)],
        "pause": deploy.environment.rollout.pause.total_seconds(),
        "max_failed_hosts": deploy.environment.rollout.max_failed_hosts,
        "despite_suspension": deploy.despite_suspension,
    }
    images = {str(plan.target): dict(plan.plan.images) for plan in deploy.plans}
    engines = {str(plan.target): plan.plan.engine_id for plan in deploy.plans}
    entry = remembering.summary(deployment) | {"plans": plans, "images": images, "engines": engines}
    if parts.deployments.begin(deployment, context, entry | {"before": deploy.before}):
        parts.progress("deployment.queued", {"deployment": deployment.id, "environment": str(name), **plans})
    return deployment.id


def _waves(deploy: Deploy) -> tuple[tuple[str, ...], ...]:
    """Host names in waves; hosts that the environment leaves come last."""
    hosts = tuple(sorted(plan.target.host for plan in deploy.plans))
    declared = tuple(tuple(h for h in wave if h in hosts) for wave in deploy.environment.rollout.waves)
    left = tuple(host for host in hosts if not any(host in wave for wave in declared))
    return tuple(wave for wave in (*declared, left) if wave)


def run(parts: Parts, deployment: str) -> tuple[Deployment, Mapping[str, Any]]:
    """Execute to the end under the environment's lease; the finished record, not yet stored as final, and its context.

    Retryable when another process works on the environment or a host does not answer: nothing is lost, call again.
    VerificationFailed where the database is not what this installation made of it.
    """
    record = parts.deployments.get(deployment)
    if record is None:
        raise NotFound(f"there is no deployment {deployment}")
    context = parts.deployments.context(deployment)
    if record.outcome.final:
        return record, context
    name = remembering.environment_of(record)
    with lease(parts.leases, parts.clock, f"environment {name}", parts.owner) as held:
        _still_due(parts, deployment)
        if remembering.marked_again(parts, name):
            raise VerificationFailed(f"the glass of {name} was broken, and the database did not say so (gate 68)")
        after = planning.snapshot(parts.source.tree(record.revision))
        before = planning.snapshot(parts.source.tree(context["before"])) if context["before"] else None
        waves = tuple(
            tuple(
                _prepare(parts, before, after, Target(name.project, name.environment, host), context["plans"])
                for host in wave
            )
            for wave in context["waves"]
        )
        keeper = host_records.Keeper(parts, remembering.pinned(parts), record)
        tools = apply.Execution(
            deployments=parts.deployments,
            clock=parts.clock,
            fingerprinter=parts.fingerprinter,
            progress=parts.progress,
            owner=parts.owner,
            still_allowed=lambda: still_allowed(parts, record, context, after.state.environment(name), held),
            may_begin=keeper.may_begin,
            keep=keeper.keep,
        )
        paced = apply.Waves(waves, context["pause"], context["max_failed_hosts"])
        return apply.execute(tools, record, paced), context


def _still_due(parts: Parts, deployment: str) -> None:
    """An earlier state of the database is one that this installation has sealed, too: what the ledger knows has ended
    is not carried out a second time, and what the ledger knows has to be all there (68).
    """
    checkpoints.whole(parts)
    ended = parts.ledger.latest("deployment-finished", deployment)
    if ended is not None:
        raise VerificationFailed(
            f"the database was changed: deployment {deployment} is unfinished in it, and ended by entry "
            f"{ended.sequence} of the ledger (gate 68)",
            hint="docs/how-to/trust.md says how to go on without it",
        )


def _prepare(
    parts: Parts,
    before: planning.Snapshot | None,
    after: planning.Snapshot,
    target: Target,
    plans: Mapping[str, Any],
) -> apply.PreparedTarget:
    match planning.plan_target(parts, before, after, target):
        case Unplanned(error=error):
            raise error
        case Planned(prepared=prepared):
            return replace(prepared, plan=decode_plan(plans[str(target)]))


def still_allowed(
    parts: Parts, record: Deployment, context: Mapping[str, Any], environment: EnvironmentSpec | None, held: Held
) -> str | None:
    """Asked before each wave: why it must stop here, None when it may go on. Break-glass passes windows, and a
    suspension where its signers said so.
    """
    if held.lost is not None:
        return held.lost
    name = remembering.environment_of(record)
    if record.kind is not DeploymentKind.BREAK_GLASS:
        return hold(parts, name, environment)
    return None if context.get("despite_suspension") else suspended(parts, name)


def hold(parts: Parts, name: EnvironmentName, environment: EnvironmentSpec | None) -> str | None:
    """What stops every path alike (gate 58): a suspension, or a window that denies now."""
    reason = suspended(parts, name)
    if reason is not None:
        return reason
    return windows.closed(environment.windows, parts.clock.now()) if environment is not None else None


def suspended(parts: Parts, name: EnvironmentName) -> str | None:
    """Whether somebody suspended the environment, and why: by the ledger, from which nobody takes that back (68)."""
    reason = suspension(parts, name)
    return f"suspended: {reason}" if reason else None


def suspension(parts: Parts, name: EnvironmentName) -> str | None:
    """The reason that was given for it, None where nobody suspended it or somebody resumed it since."""
    said = (parts.ledger.latest("suspend", str(name)), parts.ledger.latest("resume", str(name)))
    last = max((entry for entry in said if entry is not None), key=lambda entry: entry.sequence, default=None)
    reason: str | None = last.data["reason"] if last is not None else None
    return reason
