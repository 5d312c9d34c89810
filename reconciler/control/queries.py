"""What the faces ask and nothing changes by: status, plans, drift, records, the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from reconciler import diff
from reconciler.apply.execution import subject_of
from reconciler.control import drifting, judging, marks, planning, remembering
from reconciler.control.parts import Parts
from reconciler.control.planning import Planned, Snapshot, TargetPlan
from reconciler.model import statement
from reconciler.model.approval import Gate
from reconciler.model.chain import Broken, walk
from reconciler.model.checkpoint import NAMESPACE
from reconciler.model.deployment import Deployment
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.health import worst
from reconciler.model.revision import CleanMerge, Tree
from reconciler.model.target import EnvironmentName
from reconciler.ports import Checkpoints, Deployments, EnvironmentRecord, Ledger, States
from reconciler.reports.escape import visible
from reconciler.reports.gate import gate_text, refusal_json
from reconciler.reports.plan import plan_text


class Records(Protocol):
    """The database's side of a control plane."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def checkpoints(self) -> Checkpoints: ...

    @property
    def deployments(self) -> Deployments: ...

    @property
    def states(self) -> States: ...


# -- environments ---------------------------------------------------------------------------------------------------


def status(records: Records) -> list[dict[str, Any]]:
    """Every environment as it was last seen."""
    return [environment_data(record) for record in records.states.environments()]


def environment_data(record: EnvironmentRecord) -> dict[str, Any]:
    """One environment for --json."""
    return {
        "environment": str(record.name),
        "sync": record.sync,
        "health": record.health,
        "hold": record.hold,
        "reason": record.hold_reason,
        "commit": record.hold_commit,
        "revision": record.verified,
        "deployment": record.deployment,
        "suspended": record.detail.get("suspended"),
        "drift": record.detail.get("drift"),
        "trust_reset": record.detail.get("trust_reset"),
        "host_record": record.detail.get("host_record"),
        "broken_glass": record.detail.get(marks.KEY),
        "updated_at": record.updated_at.isoformat(),
    }


def remarks(environment: Mapping[str, Any]) -> list[str]:
    """What else has to be said of an environment, in lines for people."""
    lines = [environment["host_record"]] if environment["host_record"] else []
    if reset := environment["trust_reset"]:
        lines.append(f"trust was reset on {reset['at']} by {', '.join(reset['by'])}: {reset['reason']}")
    return lines


def why(records: Records, name: EnvironmentName) -> dict[str, Any]:
    """Where an environment is, and the last decision about its newest landing."""
    record = records.states.environment(name)
    if record is None:
        raise NotFound(f"nothing is known of {name} yet")
    data = environment_data(record)
    if record.hold_commit is not None:
        found = records.ledger.latest("gate", f"landing/{record.hold_commit}/{name}")
        data["decision"] = found.data["facts"]["decision"] if found is not None else None
    return data


@dataclass(frozen=True, slots=True)
class Drift:
    """What was found on the hosts of one environment just now."""

    environment: EnvironmentName
    data: dict[str, Any]
    text: str
    found: bool


def drift(parts: Parts, names: Iterable[EnvironmentName]) -> tuple[Drift, ...]:
    """Compare live hosts with each environment's last verified revision, now."""
    return tuple(_drift(parts, name) for name in names)


def _drift(parts: Parts, name: EnvironmentName) -> Drift:
    record = parts.states.environment(name)
    if record is None or record.verified is None or record.deployment is None:
        unknown = {"environment": str(name), "sync": "Unknown", "changes": [], "reason": "never deployed"}
        return Drift(name, unknown, f"{name}: never deployed", False)
    at = planning.snapshot(parts.source.tree(record.verified))
    plans = planning.plan_environment(parts, at, at, name)
    found = [drifting.described(p, c) for p in planning.planned(plans) for c in p.plan.changes]
    away = [{"target": str(u.target), "error": str(u.error)} for u in planning.unplanned(plans)]
    health = worst(s.health for p in planning.planned(plans) for s in diff.health(p.prepared.desired, p.observed))
    data: dict[str, Any] = {
        "environment": str(name),
        "revision": record.verified,
        "sync": "Unknown" if away else "OutOfSync" if found else "Synced",
        "health": health.value,
        "changes": found,
        "unreachable": away,
    }
    lines = [f"{name}: {data['sync']}, {health.value}"]
    lines += [f"  {c['target']} {c['subject']} {c['field']}: {c['before']} -> {c['after']} ({c['why']})" for c in found]
    lines += [f"  {u['target']}: {u['error']}" for u in away]
    return Drift(name, data, "\n".join(map(visible, lines)), bool(found))


# -- plans ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preview:
    """Plans that were made to be looked at, and the gate's answer where there is a pull request."""

    plans: tuple[TargetPlan, ...]
    gate: Gate | None
    data: dict[str, Any]
    text: str

    @property
    def differs(self) -> bool:
        return any(isinstance(plan, Planned) and not plan.plan.empty for plan in self.plans)


def plan_pull_request(parts: Parts, number: int) -> Preview:
    """What a pull request would do, judged as of now; nothing is posted."""
    parts.source.fetch()
    trust = remembering.trusted(parts)
    reading = parts.forge.reading(number)
    pull = reading.pull_request
    base = parts.source.branch_head(parts.branch)
    preview = parts.source.merge_preview(base, pull.head_sha)
    if not isinstance(preview, CleanMerge):
        raise InvalidInput(f"pull request {number} does not merge with {parts.branch}: {', '.join(preview.paths)}")
    judged = judging.open_pull_request(parts, trust, reading, base, preview.tree)
    data = {"pull_request": number, "head": pull.head_sha, "kind": judged.kind.kind.value}
    return _preview(judged.plans, judged.gate, data)


def plan_revision(parts: Parts, sha: str) -> Preview:
    """What deploying a commit would do to every environment, against what is live."""
    parts.source.fetch()
    return _plan_tree(parts, parts.source.tree(sha), {"revision": sha})


def plan_tree(parts: Parts, tree: Tree) -> Preview:
    """What a working tree would do."""
    parts.source.fetch()
    return _plan_tree(parts, tree, {"revision": None})


def _plan_tree(parts: Parts, tree: Tree, data: dict[str, Any]) -> Preview:
    after = planning.snapshot(tree)
    plans: list[TargetPlan] = []
    for name in remembering.environments(parts):
        record = parts.states.environment(name)
        before: Snapshot | None = None
        if record is not None and record.verified is not None:
            before = planning.snapshot(parts.source.tree(record.verified))
        if after.state.environment(name) is not None or (before is not None and before.state.environment(name)):
            plans.extend(planning.plan_environment(parts, before, after, name))
    return _preview(tuple(plans), None, data)


def _preview(plans: tuple[TargetPlan, ...], gate: Gate | None, data: dict[str, Any]) -> Preview:
    targets, lines = [], []
    for plan in plans:
        if isinstance(plan, Planned):
            targets.append(plan_data(plan))
            lines.append(plan_text(plan.plan))
        else:
            targets.append({"target": str(plan.target), "error": str(plan.error), "code": plan.error.code})
            lines.append(visible(f"{plan.target}: not planned: {plan.error}"))
    if not lines:
        lines.append("no environment is touched")
    if gate is not None:
        lines.append(gate_text(gate))
    whole = data | {"targets": targets, "gate": None if gate is None else (refusal_json(gate) or {"outcome": "open"})}
    return Preview(plans, gate, whole, "\n".join(lines))


def plan_data(plan: Planned) -> dict[str, Any]:
    """One plan for --json."""
    return {
        "target": str(plan.target),
        "digest": plan.plan.digest,
        "engine": plan.plan.engine_id,
        "changes": [drifting.described(plan, change) for change in plan.plan.changes],
        "operations": [
            {"operation": type(o).__name__, "subject": subject_of(o), "why": o.why} for o in plan.plan.operations
        ],
        "obstacles": [{"text": o.text, "hint": o.hint} for o in plan.plan.obstacles],
    }


# -- records --------------------------------------------------------------------------------------------------------


def deployments(records: Records, environment: EnvironmentName | None, limit: int) -> list[dict[str, Any]]:
    """Deployment records, newest first."""
    return [deployment_data(records, d) for d in records.deployments.of_environment(environment, limit)]


def deployment(records: Records, identity: str) -> Deployment:
    """The record of that id, or of the only one that begins with it."""
    found = records.deployments.get(identity)
    if found is None:
        near = [d for d in records.deployments.of_environment(None, 1000) if d.id.startswith(identity)]
        if len(near) != 1:
            raise NotFound(f"there is no deployment {identity}" + (" (several begin so)" if near else ""))
        found = near[0]
    return found


def deployment_data(records: Records, record: Deployment) -> dict[str, Any]:
    """One record for --json; `reverted_by` is derived now."""
    operations = [
        {
            "target": str(target.target),
            "index": o.index,
            "operation": o.operation,
            "subject": o.subject,
            "why": o.why,
            "outcome": o.outcome,
            "detail": o.detail,
            "started_at": o.started_at.isoformat(),
            "finished_at": o.finished_at.isoformat(),
        }
        for target in record.targets
        for o in target.operations
    ]
    return remembering.summary(record) | {
        "id": record.id,
        "project": record.project,
        "environment": record.environment,
        "authority": record.authority.kind,
        "started_at": record.started_at.isoformat(),
        "finished_at": record.finished_at.isoformat() if record.finished_at else None,
        "operations": operations,
        "services": [
            {"target": str(t.target), "service": s.service, "health": s.health.value, "reason": s.reason}
            for t in record.targets
            for s in t.services
        ],
        "reverted_by": records.deployments.reverted_by(record.id),
    }


# -- ledger ---------------------------------------------------------------------------------------------------------


def ledger_tail(records: Records, limit: int) -> list[dict[str, Any]]:
    """The newest entries, oldest of them first."""
    entries = list(records.ledger.entries())[-limit:]
    return [json.loads(entry.body) | {"hash": entry.hash} for entry in entries]


def verify_ledger(records: Records) -> dict[str, Any]:
    """Walk the stored chain; `ledger verify` does more."""
    found = walk(records.ledger.stored())
    if isinstance(found, Broken):
        return {"valid": False, "broken_at": found.sequence, "reason": found.reason}
    return {"valid": True, "size": found.size, "head": found.head}


def export_lines(records: Records) -> list[bytes]:
    """Every stored entry, byte for byte."""
    return [entry.body for entry in records.ledger.stored()]


def export_files(records: Records, lines: Sequence[bytes], key: str | None) -> dict[str, bytes]:
    """What `ledger export --directory` writes, by file name. Without a checkpoint or a key it is the ledger alone."""
    files = {"ledger.jsonl": b"".join(line + b"\n" for line in lines)}
    newest = records.checkpoints.newest()
    if newest is not None and key is not None:
        signed = newest.signed
        files["checkpoint"] = signed.text.encode()
        files["allowed_signers"] = allowed_signers(signed.checkpoint.origin, key).encode()
    return files


def allowed_signers(origin: str, key: str) -> str:
    """The line by which `ssh-keygen -Y verify -I ORIGIN` knows an installation's key."""
    return f'{origin} namespaces="{NAMESPACE},{statement.NAMESPACE}" {key}\n'
