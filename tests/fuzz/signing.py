"""SSH signatures (PROTOCOL.sshsig) made in this process, which a door needs by the ten thousand."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reconciler.signatures import Ed25519Signatures

KIND = b"ssh-ed25519"
BEGIN, END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@dataclass(frozen=True)
class Key:
    """A key pair that is the same in each run. Implements ports.Signer."""

    name: str

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.name.encode()).digest())

    @property
    def blob(self) -> bytes:
        raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return field(KIND) + field(raw)

    @property
    def public_key(self) -> str:
        return f"ssh-ed25519 {base64.b64encode(self.blob).decode()}"

    def sign(self, payload: bytes, namespace: str) -> str:
        hashed = hashlib.sha512(payload).digest()
        parts = field(namespace.encode()) + field(b"") + field(b"sha512")
        made = self.private.sign(b"SSHSIG" + parts + field(hashed))
        return armored(b"SSHSIG\0\0\0\1" + field(self.blob) + parts + field(field(KIND) + field(made)))


def armored(blob: bytes) -> str:
    """A signature's bytes as OpenSSH writes them."""
    text = base64.b64encode(blob).decode()
    return BEGIN + "".join(f"{line}\n" for line in re.findall(".{1,70}", text)) + END


def blob_of(armor: str) -> bytes | None:
    """The bytes of an armored signature however its lines are broken, None where it is none."""
    found = re.search(r"-----BEGIN SSH SIGNATURE-----([A-Za-z0-9+/=\s]*)-----END SSH SIGNATURE-----", armor)
    try:
        return base64.b64decode("".join(found[1].split())) if found is not None else None
    except ValueError:
        return None


class Nobody:
    """Answers for keys that are not Ed25519: there are none here."""

    def signer_of(self, *_: object) -> str | None:
        return None


@cache
def signatures() -> Ed25519Signatures:
    return Ed25519Signatures(Nobody())
