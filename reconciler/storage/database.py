"""Opening the database: pragmas that survive a power cut, and migrations; called by bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from reconciler.model.errors import InvalidInput, Retryable


@dataclass(frozen=True, slots=True)
class Database:
    """An open database at the newest schema."""

    engine: Engine

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open and migrate. InvalidInput for a URL that is none, Retryable when the database cannot be reached."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput(f"database: '{url}' is not a database URL, e.g. sqlite:///state/reconciler.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise InvalidInput(
            f"database: {parsed.get_backend_name()} is not supported by this version; use sqlite:///FILE"
        )
    if not parsed.database:
        raise InvalidInput("database: name a file, e.g. sqlite:///state/reconciler.db")
    Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(parsed, connect_args={"timeout": 30})
    _make_durable(engine)
    try:
        _migrate(engine)
    except OperationalError as error:
        engine.dispose()
        raise Retryable(f"cannot open the database: {error.orig}", where=parsed.database) from error
    return Database(engine)


def _make_durable(engine: Engine) -> None:
    """WAL and full sync on each connection, and every transaction takes the write lock when it begins."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's BEGIN below is the only one
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
