"""One host's trouble is told on the pull request that needs it, and keeps no other target from being planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.model.errors import HostKeyMismatch, HostUnreachable, NotUnderstood, ReconcilerError
from reconciler.storage import Database
from tests.unit.control.town import PRODUCTION_COMPOSE, SPARE_COMPOSE, Town, image

TROUBLES = (
    HostUnreachable("no route", where="web-1"),
    HostKeyMismatch("it shows another key", where="web-1"),
    NotUnderstood("state 'dancing'", where="web-1: container 0123456789ab"),
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.code)
def test_the_other_targets_are_planned(tmp_path: Path, database: Database, trouble: ReconcilerError) -> None:
    town = Town.make(tmp_path, database)
    town.machines.failing["web-1"] = trouble
    number = town.propose({PRODUCTION_COMPOSE: image("2"), SPARE_COMPOSE: image("2")})
    town.run()
    text = town.comment(number).replace("\\", "")
    assert trouble.text in text
    assert "spare@web-2" in text
    assert town.gate(number)["outcome"] != "open"
    told = town.status_of(town.forge.pulls[number].head_sha, "reconciler/plan")
    assert told is not None
    assert told[0] != "success"
    del town.machines.failing["web-1"]
    town.run()
    assert trouble.text not in town.comment(number).replace("\\", "")
