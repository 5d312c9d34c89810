"""Somebody who writes the database file hides what stands in the way of a deployment, or sees to it that nobody puts it
down. On simulated hosts, with real git and the embedded forge; what a changed row does is in test_stolen_credentials.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from reconciler.control import actions
from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import PRODUCTION, Stage, greet

ALONE = {"projects/app/spare/environment.yaml": None}

HIDING = {
    "another kind": "DROP TRIGGER ledger_no_update; UPDATE ledger SET kind = 'nothing' WHERE kind = 'suspend'",
    "another subject": "DROP TRIGGER ledger_no_update; UPDATE ledger SET subject = 'nothing' WHERE kind = 'suspend'",
    "an end that is cut off": """
        DROP TRIGGER ledger_no_delete;
        DELETE FROM ledger WHERE sequence >= (SELECT sequence FROM ledger WHERE kind = 'suspend')
        """,
}

FORGETFUL = "CREATE TRIGGER t BEFORE INSERT ON ledger WHEN NEW.kind = 'suspend' BEGIN SELECT RAISE(IGNORE); END"


def script(stage: Stage, text: str) -> None:
    with closing(sqlite3.connect(stage.world.root / "state/reconciler.db", isolation_level=None)) as database:
        database.executescript(text)


@pytest.mark.parametrize("how", HIDING)
def test_a_suspension_is_not_hidden(make_simulated: StageMaker, how: str) -> None:
    stage = make_simulated(**ALONE)
    number = stage.propose_and_approve(greet("second"))
    actions.suspend(stage.parts, PRODUCTION, "an incident")
    if "cut off" not in how:  # or it were the last entry
        stage.author.propose("author/other", "Other", greet("other"))
        stage.run()
    stage.reviewer.merge(number)
    stage.stack.close()
    script(stage, HIDING[how])
    stage.restart()
    failures = stage.run()["failures"]
    assert {failure["code"] for failure in failures} == {"VERIFICATION_FAILED"}, failures
    assert stage.greeting() == "first"


def test_a_suspension_is_not_kept_from_the_ledger(make_simulated: StageMaker) -> None:
    stage = make_simulated(**ALONE)
    number = stage.propose_and_approve(greet("second"))
    script(stage, FORGETFUL)
    with pytest.raises(Exception, match="there is a trigger t that is none of ours"):
        actions.suspend(stage.parts, PRODUCTION, "an incident")
    stage.reviewer.merge(number)
    failures = stage.run()["failures"]
    assert {failure["code"] for failure in failures} == {"VERIFICATION_FAILED"}, failures
    assert stage.greeting() == "first"
