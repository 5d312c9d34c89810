"""Odd inputs at every door are refused in the package's own words: a few of what `make fuzz` gives them."""

from __future__ import annotations

import json

import pytest

from reconciler.forges import webhooks
from reconciler.model.approval import Open, Waiting
from reconciler.model.chain import Broken, StoredEntry, walk
from tests.fuzz.__main__ import knock
from tests.fuzz.doors import ANSWERS, DOORS, Door, decided

INPUTS = {"webhooks": 1500, "answers": 250, "files": 60, "models": 60, "ledger": 1500}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_nothing_but_a_refusal_comes_out(door: Door) -> None:
    assert knock(door, INPUTS[door.name], seed=2)["faults"] == {}


def test_the_forge_that_is_asked_could_open_the_gate() -> None:
    reviews = [{**ANSWERS["reviews"][0], "state": "APPROVED"}]
    commits = [{**ANSWERS["commits"][0], "commit": {**ANSWERS["commits"][0]["commit"], "message": "Raise"}}]
    told = {"reviews": reviews, "commits": commits, "comments": [], "timeline": []}
    assert isinstance(decided({name: json.dumps(value).encode() for name, value in told.items()}), Open)
    assert isinstance(decided({}), Waiting)


def test_an_entry_that_nests_without_end_is_broken() -> None:
    for opening in (b"[", b"{", b'{"a":['):
        found = walk([StoredEntry(opening * 100_000)])
        assert isinstance(found, Broken)
        assert found.sequence == 1


def test_a_delivery_that_nests_without_end_is_ignored() -> None:
    assert isinstance(webhooks.hint("push", b"[" * 100_000), webhooks.Ignored)
