"""What root persons sign to pin another revision: the statement of a trust reset. Made and read by control, judged by
approvals.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from reconciler.model.errors import InvalidInput
from reconciler.model.host_record import PUBLIC_KEY

NAMESPACE = "reconciler-trust"
LONGEST = 1_000_000  # bytes of a statement that is read at all
LONGEST_REASON = 1000  # characters

Roots = tuple[tuple[str, int, tuple[str, ...]], ...]
"""Root persons: name, account, signing keys; a person with several accounts stands there once for each."""


@dataclass(frozen=True, slots=True)
class ResetStatement:
    """`revision` and `roots` replace the trust whose digest is `former`, on the installation with this public key.

    `takes_over` are keys of former installations: what they signed on hosts keeps this one from nothing any more.
    """

    repository: int
    installation: str
    former: str
    revision: str
    roots: Roots
    takes_over: tuple[str, ...]
    reason: str
    at: datetime


def statement_text(statement: ResetStatement) -> str:
    """The text that is signed, one value a line, in ASCII, so that a person can read it and nothing hides in it."""
    return _text(
        {
            "statement": "reconciler trust reset",
            "repository": statement.repository,
            "installation": statement.installation,
            "former": statement.former,
            "revision": statement.revision,
            "roots": [
                {"person": name, "account": account, "keys": list(keys)} for name, account, keys in statement.roots
            ],
            "takes_over": list(statement.takes_over),
            "reason": statement.reason,
            "at": statement.at.astimezone(UTC).isoformat(timespec="seconds"),
        }
    )


def read_statement(data: bytes) -> ResetStatement:
    """InvalidInput where the bytes are not exactly a statement as `statement_text` writes it."""
    try:
        found = _Statement.model_validate_json(data) if len(data) <= LONGEST else None
    except ValidationError:
        found = None
    if found is None:
        raise InvalidInput("is no statement of `reconciler trust reset`")
    statement = ResetStatement(
        repository=found.repository,
        installation=found.installation,
        former=found.former,
        revision=found.revision,
        roots=tuple((root.person, root.account, tuple(root.keys)) for root in found.roots),
        takes_over=tuple(found.takes_over),
        reason=found.reason,
        at=found.at,
    )
    if data != statement_text(statement).encode():
        raise InvalidInput("is not the statement as it was printed; print it again and change nothing")
    return statement


def needed_of(persons: int) -> int:
    """How many root persons have to sign: more than half of them, at least two, or the only one where there is one."""
    return 1 if persons == 1 else max(2, persons // 2 + 1)


def plain_key(key: str) -> str:
    """A public key without its comment."""
    return " ".join(key.split()[:2])


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


_Key = Annotated[str, Field(pattern=rf"\A{PUBLIC_KEY.pattern}\z", max_length=10_000)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Root(_Strict):
    person: Annotated[str, Field(max_length=200)]
    account: _Count
    keys: list[_Key]


class _Statement(_Strict):
    statement: Literal["reconciler trust reset"]
    repository: _Count
    installation: _Key
    former: Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
    revision: Annotated[str, Field(pattern=r"\A[0-9a-f]{40}\z")]
    roots: Annotated[list[_Root], Field(min_length=1)]
    takes_over: list[_Key]
    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]
    at: AwareDatetime
