"""Walking the ledger's hash chain; pure, so that an export verifies without a database."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model.canonical import digest_bytes
from reconciler.model.ledger_entry import GENESIS


@dataclass(frozen=True, slots=True)
class Holds:
    """Every entry follows from the one before; `head` is the hash of the last (GENESIS when there is none)."""

    size: int
    head: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry that does not fit, and why."""

    sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as found: its bytes, and the columns beside them where a database has them (None in an export)."""

    body: bytes
    sequence: int | None = None
    previous: str | None = None
    hash: str | None = None
    kind: str | None = None
    subject: str | None = None


def walk(entries: Iterable[StoredEntry]) -> Holds | Broken:
    """Check sequence, link, hash and columns of every entry, in order."""
    previous, sequence = GENESIS, 0
    for entry in entries:
        sequence += 1
        try:
            body = json.loads(entry.body)
        except (ValueError, RecursionError):
            return Broken(sequence, "is not JSON")
        if not isinstance(body, dict):
            return Broken(sequence, "is not an object")
        if body.get("sequence") != sequence:
            return Broken(sequence, f"says it is number {body.get('sequence')}; an entry is missing, added or moved")
        if body.get("previous") != previous:
            return Broken(sequence, "does not follow from the entry before it")
        actual = digest_bytes(entry.body)
        if entry.hash is not None and entry.hash != actual:
            return Broken(sequence, "was changed: its bytes do not have the recorded hash")
        columns = {"sequence": entry.sequence, "previous": entry.previous, "kind": entry.kind, "subject": entry.subject}
        for name, value in columns.items():
            if value is not None and value != body.get(name):
                return Broken(sequence, f"its column {name} says something else than its bytes")
        previous = actual
    return Holds(sequence, previous)
