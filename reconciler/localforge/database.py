"""The forge's SQLite file: one connection behind a lock, records in and out. Everything that remembers uses it.

A single writer is enough for a forge of this size, and it makes every handler's transaction atomic without thought.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from reconciler.localforge.records import RECORDS

FIRST_ID = 100_000_001  # above any account id that a seed is likely to choose

INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS users_by_login ON users (login COLLATE NOCASE);
CREATE UNIQUE INDEX IF NOT EXISTS tokens_by_digest ON tokens (digest);
CREATE UNIQUE INDEX IF NOT EXISTS repositories_by_name ON repositories (owner COLLATE NOCASE, name COLLATE NOCASE);
CREATE UNIQUE INDEX IF NOT EXISTS collaborators_by_user ON collaborators (repository_id, user_id);
CREATE UNIQUE INDEX IF NOT EXISTS pulls_by_number ON pulls (repository_id, number);
CREATE INDEX IF NOT EXISTS reviews_by_pull ON reviews (pull_id);
CREATE INDEX IF NOT EXISTS comments_by_pull ON comments (pull_id);
CREATE INDEX IF NOT EXISTS events_by_pull ON events (pull_id);
CREATE INDEX IF NOT EXISTS statuses_by_sha ON statuses (repository_id, sha);
CREATE INDEX IF NOT EXISTS check_runs_by_sha ON check_runs (repository_id, head_sha);
CREATE INDEX IF NOT EXISTS activity_by_repository ON activity (repository_id);
CREATE INDEX IF NOT EXISTS deliveries_by_hook ON deliveries (hook_id);
"""


class Record(Protocol):
    """Any of the dataclasses in `records`."""

    table: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=Record)


class Database:
    """The open database file. Safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._create_tables()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _create_tables(self) -> None:
        """The records are the schema: a column for each field, in their order."""
        with self.transaction():
            for kind in RECORDS:
                columns = ", ".join(
                    "id INTEGER PRIMARY KEY" if field.name == "id" else field.name for field in fields(kind)
                )
                self._connection.execute(f"CREATE TABLE IF NOT EXISTS {kind.table} ({columns})")
            for statement in filter(str.strip, INDEXES.split(";")):
                self._connection.execute(statement)
            self._connection.execute("CREATE TABLE IF NOT EXISTS counter (last INTEGER NOT NULL)")
            if self._connection.execute("SELECT last FROM counter").fetchone() is None:
                self._connection.execute("INSERT INTO counter VALUES (?)", (FIRST_ID - 1,))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; may be nested, and then the outermost one commits."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")

    def next_id(self) -> int:
        with self._lock:
            row = self._connection.execute("UPDATE counter SET last = last + 1 RETURNING last").fetchone()
            return int(row[0])

    def add(self, kind: type[R], /, **values: Any) -> R:
        """Inserts a record and returns it; `id` is given by the counter unless named."""
        with self.transaction():
            values = {"id": values.get("id") or self.next_id(), **values}
            record = kind(**values)
            names = [field.name for field in fields(kind)]
            marks = ", ".join("?" for _ in names)
            self._connection.execute(
                f"INSERT INTO {kind.table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 (names of our fields)
                [_to_column(getattr(record, name)) for name in names],
            )
            return record

    def change(self, record: R, /, **values: Any) -> R:
        """Writes the named fields of a record and returns it as it is now."""
        with self.transaction():
            assignments = ", ".join(f"{name} = ?" for name in values)
            self._connection.execute(
                f"UPDATE {record.table} SET {assignments} WHERE id = ?",  # noqa: S608 (names of our fields)
                [*(_to_column(value) for value in values.values()), record.id],
            )
            found = self.find(type(record), id=record.id)
            if found is None:
                raise LookupError(f"{record.table} {record.id} was deleted meanwhile")
            return found

    def delete(self, record: Record) -> None:
        with self.transaction():
            self._connection.execute(f"DELETE FROM {record.table} WHERE id = ?", (record.id,))  # noqa: S608

    def find(self, kind: type[R], /, **values: Any) -> R | None:
        """The one record with these field values, or None."""
        found = self.all(kind, **values)
        return found[0] if found else None

    def all(self, kind: type[R], /, **values: Any) -> list[R]:
        """All records with these field values, in the order of their ids. Logins and names ignore case."""
        condition = " AND ".join(
            f"{name} = ?" + (" COLLATE NOCASE" if name in ("login", "owner", "name") else "") for name in values
        )
        where = f" WHERE {condition}" if condition else ""
        with self._lock:
            rows = self._connection.execute(
                f"SELECT * FROM {kind.table}{where} ORDER BY id",  # noqa: S608 (names of our fields)
                [_to_column(value) for value in values.values()],
            ).fetchall()
        return [_from_row(kind, row) for row in rows]


def _to_column(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, tuple | dict) else value


def _from_row(kind: type[R], row: sqlite3.Row) -> R:
    values: dict[str, Any] = {}
    for field in fields(kind):
        value = row[field.name]
        declared = str(field.type)
        if value is None:
            pass
        elif declared.startswith("tuple"):
            value = tuple(json.loads(value))
        elif declared.startswith("dict"):
            value = json.loads(value)
        elif declared.startswith("bool"):
            value = bool(value)
        values[field.name] = value
    return kind(**values)
