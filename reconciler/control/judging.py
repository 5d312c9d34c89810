"""Judging an open pull request as of now, telling nobody; called by the pipeline, and by queries to show it."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler import approvals
from reconciler.control import changes, evidence, planning
from reconciler.control.changes import Kind
from reconciler.control.parts import Parts
from reconciler.control.planning import TargetPlan
from reconciler.model.approval import Gate, RuleSet
from reconciler.model.pull_request import PullRequestReading
from reconciler.ports import TrustRecord


@dataclass(frozen=True, slots=True)
class Judged:
    """The plans on live hosts, the verdicts of the policy on them, and the gate's answer."""

    plans: tuple[TargetPlan, ...]
    verdicts: tuple[RuleSet, ...]
    kind: Kind
    gate: Gate


def open_pull_request(parts: Parts, trust: TrustRecord, reading: PullRequestReading, base: str, merged: str) -> Judged:
    """Plan and judge what merging it into `base` (a commit) makes, `merged` being that merge's tree.

    InvalidInput with every problem of the files where there is no plan.
    """
    change = changes.between(parts, changes.base_at(parts, trust, base), parts.source.tree_at(merged))
    plans = planning.plan_change(parts, change.before, change.after, change.environments)
    kind = changes.kind_of(parts, reading.pull_request, change)
    rules = {"the base": changes.accepted_rules(parts, trust, change.before)}
    verdicts = evidence.judge(parts, change, plans, change.targets, kind, reading, None, rules)
    found = evidence.before_merge(parts, trust, reading, change, plans, verdicts)
    return Judged(plans, verdicts, kind, approvals.decide(found, parts.clock.now()))
