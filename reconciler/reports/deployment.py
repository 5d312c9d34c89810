"""A deployment record as text. Called by `deployments show`, the demo, and the status on the merge commit."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.deployment import Deployment, DeploymentKind, OperationResult, TargetResult
from reconciler.reports.escape import visible
from reconciler.reports.gate import said


def summary(deployment: Deployment) -> str:
    """One sentence."""
    where = f"{deployment.project}/{deployment.environment} on {', '.join(deployment.hosts)}"
    reason = f": {deployment.reason}" if deployment.reason else ""
    return f"{deployment.kind} of {where} {deployment.outcome}{reason}"


def deployment_text(deployment: Deployment) -> str:
    """The whole record as plain lines: by what right, what was done where, and how it ended."""
    return "\n".join(visible(line) for line in lines_of(deployment))


def lines_of(deployment: Deployment) -> Iterator[str]:
    """The lines of a record in reading order."""
    authority = deployment.authority
    yield f"deployment {deployment.id}"
    yield f"  {summary(deployment)}"
    yield f"  revision    {deployment.revision}"
    yield f"  plan        {deployment.plan_digest}"
    if authority.pull_request is not None:
        yield f"  pull request #{authority.pull_request} by {authority.author}, merged by {authority.merged_by}"
    else:
        yield f"  authority   {authority.kind}"
    if deployment.kind is DeploymentKind.BREAK_GLASS:
        yield f"  broken by   {', '.join(approval.person for approval in authority.approvals)}: past the gate"
        yield f"  reason      {authority.reason}"
        yield f"  ticket      {authority.ticket}"
    for approval in authority.approvals:
        yield f"  approved by {approval.person} ({said(approval)} at {approval.head_sha[:12]})"
    if deployment.reverts is not None:
        yield f"  reverts     {deployment.reverts}"
    finished = deployment.finished_at.isoformat() if deployment.finished_at else "not yet"
    yield f"  started     {deployment.started_at.isoformat()}, finished {finished}"
    yield f"  health      {deployment.health}"
    for result in deployment.targets:
        yield from lines_of_target(result)


def lines_of_target(result: TargetResult) -> Iterator[str]:
    """What was done to one target, and how its services are."""
    yield f"  {result.target}"
    yield from (f"    {operation_line(operation)}" for operation in result.operations)
    yield from (f"    {service.service}: {service.health} {service.reason}".rstrip() for service in result.services)


def operation_line(operation: OperationResult) -> str:
    """One operation with its outcome, its time and its cause."""
    seconds = (operation.finished_at - operation.started_at).total_seconds()
    detail = f": {operation.detail}" if operation.detail else ""
    return f"{operation.operation} {operation.subject} {operation.outcome} in {seconds:.1f} s ({operation.why}){detail}"
