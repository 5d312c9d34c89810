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
from reconciler.model.target import Target
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
SHORTEST_PLAN = 400

END = "<!-- reconciler:plan end -->"
MARKER = re.compile(
    r"\A<!-- reconciler:plan head=(?P<head>[0-9a-f]{40,64}) section=(?P<section>[0-9a-f]{64}) "
    r"plans=(?P<plans>[0-9a-f]{64}) targets=(?P<targets>\{[^\n<>]*\}) -->\n"
)


@dataclass(frozen=True, slots=True)
class PlanSection:
    """The upper part. `text` is the whole section with its markers, `digest` SHA-256 of what stands between them.

    `fits` is False where destructive lines or the targets alone are too long: `reconciler/plan` then fails and says to split.
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
    destroyed = destructive_lines(groups)
    opening = [f"## Plan for {code(head_sha[:12])}", ""]
    opening += [f"- {inline(note)}" for note in notes] + ([""] if notes else [])
    opening += ["### This destroys", "", *destroyed, ""] if destroyed else []
    text = "\n".join(opening)
    room = LONGEST_COMMENT - STATUS_SHARE - MARKER_SHARE - 500
    fits = len(text) <= room
    if not fits:
        text = (
            whole_lines(text, room) + "\n- **more is destroyed than fits into one comment: split this pull request**\n"
        )
        groups = []
    if not ordered and not notes:
        text += "\nNothing on any host changes.\n"
    for index, group in enumerate(groups):
        share = (room - len(text)) // (len(groups) - index)
        text += "\n" + group_markdown(group, share)
    fits = fits and len(text) <= room
    body = whole_lines(text, room).rstrip("\n")
    section = digest_bytes(body.encode())
    return PlanSection(f"{marker(head_sha, section, ordered)}\n{body}\n{END}", section, fits)


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
    """One plan with the targets that it is for; only the heading where there is no room for more."""
    digests = "\n".join(f"- {code(str(plan.target))} plan {code(plan.digest[:16])}" for plan in group[:50])
    heading = f"### {', '.join(code(str(plan.target)) for plan in group[:3])}"
    heading += f" and {len(group) - 3} more, the same plan" if len(group) > 3 else ""
    top = f"{heading}\n\n{digests}\n" + (f"- and {len(group) - 50} more\n" if len(group) > 50 else "")
    obstacles = "".join(
        f"- **cannot be carried out**: {inline(obstacle.text)} {inline(obstacle.hint)}\n"
        for obstacle in group[0].obstacles
    )
    top += obstacles
    if room - len(top) < SHORTEST_PLAN:
        return f"{top}\nToo long to show here: {len(group[0].operations)} operations; `reconciler plan` shows them.\n"
    return f"{top}\n{plan_markdown(group[0], room - len(top) - 2)}\n"


def destructive_lines(groups: Sequence[Sequence[Plan]]) -> list[str]:
    """One marked line for each thing that goes for good, with the targets on which it goes."""
    lines = []
    for group in groups:
        where = ", ".join(code(str(plan.target)) for plan in group[:20])
        where += f" and {len(group) - 20} more" if len(group) > 20 else ""
        lines += [f"- **DESTROYS** {described(change)} on {where}" for change in group[0].destroys]
    return lines


def described(change: Change) -> str:
    """A change as subject, field, reason and place."""
    field = f" {code(change.field)}" if change.field else ""
    cause = f" ({code(str(change.cause))})" if change.cause is not None else ""
    return f"{change.subject.kind} {code(change.subject.name)}{field}: {inline(change.why)}{cause}"


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
    except ValueError:
        return None
    return Marker(
        head_sha=found["head"],
        section=found["section"],
        plans=found["plans"],
        digests=tuple(sorted((str(name), str(value)) for name, value in named.items())),
        intact=bool(end) and digest_bytes(section.encode()) == found["section"],
    )


def pairs_of(digests: Sequence[tuple[str, str]]) -> tuple[tuple[Target, str], ...]:
    """The digests of a marker as a PostedPlan holds them."""
    return tuple((Target.parse(name), value) for name, value in digests)


def whole_lines(text: str, room: int) -> str:
    """As many whole lines as fit."""
    if len(text) <= room:
        return text
    return text[: max(room, 0)].rpartition("\n")[0]
