"""Opening the database: pragmas that survive a power cut, and migrations; called by bootstrap."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from reconciler.model.errors import InvalidInput, ReconcilerError, Retryable, Terminal, VerificationFailed
from reconciler.storage.schema import REVISION
from reconciler.storage.sealing import Seal
from reconciler.storage.stored import planted

WAIT_SECONDS = 30
_READS = "reads"
_SCHEMA = "schema"
# What SQLite answers where trying again helps nobody: the file or its directory has to be changed first.
_LASTING = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
_FROM_BACKUP = "restore it from a backup"
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


@dataclass(frozen=True, slots=True)
class Database:
    """An open database at the newest schema. `seal` is the installation's own, on all that decides anything."""

    engine: Engine
    seal: Seal

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on one snapshot that never waits for a writer; what is written on it is lost.

        Terminal where the file is damaged.
        """
        try:
            with self.engine.connect() as connection:
                yield connection.execution_options(**{_READS: True})
        except (DatabaseError, sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise _refusal(error, str(self.engine.url.database)) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its beginning, and is on disk when it ends without an error."""
        with self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def open_database(url: str, seal: Seal) -> Database:
    """Open and migrate.

    InvalidInput for a URL that is none or a file that cannot be a database, Terminal for a schema that this version
    does not know, Retryable when somebody else holds the database.
    """
    parsed = _sqlite_file(url)
    file = str(parsed.database)
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidInput(f"cannot make the directory of the database: {error.strerror}", where=file) from error
    engine = create_engine(parsed, connect_args={"timeout": WAIT_SECONDS})
    _make_durable(engine)
    database = Database(engine, seal)
    try:
        if _revision(database) != REVISION:
            _migrate(database, file)
        _refuse_what_acts(engine)
    except BaseException as error:
        engine.dispose()
        if isinstance(error, DatabaseError | UnicodeDecodeError):
            raise _refusal(error, file) from error
        raise
    return database


def _sqlite_file(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # Without the text: a URL may hold a password.
        raise InvalidInput("database: is not a database URL; write e.g. sqlite:///state/reconciler.db") from error
    if parsed.drivername != "sqlite":
        raise InvalidInput(f"database: {parsed.drivername} is not supported by this version; use sqlite:///FILE")
    if not parsed.database or parsed.database == ":memory:":
        raise InvalidInput("database: name a file, e.g. sqlite:///state/reconciler.db")
    return parsed


def _refusal(error: DatabaseError | sqlite3.DatabaseError | UnicodeDecodeError, file: str) -> ReconcilerError:
    """What SQLite said, as an error that says whether waiting helps."""
    if isinstance(error, UnicodeDecodeError):
        return Terminal("the database is damaged: it holds text that is none", where=file, hint=_FROM_BACKUP)
    said = error.orig if isinstance(error, DatabaseError) else error
    code = getattr(said, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind, the rest its details
    if code == sqlite3.SQLITE_NOTADB:
        return InvalidInput("is not an SQLite database; name another file, or restore it from a backup", where=file)
    if code in _LASTING:
        return InvalidInput(
            f"cannot open the database: {said}; this user needs to write the file and its directory", where=file
        )
    if code in _PASSING:
        return Retryable(f"cannot open the database: {said}", where=file)
    return Terminal(f"cannot open the database: {said}", where=file, hint=_FROM_BACKUP)


def _make_durable(engine: Engine) -> None:
    """WAL and full sync on each connection; a transaction takes the write lock when it begins, unless it only reads."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's BEGIN below is the only one
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A writer that began as a reader would fail, not wait, when another wrote since: writers say so first.
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE")


def _refuse_what_acts(engine: Engine) -> None:
    """Before anything else in a transaction: nothing in the database does anything that we did not put there (68).

    Asked again when the schema was changed since this connection asked: its number is that by which SQLite knows.
    """

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        (version,) = driver.execute("PRAGMA schema_version").fetchone()
        if connection.info.get(_SCHEMA) == version:
            return
        faults = planted(driver)
        if faults:
            raise VerificationFailed(
                f"the database was changed: {'; '.join(faults)} (gate 68)",
                hint="docs/how-to/trust.md says how to go on without it",
            )
        connection.info[_SCHEMA] = version


def _revision(database: Database) -> str | None:
    """The schema's revision as the database has it, None before the first migration."""
    with database.reading() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return revision


def _migrate(database: Database, file: str) -> None:
    from alembic import command  # a hundred milliseconds, which no command on an up-to-date database should pay
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with database.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise Terminal(
            f"the database has schema {_revision(database)}, and this version knows it up to {REVISION}",
            where=file,
            hint="another version wrote it: run that one, restore a backup, or see docs/how-to/trust.md",
        ) from error
