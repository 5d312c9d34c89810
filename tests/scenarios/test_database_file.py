"""Somebody who writes the database file hides what stands in the way of a deployment, or sees to it that nobody puts it
down. On simulated hosts, with real git and the embedded forge; what a changed row does is in test_stolen_credentials.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.control import actions
from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import FILES, PRODUCTION, Stage, greet
from tests.scenarios.test_break_glass import EMERGENCIES, NAMESPACE, glass, hotfix
from tests.scenarios.test_consent import PRINCIPALS, make_key, sign, token_file

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


def test_the_mark_of_a_broken_glass_is_not_put_back(make_simulated: StageMaker, tmp_path: Path) -> None:
    """By a row that this installation itself had written before: the environment would be healed, and not reviewed."""
    people = FILES[PRINCIPALS]
    for name, groups in (("operator", "[operators, sre]"), ("keeper", "[sre]")):
        key = make_key(tmp_path / name)
        people = people.replace(f"groups: {groups}}}\n", f'groups: {groups}, signing_keys: ["{key}"]}}\n', 1)
    policy = FILES["policy.yaml"].rstrip() + "\n" + EMERGENCIES
    stage = make_simulated(**ALONE, **{PRINCIPALS: people, "policy.yaml": policy})
    with closing(sqlite3.connect(stage.world.root / "state/reconciler.db")) as database:
        before = database.execute("SELECT record, seal FROM environments").fetchone()
    fix = hotfix(stage, "mended")
    shown = glass(stage, fix, "--dry-run")[1]["data"]
    second = tmp_path / "second.sig"
    second.write_text(sign(tmp_path / "keeper", shown["statement"], NAMESPACE))
    (digest,) = shown["plans"].values()
    run = ("--plan", digest, "--issued", shown["issued"], "--yes", "--second-signature", str(second))
    token = ("--token-file", token_file(stage, "operator", tmp_path))
    code, done = glass(stage, fix, *run, *token, "--sign", str(tmp_path / "operator"))
    assert code == 0, done
    stage.run()
    marked = stage.status()["broken_glass"]
    assert marked
    with closing(sqlite3.connect(stage.world.root / "state/reconciler.db", isolation_level=None)) as database:
        database.execute("UPDATE environments SET record = ?, seal = ?", before)
    assert stage.status()["broken_glass"] is None
    stage.run()
    assert (stage.status()["hold"], stage.status()["broken_glass"]) == ("BrokenGlass", marked)
    assert stage.parts.ledger.latest("tampered", "database") is not None
    assert stage.greeting() == "mended"
