"""Attestations that others can read: in-toto v1 statements in DSSE envelopes, signed by the installation. Pure.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md and
https://github.com/in-toto/attestation/tree/main/spec/v1. The signature is an SSH signature over the PAE in the
namespace `reconciler-attestation`; `sig` is the base64 of its armored text, for `ssh-keygen -Y verify`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.model.canonical import canonical

NAMESPACE = "reconciler-attestation"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATES = "urn:reconciler:attestation:"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about: a name, and its digest by algorithm (`gitCommit` or `sha256`)."""

    name: str
    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One in-toto v1 statement. `predicate` is of the type `urn:reconciler:attestation:<kind>:v1`."""

    kind: str
    subjects: tuple[Subject, ...]
    predicate: Mapping[str, Any]

    @property
    def payload(self) -> bytes:
        """Its canonical JSON."""
        return canonical(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": s.name, "digest": {s.algorithm: s.digest}} for s in self.subjects],
                "predicateType": f"{PREDICATES}{self.kind}:v1",
                "predicate": dict(self.predicate),
            }
        )


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def envelope(payload: bytes, signatures: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A DSSE envelope; `signatures` are key ids and armored SSH signatures over the PAE."""
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key, "sig": base64.b64encode(sig.encode()).decode()} for key, sig in signatures],
    }
