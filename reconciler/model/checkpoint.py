"""The ledger's signed head: what a checkpoint says, how it is written, and whether a chain agrees with it. Pure.

The text is that of a C2SP tlog-checkpoint with an SSH signature: three lines (origin, size, root), a blank line, and
the armored signature over the three lines in the namespace `reconciler-checkpoint`. The chain is a list and not a tree:
the root at a size is the hash of the entry with that number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model.chain import Holds
from reconciler.model.ledger_entry import GENESIS

NAMESPACE = "reconciler-checkpoint"
ANCHOR_DIGITS = 32  # 128 bits: two ledgers that share them cannot be made
LONGEST = 20_000  # characters of a checkpoint's text
_ROOT = re.compile(r"[0-9a-f]{64}")
_ORIGIN = re.compile(r"[\x21-\x7e]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_ANCHOR = re.compile(r"(0|[1-9][0-9]{0,17}):([0-9a-f]{16,64})")


def origin_of(repository: int, follows: str | None = None) -> str:
    """The line that names an installation's ledger, by the forge's id of the repository that it deploys.

    `follows` is the anchor of what was lost where it had to begin anew, or to go on from a backup: what was signed
    then and what is signed since are two ledgers.
    """
    return f"reconciler/{repository}" + (f"-after-{follows.replace(':', '-')}" if follows else "")


def repository_of(origin: str) -> str:
    """The beginning that all ledgers of one repository have in common."""
    return origin.partition("-after-")[0]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """So many entries, and the hash of the last of them (GENESIS for none)."""

    origin: str
    size: int
    root: str

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        return f"{self.origin}\n{self.size}\n{self.root}\n".encode()

    @property
    def anchor(self) -> str:
        """`SIZE:ROOT` with as much of the root as fits a status."""
        return f"{self.size}:{self.root[:ANCHOR_DIGITS]}"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint and its armored SSH signature."""

    checkpoint: Checkpoint
    signature: str

    @property
    def text(self) -> str:
        """As it is stored, exported and witnessed."""
        return f"{self.checkpoint.signed_bytes.decode()}\n{self.signature}"


def read_checkpoint(text: str) -> SignedCheckpoint:
    """The checkpoint that a text is. ValueError when it is none; whose signature it has is not looked at."""
    if len(text) > LONGEST:
        raise ValueError("is longer than a checkpoint can be")
    body, blank, signature = text.partition("\n\n")
    lines = body.split("\n")
    if not blank or len(lines) != 3 or not signature.startswith("-----BEGIN SSH SIGNATURE-----\n"):
        raise ValueError("is no checkpoint: origin, size and root on a line each, a blank line, an SSH signature")
    origin, size, root = lines
    if not _ORIGIN.fullmatch(origin) or not _SIZE.fullmatch(size) or not _ROOT.fullmatch(root):
        raise ValueError("is no checkpoint: origin, size or root is not one")
    if size == "0" and root != GENESIS:
        raise ValueError("is no checkpoint: nothing has another hash than nothing")
    return SignedCheckpoint(Checkpoint(origin, int(size), root), signature)


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody else keeps of the ledger. `where` names it in a sentence, `root` is a hash or its beginning."""

    where: str
    size: int
    root: str


def claim_of(where: str, checkpoint: Checkpoint) -> Claim:
    """What a checkpoint whose signature was found good claims."""
    return Claim(where, checkpoint.size, checkpoint.root)


def read_anchor(text: str) -> Claim:
    """`SIZE:ROOT` as the deploy status shows it, ROOT being 16 or more digits. ValueError for anything else."""
    found = _ANCHOR.fullmatch(text.strip())
    if found is None:
        raise ValueError("write SIZE:ROOT, e.g. 42:0123456789abcdef, with 16 to 64 lower-case digits of the root")
    return Claim(f"the anchor {text.strip()}", int(found[1]), found[2])


def contradictions(chain: Holds, claims: Iterable[Claim]) -> tuple[str, ...]:
    """Every claim with which the chain does not agree, as sentences. The walk must have been asked for their sizes."""
    return tuple(said for claim in claims if (said := _contradiction(chain, claim)) is not None)


def _contradiction(chain: Holds, claim: Claim) -> str | None:
    if claim.size > chain.size:
        has = f"has only {chain.size}" if chain.size else "is empty"
        return f"{claim.where} is of {claim.size} entries, and the ledger {has}: entries were taken away"
    root = chain.roots.get(claim.size, GENESIS)
    if not root.startswith(claim.root):
        return (
            f"{claim.where} has {claim.root[:16]}… at {claim.size}, and the ledger {root[:16]}…: "
            "it was written anew, or is another one"
        )
    return None
