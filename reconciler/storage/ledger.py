"""The ledger in the database: a hash chain over the stored bytes, appended by one writer at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, LargeBinary, Row, Select, func, insert, select, text
from sqlalchemy import cast as sql_cast

from reconciler.model.canonical import canonical, digest_bytes
from reconciler.model.chain import StoredEntry
from reconciler.model.ledger_entry import GENESIS, LedgerEntry
from reconciler.storage.database import Database
from reconciler.storage.schema import ledger
from reconciler.storage.sealing import Seal
from reconciler.storage.stored import stored_entries

# The bytes as they are, also where somebody stored them as something else than a BLOB.
_ROWS: Select[Any] = select(
    *(column for column in ledger.c if column is not ledger.c.body), sql_cast(ledger.c.body, LargeBinary).label("body")
).order_by(ledger.c.sequence)


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """Implements ports.Ledger. BEGIN IMMEDIATE makes two processes take turns.

    VerificationFailed wherever a row is read, or appended to, that this installation has not written so.
    """

    database: Database

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
        query = _ROWS.where(ledger.c.kind == kind, ledger.c.subject == subject)
        with self.database.reading() as connection:
            row = connection.execute(query.order_by(None).order_by(ledger.c.sequence.desc()).limit(1)).first()
        return self._entry(row) if row is not None else None

    def find(self, kind: str, subject: str) -> tuple[LedgerEntry, ...]:
        """All entries of a kind about a subject, oldest first."""
        query = _ROWS.where(ledger.c.kind == kind, ledger.c.subject == subject)
        with self.database.reading() as connection:
            return tuple(map(self._entry, connection.execute(query)))

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
            connection.execute(text("SELECT 1"))  # the snapshot begins with the first statement of SQLAlchemy's
            driver = connection.connection.driver_connection
            yield from stored_entries(cast(sqlite3.Connection, driver), after or None)

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


def _head(connection: Connection, seal: Seal) -> tuple[int, str]:
    last = connection.execute(_ROWS.order_by(None).order_by(ledger.c.sequence.desc()).limit(1)).first()
    return (last.sequence, last.hash) if last is not None and seal.checked(ledger, last) else (0, GENESIS)
