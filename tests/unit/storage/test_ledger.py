"""The ledger against somebody who has the file: what verifying finds, with the number of the entry, and what it cannot.

Nobody can be kept from changing a file of theirs. The triggers stop mistakes and careless tools; the chain shows what
was done on purpose, up to the point where all of it is made anew, which only a head kept elsewhere can show.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.chain import Broken, Holds, StoredEntry, walk
from reconciler.model.errors import VerificationFailed
from reconciler.model.ledger_entry import GENESIS
from reconciler.storage import Database, open_database
from reconciler.storage.ledger import SqlLedger, append_in
from tests.unit.storage.processes import go, process, side_by_side
from tests.unit.storage.records import NOON, SEAL

TRIGGERS = ("ledger_no_update", "ledger_no_delete", "ledger_next_only")


@pytest.fixture
def ledger(database: Database) -> SqlLedger:
    """Five entries: plan, gate, deployment-started, deployment-finished, hold."""
    ledger = SqlLedger(database)
    for kind in ("plan", "gate", "deployment-started", "deployment-finished", "hold"):
        ledger.append(kind, "shop/production", {"said": f"{kind} of one"}, NOON)
    return ledger


@pytest.fixture
def outsider(ledger: SqlLedger, file: Path) -> sqlite3.Connection:
    """Somebody with the file and Python, who knows about the triggers."""
    connection = sqlite3.connect(file, isolation_level=None)
    for trigger in TRIGGERS:
        connection.execute(f"DROP TRIGGER {trigger}")
    return connection


def verified(ledger: SqlLedger) -> Holds | Broken:
    """As `reconciler ledger verify` walks the stored chain."""
    return walk(ledger.stored())


def broken_at(ledger: SqlLedger) -> int:
    found = verified(ledger)
    assert isinstance(found, Broken), found
    return found.sequence


def body_of(connection: sqlite3.Connection, sequence: int) -> dict[str, Any]:
    (stored,) = connection.execute("SELECT body FROM ledger WHERE sequence = ?", (sequence,)).fetchone()
    return dict(json.loads(stored))


def bytes_of(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def edit(connection: sqlite3.Connection, sequence: int, honest_hash: bool) -> None:
    body = bytes_of(body_of(connection, sequence) | {"data": {"said": "something else"}})
    connection.execute("UPDATE ledger SET body = ? WHERE sequence = ?", (body, sequence))
    if honest_hash:
        digest = hashlib.sha256(body).hexdigest()
        connection.execute("UPDATE ledger SET hash = ? WHERE sequence = ?", (digest, sequence))


def swap(connection: sqlite3.Connection, one: int, other: int) -> None:
    for before, after in ((one, -1), (other, one), (-1, other)):
        connection.execute("UPDATE ledger SET sequence = ? WHERE sequence = ?", (after, before))


def insert(connection: sqlite3.Connection, sequence: int, body: bytes, hash_: str = "f" * 64) -> None:
    row = (sequence, "e" * 64, hash_, NOON.isoformat(), "gate", "shop/production", body, "f" * 64)
    connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def set_(column: str, value: object, where: int) -> Callable[[sqlite3.Connection], None]:
    def change(connection: sqlite3.Connection) -> None:
        statement = f"UPDATE ledger SET {column} = ? WHERE sequence = ?"  # noqa: S608 - of this file
        connection.execute(statement, (value, where))

    return change


def delete(connection: sqlite3.Connection, *sequences: int) -> None:
    for sequence in sequences:
        connection.execute("DELETE FROM ledger WHERE sequence = ?", (sequence,))


def delete_and_move_up(connection: sqlite3.Connection, sequence: int) -> None:
    delete(connection, sequence)
    connection.execute("UPDATE ledger SET sequence = sequence - 1 WHERE sequence > ?", (sequence,))


def slip_in(connection: sqlite3.Connection, sequence: int) -> None:
    insert(connection, sequence, bytes_of({"sequence": sequence, "at": NOON.isoformat()}))


TAMPERING: dict[str, tuple[Callable[[sqlite3.Connection], None], int]] = {
    "an entry is edited": (lambda c: edit(c, 3, False), 3),
    "an entry is edited and its hash made good": (lambda c: edit(c, 3, True), 4),
    "the last entry is edited": (lambda c: edit(c, 5, False), 5),
    "the first entry is edited": (lambda c: edit(c, 1, False), 1),
    "an entry is deleted": (lambda c: delete(c, 2), 2),
    "the first entries are deleted": (lambda c: delete(c, 1, 2), 1),
    "an entry is deleted and the rest moved up": (lambda c: delete_and_move_up(c, 2), 2),
    "two entries change places": (lambda c: swap(c, 2, 4), 2),
    "an entry is doubled at the end": (lambda c: insert(c, 6, bytes_of(body_of(c, 5))), 6),
    "an entry is put before the first": (lambda c: slip_in(c, 0), 1),
    "an entry is put before the first with a number below": (lambda c: slip_in(c, -7), 1),
    "an entry is put at the end without a link": (lambda c: slip_in(c, 6), 6),
    "a gap is left": (set_("sequence", 9, 5), 5),
    "a link is changed": (set_("previous", "d" * 64, 3), 3),
    "a hash is changed": (set_("hash", "f" * 64, 3), 3),
    "another kind is shown": (set_("kind", "plan", 2), 2),
    "another subject is shown": (set_("subject", "shop/staging", 4), 4),
    "another time is shown": (set_("at", "2020-01-01T00:00:00+00:00", 4), 4),
    "no time is shown": (set_("at", "yesterday", 4), 4),
    "bytes are shown for a time": (set_("at", b"\xff", 4), 4),
    "an entry is emptied": (set_("body", b"", 3), 3),
    "an entry is a number": (set_("body", 9999999999, 3), 3),
    "an entry is another text": (set_("body", "hello", 3), 3),
}


def test_an_honest_ledger_holds_at_the_hash_of_its_last_entry(ledger: SqlLedger) -> None:
    last = list(ledger.entries())[-1]
    assert verified(ledger) == Holds(5, last.hash) == Holds(5, hashlib.sha256(last.body).hexdigest())


def test_an_empty_ledger_holds(database: Database) -> None:
    assert verified(SqlLedger(database)) == Holds(0, GENESIS)


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_is_found_at_the_entry_where_it_shows(
    ledger: SqlLedger, outsider: sqlite3.Connection, how: str
) -> None:
    tamper, where = TAMPERING[how]
    tamper(outsider)
    assert broken_at(ledger) == where


WRITTEN_BY_ANOTHER = [how for how in TAMPERING if "deleted" not in how or "moved up" in how]


@pytest.mark.parametrize("how", WRITTEN_BY_ANOTHER)
def test_what_somebody_else_wrote_is_not_read(ledger: SqlLedger, outsider: sqlite3.Connection, how: str) -> None:
    TAMPERING[how][0](outsider)
    with pytest.raises(VerificationFailed, match="was not written by this installation"):
        list(ledger.entries())


def test_what_somebody_else_wrote_is_no_answer(ledger: SqlLedger, outsider: sqlite3.Connection) -> None:
    outsider.execute("UPDATE ledger SET kind = 'gate', subject = 'shop/production' WHERE sequence = 5")
    for ask in (ledger.latest, ledger.find):
        with pytest.raises(VerificationFailed, match="entry 5: its column kind says something else than its bytes"):
            ask("gate", "shop/production")


def test_a_chain_that_somebody_made_anew_is_no_answer(ledger: SqlLedger, outsider: sqlite3.Connection) -> None:
    """Every hash fits; only the installation's own seal tells."""
    body = body_of(outsider, 5) | {"kind": "gate"}
    content = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    row = (content, hashlib.sha256(content).hexdigest())
    outsider.execute("UPDATE ledger SET body = ?, hash = ?, kind = 'gate' WHERE sequence = 5", row)
    assert isinstance(verified(ledger), Holds)
    for asked in (ledger, SqlLedger(ledger.database)):
        with pytest.raises(VerificationFailed, match="ledger 5 was not written by this installation"):
            asked.latest("plan", "shop/production")


HIDDEN = {
    "by another kind": "UPDATE ledger SET kind = 'nothing' WHERE sequence = 2",
    "by another subject": "UPDATE ledger SET subject = 'nothing' WHERE sequence = 2",
    "by its removal": "DELETE FROM ledger WHERE sequence = 2",
    "under another number": "UPDATE ledger SET sequence = -2 WHERE sequence = 2",
    "by the removal of it and all before it": "DELETE FROM ledger WHERE sequence <= 2",
    "with all that came after it": "DELETE FROM ledger WHERE sequence >= 2",
}


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("known", [True, False], ids=["that knew it", "that did not"])
def test_an_entry_that_somebody_hides_is_missed_by_a_process(
    ledger: SqlLedger, database: Database, outsider: sqlite3.Connection, how: str, known: bool
) -> None:
    """What is hidden may be what decides: that somebody objected, or suspended an environment."""
    assert ledger.latest("gate", "shop/production") is not None
    asked = ledger if known else SqlLedger(database)
    outsider.execute(HIDDEN[how])
    if not known and "after" in how:
        assert asked.find("gate", "shop/production") == (), "of an end that was cut off only what was signed knows"
        return
    for ask in (asked.latest, asked.find):
        with pytest.raises(VerificationFailed):
            ask("gate", "shop/production")


def test_an_entry_of_another_ledger_of_the_same_installation_is_not_taken_for_one_of_this(
    ledger: SqlLedger, outsider: sqlite3.Connection, tmp_path: Path
) -> None:
    """One that went on differently, before a backup was restored, had entries with the same numbers and good seals."""
    other_file = tmp_path / "other.db"
    other = open_database(f"sqlite:///{other_file}", SEAL)
    for number in range(5):
        SqlLedger(other).append("hold", "shop/staging", {"said": number}, NOON)
    other.close()
    outsider.execute("ATTACH ? AS other", (str(other_file),))
    outsider.execute("DELETE FROM ledger WHERE sequence = 2")
    outsider.execute("INSERT INTO ledger SELECT * FROM other.ledger WHERE sequence = 2")
    with pytest.raises(VerificationFailed, match="entry 2: does not follow from the entry before it"):
        SqlLedger(ledger.database).latest("gate", "shop/production")


def test_an_index_that_was_put_in_place_of_another_hides_no_entry(
    ledger: SqlLedger, file: Path, outsider: sqlite3.Connection
) -> None:
    outsider.executescript(
        """
        CREATE INDEX kinds ON ledger (kind) WHERE kind <> 'gate';
        CREATE INDEX subjects ON ledger (subject) WHERE kind <> 'gate';
        PRAGMA writable_schema = ON;
        UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'kinds')
          WHERE name = 'ix_ledger_kind';
        UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'subjects')
          WHERE name = 'ix_ledger_subject';
        DELETE FROM sqlite_master WHERE name IN ('kinds', 'subjects');
        """
    )
    outsider.close()
    again = sqlite3.connect(file)
    assert again.execute("SELECT count(*) FROM ledger WHERE kind = 'gate'").fetchone() == (0,), "it does hide it"
    reopened = open_database(f"sqlite:///{file}", SEAL)
    assert SqlLedger(reopened).latest("gate", "shop/production") is not None
    reopened.close()


def test_nothing_is_appended_to_what_somebody_else_wrote(ledger: SqlLedger, outsider: sqlite3.Connection) -> None:
    slip_in(outsider, 6)
    with pytest.raises(VerificationFailed, match="ledger 6 was not written by this installation"):
        ledger.append("hold", "shop/production", {}, NOON)
    assert outsider.execute("SELECT max(sequence) FROM ledger").fetchone() == (6,)


def test_what_was_taken_away_shows_in_the_count(ledger: SqlLedger, outsider: sqlite3.Connection) -> None:
    assert (ledger.count(), ledger.head()[0]) == (5, 5)
    delete(outsider, 2)
    assert (ledger.count(), ledger.head()[0]) == (4, 5)


def test_a_doubled_number_in_a_table_made_anew_without_keys_is_found(
    ledger: SqlLedger, outsider: sqlite3.Connection
) -> None:
    outsider.execute("CREATE TABLE copy AS SELECT * FROM ledger")
    outsider.execute("DROP TABLE ledger")
    outsider.execute("ALTER TABLE copy RENAME TO ledger")
    assert isinstance(verified(ledger), Holds), "the same entries in another table are the same ledger"
    outsider.execute("INSERT INTO ledger SELECT * FROM ledger WHERE sequence = 3")  # no key refuses it now
    assert broken_at(ledger) == 4


def test_a_long_ledger_is_walked_to_its_end(ledger: SqlLedger, database: Database, file: Path) -> None:
    with database.writing() as connection:
        for _ in range(1200):
            append_in(connection, SEAL, "plan", "shop/production", {}, NOON)
    assert isinstance(verified(ledger), Holds)
    connection_outside = sqlite3.connect(file, isolation_level=None)
    connection_outside.execute("DROP TRIGGER ledger_no_delete")
    connection_outside.execute("DELETE FROM ledger WHERE sequence = 1001")
    connection_outside.close()
    assert broken_at(ledger) == 1001


def test_a_tail_that_is_cut_off_is_not_found_but_the_head_is_another(
    ledger: SqlLedger, outsider: sqlite3.Connection
) -> None:
    """The chain claims nothing about its own end. Who wrote the head down elsewhere sees it; nobody else can."""
    before = verified(ledger)
    outsider.execute("DELETE FROM ledger WHERE sequence > 3")
    after = verified(ledger)
    assert isinstance(before, Holds)
    assert isinstance(after, Holds)
    assert (after.size, after.head) != (before.size, before.head)
    assert after.size == 3


def test_a_ledger_made_anew_as_a_whole_is_not_found_but_the_head_is_another(
    ledger: SqlLedger, outsider: sqlite3.Connection
) -> None:
    """The same limit: the hashes are public, so that anybody can compute a chain. The head kept elsewhere tells."""
    before = verified(ledger)
    previous = GENESIS
    for sequence in range(1, 6):
        body = bytes_of(body_of(outsider, sequence) | {"previous": previous, "data": {"said": "nothing"}})
        digest = hashlib.sha256(body).hexdigest()
        outsider.execute(
            "UPDATE ledger SET body = ?, previous = ?, hash = ? WHERE sequence = ?", (body, previous, digest, sequence)
        )
        previous = digest
    after = verified(ledger)
    assert isinstance(before, Holds)
    assert isinstance(after, Holds)
    assert after.size == before.size
    assert after.head != before.head


@pytest.mark.parametrize("statement", ["UPDATE ledger SET kind = 'plan'", "DELETE FROM ledger"])
def test_changing_the_ledger_by_mistake_is_refused(ledger: SqlLedger, file: Path, statement: str) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="the ledger is append-only"):
        connection.execute(f"{statement} WHERE sequence = 2")
    connection.close()
    assert verified(ledger) == Holds(5, list(ledger.entries())[-1].hash)


@pytest.mark.parametrize("sequence", [0, 2, 7])
def test_adding_anything_but_the_next_entry_is_refused(ledger: SqlLedger, file: Path, sequence: int) -> None:
    """INSERT OR REPLACE would delete an entry without asking the trigger that refuses deleting."""
    connection = sqlite3.connect(file, isolation_level=None)
    for verb in ("INSERT", "INSERT OR REPLACE"):
        with pytest.raises(sqlite3.IntegrityError, match="the ledger is append-only"):
            connection.execute(
                f"{verb} INTO ledger SELECT ?, previous, hash, at, kind, 'x', body, seal FROM ledger LIMIT 1",  # noqa: S608
                (sequence,),
            )
    connection.close()
    assert isinstance(verified(ledger), Holds)


def test_adding_an_entry_that_does_not_follow_is_refused(ledger: SqlLedger, file: Path) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="the ledger is append-only"):
        slip_in(connection, 6)
    connection.close()


def test_an_export_verifies_without_the_database_and_shows_an_edit(ledger: SqlLedger) -> None:
    lines = [entry.body for entry in ledger.entries()]
    assert all(b"\n" not in line for line in lines)
    assert walk(map(StoredEntry, lines)) == verified(ledger)
    for number, line in enumerate(lines[:-1], 1):
        edited = [*lines[: number - 1], line.replace(b"of one", b"of two"), *lines[number:]]
        assert walk(map(StoredEntry, edited)) == Broken(number + 1, "does not follow from the entry before it")


def test_the_link_of_an_entry_is_the_plain_hash_of_the_line_before(ledger: SqlLedger) -> None:
    """sha256sum alone can follow it."""
    lines = [entry.body for entry in ledger.entries()]
    links = [json.loads(line)["previous"] for line in lines]
    assert links == [GENESIS, *(hashlib.sha256(line).hexdigest() for line in lines[:-1])]


def test_a_fact_with_line_breaks_stays_on_one_line(ledger: SqlLedger) -> None:
    text = "one\ntwo\r\n\u2028three"
    entry = ledger.append("hold", "shop/production", {"reason": text}, NOON)
    assert b"\n" not in entry.body
    assert json.loads(entry.body)["data"] == {"reason": text}


def test_a_fact_that_cannot_be_written_down_leaves_nothing(ledger: SqlLedger) -> None:
    before = verified(ledger)
    with pytest.raises(ValueError, match="nan"):
        ledger.append("hold", "shop/production", {"seconds": float("nan")}, NOON)
    assert verified(ledger) == before


def test_an_entry_stands_or_falls_with_what_its_transaction_does(ledger: SqlLedger, database: Database) -> None:
    before = verified(ledger)

    class PowerCut(Exception):
        pass

    def write_half() -> None:
        with database.writing() as connection:
            append_in(connection, SEAL, "hold", "shop/production", {}, NOON)
            raise PowerCut

    with pytest.raises(PowerCut):
        write_half()
    assert verified(ledger) == before


APPEND = """
for number in range(30):
    SqlLedger(database).append("plan", name, {"number": number}, NOON)
    print(number, flush=True)
"""


def test_two_processes_that_append_at_once_leave_one_chain_without_a_gap(database: Database, file: Path) -> None:
    one, two = side_by_side(file, APPEND)
    assert one == two == [str(number) for number in range(30)]
    ledger = SqlLedger(database)
    assert verified(ledger) == Holds(60, list(ledger.entries())[-1].hash)
    for name in ("one", "two"):
        assert [json.loads(e.body)["data"]["number"] for e in ledger.find("plan", name)] == list(range(30))


def test_a_writer_that_is_killed_loses_nothing_that_it_had_committed(database: Database, file: Path) -> None:
    endless = "number = 0\nwhile True:\n    number = SqlLedger(database).append('plan', name, {}, NOON).sequence\n"
    with process(file, "writer", endless + "    print(number, flush=True)\n") as writer:
        go(writer)
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        rest, _ = writer.communicate()
    acknowledged = max([*said, *(int(line) for line in rest.splitlines() if line)])
    found = verified(SqlLedger(database))
    assert isinstance(found, Holds)
    assert found.size >= acknowledged
    assert SqlLedger(database).append("plan", "after", {}, NOON).sequence == found.size + 1


def test_a_writer_that_is_killed_in_a_transaction_leaves_nothing_of_it_and_no_lock(
    database: Database, file: Path
) -> None:
    half = """
with database.writing() as connection:
    append_in(connection, SEAL, "plan", name, {}, NOON)
    print("in the middle", flush=True)
    sys.stdin.readline()
"""
    SqlLedger(database).append("trust", "before", {}, NOON)
    with process(file, "writer", half) as writer:
        go(writer)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "in the middle\n"
        writer.kill()
        writer.wait()
    assert SqlLedger(database).append("plan", "after", {}, NOON).sequence == 2
    reopened = open_database(f"sqlite:///{file}", SEAL)
    assert [entry.subject for entry in SqlLedger(reopened).entries()] == ["before", "after"]
    reopened.close()
