"""Whether a ledger is what it was: its chain, its checkpoints, and what others keep of it. For `ledger verify`.

Three answers: it holds; it was tampered with, with every reason; or that cannot be told, because something to compare
with is missing (an error that is not VerificationFailed).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.model.chain import Broken, StoredEntry, walk
from reconciler.model.checkpoint import (
    NAMESPACE,
    Claim,
    SignedCheckpoint,
    claim_of,
    contradictions,
    read_checkpoint,
    repository_of,
)
from reconciler.model.errors import InvalidInput, Retryable, VerificationFailed

if TYPE_CHECKING:  # the ports take longer to import than a ledger of a thousand entries to verify
    from reconciler.ports import Signatures

TAMPERED = "the ledger was tampered with"
FAULTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A ledger as it lies there. `checkpoints` are number and text of those beside it, `faults` what is wrong with the
    place itself.
    """

    entries: Iterable[StoredEntry]
    checkpoints: Sequence[tuple[str, str]] = ()
    faults: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outside:
    """What is kept elsewhere. `key` is the public key that signs checkpoints, None where there is none to be had;
    `checkpoints` are named by where they were found; `missing` says what could not be asked, and why.
    """

    key: str | None = None
    checkpoints: Sequence[tuple[str, SignedCheckpoint]] = ()
    anchors: Sequence[Claim] = ()
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """It holds. `covered` is how many entries signed checkpoints speak for, None without a checkpoint; `compared` names
    what from outside agrees.
    """

    size: int
    head: str
    checkpoints: int
    covered: int | None
    compared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tampered:
    """It does not hold, and why: each a sentence, the ledger itself first."""

    faults: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it in one line, as far as it helps."""
        more = len(self.faults) - FAULTS_SHOWN
        said = "; ".join(self.faults[:FAULTS_SHOWN])
        return f"{TAMPERED}: {said}" + (f"; and {more} more" if more > 0 else "")


def verify(found: Found, outside: Outside, signatures: Signatures) -> Verified | Tampered:
    """Compare everything with everything. Terminal or Retryable where nothing speaks against it and something is
    missing that would have to speak for it.
    """
    faults = list(found.faults)
    kept, unreadable = _read(found.checkpoints)
    signed = [*kept, *outside.checkpoints]
    claims = [*(claim_of(where, one.checkpoint) for where, one in signed), *outside.anchors]
    chain = walk(found.entries, sizes={claim.size for claim in claims})
    if isinstance(chain, Broken):
        faults.append(f"entry {chain.sequence} {chain.reason}")
    else:
        faults += contradictions(chain, claims)
    faults += unreadable
    origins = sorted({repository_of(one.checkpoint.origin) for _, one in signed})
    if len(origins) > 1:
        faults.append(f"its checkpoints are of different ledgers: {', '.join(origins)}")
    if outside.key is not None:
        faults += _not_signed(signed, outside.key, signatures)
    if faults or isinstance(chain, Broken):
        return Tampered(tuple(faults))
    if signed and outside.key is None:
        raise InvalidInput("there is no key to check the checkpoints' signatures with; name one with --key")
    if outside.missing:
        raise Retryable(f"what there is holds, but {'; '.join(outside.missing)}")
    return Verified(
        size=chain.size,
        head=chain.head,
        checkpoints=len(kept),
        covered=max((one.checkpoint.size for _, one in signed), default=None),
        compared=tuple([where for where, _ in outside.checkpoints] + [claim.where for claim in outside.anchors]),
    )


def checked(answer: Verified | Tampered) -> Verified:
    """The answer, VerificationFailed with every reason where it is the bad one."""
    if isinstance(answer, Tampered):
        raise VerificationFailed(answer.text)
    return answer


def _read(stored: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, SignedCheckpoint]], list[str]]:
    kept, faults = list[tuple[str, SignedCheckpoint]](), list[str]()
    for number, text in stored:
        try:
            signed = read_checkpoint(text)
        except ValueError as error:
            faults.append(f"checkpoint {number} {error}")
            continue
        if str(signed.checkpoint.size) != number:
            faults.append(f"checkpoint {number} says that it is of {signed.checkpoint.size} entries")
        kept.append((f"checkpoint {number}", signed))
    return kept, faults


def _not_signed(signed: Sequence[tuple[str, SignedCheckpoint]], key: str, signatures: Signatures) -> list[str]:
    return [
        f"{where} was not signed by the key {key[:40]}…"
        for where, one in signed
        if signatures.signer_of(one.checkpoint.signed_bytes, one.signature, NAMESPACE, [key]) is None
    ]
