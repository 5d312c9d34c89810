"""The ledger in the database: a hash chain over the stored bytes, appended by one writer at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, LargeBinary, Row, Select, func, insert, select, text
from sqlalchemy import cast as sql_cast

from reconciler.model.canonical import canonical, digest_bytes
from reconciler.model.chain import Broken, StoredEntry, links
from reconciler.model.errors import VerificationFailed
from reconciler.model.ledger_entry import GENESIS, LedgerEntry
from reconciler.storage.database import Database
from reconciler.storage.schema import ledger
from reconciler.storage.sealing import Seal
from reconciler.storage.stored import stored_entries

# The bytes as they are, also where somebody stored them as something else than a BLOB.
_ROWS: Select[Any] = select(
    *(column for column in ledger.c if column is not ledger.c.body), sql_cast(ledger.c.body, LargeBinary).label("body")
).order_by(ledger.c.sequence)


_AT_ONCE = 500


@dataclass(slots=True)
class _Walked:
    """The chain as far as this process has followed it from its beginning: the hash of each entry by number, and the
    numbers of the entries by kind and subject.

    Where an entry stands is taken from here and not from the database, whose columns and indexes could be made to hide
    one: what is asked for decides something, an objection or a suspension (68).
    """

    hashes: list[str] = field(default_factory=list)
    numbers: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def head(self) -> tuple[int, str]:
        """As SqlLedger.head says it."""
        return len(self.hashes), self.hashes[-1] if self.hashes else GENESIS


def _tampered(how: str) -> VerificationFailed:
    return VerificationFailed(
        f"the ledger was tampered with: {how} (gate 68)", hint="docs/how-to/verify-the-ledger.md says what to do"
    )


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """Implements ports.Ledger. BEGIN IMMEDIATE makes two processes take turns.

    VerificationFailed wherever a row is read, or appended to, that this installation has not written so; and, where
    entries are looked for, while any entry is missing or moved.
    """

    database: Database
    _walked: _Walked = field(default_factory=_Walked, init=False, repr=False, compare=False)

    def append(self, kind: str, subject: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
        """Add one fact; it is on disk when this returns."""
        with self.database.writing() as connection:
            return append_in(connection, self.database.seal, kind, subject, data, now)

    def entries(self, after: int = 0) -> Iterator[LedgerEntry]:
        """All entries after a sequence number, in order, as one snapshot has them.

        With 0 it is every row, so that what was slipped in before the first entry shows.
        """
        query = _ROWS.where(ledger.c.sequence > after) if after else _ROWS
        with self.database.reading() as connection:
            yield from map(self._entry, connection.execution_options(yield_per=500).execute(query))

    def latest(self, kind: str, subject: str) -> LedgerEntry | None:
        """The newest entry of a kind about a subject."""
        found = self._found(kind, subject, newest_only=True)
        return found[0] if found else None

    def find(self, kind: str, subject: str) -> tuple[LedgerEntry, ...]:
        """All entries of a kind about a subject, oldest first."""
        return self._found(kind, subject, newest_only=False)

    def head(self) -> tuple[int, str]:
        """The number of the last entry and its hash (0 and GENESIS when there is none)."""
        with self.database.reading() as connection:
            return _head(connection, self.database.seal)

    def count(self) -> int:
        """How many entries there are."""
        with self.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(ledger)).scalar_one()

    def stored(self, after: int = 0) -> Iterator[StoredEntry]:
        """The rows after a sequence number as they are stored, in order, as one snapshot has them; nothing is believed.

        With 0 it is every row, as for `entries`.
        """
        with self.database.reading() as connection:
            yield from _stored(connection, after)

    def _found(self, kind: str, subject: str, *, newest_only: bool) -> tuple[LedgerEntry, ...]:
        """By number, each with the hash that it has in the chain."""
        with self._walked.turn:  # a snapshot that begins within one's turn is never older than what was followed
            with self.database.reading() as connection:
                self._catch_up(connection)
                numbers = self._walked.numbers.get((kind, subject), [])[-1 if newest_only else 0 :]
                rows = list(_numbered(connection, numbers))
            hashes = [self._walked.hashes[number - 1] for number in numbers]
        if [row.hash for row in rows] != hashes:
            raise _tampered(f"the entries {kind} of {subject} are not those that it had")
        return tuple(map(self._entry, rows))

    def _catch_up(self, connection: Connection) -> None:
        """Follow the chain to its end, from where this process has followed it to.

        The seal of the last entry is enough: it has the hash of the one before in it, and that one of all before.
        """
        size, root = self._walked.head
        found = []
        for link in links(_stored(connection, size), size, root):
            if isinstance(link, Broken):
                raise _tampered(f"entry {link.sequence}: {link.reason}")
            found.append(link)
        head = (found[-1].sequence, found[-1].hash) if found else (size, root)
        if _head(connection, self.database.seal) != head:
            raise _tampered(f"it had {head[0]} entries, and the last of them is gone or another")
        for link in found:
            self._walked.hashes.append(link.hash)
            self._walked.numbers.setdefault((link.kind, link.subject), []).append(link.sequence)

    def _entry(self, row: Row[Any]) -> LedgerEntry:
        self.database.seal.checked(ledger, row)
        at = datetime.fromisoformat(row.at)
        return LedgerEntry(row.sequence, row.previous, row.hash, at, row.kind, row.subject, row.body)


def append_in(
    connection: Connection, seal: Seal, kind: str, subject: str, data: Mapping[str, Any], now: datetime
) -> LedgerEntry:
    """Append inside a transaction that the caller holds, so that a record and its entry stand or fall together."""
    before, previous = _head(connection, seal)
    sequence = before + 1
    at = now.isoformat()
    body = canonical(
        {"sequence": sequence, "previous": previous, "at": at, "kind": kind, "subject": subject, "data": dict(data)}
    )
    entry = LedgerEntry(sequence, previous, digest_bytes(body), now, kind, subject, body)
    row = {"sequence": sequence, "previous": previous, "hash": entry.hash, "at": at}
    row |= {"kind": kind, "subject": subject, "body": body}
    connection.execute(insert(ledger).values(seal.sealed(ledger, row)))
    return entry


def _stored(connection: Connection, after: int) -> Iterator[StoredEntry]:
    connection.execute(text("SELECT 1"))  # the snapshot begins with the first statement of SQLAlchemy's
    driver = connection.connection.driver_connection
    return stored_entries(cast(sqlite3.Connection, driver), after or None)


def _head(connection: Connection, seal: Seal) -> tuple[int, str]:
    last = connection.execute(_ROWS.order_by(None).order_by(ledger.c.sequence.desc()).limit(1)).first()
    return (last.sequence, last.hash) if last is not None and seal.checked(ledger, last) else (0, GENESIS)


def _numbered(connection: Connection, numbers: Sequence[int]) -> Iterator[Row[Any]]:
    for start in range(0, len(numbers), _AT_ONCE):
        yield from connection.execute(_ROWS.where(ledger.c.sequence.in_(numbers[start : start + _AT_ONCE])))
