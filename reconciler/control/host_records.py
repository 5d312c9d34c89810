"""The record that each host keeps of its targets: read when an environment is first looked at and before each
deployment, written when one is verified. Called by advancing and execution.

The database is a cache over it: an environment that a lost or restored database knows nothing of, or something older,
is verified where its hosts say so in our own signature. What a record means is decided in approvals/host_record.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from reconciler.apply import PreparedTarget
from reconciler.approvals import host_record
from reconciler.approvals.host_record import Agrees, Believe, Expected, Found, Order, Refuse, SignedBy, Standing
from reconciler.control import planning, remembering
from reconciler.control.parts import Parts
from reconciler.control.planning import Snapshot
from reconciler.model.approval import Reason
from reconciler.model.deployment import Deployment, DeploymentKind
from reconciler.model.errors import InvalidInput, NotFound, ReconcilerError, Retryable, Terminal
from reconciler.model.host_record import (
    NAMESPACE,
    HostRecord,
    SignedRecord,
    file_of,
    payload_of,
    read_file,
    read_payload,
)
from reconciler.model.ledger_entry import GENESIS
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import EnvironmentRecord, Host, TrustRecord

LANDINGS = (DeploymentKind.CHANGE, DeploymentKind.ROLLBACK)
WAY_OUT = "docs/how-to/trust.md says what to do"


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is deployed or healed while a host has such a record."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Said:
    """What one host says of one target."""

    target: Target
    record: HostRecord
    meaning: Agrees | Believe
    newer: bool


def look(parts: Parts, trust: TrustRecord, known: EnvironmentRecord, tip: str) -> EnvironmentRecord | Refused:
    """What is known of an environment, after its hosts were heard: once in a process, and again until all of them have
    answered and agree. Then nothing is read any more.

    A host that does not answer is not waited for here: nothing can be deployed on it either.
    """
    name = known.name
    if settled(parts, trust, known):
        return known
    at = _readable(parts, known.verified or trust.revision)
    missing = at is None or at.state.environment(name) is None
    if known.verified is None and missing:
        at = _readable(parts, tip) or at  # it came after what is pinned, and perhaps before the database was lost
    environment = at.state.environment(name) if at is not None else None
    targets = environment.targets if environment is not None else ()
    said, refused, away = _hear(parts, trust, known, tip, at, targets)
    if refused:
        return Refused(f"{'; '.join(refused)}; {WAY_OUT}")
    now = _believe(parts, known, said, len(targets))
    if isinstance(now, EnvironmentRecord) and not away and now.verified and _is_since(parts, trust, now.verified):
        parts.looked[name] = (trust, now.verified)
    return now


def settled(parts: Parts, trust: TrustRecord, known: EnvironmentRecord) -> bool:
    """Whether the hosts agree with what is known. When somebody else moves the database, they are heard again."""
    return known.verified is not None and parts.looked.get(known.name) == (trust, known.verified)


def passed_over(parts: Parts, trust: TrustRecord, name: EnvironmentName, revision: str) -> None:
    """Up to here nothing touched the environment, and so no host has anything to say to it."""
    if name in parts.looked:
        parts.looked[name] = (trust, revision)


def before_trust(parts: Parts, trust: TrustRecord, verified: str | None) -> bool:
    """Whether root persons have pinned a revision that comes after the verified one: it is deployed by their word."""
    return verified is not None and order(parts, verified, trust.revision) is Order.BEFORE


def order(parts: Parts, revision: str, other: str) -> Order:
    """Where a revision stands to another one; APART where the mirror does not have one of them."""
    if revision == other:
        return Order.SAME
    try:
        if parts.source.is_ancestor(other, revision):
            return Order.AFTER
        return Order.BEFORE if parts.source.is_ancestor(revision, other) else Order.APART
    except NotFound:
        return Order.APART


def _is_since(parts: Parts, trust: TrustRecord, verified: str) -> bool:
    return order(parts, verified, trust.revision) in (Order.SAME, Order.AFTER)


def _hear(
    parts: Parts,
    trust: TrustRecord,
    known: EnvironmentRecord,
    tip: str,
    at: Snapshot | None,
    targets: tuple[Target, ...],
) -> tuple[list[_Said], list[str], bool]:
    """What each host of the environment says, why it refuses, and whether one of them did not answer."""
    said: list[_Said] = []
    refused: list[str] = []
    away = False
    for target in targets:
        spec = at.state.host(target.host) if at is not None else None
        if at is None or spec is None:
            continue
        try:
            host = planning.connect(parts, at.state, spec)
            found = _read(parts, trust, host, target)
            expected = Expected(target, trust.repository, host.identity().id) if found is not None else None
        except ReconcilerError:  # planning says so, wherever something is to be done there
            away = True
            continue
        if found is None or expected is None:
            continue
        content = found.content
        standing = _standing(parts, trust, known, tip, content) if content is not None else None
        match host_record.meaning(found, expected, standing):
            case Refuse(reasons=reasons):
                refused += [f"{target}: {_text(reason)}" for reason in reasons]
            case Agrees() | Believe() as meaning if content is not None and found.signed_by is SignedBy.US:
                newer = standing is not None and standing.verified in (None, Order.AFTER)
                said.append(_Said(target, content, meaning, newer))
            case _:
                pass
    return said, refused, away


def _standing(parts: Parts, trust: TrustRecord, known: EnvironmentRecord, tip: str, record: HostRecord) -> Standing:
    to_verified = order(parts, record.revision, known.verified) if known.verified is not None else None
    return Standing(
        on_branch=order(parts, record.revision, tip) in (Order.SAME, Order.BEFORE),
        trusted=order(parts, record.revision, trust.revision),
        verified=to_verified,
        same_inputs=to_verified is Order.BEFORE and _same(parts, known.name, record.revision, known.verified),
    )


def _same(parts: Parts, name: EnvironmentName, one: str, other: str | None) -> bool:
    """Whether the environment is made of the same at two revisions; not where one of them cannot be read."""
    before, after = _readable(parts, one), _readable(parts, other or one)
    if before is None or after is None:
        return False
    return planning.inputs(parts, before, name) == planning.inputs(parts, after, name)


def _believe(parts: Parts, known: EnvironmentRecord, said: list[_Said], targets: int) -> EnvironmentRecord | Refused:
    """The newest revision that the hosts have verified, where the database has not heard of it, or has no record that
    bears out its own: it never goes backwards on any host. A host that lags behind the others shows as drift.
    """
    newer = [one for one in said if isinstance(one.meaning, Believe) and one.newer]
    unheard = [one for one in newer if parts.deployments.get(one.record.deployment) is None]
    less = [one for one in said if isinstance(one.meaning, Believe) and not one.newer]
    if not unheard and len(newer) < targets and (newer or len(less) < len(said)):
        return _say(parts, known, less) if less else known
    believed = unheard or newer or less
    if not believed:
        return known
    newest = believed[0]
    for one in believed[1:]:
        match order(parts, one.record.revision, newest.record.revision):
            case Order.AFTER:
                newest = one
            case Order.APART:
                text = f"{one.target} and {newest.target} have revisions verified of which none comes after the other"
                return Refused(f"{text} (gate 39); {WAY_OUT}")
            case Order.SAME | Order.BEFORE:
                pass
    return _take(parts, known, newest)


def _say(parts: Parts, known: EnvironmentRecord, less: list[_Said]) -> EnvironmentRecord:
    """One host has an older record than the others: it was restored from a backup, perhaps. Once in the ledger."""
    text = "; ".join(_why(one) for one in less)
    if known.detail.get("host_record") == text:
        return known
    for one in less:
        parts.ledger.append("host-record", str(known.name), _facts(known, one), parts.clock.now())
    parts.progress("host_record.older", {"environment": str(known.name), "reason": text})
    return remembering.write(parts, known.name, lambda now: replace(now, detail={**now.detail, "host_record": text}))


def _take(parts: Parts, known: EnvironmentRecord, newest: _Said) -> EnvironmentRecord:
    facts = _facts(known, newest)
    parts.ledger.append("host-record", str(known.name), facts, parts.clock.now())
    parts.progress("host_record.believed", {"environment": str(known.name), **facts})
    return remembering.write(parts, known.name, partial(_taken, record=newest.record, text=_why(newest)))


def _facts(known: EnvironmentRecord, one: _Said) -> dict[str, Any]:
    return {
        "target": str(one.target),
        "verified": one.record.revision,
        "deployment": one.record.deployment,
        "generation": one.record.generation,
        "ledger": {"size": one.record.ledger_size, "head": one.record.ledger_head},
        "database": known.verified,
        "why": _why(one),
    }


def _why(one: _Said) -> str:
    return f"{one.target}: {one.meaning.why}" if isinstance(one.meaning, Believe) else str(one.target)


def _taken(now: EnvironmentRecord, record: HostRecord, text: str) -> EnvironmentRecord:
    detail: dict[str, Any] = {**now.detail, "host_record": text}
    return replace(remembering.freed(now), verified=record.revision, deployment=record.deployment, detail=detail)


def _readable(parts: Parts, revision: str) -> Snapshot | None:
    try:
        return planning.readable(parts, revision)
    except NotFound:
        return None


def _read(parts: Parts, trust: TrustRecord, host: Host, target: Target) -> Found | None:
    """A record and whose signature it has; what is no file of ours is signed by nobody."""
    try:
        data = host.read_record(target)
    except Retryable:
        raise
    except Terminal:
        return Found(SignedBy.NOBODY, None, "")
    if data is None:
        return None
    try:
        signed = read_file(data)
        content = read_payload(signed.payload)
    except InvalidInput:
        return Found(SignedBy.NOBODY, None, "")
    ours = parts.signer.public_key
    keys = tuple(dict.fromkeys((ours, *trust.takes_over, signed.key)))
    by = parts.signatures.signer_of(signed.payload, signed.signature, NAMESPACE, keys)
    if by is None:
        return Found(SignedBy.NOBODY, content, signed.key)
    if by == ours:
        return Found(SignedBy.US, content, by)
    return Found(SignedBy.FORMER if by in trust.takes_over else SignedBy.ANOTHER, content, by)


def _text(reason: Reason) -> str:
    return f"{reason.text} (gate {reason.rule})"


@dataclass(slots=True)
class Keeper:
    """The records that one deployment finds and leaves; lives as long as its execution, and is asked under each
    target's lock.
    """

    parts: Parts
    trust: TrustRecord
    deployment: Deployment
    before: dict[Target, HostRecord] = field(default_factory=dict)

    def may_begin(self, prepared: PreparedTarget) -> str | None:
        """Why nothing may be deployed beside the record that is there now: it is read under the lock, so that nobody
        who deployed in between is overtaken.
        """
        target, revision = prepared.desired.target, self.deployment.revision
        found = _read(self.parts, self.trust, prepared.host, target)
        if found is None:
            return None
        expected = Expected(target, self.trust.repository, prepared.plan.engine_id)
        reasons = list(host_record.foreign(found, expected))
        if not reasons and found.content is not None:
            self.before[target] = found.content
            if self.deployment.kind is not DeploymentKind.BREAK_GLASS:  # that one may go back, by a right of its own
                is_at = order(self.parts, found.content.revision, revision)
                reasons += host_record.backwards(found.content, is_at, revision)
        if not reasons:
            return None
        self.parts.looked.pop(target.environment_name, None)
        return f"{'; '.join(map(_text, reasons))}; {WAY_OUT}"

    def keep(self, prepared: PreparedTarget) -> None:
        """Write down what was verified. Only a landing moves it, no heal and no emergency; what stands there already is
        not written again.
        """
        if self.deployment.kind not in LANDINGS:
            return
        target, plan, former = prepared.desired.target, prepared.plan, self.before.get(prepared.desired.target)
        if former is not None and (former.deployment, former.revision, former.plan_digest) == (
            self.deployment.id,
            self.deployment.revision,
            plan.digest,
        ):
            return
        size, head = self._ledger()
        record = HostRecord(
            target=target,
            repository=self.trust.repository,
            engine_id=plan.engine_id,
            compose_project=prepared.desired.compose_project,
            revision=self.deployment.revision,
            plan_digest=plan.digest,
            deployment=self.deployment.id,
            generation=former.generation + 1 if former is not None else 1,
            ledger_size=size,
            ledger_head=head,
            at=self.parts.clock.now(),
        )
        payload = payload_of(record)
        signed = SignedRecord(payload, self.parts.signer.public_key, self.parts.signer.sign(payload, NAMESPACE))
        prepared.host.write_record(target, file_of(signed))

    def _ledger(self) -> tuple[int, str]:
        """How long the ledger is now, and the hash of its last entry: it holds the intent of this deployment."""
        last = self.parts.ledger.latest("deployment-started", self.deployment.id)
        for entry in self.parts.ledger.entries(after=last.sequence if last is not None else 0):
            last = entry
        return (last.sequence, last.hash) if last is not None else (0, GENESIS)
