"""`reconciler ledger`: what was tampered with exits 6, what cannot be told exits 1, and what is as it was exits 0.

Somebody has the database file, and knows about triggers and hashes; the installation's key lies elsewhere. Where that
is not enough to tell, something from outside is: a checkpoint that was exported, an anchor, a witness.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Table

from reconciler.bootstrap import open_parts, open_records, seal_of
from reconciler.cli import main
from reconciler.model.ledger_entry import GENESIS
from reconciler.ports import TrustRecord
from reconciler.storage.schema import ledger as ledger_table
from reconciler.storage.stored import GUARDS
from tests.git_remotes import Remote

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
ENTRIES = 6
SIGNED = 5  # one more was appended after the checkpoint

Tamper = Callable[[sqlite3.Connection], None]


@dataclass(slots=True)
class Installation:
    """Six entries, of which a checkpoint covers five; an export, and what somebody wrote down of it."""

    directory: Path
    outside: Path
    anchor: str

    @property
    def config(self) -> Path:
        return self.directory / "server.yaml"

    @property
    def database(self) -> Path:
        return self.directory / "state" / "reconciler.db"

    @property
    def checkpoint(self) -> Path:
        return self.outside / "checkpoint"

    @property
    def lines(self) -> Path:
        return self.outside / "ledger.jsonl"

    @property
    def key(self) -> Path:
        return self.outside / "allowed_signers"

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--config", str(self.config)])

    def answer(self, *arguments: str, code: int = 0) -> Any:
        done = self.run(*arguments, "--json")
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    def verify(self, *arguments: str, code: int = 0) -> Any:
        return self.answer("ledger", "verify", *arguments, code=code)

    def refused(self, *arguments: str) -> str:
        """The reason of an exit with 6."""
        answer = self.verify(*arguments, code=6)
        assert answer["code"] == "VERIFICATION_FAILED"
        return str(answer["error"])

    def without_the_copy(self) -> None:
        (self.directory / "state" / "checkpoint").unlink()

    def append(self, *kinds: str) -> None:
        with open_records(self.config) as records:
            for kind in kinds:
                records.ledger.append(kind, "shop/production", {"said": f"{kind} of one"}, NOON)


def configure(directory: Path) -> None:
    """A server's configuration; neither forge nor git is asked."""
    for name in ("token", "id"):
        (directory / name).write_text("text\n")
    (directory / "server.yaml").write_text(
        "forge: {kind: github, api: 'http://forge.invalid/api/v3', repository: acme/infra, token_file: token}\n"
        "git: {url: 'https://forge.invalid/acme/infra.git'}\ndatabase: 'sqlite:///state/reconciler.db'\n"
        "ssh: {key_file: id}\n"
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Made once; each test has a copy."""
    directory = tmp_path_factory.mktemp("installation")
    configure(directory)
    made = Installation(directory, directory / "outside", "")
    with open_parts(made.config) as parts:
        parts.states.set_trust(TrustRecord(repository=77, revision="a" * 40, roots=(), created_at=NOON))
    made.append("trust", "plan-posted", "gate", "deployment-started", "deployment-finished")
    made.anchor = made.answer("ledger", "checkpoint")["data"]["anchor"]
    made.append("hold")
    made.answer("ledger", "export", "--directory", str(made.outside))
    return made


@pytest.fixture
def installation(model: Installation, tmp_path: Path) -> Installation:
    directory = tmp_path / "installation"
    shutil.copytree(model.directory, directory)
    return Installation(directory, directory / "outside", model.anchor)


@pytest.fixture
def outsider(installation: Installation) -> Iterator[sqlite3.Connection]:
    """Somebody with the database file, who takes the triggers away and puts them back when done."""
    connection = sqlite3.connect(installation.database, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def tampered(connection: sqlite3.Connection, how: Tamper) -> None:
    """Do it, and leave the triggers as they were."""
    for name in GUARDS:
        connection.execute(f"DROP TRIGGER {name}")
    how(connection)
    for statement in GUARDS.values():
        connection.execute(statement)


def entry(connection: sqlite3.Connection, sequence: int) -> dict[str, Any]:
    (body,) = connection.execute("SELECT body FROM ledger WHERE sequence = ?", (sequence,)).fetchone()
    return dict(json.loads(body))


def in_bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def chained(bodies: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """The rows of an honest-looking ledger with this content, as anybody can compute them."""
    previous = GENESIS
    for sequence, body in enumerate(bodies, 1):
        written = in_bytes({**body, "sequence": sequence, "previous": previous})
        digest = hashlib.sha256(written).hexdigest()
        yield sequence, previous, digest, body["at"], body["kind"], body["subject"], written
        previous = digest


def write_anew(connection: sqlite3.Connection, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """The whole ledger with other content and a chain that is right."""
    count = connection.execute("SELECT max(sequence) FROM ledger").fetchone()[0]
    bodies = [entry(connection, sequence) for sequence in range(1, count + 1)]
    change(bodies)
    connection.execute("DELETE FROM ledger")
    connection.executemany("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, '')", chained(bodies))


def seal_anew(installation: Installation, connection: sqlite3.Connection, table: Table = ledger_table) -> None:
    """What somebody can do who has the keys beside the database, too."""
    names = [column.name for column in table.columns]
    keys = " AND ".join(f"{column.name} = ?" for column in table.primary_key)
    for row in connection.execute(f"SELECT {', '.join(names)} FROM {table.name}").fetchall():  # noqa: S608 - of ours
        values = dict(zip(names, row, strict=True))
        seal = seal_of(installation.directory / "state").sealed(table, values)["seal"]
        found = [values[column.name] for column in table.primary_key]
        connection.execute(f"UPDATE {table.name} SET seal = ? WHERE {keys}", (seal, *found))  # noqa: S608 - of ours


def edit(connection: sqlite3.Connection) -> None:
    body = in_bytes(entry(connection, 3) | {"data": {"said": "an open gate"}})
    digest = hashlib.sha256(body).hexdigest()
    connection.execute("UPDATE ledger SET body = ?, hash = ? WHERE sequence = 3", (body, digest))


def insert(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE ledger SET sequence = 7 WHERE sequence = 6")
    body = in_bytes(entry(connection, 5) | {"sequence": 6})
    row = (6, "e" * 64, hashlib.sha256(body).hexdigest(), NOON.isoformat(), "gate", "shop/production", body)
    connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, '')", row)


def delete(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM ledger WHERE sequence = 3")
    connection.execute("UPDATE ledger SET sequence = sequence - 1 WHERE sequence > 3")


def reorder(connection: sqlite3.Connection) -> None:
    for before, after in ((2, -1), (4, 2), (-1, 4)):
        connection.execute("UPDATE ledger SET sequence = ? WHERE sequence = ?", (after, before))


def insert_and_make_good(connection: sqlite3.Connection) -> None:
    write_anew(connection, lambda bodies: bodies.insert(2, bodies[2] | {"data": {"said": "an approval"}}))


def delete_and_make_good(connection: sqlite3.Connection) -> None:
    write_anew(connection, lambda bodies: bodies.pop(2))


def edit_and_make_good(connection: sqlite3.Connection) -> None:
    write_anew(connection, lambda bodies: bodies[2].update(data={"said": "an open gate"}))


def reorder_and_make_good(connection: sqlite3.Connection) -> None:
    write_anew(connection, lambda bodies: bodies.reverse())


def cut_the_head_and_make_good(connection: sqlite3.Connection) -> None:
    write_anew(connection, lambda bodies: bodies.__delitem__(slice(0, 2)))


def empty_the_ledger(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM ledger")


def forget_checkpoints(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM checkpoints")


TAMPERING: dict[str, tuple[Tamper, str]] = {
    "edit": (edit, "entry 4 does not follow"),
    "edit, the chain made good": (edit_and_make_good, "written anew"),
    "insert": (insert, "entry 6 does not follow"),
    "insert, the chain made good": (insert_and_make_good, "written anew"),
    "delete": (delete, "entry 3 says it is number 4"),
    "delete, the chain made good": (delete_and_make_good, "written anew"),
    "reorder": (reorder, "entry 2 says it is number 4"),
    "reorder, the chain made good": (reorder_and_make_good, "written anew"),
    "gap": (lambda c: c.execute("UPDATE ledger SET sequence = 9 WHERE sequence = 6") and None, "column sequence"),
    "cut at the head": (lambda c: c.execute("DELETE FROM ledger WHERE sequence < 3") and None, "entry 1 says"),
    "cut at the head, the chain made good": (cut_the_head_and_make_good, "has only 4"),
    "cut at the tail": (lambda c: c.execute("DELETE FROM ledger WHERE sequence > 3") and None, "has only 3"),
    "emptied": (empty_the_ledger, "is empty: entries were taken away"),
    "rewritten from scratch": (lambda c: write_anew(c, lambda b: b.__setitem__(slice(None), b[:1] * 9)), "anew"),
}


def test_an_honest_ledger_holds_and_says_how_far_it_is_signed(installation: Installation) -> None:
    found = installation.verify("--checkpoint", str(installation.checkpoint), "--anchor", installation.anchor)["data"]
    assert (found["valid"], found["size"], found["covered"], found["checkpoints"]) == (True, ENTRIES, SIGNED, 1)
    assert found["compared"] == [
        "the copy beside the database", str(installation.checkpoint), f"the anchor {installation.anchor}",
    ]  # fmt: skip
    text = installation.run("ledger", "verify").stdout
    assert text.startswith(f"the ledger holds: {ENTRIES} entries")
    assert f"signed checkpoints speak for {SIGNED} of them" in text


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_exits_6_and_says_what_it_was(
    installation: Installation, outsider: sqlite3.Connection, how: str
) -> None:
    change, said = TAMPERING[how]
    tampered(outsider, change)
    assert said in installation.refused()


@pytest.mark.parametrize("how", [how for how, (_, said) in TAMPERING.items() if "entry" not in said and how != "gap"])
@pytest.mark.parametrize("kept", ["the copy", "an exported checkpoint", "an anchor"])
def test_a_right_chain_is_found_by_what_is_kept_elsewhere_when_the_checkpoints_are_gone_too(
    installation: Installation, outsider: sqlite3.Connection, how: str, kept: str
) -> None:
    """Without anything from outside nothing could tell; each of these alone can."""
    change, said = TAMPERING[how]
    tampered(outsider, change)
    tampered(outsider, forget_checkpoints)
    brought = {
        "the copy": [],
        "an exported checkpoint": ["--checkpoint", str(installation.checkpoint)],
        "an anchor": ["--anchor", installation.anchor],
    }[kept]
    if kept != "the copy":
        installation.without_the_copy()
        assert installation.verify()["data"]["covered"] is None, "nothing inside could tell"
    assert said in installation.refused(*brought)


def test_a_checkpoint_by_another_key_is_tampering(installation: Installation, outsider: sqlite3.Connection) -> None:
    """Rewritten from scratch with a checkpoint that fits, by somebody who does not have the installation's key."""
    theirs = installation.directory / "theirs"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(theirs)], check=True)

    def rewrite(connection: sqlite3.Connection) -> None:
        write_anew(connection, lambda bodies: bodies[2].update(data={"said": "an open gate"}))
        root = connection.execute("SELECT hash FROM ledger WHERE sequence = 5").fetchone()[0]
        said = f"reconciler/77\n5\n{root}\n"
        signature = subprocess.run(
            ["ssh-keygen", "-Y", "sign", "-q", "-f", str(theirs), "-n", "reconciler-checkpoint"],
            input=said.encode(), capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip
        connection.execute("UPDATE checkpoints SET text = ?", (f"{said}\n{signature}",))

    tampered(outsider, rewrite)
    installation.without_the_copy()
    assert "checkpoint 5 was not signed by the key" in installation.refused()
    with_theirs = installation.verify("--key", f"{theirs}.pub")["data"]
    assert with_theirs["valid"], "the key alone makes the difference"
    assert "was not signed by the key" in installation.refused("--key", str(installation.key))
    shutil.copy(theirs, installation.directory / "state" / "signing.key")  # they have the key as well
    assert installation.verify()["data"]["valid"], "from inside nothing can tell any more"
    assert "written anew" in installation.refused("--anchor", installation.anchor), "from outside the anchor can"


def put(text: str) -> Tamper:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE checkpoints SET text = ?", (text,))

    return change


def test_an_honest_checkpoint_that_says_something_else_is_tampering(
    installation: Installation, outsider: sqlite3.Connection
) -> None:
    (text,) = outsider.execute("SELECT text FROM checkpoints").fetchone()
    for before, after in (("reconciler/77", "reconciler/78"), ("\n5\n", "\n4\n"), ("-----BEGIN", "-----BEGAN")):
        tampered(outsider, put(text.replace(before, after)))
        assert "checkpoint 5" in installation.refused()
    tampered(outsider, put(text))
    assert installation.verify()["data"]["valid"]


@pytest.mark.parametrize("trigger", GUARDS)
def test_a_trigger_that_is_gone_or_changed_is_tampering(
    installation: Installation, outsider: sqlite3.Connection, trigger: str
) -> None:
    outsider.execute(f"DROP TRIGGER {trigger}")
    assert f"the trigger {trigger} is missing" in installation.refused()
    toothless = GUARDS[trigger].replace("RAISE(ABORT", "RAISE(IGNORE").replace(", 'the ledger is append-only'", "")
    toothless = toothless.replace(", 'checkpoints are append-only'", "")
    outsider.execute(toothless.split(" BEGIN ")[0] + " BEGIN SELECT 1; END")
    assert f"the trigger {trigger} was changed" in installation.refused()


def test_a_trigger_that_drops_what_is_appended_is_tampering(
    installation: Installation, outsider: sqlite3.Connection
) -> None:
    outsider.execute("CREATE TRIGGER quiet BEFORE INSERT ON ledger BEGIN SELECT RAISE(IGNORE); END")
    assert "a trigger quiet that is none of ours" in installation.refused()


def test_triggers_that_are_taken_out_of_the_schema_itself_are_tampering(
    installation: Installation, outsider: sqlite3.Connection
) -> None:
    outsider.execute("PRAGMA writable_schema=ON")
    outsider.execute("DELETE FROM sqlite_master WHERE type = 'trigger'")
    assert "the trigger ledger_no_update is missing" in installation.refused()


@pytest.mark.parametrize("table", ["ledger", "checkpoints"])
def test_a_table_that_is_gone_or_a_view_is_tampering(
    installation: Installation, outsider: sqlite3.Connection, table: str
) -> None:
    outsider.execute(f"ALTER TABLE {table} RENAME TO hidden")
    assert f"{table} is no table" in installation.refused()
    outsider.execute(f"CREATE VIEW {table} AS SELECT * FROM hidden")  # noqa: S608 - of this file
    assert f"{table} is no table" in installation.refused()


def test_a_text_that_is_none_is_tampering(installation: Installation, outsider: sqlite3.Connection) -> None:
    tampered(outsider, lambda c: c.execute("UPDATE ledger SET at = CAST(x'ff' AS TEXT) WHERE sequence = 2") and None)
    assert "tampered" in installation.refused()


# -- the witness ----------------------------------------------------------------------------------------------------


def with_a_witness(installation: Installation) -> Remote:
    """A witness is configured and told of the ledger."""
    remote = Remote.make(installation.directory / "witness.git")
    with installation.config.open("a") as config:
        config.write(f"ledger: {{witness: {{url: '{remote.path}'}}}}\n")
    installation.answer("ledger", "checkpoint")
    return remote


def test_a_witness_has_every_checkpoint_and_agrees(installation: Installation) -> None:
    remote = with_a_witness(installation)
    assert remote.head("refs/heads/main") is not None
    compared = installation.verify()["data"]["compared"]
    assert compared[1:] == ["the witness's checkpoint 5", "the witness's checkpoint 6"]


def test_a_ledger_and_its_checkpoints_made_anew_with_the_key_are_found_by_the_witness(
    installation: Installation, outsider: sqlite3.Connection
) -> None:
    """The whole machine is in their hands; the witness is not."""
    with_a_witness(installation)
    tampered(outsider, edit_and_make_good)
    tampered(outsider, forget_checkpoints)
    tampered(outsider, lambda c: seal_anew(installation, c))
    installation.without_the_copy()
    assert installation.verify("--offline")["data"]["valid"]
    assert "the witness's checkpoint 5 has" in installation.refused()
    answer = installation.answer("ledger", "checkpoint", code=6)
    assert "entry 6 is another one than the one that was signed" in answer["error"]


def test_a_witness_that_cannot_be_asked_leaves_it_open(installation: Installation) -> None:
    remote = with_a_witness(installation)
    remote.path.rename(remote.path.with_name("away"))
    answer = installation.verify(code=1)
    assert answer["code"] == "TRY_AGAIN"
    assert "what there is holds, but" in answer["error"]
    assert installation.verify("--offline")["data"]["valid"]


# -- what cannot be told --------------------------------------------------------------------------------------------


def cannot_tell(installation: Installation, *arguments: str) -> str:
    answer = installation.verify(*arguments, code=1)
    assert answer["code"] != "VERIFICATION_FAILED"
    return str(answer["error"])


def test_a_missing_database_cannot_be_verified_and_is_not_made(installation: Installation) -> None:
    installation.database.unlink()
    assert "there is no such database" in cannot_tell(installation)
    assert not installation.database.exists()


def test_what_is_no_database_of_ours_cannot_be_verified(installation: Installation, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_text("not a database, and longer than a hundred bytes " * 9)
    assert "nothing can be verified" in cannot_tell(installation, "--database", str(other))
    empty = tmp_path / "empty.db"
    sqlite3.connect(empty).execute("CREATE TABLE x (y)").connection.close()
    assert "is no database of reconciler" in cannot_tell(installation, "--database", str(empty))


def test_a_missing_key_cannot_verify_and_is_not_made(installation: Installation) -> None:
    key = installation.directory / "state" / "signing.key"
    key.unlink()
    assert "no key" in cannot_tell(installation)
    assert not key.exists()
    assert installation.verify("--key", str(installation.key))["data"]["valid"]


def test_without_a_key_a_broken_chain_is_tampering_all_the_same(
    installation: Installation, outsider: sqlite3.Connection
) -> None:
    (installation.directory / "state" / "signing.key").unlink()
    tampered(outsider, edit)
    assert "entry 4" in installation.refused()


@pytest.mark.parametrize("option", ["--file", "--database", "--checkpoint", "--key"])
def test_a_missing_file_cannot_be_verified(installation: Installation, option: str) -> None:
    assert "there is no such" in cannot_tell(installation, option, "/nonexistent")


def test_what_is_no_checkpoint_and_no_key_cannot_be_compared(installation: Installation, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for content in (b"", b"\xff\xfe", b"reconciler/77\n5\n", b"x" * 100_000):
        other.write_bytes(content)
        cannot_tell(installation, "--checkpoint", str(other))
        cannot_tell(installation, "--key", str(other))


def test_verifying_changes_nothing_in_the_database(installation: Installation) -> None:
    before = installation.database.read_bytes()
    installation.verify()
    assert installation.database.read_bytes() == before


# -- exports --------------------------------------------------------------------------------------------------------


def verify_export(installation: Installation, code: int) -> Any:
    return installation.verify(
        "--file", str(installation.lines), "--checkpoint", str(installation.checkpoint),
        "--key", str(installation.key), code=code,
    )  # fmt: skip


def test_an_export_holds_without_a_database(installation: Installation) -> None:
    shutil.rmtree(installation.directory / "state")
    installation.config.unlink()
    assert verify_export(installation, 0)["data"]["covered"] == SIGNED


def anew(lines: list[bytes]) -> list[bytes]:
    bodies = [json.loads(line) for line in lines]
    bodies[2]["data"] = {"said": "an open gate"}
    return [row[-1] for row in chained(bodies)]


EXPORTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "edit": lambda lines: [*lines[:2], lines[2].replace(b"of one", b"of two"), *lines[3:]],
    "insert": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "delete": lambda lines: [*lines[:2], *lines[3:]],
    "reorder": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "gap": lambda lines: [*lines[:5], lines[5].replace(b'"sequence":6', b'"sequence":9')],
    "cut at the head": lambda lines: lines[1:],
    "cut at the tail": lambda lines: lines[:4],
    "emptied": lambda _: [],
    "rewritten from scratch": anew,
    "torn": lambda lines: [*lines[:5], lines[5][:-7]],
}


@pytest.mark.parametrize("how", EXPORTS)
def test_tampering_with_an_export_exits_6(installation: Installation, how: str) -> None:
    lines = EXPORTS[how](installation.lines.read_bytes().splitlines())
    installation.lines.write_bytes(b"".join(line + b"\n" for line in lines))
    assert verify_export(installation, 6)["code"] == "VERIFICATION_FAILED"


def test_an_export_whose_checkpoint_another_key_signed_exits_6(installation: Installation) -> None:
    theirs = installation.directory / "theirs"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(theirs)], check=True)
    installation.key.write_text(Path(f"{theirs}.pub").read_text())
    assert "was not signed" in verify_export(installation, 6)["error"]


def test_an_export_with_a_checkpoint_and_no_key_cannot_be_verified(installation: Installation) -> None:
    arguments = ["--file", str(installation.lines), "--checkpoint", str(installation.checkpoint)]
    assert "no key" in cannot_tell(installation, *arguments)


def test_before_there_is_a_checkpoint_an_export_is_the_ledger_alone(
    installation: Installation, outsider: sqlite3.Connection, tmp_path: Path
) -> None:
    tampered(outsider, forget_checkpoints)
    answer = installation.answer("ledger", "export", "--directory", str(tmp_path / "other"))["data"]
    assert answer["files"] == ["ledger.jsonl"]


# -- checkpoints by hand --------------------------------------------------------------------------------------------


def test_a_ledger_that_was_written_anew_is_not_signed(installation: Installation, outsider: sqlite3.Connection) -> None:
    tampered(outsider, edit_and_make_good)
    assert (
        "ledger 6 was not written by this installation" in installation.answer("ledger", "checkpoint", code=6)["error"]
    )
    tampered(outsider, lambda c: seal_anew(installation, c))
    assert "entry 5 is another one" in installation.answer("ledger", "checkpoint", code=6)["error"]
    tampered(outsider, forget_checkpoints)
    assert "entry 5 is another one" in installation.answer("ledger", "checkpoint", code=6)["error"]


def test_a_ledger_that_was_cut_is_not_signed(installation: Installation, outsider: sqlite3.Connection) -> None:
    tampered(outsider, TAMPERING["cut at the tail"][0])
    assert "5 were signed already" in installation.answer("ledger", "checkpoint", code=6)["error"]


def test_openssh_alone_checks_a_checkpoint(installation: Installation, tmp_path: Path) -> None:
    text = installation.answer("ledger", "checkpoint")["data"]["text"]
    said, _, signature = text.partition("\n\n")
    (tmp_path / "signature").write_text(signature)
    command = [
        "ssh-keygen", "-Y", "verify", "-f", str(installation.key), "-I", "reconciler/77",
        "-n", "reconciler-checkpoint", "-s", str(tmp_path / "signature"),
    ]  # fmt: skip
    for data, status in ((said + "\n", 0), (said.replace("\n6\n", "\n7\n") + "\n", 255)):
        done = subprocess.run(command, input=data.encode(), capture_output=True, check=False)
        assert done.returncode == status, done.stderr
