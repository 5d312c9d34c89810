"""What everything else is measured from: `trust init` pins it, and root persons together replace it by `trust reset`.
Called by the faces. Whether a reset counts is decided in approvals/trust_reset.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.approvals import trust_reset
from reconciler.approvals.host_record import Order
from reconciler.approvals.trust_reset import Accepted, Pinned, Rejected
from reconciler.control import checkpoints, host_records, pinning, planning, remembering
from reconciler.control.parts import Parts
from reconciler.model.canonical import digest_bytes
from reconciler.model.errors import InvalidInput, NotAllowed, Retryable, Terminal, VerificationFailed
from reconciler.model.trust import (
    LONGEST_REASON,
    NAMESPACE,
    ResetStatement,
    Roots,
    needed_of,
    plain_key,
    read_statement,
    statement_text,
)
from reconciler.ports import EnvironmentRecord, StatusReport, TrustRecord, TrustReset
from reconciler.reports import statuses


def init_trust(parts: Parts, revision: str, roots: tuple[str, ...]) -> TrustRecord:
    """Pin the repository's id, the root persons and the revision before which history is out of scope.

    `roots` are names in principals.yaml at that revision, all people when none is named. The state at the revision is
    deployed by the root persons' word. Terminal where something is pinned already, VerificationFailed where something
    was and somebody took it out of the database. Where a ledger was signed here and is lost with its database, the new
    one says so, and up to where that went.
    """
    if parts.states.trust() is not None:
        raise Terminal("trust is pinned already", hint="`reconciler trust reset` is how root persons change it")
    parts.source.fetch()
    chosen = _roots(parts, _on_the_branch(parts, revision), roots)
    trust = TrustRecord(parts.forge.repository_id(), revision, chosen, parts.clock.now())
    if pinning.is_known(parts, trust):
        raise VerificationFailed(
            "the database was changed: its ledger says that trust was pinned, and what was pinned is gone (gate 68)",
            hint="docs/how-to/trust.md says how to go on without it",
        )
    trust = pinning.signed(parts, trust)
    size, _ = parts.ledger.head()
    parts.states.set_trust(trust, trust_data(trust))
    if size == 0:
        checkpoints.begin_anew(parts, "trust was pinned on an empty database")
    return trust


def _on_the_branch(parts: Parts, revision: str) -> str:
    if not parts.source.is_ancestor(revision, parts.source.branch_head(parts.branch)):
        raise InvalidInput(f"{revision[:12]} is not on {parts.branch}")
    return revision


def _roots(parts: Parts, revision: str, names: tuple[str, ...]) -> Roots:
    """The root persons of that name as principals.yaml at the revision has them, all people where none is named."""
    people = {person.name: person for person in planning.snapshot(parts.source.tree(revision)).state.principals.people}
    unknown = sorted(set(names) - set(people))
    if unknown:
        raise InvalidInput(f"principals.yaml at {revision[:12]} has no person named {', '.join(unknown)}")
    chosen = [people[name] for name in sorted(set(names) or people)]
    if not chosen:
        raise InvalidInput(f"principals.yaml at {revision[:12]} names no people, so nobody could ever approve")
    return tuple((p.name, account, tuple(map(plain_key, p.signing_keys))) for p in chosen for account in p.accounts)


def trust_data(trust: TrustRecord) -> dict[str, Any]:
    """What was pinned, for the ledger and --json."""
    return {
        "repository": trust.repository,
        "revision": trust.revision,
        "roots": [{"person": name, "account": account, "keys": list(keys)} for name, account, keys in trust.roots],
        "takes_over": list(trust.takes_over),
        "at": trust.created_at.isoformat(),
        "reset": {"by": list(trust.reset.by), "reason": trust.reset.reason} if trust.reset is not None else None,
        "digest": pinning.digest_of(trust),
    }


def shown(parts: Parts) -> dict[str, Any]:
    """What is pinned now and what was before, and this installation's own public key."""
    remembering.pinned(parts)
    history = [trust_data(trust) for trust in parts.states.trust_history()]
    return {"installation": parts.signer.public_key, "trust": history[-1], "former": history[:-1]}


# -- reset ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """What root persons are asked to sign: the text, byte for byte, and how many of whom have to."""

    statement: str
    digest: str
    needed: int
    persons: tuple[str, ...]


def statement(parts: Parts, revision: str, roots: tuple[str, ...], takes_over: tuple[str, ...], reason: str) -> Asked:
    """The statement that pins another revision and other root persons. Nothing is changed by it.

    `roots` are names in principals.yaml at that revision, all people when none is named; `takes_over` public keys of
    former installations.
    """
    trust = remembering.trusted(parts)
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise InvalidInput(f"why is it reset? At most {LONGEST_REASON} characters, which the root persons sign")
    parts.source.fetch()
    made = ResetStatement(
        repository=trust.repository,
        installation=parts.signer.public_key,
        former=pinning.digest_of(trust),
        revision=_on_the_branch(parts, revision),
        roots=_roots(parts, revision, roots),
        takes_over=tuple(sorted({*trust.takes_over, *map(plain_key, takes_over)})),
        reason=reason.strip(),
        at=parts.clock.now().replace(microsecond=0),
    )
    _only_forward(parts, made.revision)
    text = statement_text(made)
    read_statement(text.encode())  # what cannot be read back, a key that is none say, must not be signed
    persons = tuple(sorted({name for name, _, _ in trust.roots}))
    return Asked(text, digest_bytes(text.encode()), needed_of(len(persons)), persons)


def reset_trust(parts: Parts, signed: bytes, signatures: Sequence[str]) -> TrustRecord:
    """Pin what root persons have signed: on record and told to the forge before it holds, on record again after it.

    NotAllowed with every reason where it does not count; then nothing has changed.
    """
    made = read_statement(signed)
    trust = remembering.trusted(parts)
    if not pinning.is_last(parts, trust):
        raise VerificationFailed("the database was changed: it has not what was pinned last (gate 68)")
    parts.source.fetch()
    accepted = _judge(parts, trust, made, signed, signatures)
    if made.roots != _roots(parts, _on_the_branch(parts, made.revision), tuple({name for name, _, _ in made.roots})):
        raise InvalidInput(f"its root persons are not as principals.yaml has them at {made.revision[:12]}")
    _only_forward(parts, made.revision)
    now = parts.clock.now()
    attempt = digest_bytes(signed)
    reset = TrustReset(accepted.by, made.reason, signed.decode(), tuple(signatures))
    new = pinning.signed(parts, TrustRecord(trust.repository, made.revision, made.roots, now, made.takes_over, reset))
    facts = {"attempt": attempt, "from": trust_data(trust), "to": trust_data(new)}
    signing = {"statement": reset.statement, "signatures": list(reset.signatures)}
    parts.ledger.append("trust-reset-announced", pinning.subject(trust), facts | signing, now)
    who = ", ".join(accepted.by)
    _tell(parts, made.revision, statuses.PENDING, f"trust is reset to this commit by {who}: {made.reason}")
    mark = {"at": now.isoformat(timespec="seconds"), "by": list(accepted.by), "reason": made.reason}
    entry = trust_data(new) | {"attempt": attempt}
    parts.states.reset_trust(trust, new, lambda known: _marked(known, mark), entry)
    parts.progress("trust.reset", {"revision": made.revision, "by": who, "reason": made.reason})
    try:
        _tell(parts, made.revision, statuses.SUCCESS, f"trust was reset to this commit by {who}: {made.reason}")
    except Retryable as error:  # it was announced, and it holds
        parts.progress("status.delayed", {"revision": made.revision, "reason": str(error)})
    return new


def _judge(
    parts: Parts, trust: TrustRecord, made: ResetStatement, signed: bytes, signatures: Sequence[str]
) -> Accepted:
    pinned = Pinned(trust.repository, parts.signer.public_key, pinning.digest_of(trust), trust.roots)
    keys = tuple(dict.fromkeys(key for _, _, of_one in trust.roots for key in of_one))
    by = [parts.signatures.signer_of(signed, signature, NAMESPACE, keys) for signature in signatures]
    match trust_reset.judge(made, pinned, by, parts.clock.now()):
        case Accepted() as accepted:
            return accepted
        case Rejected(reasons=reasons):
            text = "; ".join(f"{reason.text} (gate {reason.rule})" for reason in reasons)
            facts = {"attempt": digest_bytes(signed), "reasons": [[r.rule, r.text] for r in reasons]}
            parts.ledger.append("trust-reset-refused", pinning.subject(trust), facts, parts.clock.now())
            raise NotAllowed(f"the trust is not reset: {text}", hint="docs/how-to/trust.md says who has to sign what")


def _only_forward(parts: Parts, revision: str) -> None:
    """History only moves forward, for root persons too: what is verified comes before or after it on one line."""
    for known in parts.states.environments():
        if known.verified is not None and host_records.order(parts, known.verified, revision) is Order.APART:
            text = f"{known.name} is verified at {known.verified[:12]}, and {revision[:12]} does not come after it"
            raise NotAllowed(f"{text} (gate 39)", hint="put the branch back, or reset to a commit after it")


def _marked(known: EnvironmentRecord, mark: dict[str, Any]) -> EnvironmentRecord:
    return replace(known, detail={**known.detail, "trust_reset": mark})


def _tell(parts: Parts, revision: str, state: str, text: str) -> None:
    said = statuses.status(statuses.TRUST, state, text)
    parts.forge.write_status(revision, StatusReport(said.context, said.state, said.description))
