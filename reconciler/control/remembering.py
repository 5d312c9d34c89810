"""What is known of each environment between runs, and how it is written down; called by the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from typing import Any

from reconciler.control import marks, planning
from reconciler.control.parts import Parts
from reconciler.model.deployment import Deployment, DeploymentKind, DeploymentState
from reconciler.model.errors import InvalidInput, NotAllowed, NotFound, UntrustedHistory, VerificationFailed
from reconciler.model.health import Health, Sync
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import EnvironmentRecord, TrustRecord
from reconciler.reports.gate import approval_json


def pinned(parts: Parts) -> TrustRecord:
    """What `trust init` pinned; NotAllowed before it."""
    trust = parts.states.trust()
    if trust is None:
        raise NotAllowed("nothing is trusted yet", hint="run `reconciler trust init --revision SHA` on this server")
    return trust


def trusted(parts: Parts) -> TrustRecord:
    """What is pinned, before the forge's word is taken: UntrustedHistory when it shows another repository (43)."""
    trust = pinned(parts)
    repository = parts.forge.repository_id()
    if repository != trust.repository:
        said, subject = {"shown": repository, "trusted": trust.repository}, f"repository/{trust.repository}"
        latest = parts.ledger.latest("untrusted", subject)
        if latest is None or latest.data != said:
            parts.ledger.append("untrusted", subject, said, parts.clock.now())
        raise UntrustedHistory(
            f"the forge shows repository {repository}, trusted is {trust.repository} (gate 43)",
            hint="it was recreated or replaced; nothing is deployed from it",
        )
    return trust


def tampered(parts: Parts, error: VerificationFailed) -> None:
    """What does not verify goes on record, once, where the ledger itself can still be appended to."""
    said = {"reason": str(error)}
    try:
        try:
            latest = parts.ledger.latest("tampered", "database")
            known = latest is not None and latest.data == said
        except VerificationFailed:  # nothing can be looked for in it: then once in a process
            known = f"tampered: {error}" in parts.told
        if not known:
            parts.ledger.append("tampered", "database", said, parts.clock.now())
            parts.told.add(f"tampered: {error}")
    except VerificationFailed as also:
        parts.progress("ledger.tampered", {"reason": str(also)})


def environment_of(deployment: Deployment) -> EnvironmentName:
    """The environment that a deployment is about."""
    return EnvironmentName(deployment.project, deployment.environment)


def environments(parts: Parts) -> tuple[EnvironmentName, ...]:
    """Every environment that git has at the tip, or that we know of already, sorted."""
    names = {record.name for record in parts.states.environments()}
    trust = parts.states.trust()
    for revision in (parts.source.branch_head(parts.branch), trust.revision if trust else None):
        if revision is None:
            continue
        try:
            state = planning.snapshot(parts.source.tree(revision)).state
        except (InvalidInput, NotFound):
            continue
        names |= {environment.name for environment in state.environments}
    return tuple(sorted(names))


def record(parts: Parts, name: EnvironmentName) -> EnvironmentRecord:
    """What is known; an empty record for an environment that was never looked at."""
    return parts.states.environment(name) or _unknown(parts, name)


def _unknown(parts: Parts, name: EnvironmentName) -> EnvironmentRecord:
    return EnvironmentRecord(
        name=name,
        verified=None,
        deployment=None,
        hold=None,
        hold_reason="",
        hold_commit=None,
        sync=Sync.UNKNOWN.value,
        health=Health.UNKNOWN.value,
        detail={},
        updated_at=parts.clock.now(),
    )


def write(
    parts: Parts,
    name: EnvironmentName,
    change: Callable[[EnvironmentRecord], EnvironmentRecord],
    before: EnvironmentRecord | None = None,
) -> EnvironmentRecord:
    """Change what is known, dated now; what would say the same as `before` (read when it is not given) is left alone.

    `change` is given the record as it is when it is written: a suspension by another process is not undone by us.
    """
    before = before or parts.states.environment(name)
    if before is not None and change(before) == before:
        return before
    return parts.states.change_environment(
        name, lambda now: replace(change(now or _unknown(parts, name)), updated_at=parts.clock.now())
    )


def verified(parts: Parts, name: EnvironmentName, revision: str) -> EnvironmentRecord:
    """Note that the environment is right at this revision, and that nothing holds it."""
    return write(parts, name, lambda now: replace(freed(now), verified=revision))


def freed(now: EnvironmentRecord) -> EnvironmentRecord:
    """Nothing holds it, but for the mark that is there since somebody broke its glass."""
    marked = marks.of(now.detail)
    if not marked:
        return replace(now, hold=None, hold_reason="", hold_commit=None)
    reason = now.hold_reason if now.hold == marks.HOLD else marks.text(marked, None)
    return replace(now, hold=marks.HOLD, hold_reason=reason, hold_commit=None)


def stopped(parts: Parts, name: EnvironmentName, hold: str, reason: str, commit: str | None) -> EnvironmentRecord:
    """Note why the environment does not go on; each new reason is a ledger entry."""
    now = record(parts, name)
    if (now.hold, now.hold_reason, now.hold_commit) != (hold, reason, commit):
        parts.ledger.append("hold", str(name), {"hold": hold, "reason": reason, "commit": commit}, parts.clock.now())
        parts.progress("environment.held", {"environment": str(name), "hold": hold, "reason": reason})
    return write(
        parts,
        name,
        lambda now: replace(now, hold=hold, hold_reason=reason, hold_commit=commit, sync=Sync.OUT_OF_SYNC.value),
    )


def concluded(parts: Parts, finished: Deployment, context: Mapping[str, Any]) -> None:
    """Write a finished deployment down: what it means for its environment, which is harmless to repeat, and then its
    record and the ledger's entry together.
    """
    name = environment_of(finished)
    if finished.kind is DeploymentKind.BREAK_GLASS:
        _broken(parts, name, finished)
    elif finished.outcome is DeploymentState.SUCCEEDED:
        moves = finished.kind is not DeploymentKind.HEAL
        if moves:
            approvers = [given.person for given in finished.authority.approvals]
            how = {"revision": finished.revision, "pull_request": finished.authority.pull_request}
            reproduced(parts, name, how | {"deployment": finished.id}, approvers)
        write(
            parts,
            name,
            lambda now: replace(
                freed(now) if moves or now.hold_commit is None else now,
                verified=finished.revision if moves else now.verified,
                deployment=finished.id,
                sync=Sync.SYNCED.value if moves or now.hold_commit is None else now.sync,
                health=finished.health.value,
                detail=_after(now.detail, finished) | {"inputs": context.get("inputs"), "drift": None},
            ),
        )
    elif finished.outcome is DeploymentState.CANCELLED:
        stopped(parts, name, "AwaitingConsent", finished.reason, finished.revision)
    else:
        stopped(parts, name, "Parked", finished.reason, finished.revision)
        write(parts, name, lambda now: replace(now, health=finished.health.value))
    parts.deployments.advance(finished, summary(finished))
    parts.progress(
        "deployment.finished",
        {"deployment": finished.id, "outcome": finished.outcome.value, "reason": finished.reason},
    )


def _after(detail: Mapping[str, Any], finished: Deployment) -> dict[str, Any]:
    """What is still to be said after a deployment: a reset of the trust until the next approved landing, what a host's
    record said against the database until it was written anew.
    """
    over = {"trust_reset"} if finished.authority.kind == "approval" else set()
    over |= {"host_record"} if finished.kind is not DeploymentKind.HEAL else set()
    return {key: value for key, value in detail.items() if key not in over}


def _broken(parts: Parts, name: EnvironmentName, finished: Deployment) -> None:
    """Break-glass is not what was approved: the verified revision and the last deployment stay what they were, and the
    mark stays however it ended. Only where nothing was begun there is nothing to mark.
    """
    targets = [Target(name.project, name.environment, host) for host in finished.hosts]
    if finished.outcome is DeploymentState.CANCELLED and not any(
        parts.deployments.begun(finished.id, target) for target in targets
    ):
        never_began(parts, name, finished.id, finished.reason)
        return
    reason = marks.text(marks.of(record(parts, name).detail), parts.clock.now())
    if finished.outcome is not DeploymentState.SUCCEEDED:
        reason = f"{finished.id} {finished.outcome.value}: {finished.reason}; {reason}"
    write(
        parts,
        name,
        lambda now: replace(
            now,
            hold=marks.HOLD,
            hold_reason=reason,
            hold_commit=None,
            sync=Sync.OUT_OF_SYNC.value,
            health=finished.health.value,
        ),
    )


def never_began(parts: Parts, name: EnvironmentName, deployment: str, why: str) -> None:
    """Nothing was done by it, and so nothing is left to be marked."""
    if any(each.deployment == deployment for each in marks.of(record(parts, name).detail)):
        _ended(parts, name, deployment, {"how": f"nothing was done: {why}"})
        _change_mark(parts, name, deployment, lambda _: None)


def reproduced(
    parts: Parts,
    name: EnvironmentName,
    how: Mapping[str, Any],
    approvers: Iterable[str] = (),
    only: Container[str] | None = None,
) -> None:
    """What runs is what git has again, by a landing or because it was undone: the marks end, but for a review that is
    still due. `approvers` of the landing who did not break the glass have reviewed it; `only` names the deployments
    whose marks these are, all when it is None.
    """
    for one in marks.live(record(parts, name).detail):
        if only is not None and one.deployment not in only:
            continue
        others = sorted(set(approvers) - set(one.by))
        if one.review_by is None or others:
            looked = {"reviewed_by": others} if one.review_by is not None else {}
            _ended(parts, name, one.deployment, {"how": "reproduced", **how, **looked})
            _change_mark(parts, name, one.deployment, lambda _: None)
        else:
            facts = {"glass": one.deployment, **how, "review_by": one.review_by}
            parts.ledger.append("break-glass-reproduced", str(name), facts, parts.clock.now())
            _change_mark(parts, name, one.deployment, lambda each: replace(each, reproduced=True))


def reviewed(parts: Parts, name: EnvironmentName, one: marks.Break, by: Mapping[str, Any]) -> None:
    """Another person looked at it in time or late; the mark ends where git has caught up already."""
    facts = {"glass": one.deployment, "statement": one.statement, **by, "was_due": one.review_by}
    parts.ledger.append("break-glass-reviewed", str(name), facts, parts.clock.now())
    _change_mark(parts, name, one.deployment, lambda each: replace(each, review_by=None))
    if all(each.deployment != one.deployment for each in marks.of(record(parts, name).detail)):
        _ended(parts, name, one.deployment, {"how": "reviewed"})


def _ended(parts: Parts, name: EnvironmentName, ended: str, how: Mapping[str, Any]) -> None:
    facts = {"glass": ended, **how}
    parts.ledger.append("break-glass-ended", str(name), facts, parts.clock.now())
    parts.progress("break_glass.ended", {"environment": str(name), **facts})


def _change_mark(
    parts: Parts, name: EnvironmentName, deployment: str, change: Callable[[marks.Break], marks.Break | None]
) -> None:
    """Change one mark (None: it is gone) as it is when it is written: one that another process sets is not lost. A hold
    of another kind stays.
    """

    def changed(now: EnvironmentRecord) -> EnvironmentRecord:
        found = (change(each) if each.deployment == deployment else each for each in marks.of(now.detail))
        after = replace(now, detail=marks.detail_with(now.detail, [each for each in found if each is not None]))
        return freed(replace(after, hold=None)) if now.hold in (None, marks.HOLD) else after

    write(parts, name, changed)


def mark(parts: Parts, name: EnvironmentName, one: marks.Break) -> EnvironmentRecord:
    """Mark an environment before the first operation: a crash in between leaves a mark too many and never one too few.
    Twice is as good as once.
    """

    def change(now: EnvironmentRecord) -> EnvironmentRecord:
        others = [each for each in marks.of(now.detail) if each.deployment != one.deployment]
        return freed(replace(now, hold=None, detail=marks.detail_with(now.detail, [*others, one])))

    return write(parts, name, change)


def marked_again(parts: Parts, name: EnvironmentName) -> bool:
    """Set the marks that the ledger knows of and the record does not, as after an earlier state of the record was put
    back: what broke the glass is neither healed away nor left without its review. Whether there were any.
    """
    subject = str(name)

    def of(kind: str) -> set[str]:
        return {entry.data["glass"] for entry in parts.ledger.find(f"break-glass-{kind}", subject)}

    announced = parts.ledger.find("break-glass-announced", subject)
    if not announced:
        return False
    over = of("ended") | {each.deployment for each in marks.of(record(parts, name).detail)}
    reviewed, again = of("reviewed"), of("reproduced")
    missing = []
    for entry in announced:
        opened = parts.ledger.latest("break-glass-opened", f"statement/{entry.data['attempt']}")
        one = marks.read(opened.data["mark"]) if opened is not None else None
        if one is not None and one.deployment not in over:
            review_by = None if one.deployment in reviewed else one.review_by
            missing.append(replace(one, review_by=review_by, reproduced=one.deployment in again))
    for one in missing:
        mark(parts, name, one)
        text = f"the database was changed: it had not the mark of {one.deployment} on {name}; it is there again"
        tampered(parts, VerificationFailed(f"{text} (gate 68)"))
    return bool(missing)


def summary(deployment: Deployment) -> dict[str, Any]:
    """What the ledger keeps of a deployment."""
    return {
        "attempt": deployment.id,
        "kind": deployment.kind.value,
        "environment": f"{deployment.project}/{deployment.environment}",
        "hosts": list(deployment.hosts),
        "revision": deployment.revision,
        "plan_digest": deployment.plan_digest,
        "plans": {str(target.target): target.plan_digest for target in deployment.targets},
        "authority": deployment.authority.kind,
        "pull_request": deployment.authority.pull_request,
        "author": deployment.authority.author,
        "approvals": [approval_json(given) for given in deployment.authority.approvals],
        "merged_by": deployment.authority.merged_by,
        "attestation": deployment.authority.attestation,
        "outcome": deployment.outcome.value,
        "reason": deployment.reason,
        "health": deployment.health.value,
        "reverts": deployment.reverts,
        "break_glass": {"reason": deployment.authority.reason, "ticket": deployment.authority.ticket}
        if deployment.kind is DeploymentKind.BREAK_GLASS
        else None,
        "containers": {str(target.target): dict(target.containers) for target in deployment.targets},
    }
