"""Ed25519 SSH signatures (PROTOCOL.sshsig) made and checked in this process: a ledger has thousands of checkpoints, a
deployment makes and checks several signatures, and a process for each is slow.

What is checked is what `ssh-keygen -Y verify` checks of such a signature, and that program checks what is made here;
keys of other kinds are left to it. Bootstrap and auditing make both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_ssh_private_key

from reconciler.model.errors import InvalidInput

if TYPE_CHECKING:  # as in verifying: the ports take long to import
    from reconciler.ports import Signatures

KIND = "ssh-ed25519"
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n?")
_MAGIC, _VERSION = b"SSHSIG", b"\0\0\0\1"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_LONGEST = 4096  # characters; ours have about 300


@dataclass(frozen=True, slots=True)
class InstallationKey:
    """Implements ports.Signer with a key of this installation, made when it is first asked for."""

    file: Path

    @property
    def public_key(self) -> str:
        """Type and base64, as principals.yaml has keys. InvalidInput where the file is no key of ours."""
        return f"{KIND} {base64.b64encode(_public_blob(self._key())).decode()}"

    def sign(self, payload: bytes, namespace: str) -> str:
        """The armored signature over exactly these bytes in a namespace."""
        key = self._key()
        algorithm = b"sha512"
        hashed = _HASHES[algorithm](payload).digest()
        made = key.sign(_to_be_signed(namespace, algorithm, hashed))
        fields = (_public_blob(key), namespace.encode(), b"", algorithm, _string(KIND.encode()) + _string(made))
        text = base64.b64encode(_MAGIC + _VERSION + b"".join(map(_string, fields))).decode()
        return "\n".join(["-----BEGIN SSH SIGNATURE-----", *textwrap.wrap(text, 70), "-----END SSH SIGNATURE-----", ""])

    def _key(self) -> Ed25519PrivateKey:
        self._make()
        try:
            key = load_ssh_private_key(self.file.read_bytes(), None)
        except (ValueError, UnsupportedAlgorithm, TypeError) as error:
            raise InvalidInput(f"is no private key: {error}", where=str(self.file)) from None
        except OSError as error:
            raise InvalidInput(f"cannot be read: {error.strerror}", where=str(self.file)) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidInput("is no private key of ours: it is not Ed25519", where=str(self.file))
        return key

    def _make(self) -> None:
        """Once, by linking a finished key into its place: two processes get the same one."""
        if self.file.exists():
            return
        made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        descriptor, fresh = tempfile.mkstemp(dir=self.file.parent, prefix=f".{self.file.name}-")  # 0600
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(made)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(fresh, self.file)
        except FileExistsError:
            return
        finally:
            Path(fresh).unlink()


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
            try:
                Ed25519PublicKey.from_public_bytes(raw).verify(made, _to_be_signed(namespace, algorithm, hashed))
            except (InvalidSignature, ValueError):
                return None
            return ours[raw]
        rest = [key for key in keys if not key.startswith(f"{KIND} ")]
        return self.others.signer_of(payload, signature, namespace, rest) if rest else None


def _to_be_signed(namespace: str, algorithm: bytes, hashed: bytes) -> bytes:
    return _MAGIC + b"".join(map(_string, (namespace.encode(), b"", algorithm, hashed)))


def _public_blob(key: Ed25519PrivateKey) -> bytes:
    return _string(KIND.encode()) + _string(key.public_key().public_bytes_raw())


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
    if not blob.startswith(_MAGIC + _VERSION):
        return None
    fields = _fields(blob[len(_MAGIC) + len(_VERSION) :], 5)
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
