"""Odd inputs at every door are refused in the package's own words: a few of what `make fuzz` gives them."""

from __future__ import annotations

import pytest

from reconciler.forges import webhooks
from reconciler.model.chain import Broken, StoredEntry, walk
from tests.fuzz.__main__ import knock
from tests.fuzz.doors import DOORS, Door

INPUTS = {"webhooks": 1500, "answers": 250, "files": 60, "models": 60, "ledger": 1500}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_nothing_but_a_refusal_comes_out(door: Door) -> None:
    assert knock(door, INPUTS[door.name], seed=2)["faults"] == {}


def test_an_entry_that_nests_without_end_is_broken() -> None:
    assert walk([StoredEntry(b"[" * 100_000)]) == Broken(1, "is not JSON")


def test_a_delivery_that_nests_without_end_is_ignored() -> None:
    assert isinstance(webhooks.hint("push", b"[" * 100_000), webhooks.Ignored)
