"""Ed25519 SSH signatures checked in this process: a ledger has thousands of checkpoints, and a process each is slow.

What is checked is what `ssh-keygen -Y verify` checks of such a signature (PROTOCOL.sshsig); keys of other kinds are
left to it. Verifying a ledger uses it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:  # as in verifying: the ports take long to import
    from reconciler.ports import Signatures

KIND = "ssh-ed25519"
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n?")
_MAGIC = b"SSHSIG"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_LONGEST = 4096  # characters; ours have about 300


@dataclass(frozen=True, slots=True)
class Ed25519Signatures:
    """Implements ports.Signatures; `others` is asked about keys that are not Ed25519."""

    others: Signatures

    def signer_of(self, payload: bytes, signature: str, namespace: str, keys: Sequence[str]) -> str | None:
        """Which of the public keys signed exactly these bytes in this namespace, None when none did."""
        ours = {raw: key for key in keys if (raw := _raw_key(key)) is not None}
        claimed = _read(signature, namespace)
        if claimed is not None and claimed[0] in ours:
            raw, algorithm, made = claimed
            hashed = _HASHES[algorithm](payload).digest()
            signed = _MAGIC + b"".join(map(_string, (namespace.encode(), b"", algorithm, hashed)))
            try:
                Ed25519PublicKey.from_public_bytes(raw).verify(made, signed)
            except (InvalidSignature, ValueError):
                return None
            return ours[raw]
        rest = [key for key in keys if not key.startswith(f"{KIND} ")]
        return self.others.signer_of(payload, signature, namespace, rest) if rest else None


def _raw_key(key: str) -> bytes | None:
    """The 32 bytes of `ssh-ed25519 BASE64`, None for what is none."""
    kind, _, rest = key.partition(" ")
    if kind != KIND or not rest.split():
        return None
    try:
        blob = base64.b64decode(rest.split()[0], validate=True)
    except (binascii.Error, ValueError):
        return None
    fields = _fields(blob, 2)
    return _key_of(fields)


def _read(signature: str, namespace: str) -> tuple[bytes, bytes, bytes] | None:
    """Raw key, hash algorithm and raw signature of an armored signature in a namespace; None for anything else."""
    found = _ARMOR.fullmatch(signature) if len(signature) <= _LONGEST else None
    if found is None:
        return None
    try:
        blob = base64.b64decode(found[1].replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        return None
    if not blob.startswith(_MAGIC + b"\0\0\0\1"):
        return None
    fields = _fields(blob[len(_MAGIC) + 4 :], 5)
    if fields is None:
        return None
    key, said, _reserved, algorithm, made = fields
    raw, pair = _key_of(_fields(key, 2)), _fields(made, 2)
    if raw is None or pair is None or pair[0] != KIND.encode():
        return None
    if said != namespace.encode() or algorithm not in _HASHES:
        return None
    return raw, algorithm, pair[1]


def _key_of(fields: tuple[bytes, ...] | None) -> bytes | None:
    if fields is None or fields[0] != KIND.encode() or len(fields[1]) != 32:
        return None
    return fields[1]


def _fields(blob: bytes, count: int) -> tuple[bytes, ...] | None:
    """So many length-prefixed strings and nothing after them, None where it is something else."""
    fields = list[bytes]()
    while len(fields) < count:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length or len(blob) < 4:
            return None
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return None if blob else tuple(fields)


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
