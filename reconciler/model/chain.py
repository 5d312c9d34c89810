"""Walking the ledger's hash chain; pure, so that an export verifies without a database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from reconciler.model.canonical import digest_bytes
from reconciler.model.ledger_entry import GENESIS


@dataclass(frozen=True, slots=True)
class Holds:
    """Every entry follows from the one before; `head` is the hash of the last (GENESIS when there is none).

    `roots` has the heads that the chain had at the sizes which the walk was asked about, as far as it got there.
    """

    size: int
    head: str
    roots: Mapping[int, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry that does not fit, and why."""

    sequence: int
    reason: str


class StoredEntry(NamedTuple):
    """An entry as found: its bytes, and the columns beside them where a database has them (None in an export)."""

    body: bytes
    sequence: int | None = None
    previous: str | None = None
    hash: str | None = None
    kind: str | None = None
    subject: str | None = None
    at: str | None = None


class _Said(msgspec.Struct):
    """What an entry says of itself. All of its JSON is read, `data` only to see that it is JSON."""

    at: str
    kind: str
    previous: str
    sequence: int
    subject: str


_read = msgspec.json.Decoder(_Said).decode


class Link(NamedTuple):
    """An entry that fits: its number, its hash, and what it is about."""

    sequence: int
    hash: str
    kind: str
    subject: str


def walk(
    entries: Iterable[StoredEntry], sizes: Collection[int] = (), after: int = 0, root: str = GENESIS
) -> Holds | Broken:
    """Check sequence, link, hash and columns of every entry, in order.

    `sizes` are those at which the head is wanted. The walk can begin after an entry whose hash is known already: then
    `after` is its number and `root` its hash.
    """
    sequence, head, wanted = after, root, frozenset(sizes)
    roots = {after: root} if after in wanted else {}
    for link in links(entries, after, root):
        if isinstance(link, Broken):
            return link
        sequence, head, _, _ = link
        if sequence in wanted:
            roots[sequence] = head
    return Holds(sequence, head, roots)


def links(entries: Iterable[StoredEntry], after: int = 0, root: str = GENESIS) -> Iterator[Link | Broken]:
    """What `walk` finds, entry by entry; it ends with the first that does not fit."""
    previous, sequence = root, after
    for entry in entries:
        sequence += 1
        body, number, link, recorded, kind, subject, at = entry
        try:
            said = _read(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
            yield Broken(sequence, _unreadable(error))
            return
        actual = digest_bytes(body)
        if (
            said.sequence != sequence
            or said.previous != previous
            or (recorded is not None and recorded != actual)
            or (number is not None and number != sequence)
            or (link is not None and link != previous)
            or (kind is not None and kind != said.kind)
            or (subject is not None and subject != said.subject)
            or (at is not None and at != said.at)
        ):
            yield Broken(sequence, _misfit(entry, said, sequence, previous, actual))
            return
        previous = actual
        yield Link(sequence, actual, said.kind, said.subject)


def _unreadable(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return f"is not an entry: {error}"
    return "is not JSON"


def _misfit(entry: StoredEntry, said: _Said, sequence: int, previous: str, actual: str) -> str:
    """In what an entry does not fit; the first of the things that can be wrong with it."""
    if said.sequence != sequence:
        return f"says it is number {said.sequence}; an entry is missing, added or moved"
    if said.previous != previous:
        return "does not follow from the entry before it"
    if entry.hash is not None and entry.hash != actual:
        return "was changed: its bytes do not have the recorded hash"
    columns = ("sequence", "previous", "kind", "subject", "at")
    wrong = [name for name in columns if getattr(entry, name) not in (None, getattr(said, name))]
    return f"its column {wrong[0]} says something else than its bytes"
