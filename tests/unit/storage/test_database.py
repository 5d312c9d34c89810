"""Opening the database: what it costs, what it waits for, and what it says of a file that it cannot open."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import reconciler.storage
from reconciler.model.errors import InvalidInput, ReconcilerError, Retryable, Terminal, VerificationFailed
from reconciler.storage import Database, open_database
from reconciler.storage import database as database_module
from reconciler.storage.deployments import SqlDeployments
from reconciler.storage.ledger import SqlLedger
from reconciler.storage.schema import REVISION, metadata
from reconciler.storage.states import SqlStates
from tests.unit.storage.processes import go, process
from tests.unit.storage.records import NOON, SEAL, a_deployment

MIGRATIONS = Path(reconciler.storage.__file__).parent / "migrations"


def refusal(url: str) -> ReconcilerError:
    with pytest.raises(ReconcilerError) as refused:
        open_database(url, SEAL).close()
    return refused.value


def test_a_fresh_database_has_exactly_the_tables_that_the_code_names(database: Database) -> None:
    with database.writing() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_fresh_database_is_at_the_newest_migration(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.reading() as connection:
        stored = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    assert stored == [REVISION] == list(ScriptDirectory.from_config(config).get_heads())


def test_a_database_that_is_up_to_date_opens_without_the_migrations(database: Database, file: Path) -> None:
    """They take longer to import than most commands take to answer."""
    with process(file, "reader", "print('alembic' in sys.modules)") as reader:
        go(reader)
        assert reader.communicate() == ("False\n", "")


def test_every_connection_writes_ahead_and_syncs_in_full(database: Database) -> None:
    with database.reading() as connection, database.reading() as other:
        for opened in (connection, other):
            assert opened.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert opened.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_reading_and_opening_do_not_wait_for_a_writer(database: Database, file: Path) -> None:
    SqlLedger(database).append("trust", "here", {}, NOON)
    SqlDeployments(database).begin(a_deployment(), {})
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        assert [entry.kind for entry in SqlLedger(database).entries()] == ["trust"]
        assert SqlDeployments(database).unfinished() == (a_deployment(),)
        assert SqlStates(database).environments() == ()
        open_database(f"sqlite:///{file}", SEAL).close()
    finally:
        writer.close()


def test_a_reader_sees_one_moment_while_others_write(database: Database) -> None:
    ledger = SqlLedger(database)
    ledger.append("one", "here", {}, NOON)
    entries = ledger.entries()
    first = next(entries)
    ledger.append("two", "here", {}, NOON)
    assert [entry.kind for entry in (first, *entries)] == ["one"]
    assert [entry.kind for entry in ledger.entries()] == ["one", "two"]


def test_what_is_written_without_saying_so_is_lost(database: Database) -> None:
    """A reader's transaction is never committed: a forgotten `writing` shows in the first test of its feature."""
    with database.reading() as connection:
        connection.exec_driver_sql("INSERT INTO deliveries VALUES ('a', 1)")
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM deliveries").scalar() == 0


def test_a_writer_waits_for_its_turn_and_then_gives_up(
    database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "WAIT_SECONDS", 0.01)
    impatient = open_database(f"sqlite:///{file}", SEAL)
    with database.writing(), pytest.raises(OperationalError, match="locked"), impatient.writing():
        pass
    impatient.close()


def test_opening_for_the_first_time_beside_a_writer_may_be_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "WAIT_SECONDS", 0.01)
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    try:
        refused = refusal(f"sqlite:///{file}")
    finally:
        writer.close()
    assert isinstance(refused, Retryable)
    assert str(refused) == f"{file}: cannot open the database: database is locked"


def test_opening_twice_changes_nothing(database: Database, file: Path) -> None:
    SqlLedger(database).append("trust", "here", {}, NOON)
    again = open_database(f"sqlite:///{file}", SEAL)
    assert len(list(SqlLedger(again).entries())) == 1
    again.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE journal (mine TEXT)")  # somebody else's: the migration meets it half way
    connection.close()
    refused = refusal(f"sqlite:///{file}")
    assert isinstance(refused, Terminal)
    assert "table journal already exists" in str(refused)
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("journal",)]
    connection.close()


def test_a_newer_schema_is_refused_with_what_to_do(database: Database, file: Path) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    refused = refusal(f"sqlite:///{file}")
    assert isinstance(refused, Terminal)
    assert str(refused) == (
        f"{file}: the database has schema 9999, and this version knows it up to {REVISION} "
        "(another version wrote it: run that one, restore a backup, or see docs/how-to/trust.md)"
    )


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(file: Path) -> None:
    file.write_text("services: {}\n" * 100)
    refused = refusal(f"sqlite:///{file}")
    assert isinstance(refused, InvalidInput)
    assert str(refused).startswith(f"{file}: is not an SQLite database; name another file")
    assert file.read_text() == "services: {}\n" * 100


def test_a_damaged_database_is_refused_with_what_to_do(database: Database, file: Path) -> None:
    database.close()
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    refused = refusal(f"sqlite:///{file}")
    assert isinstance(refused, Terminal)
    assert "restore it from a backup" in str(refused)


def test_a_database_that_breaks_while_it_is_open_is_refused_with_what_to_do(database: Database, file: Path) -> None:
    SqlLedger(database).append("gate", "x", {"text": "x" * 20_000}, NOON)
    database.close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ledger'").fetchone()[0]
    whole = bytearray(file.read_bytes())
    whole[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    file.write_bytes(whole)
    with pytest.raises(Terminal, match="restore it from a backup"):
        SqlLedger(database).find("gate", "x")


def test_a_directory_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    refused = refusal(f"sqlite:///{tmp_path}")
    assert isinstance(refused, InvalidInput)
    assert str(refused).startswith(f"{tmp_path}: cannot open the database: unable to open database file")


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    refused = refusal(f"sqlite:///{tmp_path}/state/reconciler.db")
    assert isinstance(refused, InvalidInput)
    assert str(refused).startswith(f"{tmp_path}/state/reconciler.db: cannot make the directory of the database: ")


# Root writes everywhere by a capability, which it can do without.
BOUND = ("setpriv", "--bounding-set", "-dac_override") if os.geteuid() == 0 else ()
OPEN = """
import sys
from reconciler.model.errors import InvalidInput
from reconciler.storage import open_database
from tests.unit.storage.records import SEAL
try:
    open_database(sys.argv[1], SEAL)
except InvalidInput as error:
    print(error)
"""


@pytest.mark.parametrize("locked", ["directory", "file"])
def test_what_this_user_may_not_write_is_refused(database: Database, file: Path, locked: str) -> None:
    database.close()
    if locked == "directory":
        file.unlink()
        file.parent.chmod(0o500)
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("DROP TABLE alembic_version")
        file.chmod(0o400)
    command = (*BOUND, sys.executable, "-c", OPEN, f"sqlite:///{file}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        file.parent.chmod(0o700)
    assert "this user needs to write the file and its directory" in done.stdout, done


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("reconciler.db", "is not a database URL; write e.g. sqlite:///state/reconciler.db"),
        ("", "is not a database URL"),
        ("sqlite+aiosqlite:///reconciler.db", "sqlite+aiosqlite is not supported"),
        ("postgresql://db/reconciler", "postgresql is not supported by this version; use sqlite:///FILE"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
    ],
)
def test_a_url_that_names_no_file_is_refused(url: str, said: str) -> None:
    refused = refusal(url)
    assert isinstance(refused, InvalidInput)
    assert str(refused).startswith("database: ")
    assert said in str(refused)


def test_a_url_may_hold_a_password_and_the_refusal_does_not_show_it() -> None:
    assert "hunter2" not in str(refusal("postgresql://me:hunter2@db/reconciler"))
    assert "hunter2" not in str(refusal("postgres:me:hunter2@db"))


PLANTED = {
    "a trigger that leaves out what is written": """
        CREATE TRIGGER quiet BEFORE INSERT ON ledger BEGIN SELECT RAISE(IGNORE); END
        """,
    "a trigger on a table that decides nothing": """
        CREATE TRIGGER late AFTER UPDATE ON leases BEGIN DELETE FROM journal; END
        """,
    "a view in place of a table": "ALTER TABLE journal RENAME TO kept; CREATE VIEW journal AS SELECT * FROM kept",
    "a table that leaves out what is written": """
        DROP TABLE deliveries;
        CREATE TABLE deliveries (id VARCHAR(100) PRIMARY KEY ON CONFLICT IGNORE, at FLOAT NOT NULL)
        """,
    "a guard that refuses nothing": """
        DROP TRIGGER ledger_no_delete;
        CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT 1; END
        """,
}


@pytest.mark.parametrize("what", PLANTED)
def test_nothing_is_read_or_written_where_somebody_planted(what: str, database: Database, file: Path) -> None:
    """Also on connections that were open before."""
    with database.reading() as connection:
        connection.execute(text("SELECT 1"))
    with closing(sqlite3.connect(file)) as outsider:
        outsider.executescript(PLANTED[what])
    reopened = open_database(f"sqlite:///{file}", SEAL)
    for opened in (database, reopened):
        with pytest.raises(VerificationFailed, match="gate 68"), opened.writing():
            raise AssertionError("it began")
        with pytest.raises(VerificationFailed, match="gate 68"), opened.reading() as connection:
            connection.execute(text("SELECT 1"))
    reopened.close()
