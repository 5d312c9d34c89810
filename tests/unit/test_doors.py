"""Odd inputs at every door are refused in the package's own words: a few of what `make fuzz` gives them."""

from __future__ import annotations

import json

import pytest

from reconciler.forges import webhooks
from reconciler.model.approval import Open, Waiting
from reconciler.model.chain import Broken, StoredEntry, walk
from tests.fuzz.__main__ import knock
from tests.fuzz.breaking import BREAKS, broken
from tests.fuzz.door import Door
from tests.fuzz.doors import DOORS
from tests.fuzz.forge import APPROVED, SHUT, decided, written
from tests.fuzz.hosts import OddEngine, engine, goal, observed

ENOUGH = {
    "webhooks": 1500, "answers": 350, "comments": 250, "messages": 250, "consents": 250, "http": 60, "engine": 150,
    "commands": 1500, "host records": 250, "files": 60, "compose": 250, "objects": 150, "models": 60, "changes": 1000,
    "plans": 510, "ledger": 1500, "checkpoints": 400, "witness": 100, "signatures": 500, "resets": 500, "glass": 500,
    "database": 60, "plan records": 500, "settings": 150, "markers": 300,
}  # fmt: skip
"""Inputs for each door: so many that it finds what is broken behind it."""


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_nothing_but_a_refusal_comes_out(door: Door) -> None:
    assert knock(door, ENOUGH[door.name], seed=2)["faults"] == {}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_a_door_finds_what_is_broken_behind_it(door: Door) -> None:
    assert knock(door, 20, seed=2)["faults"] == {}  # and what it keeps from one input to the next is made
    with broken(door.name):
        assert knock(door, ENOUGH[door.name], seed=2)["faults"]


def test_every_door_has_inputs_and_a_way_to_break_it() -> None:
    names = [door.name for door in DOORS]
    assert sorted(names) == sorted(BREAKS) == sorted(ENOUGH)
    assert all(door.share > 0 for door in DOORS)


def test_the_forge_that_is_asked_could_open_the_gate() -> None:
    assert isinstance(decided(written(APPROVED)), Open)
    assert isinstance(decided({}), Waiting)


@pytest.mark.parametrize("told", SHUT, ids=lambda told: json.dumps(told)[:60])
def test_one_answer_keeps_it_shut(told: dict[str, object]) -> None:
    assert not isinstance(decided(written({**APPROVED, **told})), Open)


def test_the_engine_that_is_asked_has_containers_that_differ_and_one_that_is_not_ours() -> None:
    state = observed(OddEngine("", None, bytes, 0))
    assert [container.name for container in state.containers if not container.owned] == ["shop-strange-1"]
    assert {"shop-web-1", "shop-job-1"} <= {container.name for container in state.containers}
    assert len(engine()) > 10
    assert {service.name for service in goal().services} == {"web", "job"}


def test_an_entry_that_nests_without_end_is_broken() -> None:
    for opening in (b"[", b"{", b'{"a":['):
        found = walk([StoredEntry(opening * 100_000)])
        assert isinstance(found, Broken)
        assert found.sequence == 1


def test_a_delivery_that_nests_without_end_is_ignored() -> None:
    assert isinstance(webhooks.hint("push", b"[" * 100_000), webhooks.Ignored)
