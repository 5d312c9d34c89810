"""What each host keeps of the last verified deployment of a target, signed by the installation that made it. Written
and read by control, which hands the bytes to the host.

The file is JSON: `payload` is the record as text, `key` the public key that is said to have signed exactly these bytes,
`signature` an SSH signature (PROTOCOL.sshsig) in NAMESPACE. Anyone can check it with jq and ssh-keygen.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from reconciler.model.canonical import canonical
from reconciler.model.errors import InvalidInput
from reconciler.model.target import Target

NAMESPACE = "reconciler-target"
LONGEST = 65_536  # bytes of a file that is read at all
# Two words and nothing else: what stands in a file of a host ends up on a line of OpenSSH's list of allowed signers.
PUBLIC_KEY = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ AAAA[A-Za-z0-9+/]+=*")


@dataclass(frozen=True, slots=True)
class HostRecord:
    """`revision` was verified there by `deployment`, with the plan `plan_digest`, at `at`.

    `generation` grows with each record of the target; `ledger_size` and `ledger_head` are how long the ledger was
    then, and the hash of its last entry.
    """

    target: Target
    repository: int
    engine_id: str
    compose_project: str
    revision: str
    plan_digest: str
    deployment: str
    generation: int
    ledger_size: int
    ledger_head: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A record as it lies on a host. `payload` are the signed bytes; nothing of it is believed before the signature is
    checked.
    """

    payload: bytes
    key: str
    signature: str


def payload_of(record: HostRecord) -> bytes:
    """The bytes that are signed: RFC 8785 JSON."""
    return canonical(
        {
            "format": 1,
            "target": str(record.target),
            "repository": record.repository,
            "engine_id": record.engine_id,
            "compose_project": record.compose_project,
            "revision": record.revision,
            "plan_digest": record.plan_digest,
            "deployment": record.deployment,
            "generation": record.generation,
            "ledger_size": record.ledger_size,
            "ledger_head": record.ledger_head,
            "at": record.at.isoformat(),
        }
    )


def file_of(signed: SignedRecord) -> bytes:
    """The file's bytes."""
    content = {"payload": signed.payload.decode(), "key": signed.key, "signature": signed.signature}
    return json.dumps(content, indent=1).encode() + b"\n"


def read_file(data: bytes) -> SignedRecord:
    """InvalidInput where the bytes are no such file."""
    try:
        found = _File.model_validate_json(data) if len(data) <= LONGEST else None
    except ValidationError:
        found = None
    if found is None or PUBLIC_KEY.fullmatch(found.key) is None:
        raise InvalidInput("is no record of this product")
    return SignedRecord(found.payload.encode(), found.key, found.signature)


def read_payload(payload: bytes) -> HostRecord:
    """The record that was signed. InvalidInput where the bytes are none."""
    try:
        found = _Payload.model_validate_json(payload)
        target = Target.parse(found.target)
    except (ValidationError, ValueError):
        raise InvalidInput("holds no record of this product") from None
    return HostRecord(
        target=target,
        repository=found.repository,
        engine_id=found.engine_id,
        compose_project=found.compose_project,
        revision=found.revision,
        plan_digest=found.plan_digest,
        deployment=found.deployment,
        generation=found.generation,
        ledger_size=found.ledger_size,
        ledger_head=found.ledger_head,
        at=found.at,
    )


_Text = Annotated[str, Field(max_length=1000)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _File(_Strict):
    payload: Annotated[str, Field(max_length=LONGEST)]
    key: Annotated[str, Field(max_length=LONGEST)]
    signature: Annotated[str, Field(max_length=LONGEST)]


class _Payload(_Strict):
    format: Literal[1]
    target: _Text
    repository: _Count
    engine_id: _Text
    compose_project: _Text
    revision: Annotated[str, Field(pattern=r"\A[0-9a-f]{40}\z")]
    plan_digest: Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
    deployment: _Text
    generation: _Count
    ledger_size: _Count
    ledger_head: Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
    at: AwareDatetime
