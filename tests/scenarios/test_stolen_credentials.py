"""Somebody has a credential that is not theirs, and all the time they want. What they get is nothing, and it shows.

The reviewer's token where consent is signed is played in test_consent.py, a database of an old backup in test_trust.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.bootstrap import seal_of
from reconciler.demo.actor import Actor, Refused
from reconciler.storage.schema import deployments
from tests.scenarios.conftest import StageMaker, stages
from tests.scenarios.stage import PRODUCTION, Stage, greet


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One stage for all: nothing of what is tried here changes anything on a host."""
    with stages() as make:
        yield make()


def tried(what: Actor, method: str, path: str, **body: Any) -> bool:
    """Whether the forge let them; most of what is tried here it does."""
    try:
        what.api(method, path, **body)
    except Refused:
        return False
    return True


def decided(stage: Stage, sha: str) -> list[int]:
    """The numbers of the decision that the ledger holds about a landing."""
    entry = stage.parts.ledger.latest("gate", f"landing/{sha}/{PRODUCTION}")
    assert entry is not None
    return [reason["rule"] for reason in json.loads(entry.body)["data"]["facts"]["decision"]["reasons"]]


def unchanged(stage: Stage, before: tuple[Any, ...]) -> None:
    """Every container and every record is what it was."""
    stage.run()
    assert state_of(stage) == before


def state_of(stage: Stage) -> tuple[Any, ...]:
    return stage.containers(), stage.greeting(), [record["id"] for record in stage.deployments()]


def undo(stage: Stage, branch: str, start: str) -> None:
    """An approved pull request puts production's file back, so that the next attack starts from the same place."""
    number = stage.author.propose(branch, "Undo", greet("first"))["number"]
    stage.run()
    stage.approve(number)
    stage.reviewer.merge(number)
    stage.run()
    assert stage.status()["hold"] is None, (start, stage.status())


def test_the_agents_token(stage: Stage) -> None:
    before, agent = state_of(stage), stage.deployer
    number = agent.propose("agent/stolen", "Stolen", greet("stolen"))["number"]
    stage.run()
    head, digest = agent.pull(number)["head"]["sha"], stage.plan_digest(number)
    stage.later()
    assert not tried(agent, "POST", f"/pulls/{number}/reviews", event="APPROVE")
    agent.comment(number, f"/reconciler approve {digest[:12]}")
    for context in ("plan", "policy", "approval", "deploy"):
        tried(agent, "POST", f"/statuses/{head}", context=f"reconciler/{context}", state="success")
    tried(agent, "PATCH", f"/pulls/{number}", title="[approved by reviewer]", body="/reconciler approve")
    tried(agent, "POST", f"/issues/{number}/labels", labels=["approved"])
    other = stage.author.propose("author/theirs", "Theirs", greet("theirs"))["number"]
    stage.run()
    stage.later()
    assert tried(agent, "POST", f"/pulls/{other}/reviews", event="APPROVE"), "the forge lets it review others"
    agent.comment(other, f"/reconciler approve {stage.plan_digest(other)[:12]}")
    stage.run()
    assert 3 in stage.rules(number)
    assert 3 in stage.rules(other)
    with pytest.raises(Refused):
        agent.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    merged = stage.operator.merge(number)
    unchanged(stage, before)
    assert 3 in decided(stage, merged)
    assert stage.status()["commit"] == merged
    stage.author.api("PATCH", f"/pulls/{other}", state="closed")
    undo(stage, "undo/agent", merged)


def test_the_authors_token(stage: Stage) -> None:
    before, author = state_of(stage), stage.author
    number = author.propose("author/stolen", "Stolen", greet("stolen"))["number"]
    stage.run()
    head, digest = author.pull(number)["head"]["sha"], stage.plan_digest(number)
    stage.later()
    assert not tried(author, "POST", f"/pulls/{number}/reviews", event="APPROVE")
    author.comment(number, f"/reconciler approve {digest[:12]}")
    tried(author, "POST", f"/statuses/{head}", context="reconciler/approval", state="success")
    stage.run()
    assert set(stage.rules(number)) == {1}
    # What the reviewer approved is not what is merged.
    stage.approve(number)
    author.push("author/stolen", "More", greet("more"), force=True)
    merged = author.merge(number)
    unchanged(stage, before)
    assert {16, 25} & set(decided(stage, merged))
    # And past all of it, to the branch itself.
    greet("pushed")(author.checkout())
    author.commit("Straight to main")
    author.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    unchanged(stage, before)
    assert stage.status()["hold"] is not None
    held = stage.parts.ledger.latest("hold", str(PRODUCTION))
    assert held is not None
    assert json.loads(held.body)["data"]["reason"] != ""
    undo(stage, "undo/author", merged)


def test_the_webhooks_secret(stage: Stage) -> None:
    before = state_of(stage)
    number = stage.deployer.propose("agent/hooked", "Hooked", greet("hooked"))["number"]
    merged = stage.operator.merge(number)
    repository = stage.author.api("GET", "")["id"]
    pull = {"number": number, "merged": True, "state": "closed", "base": {"ref": "main"}, "merge_commit_sha": merged}
    review = {"state": "approved", "user": {"id": 1002, "login": "reviewer"}, "commit_id": merged}
    bodies = [
        ("pull_request", {"action": "closed", "pull_request": pull}),
        ("pull_request_review", {"action": "submitted", "pull_request": pull, "review": review}),
        (
            "issue_comment",
            {"issue": {"number": number, "pull_request": {}}, "comment": {"body": "/reconciler approve"}},
        ),
        ("push", {"ref": "refs/heads/main", "after": merged, "pusher": {"name": "reviewer"}}),
    ]
    server = stage.world.start_server()
    try:
        for index, (event, body) in enumerate(bodies * 5):
            raw = json.dumps(body | {"repository": {"id": repository}}).encode()
            signature = hmac.new(stage.world.webhook_secret.encode(), raw, hashlib.sha256).hexdigest()
            headers = {
                "x-github-event": event,
                "x-github-delivery": f"stolen-{index}",
                "x-hub-signature-256": f"sha256={signature}",
                "content-type": "application/json",
            }
            url = f"http://{stage.world.listen}/hooks/github"
            assert httpx.post(url, content=raw, headers=headers, timeout=30).status_code < 300
            assert httpx.post(url, content=raw + b" ", headers=headers, timeout=30).status_code in (401, 403)
    finally:
        server.stop()
    unchanged(stage, before)
    assert stage.status()["commit"] == merged
    assert stage.parts.ledger.latest("gate", f"landing/{merged}/{PRODUCTION}") is not None
    undo(stage, "undo/hook", merged)


# -- the database file ----------------------------------------------------------------------------------------------

Forger = Callable[[sqlite3.Connection, Stage, str], None]


def call_it_verified(database: sqlite3.Connection, _stage: Stage, commit: str) -> None:
    """A heal would deploy it."""
    (text,) = database.execute("SELECT record FROM environments").fetchone()
    database.execute("UPDATE environments SET record = ?", (json.dumps(json.loads(text) | {"verified": commit}),))


def plant_a_deployment(database: sqlite3.Connection, _stage: Stage, commit: str) -> None:
    """One that looks as if it had been cut off is taken up."""
    row = database.execute("SELECT * FROM deployments ORDER BY number DESC LIMIT 1").fetchone()
    record = json.loads(row["record"]) | {"id": "d-planted", "revision": commit, "outcome": "queued", "targets": []}
    planted = dict(row) | {"id": "d-planted", "number": 99, "revision": commit, "outcome": "queued", "final": 0}
    insert(database, planted | {"record": json.dumps(record)})


def put_back_an_earlier_state(database: sqlite3.Connection, stage: Stage, _commit: str) -> None:
    """What this installation itself had sealed while the last deployment was under way."""
    row = database.execute("SELECT * FROM deployments ORDER BY number DESC LIMIT 1").fetchone()
    record = json.loads(row["record"]) | {"outcome": "queued", "reason": "", "targets": [], "finished_at": None}
    earlier = dict(row) | {"outcome": "queued", "final": 0, "record": json.dumps(record, separators=(",", ":"))}
    database.execute("DROP TRIGGER deployments_no_delete")
    database.execute("DELETE FROM deployments WHERE id = ?", (row["id"],))
    insert(database, seal_of(stage.world.root / "state").sealed(deployments, earlier))


def plant_a_decision(database: sqlite3.Connection, _stage: Stage, commit: str) -> None:
    """An open gate for the landing, at the end of the chain."""
    row = dict(database.execute("SELECT * FROM ledger ORDER BY sequence DESC LIMIT 1").fetchone())
    said = json.loads(row["body"]) | {"sequence": row["sequence"] + 1, "previous": row["hash"]}
    body = json.dumps(said | {"subject": f"landing/{commit}/{PRODUCTION}", "data": {"outcome": "open"}}).encode()
    planted = {"sequence": said["sequence"], "previous": row["hash"], "hash": hashlib.sha256(body).hexdigest()}
    insert(
        database, row | planted | {"kind": "gate", "subject": f"landing/{commit}/{PRODUCTION}", "body": body}, "ledger"
    )


def insert(database: sqlite3.Connection, row: dict[str, Any], table: str = "deployments") -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)  # noqa: S608 - of this file


FORGERIES: tuple[Forger, ...] = (call_it_verified, plant_a_deployment, put_back_an_earlier_state, plant_a_decision)


def forge(stage: Stage, how: Forger, commit: str) -> None:
    with closing(sqlite3.connect(stage.world.root / "state/reconciler.db", isolation_level=None)) as database:
        database.row_factory = sqlite3.Row
        how(database, stage, commit)


def test_the_database_file(make_simulated: StageMaker) -> None:
    stage = make_simulated(**{"projects/app/spare/environment.yaml": None})
    directory = stage.world.root / "state"
    # To read it: no token, no key and no secret is in it.
    secrets = [account.token for account in stage.world.accounts.values()] + [stage.world.webhook_secret]
    keys = [(directory / name).read_bytes() for name in ("fingerprint.key", "signing.key")]
    stage.stack.close()
    kept = {file: file.read_bytes() for file in directory.glob("reconciler.db*")}
    for unwanted in (*(secret.encode() for secret in secrets), *keys):
        assert not any(unwanted in content for content in kept.values())
    # To write it: a commit that nobody approved is on the branch, and no row brings it onto a host.
    stage.restart()
    number = stage.deployer.propose("agent/planted", "Planted", greet("planted"))["number"]
    merged = stage.operator.merge(number)
    before = state_of(stage)
    stage.run()
    stage.stack.close()
    kept = {file: file.read_bytes() for file in directory.glob("reconciler.db*")}
    for how in FORGERIES:
        forge(stage, how, merged)
        stage.restart()
        report = stage.run()
        assert {failure["code"] for failure in report["failures"]} == {"VERIFICATION_FAILED"}, how
        assert (stage.containers(), stage.greeting()) == before[:2], how
        if how is not plant_a_decision:  # nothing is appended to that one; `ledger verify` says it
            (left,) = stage.parts.ledger.find("tampered", "database")
            assert "gate 68" in left.data["reason"]
        stage.stack.close()
        put_back(kept)
    stage.restart()
    assert stage.run()["failures"] == []
    assert state_of(stage) == before


def test_an_objection_that_was_taken_out_of_the_database(make_simulated: StageMaker) -> None:
    """Nothing is deployed while entries of the ledger are missing, whatever they said."""
    stage = make_simulated(**{"projects/app/spare/environment.yaml": None})
    before = stage.containers()
    stage.land(greet("second"))
    stage.stack.close()
    kept = {file: file.read_bytes() for file in (stage.world.root / "state").glob("reconciler.db*")}

    def take_one_out(database: sqlite3.Connection, _stage: Stage, _commit: str) -> None:
        database.execute("DROP TRIGGER ledger_no_delete")
        database.execute("DELETE FROM ledger WHERE sequence = (SELECT max(sequence) - 1 FROM ledger)")

    forge(stage, take_one_out, "")
    stage.restart()
    (failure,) = stage.run()["failures"]
    assert "an entry is missing" in failure["error"]
    assert stage.containers() == before
    left = [json.loads(row.body)["data"] for row in stage.parts.ledger.stored() if row.kind == "tampered"]
    assert left == [{"reason": failure["error"]}], "nothing can be looked for in it, and this is added to it, once"
    stage.stack.close()
    put_back(kept)
    stage.restart()
    assert stage.run()["failures"] == []
    assert stage.greeting() == "second"


def put_back(kept: dict[Path, bytes]) -> None:
    for file, content in kept.items():
        file.write_bytes(content)
