"""Judging an open pull request as of now, telling nobody; called by the pipeline, and by queries to show it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler import approvals
from reconciler.control import adopting, changes, evidence, planning
from reconciler.control.changes import Kind
from reconciler.control.parts import Parts
from reconciler.control.planning import TargetPlan
from reconciler.model.approval import Gate, RuleSet
from reconciler.model.pull_request import PullRequestReading
from reconciler.ports import TrustRecord


@dataclass(frozen=True, slots=True)
class Judged:
    """The plans on live hosts, the verdicts of the policy on them, and the gate's answer; `notes` are what a reviewer
    has to know beside them.
    """

    plans: tuple[TargetPlan, ...]
    verdicts: tuple[RuleSet, ...]
    kind: Kind
    gate: Gate
    notes: tuple[str, ...] = ()


def open_pull_request(parts: Parts, trust: TrustRecord, reading: PullRequestReading, base: str, merged: str) -> Judged:
    """Plan and judge what merging it into `base` (a commit) makes, `merged` being that merge's tree.

    InvalidInput with every problem of the files where there is no plan.
    """
    change = changes.between(parts, changes.base_at(parts, trust, base), parts.source.tree_at(merged))
    base_rules = changes.accepted_rules(parts, trust, change.before)
    adoption = adopting.proposed(parts, trust, change, base)
    if adoption is not None:
        change, reading = adoption.change, replace(reading, adopted=adoption.adopted)
    plans = planning.plan_change(parts, change.before, change.after, change.environments)
    kind = changes.kind_of(parts, reading, change)
    rules = {"the base": base_rules}
    verdicts = evidence.judge(parts, change, plans, change.targets, kind, reading, None, rules)
    found = evidence.before_merge(parts, trust, reading, change, plans, verdicts)
    gate = approvals.decide(found, parts.clock.now())
    return Judged(plans, verdicts, kind, gate, adoption.notes if adoption is not None else ())
