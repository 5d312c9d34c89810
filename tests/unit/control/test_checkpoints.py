"""When a checkpoint is made, of what, and what is not signed; database and key are real."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.control import checkpoints
from reconciler.control.controller import Seen, handle
from reconciler.control.parts import Parts
from reconciler.control.requests import CheckpointDue, Done
from reconciler.model.checkpoint import NAMESPACE, SignedCheckpoint, read_checkpoint
from reconciler.model.errors import NotAllowed, Retryable, VerificationFailed
from reconciler.ports import TrustRecord
from reconciler.storage import Database
from reconciler.storage.ledger import SqlLedger
from tests.unit.control.plane import NOW, REPOSITORY_ID, Events, StoppedClock, parts_of


@dataclass
class Elsewhere:
    """A witness in memory, which can be away."""

    held: list[SignedCheckpoint] = field(default_factory=list)
    away: bool = False

    def newest(self, origin: str) -> SignedCheckpoint | None:
        return max(self.checkpoints(origin), key=lambda one: one.checkpoint.size, default=None)

    def publish(self, signed: Sequence[SignedCheckpoint], now: datetime) -> None:
        if self.away:
            raise Retryable("the witness is away")
        self.held.extend(one for one in signed if one not in self.held)

    def checkpoints(self, origin: str | None = None) -> tuple[SignedCheckpoint, ...]:
        return tuple(one for one in self.held if origin in (None, one.checkpoint.origin))


@dataclass
class Plane:
    """A control plane with a key, a stopped clock and a witness."""

    parts: Parts
    clock: StoppedClock
    events: Events
    witness: Elsewhere
    file: Path
    database: Database

    def append(self, count: int = 1) -> None:
        for _ in range(count):
            self.parts.ledger.append("gate", "shop/production", {}, self.clock.now())

    def restart(self) -> None:
        """Another process, which has not followed the ledger yet."""
        self.parts = replace(self.parts, ledger=SqlLedger(self.database))

    def outsider(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, isolation_level=None)
        for kind in ("ledger", "checkpoints"):
            for what in ("no_update", "no_delete", "next_only"):
                connection.execute(f"DROP TRIGGER IF EXISTS {kind}_{what}")
        return connection


@pytest.fixture
def plane(database: Database, tmp_path: Path) -> Plane:
    clock, events, witness = StoppedClock(), Events(), Elsewhere()
    parts = replace(parts_of(database, clock=clock, events=events, keys=tmp_path), witness=witness)
    parts.states.set_trust(TrustRecord(repository=REPOSITORY_ID, revision="a" * 40, roots=(), created_at=NOW))
    return Plane(parts, clock, events, witness, tmp_path / "reconciler.db", database)


def test_a_checkpoint_names_the_installation_the_size_and_the_head_and_is_signed(plane: Plane) -> None:
    plane.append(3)
    signed = checkpoints.make(plane.parts)
    assert (signed.checkpoint.origin, signed.checkpoint.size) == (f"reconciler/{REPOSITORY_ID}", 3)
    assert signed.checkpoint.root == list(plane.parts.ledger.entries())[-1].hash
    key = plane.parts.signer.public_key
    said = signed.checkpoint.signed_bytes
    assert plane.parts.signatures.signer_of(said, signed.signature, NAMESPACE, [key]) == key
    assert read_checkpoint(signed.text) == signed
    kept = plane.parts.checkpoints.newest()
    assert kept is not None
    assert (kept.signed, kept.at) == (signed, NOW)
    assert plane.parts.checkpoints.copy() == signed


def test_nothing_new_is_signed_when_nothing_was_appended(plane: Plane) -> None:
    plane.append()
    assert checkpoints.make(plane.parts) == checkpoints.make(plane.parts)
    assert len(plane.parts.checkpoints.after(-1)) == 1


def test_before_something_is_trusted_the_ledger_has_no_name(database: Database, tmp_path: Path) -> None:
    parts = parts_of(database, keys=tmp_path)
    assert checkpoints.due(parts) is None
    with pytest.raises(NotAllowed):
        checkpoints.make(parts)


def test_by_time_one_is_made_every_ten_minutes_at_most_and_only_of_something_new(plane: Plane) -> None:
    assert checkpoints.due(plane.parts) is None, "there is nothing to sign"
    plane.append()
    assert checkpoints.due(plane.parts) is not None
    plane.append()
    plane.clock.move(minutes=9)
    assert checkpoints.due(plane.parts) is None
    plane.clock.move(minutes=1)
    made = checkpoints.due(plane.parts)
    assert made is not None
    assert made.checkpoint.size == 2
    plane.clock.move(hours=5)
    assert checkpoints.due(plane.parts) is None
    assert [one.checkpoint.size for one in plane.witness.held] == [1, 2]


def test_a_witness_that_is_away_stops_no_deployment_and_is_told_the_rest_later(plane: Plane) -> None:
    plane.witness.away = True
    for _ in range(2):
        plane.append()
        assert checkpoints.at_once(plane.parts) is not None
    with pytest.raises(Retryable):
        checkpoints.due(plane.parts)
    plane.witness.away = False
    checkpoints.due(plane.parts)
    assert [one.checkpoint.size for one in plane.witness.held] == [1, 2]


def test_a_deployment_of_a_spoilt_ledger_is_not_signed_and_not_stopped(plane: Plane) -> None:
    plane.append(2)
    checkpoints.make(plane.parts)
    plane.append()
    plane.outsider().execute("DELETE FROM ledger WHERE sequence > 1")
    assert checkpoints.at_once(plane.parts) is None
    assert [e["code"] for e in plane.events.of("ledger.not_signed")] == ["VERIFICATION_FAILED"]


def test_a_copy_that_cannot_be_written_stops_no_deployment(plane: Plane, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    plane.append()
    assert checkpoints.at_once(plane.parts) is None
    assert len(plane.events.of("ledger.not_signed")) == 1


def change(statement: str, *values: Any) -> Any:
    return lambda connection: connection.execute(statement, values)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (change("DELETE FROM ledger WHERE sequence > 2"), "2 entries, and 3 were signed already"),
        (change("DELETE FROM ledger"), "0 entries, and 3 were signed already"),
        (
            change("UPDATE ledger SET body = replace(body, 'gate', 'hold') WHERE sequence = 3"),
            "entry 3: was changed",
        ),
        (
            change("UPDATE ledger SET body = replace(body, 'gate', 'hold') WHERE sequence = 5"),
            "entry 5: was changed",
        ),
        (change("DELETE FROM ledger WHERE sequence = 3"), "entry 3: says it is number 4"),
        (change("DELETE FROM ledger WHERE sequence = 4"), "entry 4: says it is number 5"),
        (change("UPDATE ledger SET sequence = 30 WHERE sequence = 3"), "entry 3: says it is number 4"),
        (
            change("UPDATE checkpoints SET text = replace(text, ?, 'reconciler/78')", "reconciler/77"),
            "did not sign the checkpoint of 3",
        ),
        (change("UPDATE checkpoints SET text = 'nothing'"), "checkpoint 3 is no checkpoint"),
        (change("UPDATE checkpoints SET size = 4"), "says it is of 3 entries"),
    ],
)
def test_what_does_not_go_on_from_the_last_checkpoint_is_not_signed(plane: Plane, how: Any, said: str) -> None:
    plane.append(3)
    checkpoints.make(plane.parts)
    plane.append(3)
    how(plane.outsider())
    with pytest.raises(VerificationFailed):
        checkpoints.make(plane.parts)
    plane.restart()
    with pytest.raises(VerificationFailed, match=said):
        checkpoints.make(plane.parts)


def test_a_ledger_made_anew_with_its_checkpoints_is_not_signed_where_the_copy_is_left(plane: Plane) -> None:
    plane.append(3)
    checkpoints.make(plane.parts)
    outsider = plane.outsider()
    outsider.execute("DELETE FROM ledger")
    outsider.execute("DELETE FROM checkpoints")
    plane.clock.move(days=1)
    plane.append(3)
    plane.restart()
    with pytest.raises(VerificationFailed, match="entry 3 is another one"):
        checkpoints.make(plane.parts)


def test_a_ledger_made_anew_is_not_signed_where_the_witness_is_known_to_have_another(
    plane: Plane, tmp_path: Path
) -> None:
    plane.append(3)
    checkpoints.make(plane.parts)
    checkpoints.bear_witness(plane.parts)
    outsider = plane.outsider()
    outsider.execute("DELETE FROM ledger")
    outsider.execute("DELETE FROM checkpoints")
    (tmp_path / "checkpoint").unlink()
    plane.clock.move(days=1)
    plane.append(4)
    plane.restart()
    with pytest.raises(VerificationFailed, match="entry 3 is another one"):
        checkpoints.make(plane.parts)


def restored(plane: Plane) -> None:
    """The database as a backup had it after three entries, of which the witness and the copy have seen five."""
    plane.append(3)
    checkpoints.make(plane.parts)
    plane.append(2)
    checkpoints.make(plane.parts)
    checkpoints.bear_witness(plane.parts)
    outsider = plane.outsider()
    outsider.execute("DELETE FROM ledger WHERE sequence > 3")
    outsider.execute("DELETE FROM checkpoints WHERE size > 3")
    plane.restart()


def test_a_restored_ledger_goes_on_once_somebody_says_so_and_what_is_lost_is_on_record(
    plane: Plane, tmp_path: Path
) -> None:
    restored(plane)
    for refused in (checkpoints.make, checkpoints.whole):
        with pytest.raises(VerificationFailed, match="it has 3 entries, and 5 were signed already"):
            refused(plane.parts)
    lost = checkpoints.begin_anew(plane.parts, "Monday's backup")
    assert lost is not None
    (said,) = plane.parts.ledger.find("ledger-follows", f"repository/{REPOSITORY_ID}")
    assert (said.data["anchor"], said.data["size"], said.data["reason"]) == (lost.anchor, 5, "Monday's backup")
    checkpoints.whole(plane.parts)
    made = checkpoints.make(plane.parts).checkpoint
    assert made.size == 4
    assert made.origin == f"reconciler/{REPOSITORY_ID}-after-{lost.anchor.replace(':', '-')}"
    assert (tmp_path / f"checkpoint.lost-5-{lost.root[:12]}").exists()
    checkpoints.bear_witness(plane.parts)
    assert plane.parts.witness is not None
    kept = [(one.checkpoint.origin, one.checkpoint.size) for one in plane.parts.witness.checkpoints()]
    assert sorted(kept) == [(f"reconciler/{REPOSITORY_ID}", 3), (lost.origin, 5), (made.origin, 3 + 1)]
    plane.append(2)
    assert checkpoints.make(plane.parts).checkpoint.origin == made.origin


def test_a_ledger_that_lacks_nothing_does_not_begin_anew(plane: Plane, tmp_path: Path) -> None:
    assert checkpoints.begin_anew(plane.parts, "why not") is None
    plane.append(3)
    checkpoints.make(plane.parts)
    plane.append()
    assert checkpoints.begin_anew(plane.parts, "why not") is None
    assert [entry.kind for entry in plane.parts.ledger.entries()] == ["gate"] * 4
    assert (tmp_path / "checkpoint").exists()


def test_a_checkpoint_of_another_key_is_not_gone_on_from(plane: Plane, tmp_path: Path) -> None:
    plane.append()
    checkpoints.make(plane.parts)
    (tmp_path / "signing.key").unlink()
    plane.append()
    with pytest.raises(VerificationFailed, match="this installation did not sign the checkpoint of 1"):
        checkpoints.make(plane.parts)


def test_the_anchor_is_that_of_the_newest_checkpoint(plane: Plane) -> None:
    assert checkpoints.anchor(plane.parts) is None
    plane.append()
    made = checkpoints.make(plane.parts).checkpoint
    assert checkpoints.anchor(plane.parts) == f"1:{made.root[:32]}"


def test_a_checkpoint_of_another_ledger_by_the_same_key_is_not_gone_on_from(plane: Plane, tmp_path: Path) -> None:
    plane.append()
    made = checkpoints.make(plane.parts).checkpoint
    foreign = replace(made, origin="reconciler/78")
    signature = plane.parts.signer.sign(foreign.signed_bytes, NAMESPACE)
    (tmp_path / "checkpoint").write_text(SignedCheckpoint(foreign, signature).text)
    plane.append()
    with pytest.raises(VerificationFailed, match="did not sign the checkpoint of 1"):
        checkpoints.make(plane.parts)


def test_the_loop_makes_a_checkpoint_when_its_time_has_come(plane: Plane) -> None:
    plane.append()
    result, following = handle(plane.parts, CheckpointDue(), Seen())
    assert (result, following) == (Done(), ())
    assert len(plane.parts.checkpoints.after(-1)) == 1


def test_looking_whether_a_checkpoint_is_due_appends_nothing(plane: Plane) -> None:
    plane.append()
    for _ in range(3):
        checkpoints.due(plane.parts)
        plane.clock.move(minutes=11)
    assert plane.parts.ledger.head()[0] == 1


def planted(plane: Plane) -> None:
    """A row that somebody wrote into the database: a ledger that is longer than ours."""
    plane.append(3)
    text = checkpoints.make(plane.parts).text.replace("\n3\n", "\n999\n", 1)
    outsider = plane.outsider()
    outsider.execute("INSERT INTO checkpoints (size, at, text) VALUES (999, ?, ?)", (NOW.isoformat(), text))


def test_what_somebody_wrote_into_the_database_is_told_to_nobody(plane: Plane) -> None:
    """Neither on the forge nor to the witness, which keeps it for ever."""
    planted(plane)
    assert checkpoints.anchor(plane.parts) is None
    with pytest.raises(VerificationFailed, match="did not sign the checkpoint of 999"):
        checkpoints.bear_witness(plane.parts)
    assert plane.witness.held == []


def test_a_checkpoint_of_a_time_to_come_keeps_no_other_from_being_made(plane: Plane) -> None:
    plane.append(3)
    checkpoints.make(plane.parts)
    plane.append()
    plane.outsider().execute("UPDATE checkpoints SET at = '2999-01-01T00:00:00+00:00'")
    assert checkpoints.due(plane.parts) is not None
