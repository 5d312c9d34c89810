"""Somebody has a credential that is not theirs, and all the time they want. What they get is nothing, and it shows.

The reviewer's token where consent is signed is played in test_consent.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from reconciler.demo.actor import Actor, Refused
from tests.scenarios.conftest import stages
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
