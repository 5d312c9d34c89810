"""What the faces ask for and something changes by: rollback, suspend, resume."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.control import changes, checkpoints, execution, history, planning, remembering
from reconciler.control.parts import Parts
from reconciler.model.deployment import Deployment, DeploymentKind, DeploymentState
from reconciler.model.errors import InvalidInput, NotAllowed, NotFound
from reconciler.model.pull_request import PullRequest
from reconciler.model.target import EnvironmentName
from reconciler.ports import EnvironmentRecord, NewPullRequest, RevertProposal


@dataclass(frozen=True, slots=True)
class Rollback:
    """The revert pull request, what it undoes, and the deployment whose state comes back."""

    pull_request: PullRequest
    undoes: Deployment
    back_to: Deployment


def rollback(parts: Parts, name: EnvironmentName, to: str | None, token: str) -> Rollback:
    """Open the revert pull request with the proposer's token. Nothing is deployed before it is approved and merged.

    NotFound when there is nothing to go back to; NotAllowed when going back would take other environments along, or
    cannot be carried out (an image that is gone).
    """
    parts.source.fetch()
    done = [
        d
        for d in parts.deployments.of_environment(name)
        if d.outcome is DeploymentState.SUCCEEDED and d.kind in (DeploymentKind.CHANGE, DeploymentKind.ROLLBACK)
    ]
    if not done:
        raise NotFound(f"{name} was never deployed, so there is nothing to roll back")
    current = done[0]
    earlier = [d for d in done[1:] if d.revision != current.revision]
    back_to = next((d for d in earlier if to is None or d.id == to), None)
    if back_to is None:
        what = f"is no earlier successful deployment of {name}" if to else f"nothing came before {current.id}"
        raise NotFound(f"{to or name}: {what}", hint=f"`reconciler deployments list {name}` shows them")
    undone = {d.revision for d in done[: done.index(back_to)]}
    trust = remembering.trusted(parts)
    steps = history.steps(parts, trust.repository, back_to.revision, current.revision)
    first = next(index for index, step in enumerate(steps) if step.revision in undone)
    base, end = steps[first].first_parent, current.revision
    _only_this(parts, name, base, end)
    _can_be_carried_out(parts, name, back_to)
    tip = parts.source.branch_head(parts.branch)
    branch = f"{changes.ROLLBACK_BRANCH}{current.id}"
    account, login = parts.forge.who(token)
    title = f"Roll back {name} to {back_to.id}"
    body = (
        f"Undoes {current.id} ({current.revision[:12]}) and brings {name} back to {back_to.id} "
        f"({back_to.revision[:12]}).\n\nA revert brings back files, images and settings. It does not bring back data: "
        "what was written to volumes and databases since then stays as it is, migrations included.\n"
    )
    parts.source.propose_revert(
        RevertProposal(
            landing_base=base,
            landing_end=end,
            onto=tip,
            branch=branch,
            message=f"{title}\n\nThis reverts {base[:12]}..{end[:12]}.\n",
            author_name=login,
            author_email=f"{account}+{login}@users.noreply.github.com",
            token=token,
        )
    )
    pull = parts.forge.open_pull_request(NewPullRequest(title, body, branch, parts.branch, token))
    parts.ledger.append(
        "rollback-proposed",
        str(name),
        {"pull_request": pull.number, "undoes": current.id, "back_to": back_to.id, "by": login},
        parts.clock.now(),
    )
    return Rollback(pull, current, back_to)


def _only_this(parts: Parts, name: EnvironmentName, base: str, end: str) -> None:
    before, after = (planning.snapshot(parts.source.tree(sha)) for sha in (base, end))
    others = [str(other) for other in planning.affected(parts, before, after) if other != name]
    if others:
        raise NotAllowed(
            f"going back would also take back {', '.join(others)}",
            hint="roll back step by step with --to, or propose the change by hand",
        )


def _can_be_carried_out(parts: Parts, name: EnvironmentName, back_to: Deployment) -> None:
    at = planning.snapshot(parts.source.tree(back_to.revision))
    for plan in planning.planned(planning.plan_environment(parts, at, at, name)):
        for obstacle in plan.plan.obstacles:
            raise NotAllowed(f"{plan.target} cannot go back to {back_to.id}: {obstacle.text}", hint=obstacle.hint)


def suspend(parts: Parts, name: EnvironmentName, reason: str) -> EnvironmentRecord:
    """Stop deploying and healing an environment until it is resumed. InvalidInput without a reason."""
    if not reason.strip():
        raise InvalidInput(f"why is {name} suspended? The reason shows wherever the environment does")
    return _suspended(parts, name, reason.strip())


def resume(parts: Parts, name: EnvironmentName) -> EnvironmentRecord:
    """Let a suspended environment go on."""
    return _suspended(parts, name, None)


def _suspended(parts: Parts, name: EnvironmentName, reason: str | None) -> EnvironmentRecord:
    if name not in remembering.environments(parts):
        raise NotFound(f"there is no environment {name}")
    now = remembering.record(parts, name)
    if execution.suspension(parts, name) != reason:  # by the ledger: the record is only what is shown of it
        parts.ledger.append("suspend" if reason else "resume", str(name), {"reason": reason}, parts.clock.now())
    checkpoints.at_once(parts)  # so that nobody cuts it off the ledger's end
    hold = now.hold if reason or now.hold != "Suspended" else None
    return remembering.write(
        parts, name, lambda now: replace(now, hold=hold, detail={**now.detail, "suspended": reason})
    )
