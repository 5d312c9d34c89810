"""The ledger in the database: a hash chain over the stored bytes, appended by one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from reconciler.model.canonical import canonical, digest_bytes
from reconciler.model.ledger_entry import GENESIS, LedgerEntry
from reconciler.storage.database import Database
from reconciler.storage.schema import ledger


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """Implements ports.Ledger. BEGIN IMMEDIATE makes two processes take turns."""

    database: Database

    def append(self, kind: str, subject: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
        """Add one fact; it is on disk when this returns."""
        with self.database.engine.begin() as connection:
            return append_in(connection, kind, subject, data, now)

    def entries(self, after: int = 0) -> Iterator[LedgerEntry]:
        """All entries after a sequence number, in order, a page at a time."""
        while True:
            query = select(ledger).where(ledger.c.sequence > after).order_by(ledger.c.sequence).limit(500)
            with self.database.engine.connect() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            yield from map(_entry, rows)
            after = rows[-1].sequence

    def latest(self, kind: str, subject: str) -> LedgerEntry | None:
        """The newest entry of a kind about a subject."""
        found = self.find(kind, subject)
        return found[-1] if found else None

    def find(self, kind: str, subject: str) -> tuple[LedgerEntry, ...]:
        """All entries of a kind about a subject, oldest first."""
        query = select(ledger).where(ledger.c.kind == kind, ledger.c.subject == subject).order_by(ledger.c.sequence)
        with self.database.engine.connect() as connection:
            return tuple(_entry(row) for row in connection.execute(query))


def append_in(connection: Connection, kind: str, subject: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry:
    """Append inside a transaction that the caller holds, so that a record and its entry stand or fall together."""
    last = connection.execute(
        select(ledger.c.sequence, ledger.c.hash).order_by(ledger.c.sequence.desc()).limit(1)
    ).first()
    sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS)
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


def size(database: Database) -> int:
    """How many entries there are."""
    with database.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(ledger)).scalar_one()


def _entry(row: Row[Any]) -> LedgerEntry:
    return LedgerEntry(
        row.sequence, row.previous, row.hash, datetime.fromisoformat(row.at), row.kind, row.subject, bytes(row.body)
    )
