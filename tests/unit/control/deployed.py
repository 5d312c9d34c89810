"""A deployment from its trusted repository to its running container, written down by the code that writes it down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler import approvals
from reconciler.control import checkpoints, publishing, remembering, trusting
from reconciler.control.parts import Parts
from reconciler.model.approval import Open
from reconciler.model.deployment import (
    Authority,
    Deployment,
    DeploymentKind,
    DeploymentState,
    OperationResult,
    TargetResult,
)
from reconciler.model.health import Health, ServiceHealth
from reconciler.model.target import Target
from reconciler.ports import TrustRecord
from tests.unit.approvals.evidence import NOW, REPOSITORY, evidence, time_of

TARGET = Target("shop", "production", "web-1")
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
OPERATIONS = (("PullImage", "demo:2"), ("RecreateService", "web"))


def deployed(parts: Parts) -> Deployment:
    """An approved change, decided by the gate, carried out, verified, signed and told."""
    found = evidence(merged=True)
    now = time_of(NOW)
    assert now is not None
    gate = approvals.decide(found, now)
    assert isinstance(gate, Open), gate
    assert found.landing is not None
    revision, pull = found.landing.commits[-1], found.reading.pull_request
    trust = TrustRecord(REPOSITORY, "0" * 40, (("keeper", 1, ()),), AT)
    parts.states.set_trust(trust)
    parts.ledger.append("trust", f"repository/{REPOSITORY}", trusting.trust_data(trust), AT)
    (shown,) = found.posted
    digests = {str(target): digest for target, digest in shown.digests}
    posted = {
        "head_sha": shown.head_sha, "base_ref": shown.base_ref, "digests": digests, "comment": shown.comment,
        "updated_at": shown.updated_at.isoformat(),
    }  # fmt: skip
    parts.ledger.append("plan-posted", f"pull-request/{pull.number}", posted, AT)
    publishing.record_gate(parts, f"landing/{revision}/shop/production", found, gate)
    queued = Deployment(
        id="d-0123456789abcdef",
        kind=DeploymentKind.CHANGE,
        project="shop",
        environment="production",
        hosts=("web-1",),
        revision=revision,
        plan_digest=digests[str(TARGET)],
        authority=Authority(
            "approval",
            pull.number,
            pull.author.login if pull.author else "",
            gate.approvals,
            pull.merged_by.login if pull.merged_by else "",
            gate.attestation,
        ),
        started_at=AT,
        finished_at=None,
        outcome=DeploymentState.QUEUED,
        reason="",
        targets=(),
    )
    entry = {"plans": digests, "images": {str(TARGET): {"demo:2": "sha256:1"}}, "engines": {str(TARGET): "E1"}}
    parts.deployments.begin(queued, {}, remembering.summary(queued) | entry | {"before": None})
    results = tuple(carried_out(parts, queued, index) for index in range(len(OPERATIONS)))
    healthy = (ServiceHealth("web", Health.HEALTHY, ""),)
    target = TargetResult(
        TARGET, queued.plan_digest, "E1", results, Health.HEALTHY, healthy, (("shop-production-web-1", "c" * 64),)
    )
    finished = replace(
        queued,
        targets=(target,),
        outcome=DeploymentState.SUCCEEDED,
        reason="healthy, and equal to git",
        finished_at=AT + timedelta(seconds=9),
    )
    remembering.concluded(parts, finished, {})
    signed = checkpoints.make(parts)
    said = {"state": "success", "description": "done", "anchor": signed.checkpoint.anchor}
    parts.ledger.append("deploy-status", revision, said, AT)
    return finished


def carried_out(parts: Parts, deployment: Deployment, index: int) -> OperationResult:
    """One operation, announced and done."""
    kind, subject = OPERATIONS[index]
    result = OperationResult(index, kind, subject, "git changed", "done", "", AT, AT)
    parts.deployments.journal_intent(deployment.id, TARGET, index, kind, AT, subject, "git changed")
    parts.deployments.journal_outcome(deployment.id, TARGET, result)
    return result
