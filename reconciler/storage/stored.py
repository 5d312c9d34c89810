"""The database as evidence: read as it is by the standard library alone, and neither changed nor believed.

For verifying, which must not make a database that is missing, bring an older one up to date, or wait for a writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from reconciler.model.chain import StoredEntry
from reconciler.model.checkpoint import SignedCheckpoint, read_checkpoint
from reconciler.model.errors import InvalidInput, NotFound, Retryable, Terminal, VerificationFailed

WAIT_SECONDS = 30
_AT_ONCE = 1000

# What the migrations make; a database in which one of them is missing or reads differently was opened to changes.
GUARDS = {
    "ledger_no_update": "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    "ledger_no_delete": "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    "ledger_next_only": "CREATE TRIGGER ledger_next_only BEFORE INSERT ON ledger WHEN "
    "NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM ledger) OR NEW.previous IS NOT "
    "coalesce((SELECT hash FROM ledger ORDER BY sequence DESC LIMIT 1), printf('%064d', 0)) "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    "checkpoints_no_update": "CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints "
    "BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END",
    "checkpoints_no_delete": "CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints "
    "BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END",
    "checkpoints_next_only": "CREATE TRIGGER checkpoints_next_only BEFORE INSERT ON checkpoints WHEN "
    "NEW.size <= coalesce((SELECT max(size) FROM checkpoints), -1) "
    "BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END",
    "deployments_no_update": "CREATE TRIGGER deployments_no_update BEFORE UPDATE ON deployments WHEN OLD.final = 1 "
    "BEGIN SELECT RAISE(ABORT, 'a finished deployment record never changes'); END",
    "deployments_no_delete": "CREATE TRIGGER deployments_no_delete BEFORE DELETE ON deployments WHEN OLD.final = 1 "
    "BEGIN SELECT RAISE(ABORT, 'a finished deployment record never changes'); END",
    "deployments_new_only": "CREATE TRIGGER deployments_new_only BEFORE INSERT ON deployments WHEN "
    "EXISTS (SELECT 1 FROM deployments WHERE id = NEW.id OR number = NEW.number) "
    "BEGIN SELECT RAISE(ABORT, 'a deployment record is not replaced'); END",
    "trusted_no_update": "CREATE TRIGGER trusted_no_update BEFORE UPDATE ON trusted "
    "BEGIN SELECT RAISE(ABORT, 'what was trusted is never changed'); END",
    "trusted_no_delete": "CREATE TRIGGER trusted_no_delete BEFORE DELETE ON trusted "
    "BEGIN SELECT RAISE(ABORT, 'what was trusted is never changed'); END",
    "trusted_next_only": "CREATE TRIGGER trusted_next_only BEFORE INSERT ON trusted WHEN "
    "NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM trusted) "
    "BEGIN SELECT RAISE(ABORT, 'what was trusted is never changed'); END",
}
_GUARDED = ("ledger", "checkpoints", "deployments", "trusted")


@dataclass(frozen=True, slots=True)
class StoredLedger:
    """One snapshot of a database file."""

    connection: sqlite3.Connection
    file: Path

    def rows(self) -> Iterator[StoredEntry]:
        """Every row of the ledger in the order of its numbers. Terminal where the file cannot be read on.

        Nothing where the table is gone, which `faults` says.
        """
        with _reading(self.file):
            if not self._has("ledger"):
                return
            yield from stored_entries(self.connection)

    def checkpoints(self) -> tuple[tuple[str, str], ...]:
        """How each checkpoint is numbered and what its text is, smallest first."""
        with _reading(self.file):
            if not self._has("checkpoints"):
                return ()
            found = self.connection.execute("SELECT size, CAST(text AS TEXT) FROM checkpoints ORDER BY size").fetchall()
        return tuple((str(size), str(text)) for size, text in found)

    def _has(self, table: str) -> bool:
        named = self.connection.execute("SELECT 1 FROM sqlite_master WHERE lower(name) = ?", (table,))
        return named.fetchone() is not None

    def faults(self) -> tuple[str, ...]:
        """What keeps the tables from being append-only: sentences, none in a database as we make it."""
        with _reading(self.file):
            return guard_faults(self.connection)


@contextmanager
def open_stored(file: Path) -> Iterator[StoredLedger]:
    """Open a database to read it. NotFound where there is none, InvalidInput where it is none of this version."""
    if not file.is_file():
        raise NotFound("there is no such database; nothing can be verified", where=str(file))
    with _reading(file):
        address = f"file:{quote(str(file.absolute()))}?mode=ro"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=WAIT_SECONDS)
    try:
        with _reading(file):
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            _check_schema(connection, file)
        yield StoredLedger(connection, file)
    finally:
        connection.close()


def stored_entries(connection: sqlite3.Connection, after: int | None = None) -> Iterator[StoredEntry]:
    """The rows as they are, also where somebody stored the bytes as something else than a BLOB."""
    where = "" if after is None else "WHERE sequence > ?"
    cursor = connection.execute(
        f"SELECT CAST(body AS BLOB), sequence, previous, hash, kind, subject, at FROM ledger {where} ORDER BY sequence",  # noqa: S608 - of this function
        () if after is None else (after,),
    )
    while rows := cursor.fetchmany(_AT_ONCE):
        yield from map(StoredEntry._make, rows)


def read_copy(file: Path) -> SignedCheckpoint | None:
    """The copy in a state directory, None where there is none; VerificationFailed where it is no checkpoint."""
    try:
        text = file.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(
            f"the copy of the newest checkpoint cannot be read: {error.strerror}", where=str(file)
        ) from error
    except UnicodeDecodeError as error:
        raise VerificationFailed("the copy of the newest checkpoint was changed", where=str(file)) from error
    try:
        return read_checkpoint(text)
    except ValueError as error:
        raise VerificationFailed(f"the copy of the newest checkpoint {error}", where=str(file)) from error


def guard_faults(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Triggers and tables that are not as the migrations made them."""
    objects = {
        name: (kind, table, text)
        for kind, name, table, text in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
    }
    faults = [f"{table} is no table" for table in _GUARDED if objects.get(table, ("",))[0] != "table"]
    for name, expected in GUARDS.items():
        if name not in objects:
            faults.append(f"the trigger {name} is missing")
        elif _spaced(objects[name][2]) != _spaced(expected):
            faults.append(f"the trigger {name} was changed")
    faults += [
        f"there is a trigger {name} that is none of ours"
        for name, (kind, table, _) in sorted(objects.items())
        if kind == "trigger" and str(table).lower() in _GUARDED and name not in GUARDS
    ]
    return tuple(faults)


def planted(connection: sqlite3.Connection) -> tuple[str, ...]:
    """What somebody put into a database that acts by itself: it could leave out what is written, or show another thing
    than what is there. A guard that is missing does neither, and is for `guard_faults` to say.
    """
    found = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view', 'table')")
    faults = []
    for kind, name, text in found.fetchall():
        plain = _spaced(text).lower()
        if kind == "view" or (kind == "trigger" and plain != _spaced(GUARDS.get(name, "")).lower()):
            faults.append(f"there is a {kind} {name} that is none of ours")
        elif kind == "table" and (not plain.startswith("create table ") or any(word in plain for word in _ACTING)):
            faults.append(f"the table {name} was made to do more than keep rows")
    return tuple(faults)


_ACTING = ("on conflict", "generated", " as (", "collate")


def _spaced(text: object) -> str:
    return " ".join(str(text).split())


def _check_schema(connection: sqlite3.Connection, file: Path) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" not in tables:
        raise InvalidInput("is no database of reconciler; nothing can be verified", where=str(file))


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """What SQLite says of a file that it cannot read: that is not evidence of anything."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "decode to UTF-8" in str(error):
            raise VerificationFailed(f"the ledger was tampered with: {error}", where=str(file)) from error
        if "no such table" in str(error) or "no such column" in str(error):
            raise Terminal(f"cannot be read: {error}; nothing can be verified", where=str(file)) from error
        raise Retryable(f"cannot be read: {error}; nothing can be verified", where=str(file)) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise Terminal(f"cannot be read: {error}; nothing can be verified", where=str(file)) from error
