"""A plan for people: as terminal text, and as Markdown for a pull request. Called by control and the faces.

What destroys comes first and is marked, and is never cut. Names and values in it were written by others: in Markdown
they stand in a fence that they cannot close, and characters that hide or reorder text are spelled out (gate 77, 83).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import assert_never

from reconciler.model.change import Change, ChangeKind
from reconciler.model.plan import (
    CreateDirectory,
    CreateNetwork,
    CreateService,
    CreateVolume,
    Operation,
    Plan,
    PullImage,
    RecreateNetwork,
    RecreateService,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RunJob,
    ScaleService,
    ShipFiles,
    StartService,
)
from reconciler.reports.escape import code, inline, longest_run, visible

DESTROYS = "DESTROYS"
_SIGNS = {ChangeKind.CREATE: "+", ChangeKind.UPDATE: "~", ChangeKind.REMOVE: "-", ChangeKind.STATE: "!"}
_WIDTH = 118
_ROOM_FOR_NOTE = 120
_NO_LIMIT = 10_000


def plan_text(plan: Plan) -> str:
    """The plan as plain lines, the same for the same plan; no control characters, whatever the names hold."""
    lines = [_headline(plan)]
    lines += [f"{DESTROYS} {line}" for change in plan.destroys for line in _destruction(change)]
    lines += _section("obstacles, nothing can be applied before they are gone:", _obstacle_lines(plan))
    lines += _section("changes:", _change_lines(plan.changes))
    lines += _section("operations:", _operation_lines(plan))
    lines.append(f"plan digest {plan.digest}")
    return "\n".join(lines) + "\n"


def change_lines(plan: Plan) -> tuple[str, ...]:
    """One line for each change, in the plan's order: what the record keeps of a plan that was shown."""
    return tuple(visible(f"{_SIGNS[change.kind]} {change.subject} {_sides(change)}") for change in plan.changes)


def plan_markdown(plan: Plan, limit: int = 60_000) -> str:
    """The plan of one target as a part of a comment, at most `limit` characters long.

    Only details are left out where it does not fit, and that is said with their number. Headline, destructive lines,
    obstacles and digest are always whole: a longer result than `limit` means that they alone do not fit, and the caller
    has to refuse the plan and ask for a split.
    """
    head = [f"#### {code(str(plan.target), _NO_LIMIT)}: {_summary(plan)}", ""]
    for change in plan.destroys:
        head.append(f"- **{DESTROYS}** {code(f'{change.subject}', _NO_LIMIT)}: {inline(_loss(change), _NO_LIMIT)}")
    for obstacle in plan.obstacles:
        hint = f" ({obstacle.hint})" if obstacle.hint else ""
        head.append(f"- **cannot be applied:** {inline(obstacle.text + hint, _NO_LIMIT)}")
    if len(head) > 2:
        head.append("")
    foot = ["", f"plan digest `{plan.digest}`", ""]
    details = [*_change_lines(plan.changes), *_section("operations:", _operation_lines(plan))]
    room = limit - len("\n".join([*head, *foot]))
    return "\n".join([*head, *_folded(details, room), *foot])


def _folded(lines: list[str], room: int) -> list[str]:
    """As many of the lines as there is room for, in a fence inside a fold."""
    if not lines:
        return []
    fence = "`" * max(3, longest_run("\n".join(lines)) + 1)
    before = ["<details><summary>changes and operations</summary>", "", f"{fence}diff"]
    after = [fence, "", "</details>"]
    room -= len("\n".join([*before, *after])) + _ROOM_FOR_NOTE
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    left_out = len(lines) - len(kept)
    # Outside of the fold, which nobody has to open: what is not shown here is consented to all the same.
    note = f"**Not shown: {left_out} of {len(lines)} lines** that the digest below covers; see `reconciler plan`."
    if not kept:
        return [note]
    return [*([note, ""] if left_out else []), *before, *kept, *after]


def _headline(plan: Plan) -> str:
    return f"{visible(str(plan.target))}: {_summary(plan)}"


def _summary(plan: Plan) -> str:
    if not plan.changes and not plan.operations:
        return "nothing to do"
    parts = [_count(len(plan.changes), "change"), _count(len(plan.operations), "operation")]
    if plan.destroys:
        parts.append(f"{len(plan.destroys)} of them destroy{'s' if len(plan.destroys) == 1 else ''} something")
    if plan.obstacles:
        parts.append(_count(len(plan.obstacles), "obstacle"))
    return ", ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return [title, *(f"  {line}" for line in found)] if found else []


def _loss(change: Change) -> str:
    field = f"{change.field}: " if change.field else ""
    after = "" if change.after.digestable is None else f" -> {change.after.text}"
    return f"{field}{change.before.text}{after}; {change.why}"


def _destruction(change: Change) -> Iterator[str]:
    yield from _wrapped(f"{change.subject}: {_loss(change)}")


def _obstacle_lines(plan: Plan) -> Iterator[str]:
    for obstacle in plan.obstacles:
        yield from _wrapped(f"{obstacle.text}{f' ({obstacle.hint})' if obstacle.hint else ''}")


def _change_lines(changes: Iterable[Change]) -> Iterator[str]:
    """Grouped by subject, in the plan's order; those that destroy have their own lines before."""
    kept = (change for change in changes if not change.destroys)
    for subject, group in groupby(kept, key=lambda change: change.subject):
        found = list(group)
        whole = next((change for change in found if not change.field), None)
        sign = _SIGNS[whole.kind if whole else found[0].kind]
        yield from _wrapped(f"{sign} {subject}")
        for change in found:
            yield from _wrapped(f"    {_sides(change)}")
            yield from _wrapped(f"        {change.why}{f' ({change.cause})' if change.cause else ''}")


def _sides(change: Change) -> str:
    if not change.field and change.kind is ChangeKind.CREATE:
        return change.after.text
    if not change.field and change.kind is ChangeKind.REMOVE:
        return change.before.text
    field = f"{change.field}: " if change.field else ""
    return f"{field}{change.before.text} -> {change.after.text}"


def _operation_lines(plan: Plan) -> Iterator[str]:
    for number, stage in enumerate(plan.stages, start=1):
        for index in stage:
            operation = plan.operations[index]
            yield from _wrapped(f"{number}. {operation_text(operation)}: {operation.why}")


def operation_text(operation: Operation) -> str:
    """An operation as a short sentence."""
    match operation:
        case ShipFiles(bundle=bundle):
            return f"ship {bundle.source} (content {bundle.digest[:12]})"
        case PullImage(reference=reference, deploy_as=deploy_as):
            return f"pull or check the image {reference} ({_short(deploy_as)})"
        case CreateDirectory(path=path):
            return f"create the directory {path}"
        case CreateNetwork(network=network):
            return f"create the network {network.name}"
        case RecreateNetwork(network=network, disconnects=disconnects):
            stops = f", which stops {', '.join(disconnects)}" if disconnects else ""
            return f"replace the network {network.name}{stops}"
        case RemoveNetwork(name=name):
            return f"remove the network {name}"
        case CreateVolume(volume=volume):
            return f"create the volume {volume.name}"
        case RemoveVolume(name=name):
            return f"delete the volume {name} and its data"
        case CreateService(service=service, replicas=replicas):
            return f"create {service}{_times(replicas)}"
        case RecreateService(service=service, replicas=replicas):
            return f"recreate {service}{_times(replicas)}"
        case StartService(service=service, unpause=unpause):
            return f"unpause {', '.join(unpause)}" if unpause else f"start {service}"
        case ScaleService(service=service, replicas=replicas):
            return f"scale {service} to {replicas}"
        case RunJob(service=service):
            return f"run the job {service} to its end"
        case RemoveContainer(container=container):
            return f"stop and remove the container {container}"
        case _:
            assert_never(operation)


def _short(deploy_as: str) -> str:
    name, colon, digits = deploy_as.rpartition("sha256:")
    return f"{name}{colon}{digits[:12]}" if colon else deploy_as


def _times(replicas: int) -> str:
    return "" if replicas == 1 else f" ({replicas} containers)"


def _wrapped(line: str) -> Iterator[str]:
    """A line in pieces that a reader sees without scrolling: a long value must not hide its end."""
    safe = visible(line)
    indent = len(safe) - len(safe.lstrip(" "))
    yield safe[:_WIDTH]
    for start in range(_WIDTH, len(safe), _WIDTH - indent - 2):
        yield f"{' ' * indent}| {safe[start : start + _WIDTH - indent - 2]}"
