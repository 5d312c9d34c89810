"""A merge queue's groups: what the forge is about to land, judged and told on the group's own head. Called by the loop.

A group is a branch `gh-readonly-queue/<deploy branch>/pr-<number>-<base>` that the forge made by landing one pull
request on `<base>`, which is the deploy branch or the group before it. What is said there is output: once it has
landed, each pull request is judged again, as a landing of its own (37).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.control import changes, judging, planning, publishing, remembering
from reconciler.control.judging import Judged
from reconciler.control.parts import Parts
from reconciler.control.planning import TargetPlan
from reconciler.model.approval import Open
from reconciler.model.errors import InvalidInput, NotFound, UntrustedHistory
from reconciler.model.revision import CleanMerge
from reconciler.ports import TrustRecord
from reconciler.reports import statuses
from reconciler.reports.statuses import StatusText

QUEUE = "gh-readonly-queue/"
MEMBER = re.compile(r"pr-([1-9][0-9]{0,9})-([0-9a-f]{40})")
MOST_GROUPS = 20
"""Of one deploy branch; a branch like that can be made by whoever may push, and each costs a plan."""


@dataclass(frozen=True, slots=True)
class Member:
    """One pull request of a group: the commit that the forge landed it on, and the one that it made."""

    number: int
    base: str
    head: str


def groups(parts: Parts) -> Mapping[str, str]:
    """The heads of the deploy branch's groups by branch, as of the last fetch; the first few by name."""
    found = parts.source.branches(f"{QUEUE}{parts.branch}/")
    return {name: found[name] for name in sorted(found)[:MOST_GROUPS]}


def review(parts: Parts, branch: str) -> tuple[StatusText, ...]:
    """Plan one group, judge each pull request in it, and post the three statuses on its head; none where it is gone."""
    head = groups(parts).get(branch)
    if head is None:
        return ()
    trust = remembering.trusted(parts)
    try:
        said = _statuses(parts, trust, branch, head)
    except (InvalidInput, NotFound, UntrustedHistory) as error:
        text = str(error).split("\n")[0]
        said = tuple(
            statuses.status(context, statuses.FAILURE, text)
            for context in (statuses.PLAN, statuses.POLICY, statuses.APPROVAL)
        )
    publishing.group(parts, head, branch, said)
    return said


def _statuses(parts: Parts, trust: TrustRecord, branch: str, head: str) -> tuple[StatusText, ...]:
    tip = parts.source.branch_head(parts.branch)
    members = chain(parts, branch, head, tip)
    judged = [(member, _judged(parts, trust, member, tip)) for member in members]
    plans = _plans(parts, trust, tip, head)
    planned = [plan.plan for plan in planning.planned(plans)]
    away = [plan.target for plan in planning.unplanned(plans)]
    policies = [statuses.policy_status(found.verdicts[0].verdict) for _, found in judged]
    denied = [text for text in policies if text.state != statuses.SUCCESS]
    closed = [(member, found.gate) for member, found in judged if not isinstance(found.gate, Open)]
    if closed:
        member, gate = closed[0]
        told = statuses.approval_status(gate)
        approval = statuses.status(statuses.APPROVAL, told.state, f"#{member.number}: {told.description}")
    else:
        numbers = ", ".join(f"#{member.number}" for member in members)
        approval = statuses.status(statuses.APPROVAL, statuses.SUCCESS, f"approved: {numbers}")
    return (statuses.plan_status(planned, unobserved=away), (denied or policies)[-1], approval)


def chain(parts: Parts, branch: str, head: str, tip: str) -> tuple[Member, ...]:
    """The pull requests between the deploy branch and a group's head, in the order in which they land.

    InvalidInput where the group is built on anything but the deploy branch or another of its groups.
    """
    by_head = {sha: name for name, sha in groups(parts).items()}
    members: list[Member] = []
    while True:
        named = MEMBER.fullmatch(branch.removeprefix(f"{QUEUE}{parts.branch}/"))
        if named is None:
            raise InvalidInput(f"{branch} does not say which pull request it lands, and on what")
        members.insert(0, Member(int(named[1]), named[2], head))
        base = named[2]
        if parts.source.is_ancestor(base, tip):
            return tuple(members)
        if base not in by_head or len(members) > MOST_GROUPS:
            raise InvalidInput(
                f"{branch} is built on {base[:12]}, which is neither {parts.branch} nor a group before it"
            )
        head, branch = base, by_head[base]


def _judged(parts: Parts, trust: TrustRecord, member: Member, tip: str) -> Judged:
    """The gate's answer on one pull request as of now, once it is shown that the group holds it and nothing else."""
    reading = parts.forge.reading(member.number)
    pull = reading.pull_request
    if pull.base_ref != parts.branch:
        raise InvalidInput(f"#{member.number} goes to {pull.base_ref}, not to {parts.branch}")
    parts.source.first_parents(member.base, member.head)
    merged = parts.source.merge_preview(member.base, pull.head_sha)
    if not isinstance(merged, CleanMerge) or merged.tree != parts.source.commit(member.head).tree:
        raise InvalidInput(f"{member.head[:12]} is not the merge of #{member.number} into {member.base[:12]}")
    alone = parts.source.merge_preview(tip, pull.head_sha)
    if not isinstance(alone, CleanMerge):
        raise InvalidInput(f"#{member.number} does not merge with {parts.branch} by itself: {', '.join(alone.paths)}")
    return judging.open_pull_request(parts, trust, reading, tip, alone.tree)


def _plans(parts: Parts, trust: TrustRecord, tip: str, head: str) -> tuple[TargetPlan, ...]:
    change = changes.between(parts, changes.base_at(parts, trust, tip), parts.source.tree(head))
    return planning.plan_change(parts, change.before, change.after, change.environments)
