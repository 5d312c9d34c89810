"""What is pinned, in a form that only this installation can have written: its digest, and our signature over that.
Called by trusting, which pins, and by advancing before anything is taken from what is pinned.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.control.parts import Parts
from reconciler.model.canonical import digest
from reconciler.ports import TrustRecord

NAMESPACE = "reconciler-pinned"


def digest_of(trust: TrustRecord) -> str:
    """What a reset names as the trust that it replaces: nothing that was ever pinned has the digest of another."""
    reset = trust.reset
    return digest(
        {
            "repository": trust.repository,
            "revision": trust.revision,
            "roots": [[name, account, list(keys)] for name, account, keys in trust.roots],
            "takes_over": list(trust.takes_over),
            "at": trust.created_at.isoformat(),
            "reset": [list(reset.by), reset.reason, reset.statement] if reset is not None else None,
        }
    )


def signed(parts: Parts, trust: TrustRecord) -> TrustRecord:
    """The same with our signature."""
    return replace(trust, signature=parts.signer.sign(digest_of(trust).encode(), NAMESPACE))


def genuine(parts: Parts, trust: TrustRecord) -> bool:
    """Whether this installation pinned it, and nothing after it: who only writes the database has not our key."""
    ours = (parts.signer.public_key,)
    signed_by = parts.signatures.signer_of(digest_of(trust).encode(), trust.signature, NAMESPACE, ours)
    return signed_by is not None and is_last(parts, trust)


def is_known(parts: Parts, trust: TrustRecord) -> bool:
    """Whether the ledger says that something was pinned for this repository before."""
    return parts.ledger.latest("trust", subject(trust)) is not None


def is_last(parts: Parts, trust: TrustRecord) -> bool:
    """Whether the ledger knows of no later one: a reset that somebody took out of the database is not forgotten."""
    latest = parts.ledger.latest("trust", subject(trust))
    return latest is None or latest.data["digest"] == digest_of(trust)


def subject(trust: TrustRecord) -> str:
    """What the ledger's entries about a trust are about."""
    return f"repository/{trust.repository}"
