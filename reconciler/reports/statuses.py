"""The commit statuses as values: three on the head of a pull request, one on the merge commit, and one on a
commit that root persons pin anew. Called by control, which
hands them to the forge. They are output only and never evidence (gate 50).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.model.approval import Gate, Open, Waiting
from reconciler.model.deployment import Deployment, DeploymentKind, DeploymentState
from reconciler.model.plan import Plan
from reconciler.model.target import Target
from reconciler.model.verdict import Verdict
from reconciler.reports import gate as gate_report
from reconciler.reports import verdict as verdict_report
from reconciler.reports.deployment import summary
from reconciler.reports.escape import cut, visible

PLAN: Final = "reconciler/plan"
POLICY: Final = "reconciler/policy"
APPROVAL: Final = "reconciler/approval"
DEPLOY: Final = "reconciler/deploy"
TRUST: Final = "reconciler/trust"

PENDING, SUCCESS, FAILURE, ERROR = "pending", "success", "failure", "error"

LONGEST_DESCRIPTION = 140
ANCHOR = " | ledger "


@dataclass(frozen=True, slots=True)
class StatusText:
    """One status; `description` has at most 140 characters."""

    context: str
    state: str
    description: str


def status(context: str, state: str, description: str) -> StatusText:
    """A status whose description fits and shows nothing hidden."""
    return StatusText(context, state, cut(visible(description), LONGEST_DESCRIPTION))


def anchored(text: StatusText, anchor: str | None) -> StatusText:
    """The status with the ledger's anchor (`SIZE:ROOT`) at its end, for which the text before it makes room."""
    if anchor is None:
        return text
    suffix = f"{ANCHOR}{anchor}"
    return replace(text, description=cut(text.description, LONGEST_DESCRIPTION - len(suffix)) + suffix)


def statuses(
    plans: Sequence[Plan],
    verdict: Verdict,
    gate: Gate,
    *,
    fits: bool = True,
    unobserved: Sequence[Target] = (),
) -> tuple[StatusText, ...]:
    """The three statuses of a head. `fits` is PlanSection.fits; `unobserved` are targets whose host did not answer."""
    return (plan_status(plans, fits=fits, unobserved=unobserved), policy_status(verdict), approval_status(gate))


def plan_status(plans: Sequence[Plan], *, fits: bool = True, unobserved: Sequence[Target] = ()) -> StatusText:
    """Failure where the plan cannot be carried out or shown whole, pending where a host was not seen."""
    obstacles = [(plan.target, obstacle) for plan in plans for obstacle in plan.obstacles]
    if not fits:
        return status(PLAN, FAILURE, "too much to show in one comment; split this pull request")
    if obstacles:
        target, obstacle = obstacles[0]
        more = f" (and {len(obstacles) - 1} more)" if len(obstacles) > 1 else ""
        return status(PLAN, FAILURE, f"{target}: {obstacle.text}{more}")
    if unobserved:
        return status(PLAN, PENDING, f"waiting for {', '.join(str(target) for target in unobserved)}")
    changed = [plan for plan in plans if not plan.empty]
    if not changed:
        return status(PLAN, SUCCESS, "nothing to do")
    changes = sum(len(plan.changes) for plan in changed)
    destroys = sum(len(plan.destroys) for plan in changed)
    warning = f", DESTROYS {counted(destroys, 'thing')}" if destroys else ""
    return status(PLAN, SUCCESS, f"{counted(changes, 'change')} on {counted(len(changed), 'target')}{warning}")


def policy_status(verdict: Verdict) -> StatusText:
    """Whether the rules at the base allow it."""
    return status(POLICY, FAILURE if verdict.denied else SUCCESS, verdict_report.headline(verdict))


def approval_status(gate: Gate) -> StatusText:
    """Success only for an open gate; pending while somebody is missing, failure where what was there does not count."""
    state = SUCCESS if isinstance(gate, Open) else PENDING if isinstance(gate, Waiting) else FAILURE
    return status(APPROVAL, state, gate_report.headline(gate))


def deploy_status(deployment: Deployment) -> StatusText:
    """How far a deployment has come. Break-glass is never a success: nobody has approved that commit by it."""
    state = PENDING
    if deployment.kind is DeploymentKind.BREAK_GLASS:
        state = ERROR
    elif deployment.outcome.final:
        state = SUCCESS if deployment.outcome is DeploymentState.SUCCEEDED else FAILURE
    return status(DEPLOY, state, summary(deployment))


def counted(number: int, noun: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
