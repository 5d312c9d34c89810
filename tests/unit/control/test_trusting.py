"""`trust init` and `trust reset`: what is pinned, who may pin it anew, and who hears of it. Git, database and
signatures are real.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.control import pinning, queries, remembering, trusting
from reconciler.control.parts import Parts
from reconciler.model.errors import (
    ForgeUnavailable,
    InvalidInput,
    NotAllowed,
    NotFound,
    Terminal,
    UntrustedHistory,
    VerificationFailed,
)
from reconciler.model.target import EnvironmentName
from reconciler.model.trust import NAMESPACE, read_statement
from reconciler.ports import StatusReport, TrustRecord
from reconciler.signatures import InstallationKey
from reconciler.storage import Database
from tests.git_remotes import Remote
from tests.unit.control.plane import REPOSITORY_ID, StoppedClock, ToldForge, parts_of
from tests.unit.control.test_nothing_to_do import SHOP

PRODUCTION = EnvironmentName("shop", "production")
NAMES = ("keeper", "operator", "reviewer")


@dataclass(slots=True)
class HearingForge(ToldForge):
    """Keeps what was posted, and what was pinned when it was; down when it shall be."""

    parts: list[Parts] = field(default_factory=list)
    told: list[tuple[str, str, str, str]] = field(default_factory=list)
    down_after: int = 99
    repository: int = REPOSITORY_ID

    def repository_id(self) -> int:
        return self.repository

    def write_status(self, sha: str, status: StatusReport) -> None:
        if len(self.told) >= self.down_after:
            raise ForgeUnavailable("down")
        trust = self.parts[0].states.trust()
        assert trust is not None
        self.told.append((sha, status.context, status.state, trust.revision))


@dataclass(slots=True)
class Place:
    """Four commits, of which the last two are on the deploy branch after the first; three root persons with keys."""

    parts: Parts
    forge: HearingForge
    clock: StoppedClock
    keys: dict[str, InstallationKey]
    first: str
    second: str
    side: str

    def begun(self) -> TrustRecord:
        return trusting.init_trust(self.parts, self.first, NAMES)

    def asked(self, revision: str | None = None, **other: Any) -> trusting.Asked:
        given: dict[str, Any] = {"roots": NAMES, "takes_over": (), "reason": "nobody is left", **other}
        return trusting.statement(self.parts, revision or self.second, **given)

    def reset(self, statement: str, *names: str) -> TrustRecord:
        signed = statement.encode()
        return trusting.reset_trust(self.parts, signed, [self.keys[name].sign(signed, NAMESPACE) for name in names])

    def pinned(self) -> str:
        return remembering.pinned(self.parts).revision

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.parts.ledger.entries()]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, InstallationKey]:
    directory = tmp_path_factory.mktemp("people")
    return {name: InstallationKey(directory / name) for name in (*NAMES, "stranger")}


@pytest.fixture
def place(database: Database, tmp_path: Path, people: dict[str, InstallationKey]) -> Place:
    listed = {
        name: f'  {name}: {{github: {1002 + number}, signing_keys: ["{people[name].public_key} {name}@home"]}}\n'
        for number, name in enumerate(NAMES)
    }
    principals = "people:\n  author: {github: 1001}\n" + "".join(listed.values())
    remote = Remote.make(tmp_path / "remote.git")
    first = remote.commit({**SHOP, "principals.yaml": principals})
    second = remote.commit({"README.md": "more\n"}, first)
    side = remote.commit({"README.md": "aside\n"}, first, ref="refs/heads/side")
    forge, clock = HearingForge(), StoppedClock()
    mirror = remote.mirror(tmp_path / "mirror.git")
    parts = parts_of(database, mirror, forge=forge, clock=clock, keys=tmp_path)
    forge.parts.append(parts)
    return Place(parts, forge, clock, people, first, second, side)


# -- init -----------------------------------------------------------------------------------------------------------


def test_what_is_pinned_is_the_first_entry_of_the_ledger(place: Place) -> None:
    trust = place.begun()
    (entry,) = place.parts.ledger.entries()
    assert (entry.kind, json.loads(entry.body)["data"]) == ("trust", trusting.trust_data(trust))
    assert [(name, account) for name, account, _ in trust.roots] == [
        ("keeper", 1002),
        ("operator", 1003),
        ("reviewer", 1004),
    ]
    assert [keys for _, _, keys in trust.roots] == [(place.keys[name].public_key,) for name in NAMES]
    assert trusting.shown(place.parts)["installation"] == place.parts.signer.public_key


def test_all_people_are_root_persons_where_none_is_named(place: Place) -> None:
    assert [name for name, _, _ in trusting.init_trust(place.parts, place.first, ()).roots] == ["author", *NAMES]


@pytest.mark.parametrize(
    ("revision", "roots", "says"),
    [
        ("side", (), "is not on main"),
        ("0" * 40, (), "0{40}"),
        ("first", ("nobody",), "no person named nobody"),
    ],
)
def test_what_cannot_be_pinned_leaves_nothing_behind(
    place: Place, revision: str, roots: tuple[str, ...], says: str
) -> None:
    with pytest.raises((InvalidInput, NotFound), match=says):
        trusting.init_trust(place.parts, getattr(place, revision, revision), roots)
    assert (place.parts.states.trust(), place.kinds()) == (None, [])


def test_it_is_pinned_once(place: Place) -> None:
    place.begun()
    with pytest.raises(Terminal, match="trust is pinned already"):
        trusting.init_trust(place.parts, place.second, NAMES)
    assert (place.pinned(), place.kinds()) == (place.first, ["trust"])


def test_nothing_is_reset_before_something_is_pinned(place: Place) -> None:
    with pytest.raises(NotAllowed, match="nothing is trusted yet"):
        place.asked()


# -- reset ----------------------------------------------------------------------------------------------------------


def test_to_print_a_statement_changes_nothing(place: Place) -> None:
    trust = place.begun()
    asked = place.asked(takes_over=(f"{place.keys['stranger'].public_key} gone",))
    made = read_statement(asked.statement.encode())
    assert (made.repository, made.former, made.revision) == (REPOSITORY_ID, pinning.digest_of(trust), place.second)
    assert (made.installation, made.at) == (place.parts.signer.public_key, place.clock.now())
    assert made.takes_over == (place.keys["stranger"].public_key,)
    assert (asked.needed, asked.persons) == (2, NAMES)
    assert (place.pinned(), place.kinds(), place.forge.told) == (place.first, ["trust"], [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"reason": " "},
        {"reason": "x" * 1001},
        {"takes_over": ("no key\n",)},
        {"roots": ("nobody",)},
        {"revision": "side"},
    ],
)
def test_a_statement_that_could_not_be_read_back_is_not_printed(place: Place, wrong: dict[str, Any]) -> None:
    place.begun()
    with pytest.raises(InvalidInput):
        place.asked(**(wrong | ({"revision": place.side} if "revision" in wrong else {})))


def test_it_is_announced_then_pinned_then_confirmed_and_every_environment_is_marked(place: Place) -> None:
    old = place.begun()
    remembering.verified(place.parts, PRODUCTION, place.first)
    new = place.reset(place.asked().statement, "operator", "keeper")
    assert place.forge.told == [
        (place.second, "reconciler/trust", "pending", place.first),
        (place.second, "reconciler/trust", "success", place.second),
    ]
    assert place.kinds() == ["trust", "trust-reset-announced", "trust"]
    announced = json.loads(list(place.parts.ledger.entries())[1].body)["data"]
    assert (announced["from"], announced["to"]) == (trusting.trust_data(old), trusting.trust_data(new))
    assert len(announced["signatures"]) == 2
    assert place.parts.states.trust_history() == (old, new)
    (status,) = queries.status(place.parts)
    assert status["trust_reset"] == {
        "at": "2026-01-14T12:00:00+00:00", "by": ["keeper", "operator"], "reason": "nobody is left",
    }  # fmt: skip
    assert queries.remarks(status) == [
        "trust was reset on 2026-01-14T12:00:00+00:00 by keeper, operator: nobody is left"
    ]


def test_what_cannot_be_announced_is_not_done(place: Place) -> None:
    place.begun()
    place.forge.down_after = 0
    with pytest.raises(ForgeUnavailable):
        place.reset(place.asked().statement, "operator", "keeper")
    assert (place.pinned(), place.kinds()) == (place.first, ["trust", "trust-reset-announced"])
    place.forge.down_after = 99
    place.reset(place.asked().statement, "operator", "keeper")
    assert place.pinned() == place.second


def test_what_was_announced_holds_though_the_forge_is_down_afterwards(place: Place) -> None:
    place.begun()
    place.forge.down_after = 1
    place.reset(place.asked().statement, "operator", "keeper")
    assert (place.pinned(), len(place.forge.told)) == (place.second, 1)


def test_a_reset_that_was_taken_out_of_the_database_is_not_undone_by_that(place: Place, tmp_path: Path) -> None:
    """Root persons whom it removed could reset it again, and what it pinned would be as if it had never been."""
    old = place.begun()
    new = place.reset(place.asked().statement, "operator", "keeper")
    with closing(sqlite3.connect(tmp_path / "reconciler.db", isolation_level=None)) as outsider:
        outsider.execute("DROP TRIGGER trusted_no_delete")
        outsider.execute("DELETE FROM trusted WHERE number = 2")
    assert pinning.genuine(place.parts, new)
    assert place.parts.states.trust() == old
    assert not pinning.genuine(place.parts, old)
    with pytest.raises(VerificationFailed, match="has not what was pinned last"):
        place.reset(place.asked().statement, "operator", "keeper")


def test_who_takes_all_out_of_the_database_that_was_pinned_gets_nothing_pinned_anew(
    place: Place, tmp_path: Path
) -> None:
    place.begun()
    with closing(sqlite3.connect(tmp_path / "reconciler.db", isolation_level=None)) as outsider:
        outsider.execute("DROP TRIGGER trusted_no_delete")
        outsider.execute("DELETE FROM trusted")
    with pytest.raises(VerificationFailed, match="what was pinned is gone"):
        trusting.init_trust(place.parts, place.second, NAMES)
    assert (place.parts.states.trust(), place.kinds()) == (None, ["trust"])


def test_a_statement_counts_once_and_for_an_hour(place: Place) -> None:
    place.begun()
    statement = place.asked().statement
    place.clock.move(minutes=60, seconds=1)
    with pytest.raises(NotAllowed, match="older than an hour"):
        place.reset(statement, "operator", "keeper")
    statement = place.asked().statement
    place.reset(statement, "operator", "keeper")
    with pytest.raises(NotAllowed, match="it was used already"):
        place.reset(statement, "operator", "keeper")
    back = place.asked(place.first).statement
    place.clock.move(seconds=1)
    place.reset(back, "operator", "keeper")
    with pytest.raises(NotAllowed, match="it was used already"):
        place.reset(statement, "operator", "keeper")
    assert len(place.parts.states.trust_history()) == 3


@pytest.mark.parametrize(
    "signers", [(), ("operator",), ("operator", "operator"), ("operator", "stranger"), ("stranger",) * 3]
)
def test_too_few_or_others_pin_nothing_and_are_on_record(place: Place, signers: tuple[str, ...]) -> None:
    place.begun()
    with pytest.raises(NotAllowed):
        place.reset(place.asked().statement, *signers)
    assert (place.pinned(), place.kinds(), place.forge.told) == (place.first, ["trust", "trust-reset-refused"], [])


def test_a_statement_is_for_one_installation_and_one_repository(place: Place, tmp_path: Path) -> None:
    place.begun()
    statement = place.asked().statement
    mine = place.parts
    place.parts = replace(place.parts, signer=InstallationKey(tmp_path / "another.key"))
    with pytest.raises(NotAllowed, match="printed by another installation"):
        place.reset(statement, "operator", "keeper")
    place.parts = mine
    with pytest.raises(NotAllowed, match=r"about repository 78, trusted is 77 \(gate 43\)"):
        place.reset(statement.replace('"repository": 77', '"repository": 78'), "operator", "keeper")
    place.forge.repository = 78
    with pytest.raises(UntrustedHistory, match="gate 43"):
        place.reset(statement, "operator", "keeper")
    assert place.pinned() == place.first


def test_its_root_persons_are_those_of_the_revision(place: Place) -> None:
    """Whoever gets two people to sign a text by hand does not bring a key into it that git does not have."""
    place.begun()
    statement = place.asked().statement
    theirs = statement.replace(place.keys["reviewer"].public_key, place.keys["stranger"].public_key)
    assert theirs != statement
    with pytest.raises(InvalidInput, match=r"not as principals\.yaml has them"):
        place.reset(theirs, "operator", "keeper")
    assert place.pinned() == place.first


def test_root_persons_do_not_go_back_either(place: Place) -> None:
    place.begun()
    remembering.verified(place.parts, PRODUCTION, place.side)
    with pytest.raises(NotAllowed, match=r"does not come after it \(gate 39\)"):
        place.asked()
    remembering.verified(place.parts, PRODUCTION, place.first)
    statement = place.asked().statement
    remembering.verified(place.parts, PRODUCTION, place.side)
    with pytest.raises(NotAllowed, match="gate 39"):
        place.reset(statement, "operator", "keeper")
    assert place.pinned() == place.first


def test_what_was_taken_over_once_stays_so(place: Place) -> None:
    place.begun()
    gone = place.keys["stranger"].public_key
    place.reset(place.asked(takes_over=(gone,)).statement, "operator", "keeper")
    place.clock.move(minutes=1)
    assert place.reset(place.asked().statement, "operator", "reviewer").takes_over == (gone,)


def test_the_time_of_a_statement_is_seconds(place: Place) -> None:
    place.begun()
    place.clock.moment += timedelta(microseconds=123456)
    place.reset(place.asked().statement, "operator", "keeper")
    assert place.pinned() == place.second
