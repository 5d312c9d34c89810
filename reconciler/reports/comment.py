"""The one comment on a pull request, in two parts. Called by control, which edits it in place.

The upper part is the plan: what a reviewer consents to. It sits between two markers, and the first carries its digest,
so that a change of the lower part (policy, and who is still missing) is not taken for a change of the plan.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.model.approval import Gate
from reconciler.model.canonical import digest, digest_bytes
from reconciler.model.change import Change
from reconciler.model.plan import Plan
from reconciler.model.verdict import Verdict
from reconciler.reports.escape import code, inline
from reconciler.reports.gate import gate_markdown
from reconciler.reports.plan import plan_markdown
from reconciler.reports.verdict import verdict_markdown

LONGEST_COMMENT = 60_000
"""Characters; the forge refuses more than 65,536."""

STATUS_SHARE = 14_000
"""Characters of the comment that are kept for the lower part."""

MARKER_SHARE = 8_000
MOST_NAMED = 50
WHOLE = 10_000

END = "<!-- reconciler:plan end -->"
MARKER = re.compile(
    r"\A<!-- reconciler:plan head=(?P<head>[0-9a-f]{40,64}) section=(?P<section>[0-9a-f]{64}) "
    r"plans=(?P<plans>[0-9a-f]{64}) targets=(?P<targets>\{[^\n<>]*\}) -->\n"
)


@dataclass(frozen=True, slots=True)
class PlanSection:
    """The upper part. `text` is the whole section with its markers, `digest` SHA-256 of what stands between them.

    `fits` is False where destructive lines or the targets alone are too long: `reconciler/plan` then fails and says to
    split.
    """

    text: str
    digest: str
    fits: bool


@dataclass(frozen=True, slots=True)
class Marker:
    """What the hidden marker of a comment says. `plans` is the digest over all (target, plan digest) pairs, `digests`
    the pairs themselves (empty where they are too many), `intact` whether the section is still what was written.
    """

    head_sha: str
    section: str
    plans: str
    digests: tuple[tuple[str, str], ...]
    intact: bool


def comment_markdown(section: PlanSection, verdict: Verdict, gate: Gate, remarks: Sequence[str] = ()) -> str:
    """The whole comment, at most LONGEST_COMMENT characters. `remarks` are sentences such as reports.gate.remarks."""
    lower = status_section(verdict, gate, remarks)
    return f"{section.text}\n{lower}"


def status_section(verdict: Verdict, gate: Gate, remarks: Sequence[str] = ()) -> str:
    """The lower part: policy findings, and who or what is still missing."""
    noted = "\n".join(f"- {inline(remark)}" for remark in remarks)
    approval = f"### Approval\n\n{gate_markdown(gate)}\n" + (f"\n{noted}\n" if noted else "")
    policy = f"### Policy\n\n{verdict_markdown(verdict)}\n"
    room = STATUS_SHARE - len(approval) - 100
    if room < len(policy):
        policy = whole_lines(policy, room) + "\n- more findings than fit here; see the policy status\n"
    return whole_lines(f"{policy}\n{approval}", STATUS_SHARE)


def plan_section(head_sha: str, plans: Sequence[Plan], notes: Sequence[str] = ()) -> PlanSection:
    """The upper part for one head. `notes` are sentences about targets without a plan (a host that is down).

    Destructive lines come first and are never cut; plans that are the same for many targets are shown once; of what
    does not fit the digest remains, and `reconciler plan` shows the rest.
    """
    ordered = sorted(plans, key=lambda plan: plan.target)
    groups = same_plans(ordered)
    room = LONGEST_COMMENT - STATUS_SHARE - MARKER_SHARE - 500
    top = opening(head_sha, groups, notes)
    shortest = [len(group_markdown(group, 0)) for group in groups]
    spare = room - len(top) - sum(shortest)
    if spare < 0:
        split = "**This is too much to show in one comment: split this pull request.**"
        body = whole_lines(f"{split}\n\n{top}" + "".join(group_markdown(group, 0) for group in groups), room)
    else:
        body = top
        for index, group in enumerate(groups):
            text = group_markdown(group, shortest[index] + spare // (len(groups) - index))
            spare -= len(text) - shortest[index]
            body += text
    body = body.rstrip("\n")
    section = digest_bytes(body.encode())
    return PlanSection(f"{marker(head_sha, section, ordered)}\n{body}\n{END}", section, fits=spare >= 0)


def opening(head_sha: str, groups: Sequence[Sequence[Plan]], notes: Sequence[str]) -> str:
    """What comes before the plans; what is destroyed, where it is spread over several of them."""
    lines = [f"## Plan for {code(head_sha[:12])}", ""]
    lines += [f"- {inline(note)}" for note in notes] + ([""] if notes else [])
    destroyed = destructive_lines(groups) if len(groups) > 1 else []
    lines += ["### This destroys", "", *destroyed, ""] if destroyed else []
    lines += [] if groups or notes else ["Nothing on any host changes.", ""]
    return "\n".join(lines) + "\n"


def same_plans(plans: Sequence[Plan]) -> list[list[Plan]]:
    """The plans in groups that differ in nothing but target, engine and digest."""
    groups: list[list[Plan]] = []
    for plan in plans:
        for group in groups:
            own = group[0]
            if replace(plan, target=own.target, engine_id=own.engine_id, digest=own.digest) == own:
                group.append(plan)
                break
        else:
            groups.append([plan])
    return groups


def group_markdown(group: Sequence[Plan], room: int) -> str:
    """One plan, and where it is the same for several targets, which ones and with which digests."""
    same = ""
    if len(group) > 1:
        lines = [f"- {code(str(plan.target))} plan digest {code(plan.digest)}" for plan in group[:MOST_NAMED]]
        lines += [f"- and {len(group) - MOST_NAMED} more"] if len(group) > MOST_NAMED else []
        same = "\n".join([f"The same plan for {len(group)} targets:", "", *lines, "", ""])
    return f"{same}{plan_markdown(group[0], max(room - len(same) - 1, 0))}\n"


def destructive_lines(groups: Sequence[Sequence[Plan]]) -> list[str]:
    """One marked line for each thing that goes for good, with the targets on which it goes."""
    lines = []
    for group in groups:
        where = ", ".join(code(str(plan.target)) for plan in group[:MOST_NAMED])
        where += f" and {len(group) - MOST_NAMED} more" if len(group) > MOST_NAMED else ""
        lines += [f"- **DESTROYS** {described(change)} on {where}" for change in group[0].destroys]
    return lines


def described(change: Change) -> str:
    """A change as subject, field, reason and place."""
    field = f" {code(change.field, WHOLE)}" if change.field else ""
    cause = f" ({code(str(change.cause), WHOLE)})" if change.cause is not None else ""
    return f"{change.subject.kind} {code(change.subject.name, WHOLE)}{field}: {inline(change.why, WHOLE)}{cause}"


def marker(head_sha: str, section: str, plans: Sequence[Plan]) -> str:
    """The hidden first line: head, digest of the section, digest of all plans, and the plans by target."""
    pairs = [[str(plan.target), plan.digest] for plan in plans]
    named = json.dumps(dict(pairs), separators=(",", ":"))
    named = named.replace("<", "\\u003c").replace(">", "\\u003e").replace("--", "\\u002d\\u002d")
    if len(named) > MARKER_SHARE - 300:
        named = "{}"
    return f"<!-- reconciler:plan head={head_sha} section={section} plans={digest(pairs)} targets={named} -->"


def read_marker(body: str) -> Marker | None:
    """What a comment's marker says, None for a comment that is not ours. Whose account wrote it is for the caller."""
    body = body.replace("\r\n", "\n")
    found = MARKER.match(body)
    if found is None:
        return None
    section, end, _ = body[found.end() :].partition(f"\n{END}")
    try:
        named = json.loads(found["targets"])
    except (ValueError, RecursionError):
        return None
    return Marker(
        head_sha=found["head"],
        section=found["section"],
        plans=found["plans"],
        digests=tuple(sorted((str(name), str(value)) for name, value in named.items())),
        intact=bool(end) and digest_bytes(section.encode()) == found["section"],
    )


def whole_lines(text: str, room: int) -> str:
    """As many whole lines as fit."""
    if len(text) <= room:
        return text
    return text[: max(room, 0)].rpartition("\n")[0]
