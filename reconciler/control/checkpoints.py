"""Signing the ledger's head, and taking it outside: to the deploy status and to the witness.

Called by the pipeline after each deployment, by the controller's timer, and by `ledger checkpoint`.

A checkpoint is made only of a ledger that goes on from the one before: whoever wrote it anew does not get it signed.
"""

from __future__ import annotations

from datetime import timedelta

from reconciler.control import pinning, remembering
from reconciler.control.parts import Parts
from reconciler.model.canonical import digest_bytes
from reconciler.model.chain import Broken, StoredEntry, walk
from reconciler.model.checkpoint import NAMESPACE, Checkpoint, SignedCheckpoint, origin_of, repository_of
from reconciler.model.errors import ReconcilerError, VerificationFailed
from reconciler.model.ledger_entry import GENESIS, LedgerEntry

EVERY = timedelta(minutes=10)
TAMPERED = "the ledger was tampered with"


def make(parts: Parts) -> SignedCheckpoint:
    """Sign the head as it is now; the newest checkpoint where nothing was appended since.

    VerificationFailed where the ledger does not go on from what was signed before: in the database, beside it, or as
    the witness is known to have it. NotAllowed before something is trusted: until then the ledger has no name.
    """
    origin = _origin(parts)
    newest = _newest(parts, origin)
    after, root = (newest.checkpoint.size, newest.checkpoint.root) if newest is not None else (0, GENESIS)
    match walk(map(_stored, parts.ledger.entries(after)), after=after, root=root):
        case Broken(sequence=sequence, reason=reason):
            raise VerificationFailed(f"{TAMPERED}: entry {sequence} {reason}")
        case found:
            pass
    if newest is not None and found.size == after:
        return newest
    checkpoint = Checkpoint(origin, found.size, found.head)
    signed = SignedCheckpoint(checkpoint, parts.signer.sign(checkpoint.signed_bytes, NAMESPACE))
    if parts.checkpoints.add(signed, parts.clock.now()):
        parts.progress("ledger.checkpoint", {"size": checkpoint.size, "root": checkpoint.root})
    return signed


def _newest(parts: Parts, origin: str) -> SignedCheckpoint | None:
    """The newest that is kept anywhere; every one of them signed by us, of this ledger, and still true of it."""
    kept = parts.checkpoints.newest()
    found = {
        one.checkpoint: one for one in (kept.signed if kept else None, *_outside(parts, origin)) if one is not None
    }
    for checkpoint, signed in found.items():
        _signed_by_us(parts, signed, origin)
        _still_there(parts, checkpoint)
    return max(found.values(), key=lambda signed: signed.checkpoint.size, default=None)


def _signed_by_us(parts: Parts, signed: SignedCheckpoint, origin: str) -> None:
    """Or it is none: rows of checkpoints have no other seal."""
    ours = repository_of(signed.checkpoint.origin) == repository_of(origin)
    said = (signed.checkpoint.signed_bytes, signed.signature, NAMESPACE, [parts.signer.public_key])
    if not ours or parts.signatures.signer_of(*said) is None:
        size = signed.checkpoint.size
        raise VerificationFailed(f"{TAMPERED}: this installation did not sign the checkpoint of {size}")


def _outside(parts: Parts, origin: str) -> tuple[SignedCheckpoint | None, SignedCheckpoint | None]:
    """The newest beside the database, and the newest that the witness is known to have."""
    return parts.checkpoints.copy(), parts.witness.newest(origin) if parts.witness is not None else None


def _still_there(parts: Parts, checkpoint: Checkpoint) -> None:
    """The entry that a checkpoint ends with is as it was when it was signed."""
    size, _ = parts.ledger.head()
    if size < checkpoint.size:
        raise VerificationFailed(f"{TAMPERED}: it has {size} entries, and {checkpoint.size} were signed already")
    if checkpoint.size == 0:
        return
    entry = next(parts.ledger.entries(checkpoint.size - 1), None)
    if entry is None or (entry.sequence, digest_bytes(entry.body)) != (checkpoint.size, checkpoint.root):
        raise VerificationFailed(f"{TAMPERED}: entry {checkpoint.size} is another one than the one that was signed")


def _stored(entry: LedgerEntry) -> StoredEntry:
    at = entry.at.isoformat()
    return StoredEntry(entry.body, entry.sequence, entry.previous, entry.hash, entry.kind, entry.subject, at)


def whole(parts: Parts) -> None:
    """VerificationFailed where the ledger lacks entries, or is not what was signed: asked before anything is deployed,
    because what was said or decided may be among what somebody took away (68).
    """
    _newest(parts, _origin(parts))
    (size, _), count = parts.ledger.head(), parts.ledger.count()
    if count != size:
        raise VerificationFailed(f"{TAMPERED}: it has {count} entries, and the last one is number {size}")


def begin_anew(parts: Parts, reason: str) -> Checkpoint | None:
    """Go on although the ledger is not what was signed: it is lost, or was restored from a backup. What was signed is
    set aside and on record, and what is signed from now on is another ledger's. None where nothing was lost.
    """
    signed = [one.checkpoint for one in _outside(parts, _origin(parts)) if one is not None]
    lost = max(signed, key=lambda checkpoint: checkpoint.size, default=None)
    if lost is None or _holds(parts, lost):
        return None
    facts = {"anchor": lost.anchor, "size": lost.size, "root": lost.root, "origin": lost.origin, "reason": reason}
    parts.ledger.append("ledger-follows", pinning.subject(remembering.pinned(parts)), facts, parts.clock.now())
    parts.checkpoints.set_aside()
    return lost


def _origin(parts: Parts) -> str:
    trust = remembering.pinned(parts)
    lost = parts.ledger.latest("ledger-follows", pinning.subject(trust))
    return origin_of(trust.repository, lost.data["anchor"] if lost is not None else None)


def _holds(parts: Parts, checkpoint: Checkpoint) -> bool:
    try:
        _still_there(parts, checkpoint)
    except VerificationFailed:
        return False
    return True


def due(parts: Parts) -> SignedCheckpoint | None:
    """What the timer asks for: a checkpoint where something was appended and the last one is ten minutes old, and to
    the witness what it does not have. None where nothing was due. Retryable when the witness cannot be reached.
    """
    if parts.states.trust() is None:
        return None
    made = None
    newest = parts.checkpoints.newest()
    now = parts.clock.now()
    if newest is None or not now - EVERY < newest.at <= now:  # nobody signed it in a time to come
        size, _ = parts.ledger.head()
        if size > (newest.signed.checkpoint.size if newest is not None else 0):
            made = make(parts)
    bear_witness(parts)
    return made


def bear_witness(parts: Parts) -> None:
    """Give the witness every checkpoint that it does not have; nothing where none is configured."""
    if parts.witness is None:
        return
    origin = _origin(parts)
    newest = parts.witness.newest(origin)
    missing = [kept.signed for kept in parts.checkpoints.after(newest.checkpoint.size if newest is not None else -1)]
    for signed in missing:  # what the witness has taken, nobody takes back
        _signed_by_us(parts, signed, origin)
    if missing:
        parts.witness.publish(missing, parts.clock.now())
        parts.progress("ledger.witnessed", {"size": missing[-1].checkpoint.size, "checkpoints": len(missing)})


def at_once(parts: Parts) -> SignedCheckpoint | None:
    """A checkpoint that covers what was done last, a deployment or a suspension. What fails is said, tried again by the
    timer, and stops nothing: it has happened. None where there is no checkpoint. The witness is told by the timer, for
    whom nobody waits.
    """
    if parts.states.trust() is None:
        return None
    try:
        return make(parts) if parts.states.trust() is not None else None
    except ReconcilerError as error:
        parts.progress("ledger.not_signed", {"reason": str(error), "code": error.code})
        return None


def anchor(parts: Parts) -> str | None:
    """`SIZE:ROOT` of the newest checkpoint, for the deploy status; None before there is one, or where it is spoilt."""
    try:
        newest = parts.checkpoints.newest()
        if newest is not None:
            _signed_by_us(parts, newest.signed, _origin(parts))
    except VerificationFailed as error:
        parts.progress("ledger.not_signed", {"reason": str(error), "code": error.code})
        return None
    return newest.signed.checkpoint.anchor if newest is not None else None
