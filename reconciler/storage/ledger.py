"""The ledger in the database: a hash chain over the stored bytes, appended by one writer at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, LargeBinary, Row, Select, insert, select, text
from sqlalchemy import cast as sql_cast

from reconciler.model.canonical import canonical, digest_bytes
from reconciler.model.chain import StoredEntry
from reconciler.model.errors import VerificationFailed
from reconciler.model.ledger_entry import GENESIS, LedgerEntry
from reconciler.storage.database import Database
from reconciler.storage.schema import ledger
from reconciler.storage.stored import stored_entries

# The bytes as they are, also where somebody stored them as something else than a BLOB.
_ROWS: Select[Any] = select(
    *(column for column in ledger.c if column is not ledger.c.body), sql_cast(ledger.c.body, LargeBinary).label("body")
).order_by(ledger.c.sequence)


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """Implements ports.Ledger. BEGIN IMMEDIATE makes two processes take turns."""

    database: Database

    def append(self, kind: str, subject: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
        """Add one fact; it is on disk when this returns."""
        with self.database.writing() as connection:
            return append_in(connection, kind, subject, data, now)

    def entries(self, after: int = 0) -> Iterator[LedgerEntry]:
        """All entries after a sequence number, in order, as one snapshot has them.

        With 0 it is every row, so that what was slipped in before the first entry shows. VerificationFailed where a
        row is none of ours.
        """
        query = _ROWS.where(ledger.c.sequence > after) if after else _ROWS
        with self.database.reading() as connection:
            yield from map(_entry, connection.execution_options(yield_per=500).execute(query))

    def latest(self, kind: str, subject: str) -> LedgerEntry | None:
        """The newest entry of a kind about a subject."""
        query = _ROWS.where(ledger.c.kind == kind, ledger.c.subject == subject)
        with self.database.reading() as connection:
            row = connection.execute(query.order_by(None).order_by(ledger.c.sequence.desc()).limit(1)).first()
        return _entry(row) if row is not None else None

    def find(self, kind: str, subject: str) -> tuple[LedgerEntry, ...]:
        """All entries of a kind about a subject, oldest first."""
        query = _ROWS.where(ledger.c.kind == kind, ledger.c.subject == subject)
        with self.database.reading() as connection:
            return tuple(_entry(row) for row in connection.execute(query))

    def head(self) -> tuple[int, str]:
        """How many entries there are, and the hash that the last one is stored with (GENESIS when there is none)."""
        with self.database.reading() as connection:
            return _head(connection)

    def stored(self, after: int = 0) -> Iterator[StoredEntry]:
        """The rows after a sequence number as they are stored, in order, as one snapshot has them; nothing is believed.

        With 0 it is every row, as for `entries`.
        """
        with self.database.reading() as connection:
            connection.execute(text("SELECT 1"))  # the snapshot begins with the first statement of SQLAlchemy's
            driver = connection.connection.driver_connection
            yield from stored_entries(cast(sqlite3.Connection, driver), after or None)


def append_in(connection: Connection, kind: str, subject: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
    """Append inside a transaction that the caller holds, so that a record and its entry stand or fall together."""
    before, previous = _head(connection)
    sequence = before + 1
    at = now.isoformat()
    body = canonical(
        {"sequence": sequence, "previous": previous, "at": at, "kind": kind, "subject": subject, "data": dict(data)}
    )
    entry = LedgerEntry(sequence, previous, digest_bytes(body), now, kind, subject, body)
    connection.execute(
        insert(ledger).values(
            sequence=sequence, previous=previous, hash=entry.hash, at=at, kind=kind, subject=subject, body=body
        )
    )
    return entry


def _head(connection: Connection) -> tuple[int, str]:
    last = connection.execute(
        select(ledger.c.sequence, ledger.c.hash).order_by(ledger.c.sequence.desc()).limit(1)
    ).first()
    return (last.sequence, last.hash) if last else (0, GENESIS)


def _entry(row: Row[Any]) -> LedgerEntry:
    """The row as it stands: the walk over the chain judges it. What cannot even be read is refused here."""
    try:
        body, at = bytes(row.body), datetime.fromisoformat(row.at)
        if _time_in(body) not in (None, row.at):
            raise ValueError("its column at says something else than its bytes")
    except (TypeError, ValueError) as error:
        raise VerificationFailed(f"the ledger was tampered with: entry {row.sequence}: {error}") from error
    return LedgerEntry(row.sequence, row.previous, row.hash, at, row.kind, row.subject, body)


def _time_in(body: bytes) -> str | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    return str(said.get("at")) if isinstance(said, dict) else None
