"""Statuses, the verdict, the gate and a deployment record as short text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.approval import Approval, Gate, Open, Reason, Refused, Stale, Waiting
from reconciler.model.deployment import (
    Authority,
    Deployment,
    DeploymentKind,
    DeploymentState,
    OperationResult,
    TargetResult,
)
from reconciler.model.health import Health, ServiceHealth
from reconciler.model.location import Location
from reconciler.model.plan import Obstacle
from reconciler.model.target import Target
from reconciler.model.verdict import Finding, Requirement, Severity, Verdict
from reconciler.reports.deployment import deployment_text
from reconciler.reports.gate import gate_text, refusal_json, remarks
from reconciler.reports.statuses import (
    DEPLOY,
    anchored,
    approval_status,
    deploy_status,
    plan_status,
    policy_status,
    status,
    statuses,
)
from reconciler.reports.verdict import verdict_markdown, verdict_text
from tests.unit.approvals.evidence import rule_set
from tests.unit.reports.test_comment import change, plan

AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
APPROVAL = Approval("reviewer", 2001, 50, "3f2a" * 10, AT, ("operators",))
OPEN = Open((APPROVAL,), ((Target("shop", "production", "web-1"), "d" * 64),), "3f2a" * 10, "a" * 64)
GATES: list[tuple[Gate, str, str]] = [
    (OPEN, "success", "approved by reviewer"),
    (Waiting(("one approval is missing: by reviewer",), ()), "pending", "one approval is missing: by reviewer"),
    (Stale((Reason(16, "the head moved"),)), "failure", "approve again: 16: the head moved"),
    (Refused((Reason(35, "other"), Reason(36, "more"))), "failure", "35: other (and 1 more)"),
]


@pytest.mark.parametrize(("gate", "state", "description"), GATES)
def test_the_approval_status_of(gate: Gate, state: str, description: str) -> None:
    status = approval_status(gate)
    assert (status.context, status.state, status.description) == ("reconciler/approval", state, description)


def test_only_an_open_gate_is_no_refusal() -> None:
    assert refusal_json(OPEN) is None
    refused = refusal_json(GATES[3][0])
    assert refused is not None
    assert refused["reasons"] == [{"rule": 35, "text": "other"}, {"rule": 36, "text": "more"}]


def test_an_open_gate_names_the_approvals_and_the_plans() -> None:
    text = gate_text(OPEN)
    assert "reviewer: review 50" in text
    assert "shop/production@web-1 " + "d" * 64 in text


def test_the_plan_status_says_what_will_happen() -> None:
    assert plan_status([]).description == "nothing to do"
    assert plan_status([plan()]).description == "1 change on 1 target"
    destroying = plan_status([plan(), plan("web-2", change(), change("data", destroys=True))])
    assert destroying.description == "3 changes on 2 targets, DESTROYS 1 thing"
    blocked = plan_status([plan(obstacles=(Obstacle("the image is nowhere"),))])
    assert (blocked.state, blocked.description) == ("failure", "shop/production@web-1: the image is nowhere")
    waiting = plan_status([], unobserved=[Target("shop", "production", "web-9")])
    assert (waiting.state, waiting.description) == ("pending", "waiting for shop/production@web-9")


DENIED = Verdict((Finding("max-files", Severity.DENY, "too many", Location("policy.yaml", 4)),), (), "d")
NEEDS = Verdict((), (Requirement(2, "sre", "r"), Requirement(1, None, "default"), Requirement(0, None, "free")), "d")


def test_the_policy_status_says_why_or_who() -> None:
    assert policy_status(DENIED).description == "denied by max-files: too many"
    assert policy_status(DENIED).state == "failure"
    assert policy_status(NEEDS).description == "allowed; needs 2 approvals from sre and one approval by another person"
    assert policy_status(Verdict((), (), "d")).description == "allowed; needs no approval"
    assert "max-files: too many (policy.yaml:4)" in verdict_markdown(DENIED)
    assert "deny max-files: too many (policy.yaml:4)" in verdict_text(DENIED)


def test_a_description_is_never_too_long_and_shows_what_hides() -> None:
    long = statuses([plan()], DENIED, Refused((Reason(16, "x\u202e" * 300),)))
    assert [status.context for status in long] == ["reconciler/plan", "reconciler/policy", "reconciler/approval"]
    assert all(len(status.description) <= 140 for status in long)
    assert "\u202e" not in long[2].description


def test_a_reader_learns_who_stands_behind_both_sides_and_what_needs_nobody() -> None:
    assert remarks(rule_set()) == ()
    assert "one person may stand behind both" in remarks(rule_set(owner_may=True))[0]
    assert "a registered person has to merge" in remarks(rule_set(needs=[{"approvals": 0, "rule": "free"}]))[0]


def deployment(outcome: DeploymentState) -> Deployment:
    target = Target("shop", "production", "web-1")
    done = OperationResult(0, "recreate", "web", "git names another image", "done", "", AT, AT + timedelta(seconds=2))
    result = TargetResult(
        target, "p" * 64, "engine", (done,), Health.HEALTHY, (ServiceHealth("web", Health.HEALTHY, ""),), ()
    )
    authority = Authority("approval", 12, "author", (APPROVAL,), "second", "a" * 64)
    return Deployment(
        id="dep-1",
        kind=DeploymentKind.CHANGE,
        project="shop",
        environment="production",
        hosts=("web-1",),
        revision="9bc1" * 10,
        plan_digest="p" * 64,
        authority=authority,
        started_at=AT,
        finished_at=AT + timedelta(seconds=3) if outcome.final else None,
        outcome=outcome,
        reason="" if outcome is not DeploymentState.FAILED else "web exited with 1",
        targets=(result,),
        reverts="dep-0",
    )


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (DeploymentState.QUEUED, "pending"),
        (DeploymentState.OPERATING, "pending"),
        (DeploymentState.SUCCEEDED, "success"),
        (DeploymentState.FAILED, "failure"),
        (DeploymentState.NOT_CONVERGED, "failure"),
        (DeploymentState.INTERRUPTED, "failure"),
    ],
)
def test_the_deploy_status_of(outcome: DeploymentState, state: str) -> None:
    assert deploy_status(deployment(outcome)).state == state


def test_a_record_tells_by_what_right_and_how_it_ended() -> None:
    text = deployment_text(deployment(DeploymentState.FAILED))
    for part in (
        "deployment dep-1",
        "change of shop/production on web-1 failed: web exited with 1",
        "pull request #12 by author, merged by second",
        "approved by reviewer (review 50",
        "reverts     dep-0",
        "recreate web done in 2.0 s (git names another image)",
        "web: Healthy",
    ):
        assert part in text


def test_an_anchor_keeps_its_place_at_the_end_of_a_description_that_is_too_long() -> None:
    anchor = f"{10**17}:{'a' * 32}"
    long = anchored(status(DEPLOY, "failure", "x" * 500), anchor)
    assert len(long.description) == 140
    assert long.description.endswith(f" | ledger {anchor}")
    short = status(DEPLOY, "success", "done")
    assert anchored(short, anchor).description == f"done | ledger {anchor}"
    assert anchored(short, None) == short
