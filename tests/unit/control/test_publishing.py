"""What is said on the forge: said once, edited in place, and never mistaken for what somebody else wrote.

The GitHub adapter talks to the embedded forge in this process; the ledger is in a real database.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.control import checkpoints, evidence, publishing
from reconciler.control.parts import Parts
from reconciler.forges import GitHub
from reconciler.forges.connection import Connection
from reconciler.localforge.server import build_app
from reconciler.model.approval import Gate, Reason, RuleSet, Waiting
from reconciler.model.deployment import DeploymentState
from reconciler.model.errors import ForgeUnavailable
from reconciler.model.principal import Principals
from reconciler.model.pull_request import PullRequestReading
from reconciler.model.verdict import Verdict
from reconciler.ports import TrustRecord
from reconciler.storage import Database
from tests.unit.control.plane import Events, parts_of
from tests.unit.localforge.forge_under_test import REPOSITORY, TOKENS, Api, seed
from tests.unit.storage.records import NOON, a_deployment

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have a successor of httpx that nothing else here needs
    from starlette.testclient import TestClient

RULES = (RuleSet("the base", Principals(), Verdict((), (), "p" * 64), ()),)


class Counting(GitHub):
    """Counts what is written; `down` lets statuses fail, as a forge that goes away halfway."""

    comments_written = 0
    statuses_written = 0
    down = False

    def write_comment(self, *arguments: Any) -> Any:
        self.comments_written += 1
        return super().write_comment(*arguments)

    def write_status(self, *arguments: Any) -> None:
        if self.down:
            raise ForgeUnavailable("down")
        self.statuses_written += 1
        super().write_status(*arguments)


@dataclass
class Told:
    """An open pull request, everybody who can write to it, and our side."""

    parts: Parts
    forge: Counting
    events: Events
    client: TestClient
    number: int

    def as_(self, who: str) -> Api:
        return Api(self.client, TOKENS[who])

    def comments(self) -> list[Any]:
        found: list[Any] = self.as_("reader").get(f"{REPOSITORY}/issues/{self.number}/comments")
        return found

    def reading(self) -> PullRequestReading:
        return self.forge.reading(self.number)

    def post(self, text: str = "one more approval") -> None:
        gate: Gate = Waiting((text,), (Reason(1, text),))
        publishing.post(self.parts, self.reading(), (), RULES, gate)

    def entries(self, kind: str) -> list[dict[str, Any]]:
        found = self.parts.ledger.find(kind, evidence.subject(self.number))
        return [json.loads(entry.body)["data"] for entry in found]

    def written(self) -> tuple[int, int]:
        return self.forge.comments_written, self.forge.statuses_written


@pytest.fixture
def told(tmp_path: Path, database: Database) -> Iterator[Told]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "README.md").write_text("# Infrastructure\n")
    app = build_app(tmp_path / "forge", seed(source), "http://forge.test")
    with TestClient(app, base_url="http://forge.test") as client:
        author = Api(client, TOKENS["author"])
        author.commit_file("change", "README.md", "# Changed\n")
        number = author.open_pull("change")
        forge = Counting("http://forge.test/api/v3", "acme/infra", TOKENS["engine"])
        # the same application behind another transport: no socket is opened
        forge._connection = Connection("http://forge.test/api/v3", TOKENS["engine"], 30, client._transport)
        events = Events()
        yield Told(parts_of(database, forge=forge, events=events), forge, events, client, number)


def test_the_first_time_all_is_said_and_kept(told: Told) -> None:
    told.post()
    (comment,) = told.comments()
    assert comment["user"]["login"] == "reconciler"
    assert "one more approval" in comment["body"]
    head = told.reading().pull_request.head_sha
    statuses = told.as_("reader").get(f"{REPOSITORY}/commits/{head}/status")["statuses"]
    assert {s["context"] for s in statuses} == {"reconciler/plan", "reconciler/policy", "reconciler/approval"}
    (plan,), (decided,) = told.entries("plan-posted"), told.entries("gate")
    assert (plan["head_sha"], plan["comment"], plan["digests"]) == (head, comment["id"], {})
    assert decided["facts"]["decision"]["outcome"] == "waiting"
    assert [e["pull_request"] for e in told.events.of("pull_request.judged")] == [told.number]


def test_the_same_again_is_not_said_again(told: Told) -> None:
    told.post()
    before = told.written()
    for _ in range(3):
        told.post()
    assert told.written() == before
    assert len(told.entries("gate")) == len(told.entries("plan-posted")) == 1


def test_another_answer_edits_the_one_comment_and_keeps_the_plan_where_it_was(told: Told) -> None:
    told.post()
    told.post("somebody of the operators")
    (comment,) = told.comments()
    assert "somebody of the operators" in comment["body"]
    assert "one more approval" not in comment["body"]
    assert len(told.entries("gate")) == 2
    assert len(told.entries("plan-posted")) == 1, "the plan did not change, so it was not posted anew"


def test_a_push_is_a_plan_posted_for_another_head(told: Told) -> None:
    told.post()
    told.as_("author").commit_file("change", "README.md", "# Changed again\n")
    told.post()
    assert len(told.comments()) == 1
    heads = [entry["head_sha"] for entry in told.entries("plan-posted")]
    assert len(set(heads)) == 2
    assert [p.head_sha for p in evidence.posted(told.parts, told.reading())] == heads


def test_a_forge_that_goes_away_halfway_is_told_the_rest_later_in_the_same_comment(told: Told) -> None:
    told.forge.down = True
    with pytest.raises(ForgeUnavailable):
        told.post()
    assert told.entries("gate") == []
    told.forge.down = False
    told.post()
    assert len(told.comments()) == 1
    assert told.forge.statuses_written == 3
    assert len(told.entries("plan-posted")) == len(told.entries("gate")) == 1


def test_a_comment_of_somebody_else_with_our_marker_is_not_ours(told: Told) -> None:
    told.post()
    ours = told.comments()[0]
    told.as_("admin").delete(f"{REPOSITORY}/issues/comments/{ours['id']}")
    copy = told.as_("author").post(f"{REPOSITORY}/issues/{told.number}/comments", body=ours["body"])
    told.post("somebody of the operators")
    theirs, again = told.comments()
    assert (theirs["id"], theirs["body"]) == (copy["id"], ours["body"])
    assert (again["user"]["login"], "somebody of the operators" in again["body"]) == ("reconciler", True)


def test_a_marked_comment_that_was_there_before_us_is_not_ours(told: Told) -> None:
    told.post()
    ours = told.comments()[0]
    told.as_("admin").delete(f"{REPOSITORY}/issues/comments/{ours['id']}")
    told.as_("author").post(f"{REPOSITORY}/issues/{told.number}/comments", body=ours["body"])
    forgotten = publishing._ours(_without_memory(told), told.number)
    assert forgotten is None


def test_a_lost_ledger_finds_our_comment_by_account_and_marker(told: Told) -> None:
    told.as_("engine").post(f"{REPOSITORY}/issues/{told.number}/comments", body="without a marker")
    told.post()
    (_, ours) = told.comments()
    assert publishing._ours(_without_memory(told), told.number) == ours["id"]


def _without_memory(told: Told) -> Parts:
    """The same forge, seen by a control plane whose ledger knows nothing of the pull request."""

    class Empty:
        def latest(self, kind: str, subject: str) -> None:
            """Nothing."""

    return parts_of(None, forge=told.forge, ledger=Empty())  # type: ignore[arg-type]


def test_an_edit_by_somebody_else_is_noticed_remembered_and_undone(told: Told) -> None:
    told.post()
    ours = told.comments()[0]
    assert [p.edited_by_others for p in evidence.posted(told.parts, told.reading())] == [False]
    changed = ours["body"].replace("one more approval", "nothing at all")
    told.as_("admin").patch(f"{REPOSITORY}/issues/comments/{ours['id']}", body=changed)
    told.post()
    assert told.comments()[0]["body"] == ours["body"]
    assert [e["how"] for e in told.entries("plan-edited")] == ["the text is not ours"]
    posted = evidence.posted(told.parts, told.reading())
    assert [p.edited_by_others for p in posted] == [True, False]
    told.post()
    assert len(told.entries("plan-edited")) == 1


def test_a_comment_that_was_deleted_was_tampered_with(told: Told) -> None:
    told.post()
    told.as_("admin").delete(f"{REPOSITORY}/issues/comments/{told.comments()[0]['id']}")
    assert [p.edited_by_others for p in evidence.posted(told.parts, told.reading())] == [True]
    assert [e["how"] for e in told.entries("plan-edited")] == ["it was deleted"]


def test_what_cannot_be_planned_is_said_once_and_is_no_plan(told: Told) -> None:
    for _ in range(2):
        publishing.unplannable(told.parts, told.reading(), "2 problems\n  a.yaml:1: first\n  b.yaml:2: second")
    assert told.written() == (1, 3)
    assert told.entries("plan-posted") == []
    assert "b.yaml:2: second" in told.comments()[0]["body"]
    assert evidence.posted(told.parts, told.reading()) == ()
    told.post()
    assert len(told.comments()) == 1
    assert len(told.entries("plan-posted")) == 1


# -- the deploy status ------------------------------------------------------------------------------------------------


def landed(told: Told, tmp_path: Path) -> tuple[Parts, str]:
    """A commit on which a deployment ended, and parts that can sign."""
    parts = parts_of(told.parts.ledger.database, forge=told.forge, keys=tmp_path)  # type: ignore[attr-defined]
    parts.states.set_trust(TrustRecord(repository=77, revision="a" * 40, roots=(), created_at=NOON))
    sha = told.reading().pull_request.base_sha
    parts.deployments.begin(a_deployment(revision=sha), {})
    parts.deployments.advance(a_deployment(revision=sha, outcome=DeploymentState.SUCCEEDED, reason="healthy"))
    parts.ledger.append("deployment-finished", "d-1", {}, NOON)
    return parts, sha


def deploy_statuses(told: Told, sha: str) -> list[str]:
    found = told.as_("reader").get(f"{REPOSITORY}/commits/{sha}/statuses")
    return [status["description"] for status in found if status["context"] == "reconciler/deploy"]


def test_the_deploy_status_carries_the_anchor_of_the_newest_checkpoint(told: Told, tmp_path: Path) -> None:
    parts, sha = landed(told, tmp_path)
    made = checkpoints.make(parts).checkpoint
    publishing.deployed(parts, sha)
    (said,) = deploy_statuses(told, sha)
    assert said.endswith(f" | ledger {made.size}:{made.root[:32]}")
    assert said.startswith("change of shop/production on web-1 succeeded: healthy")
    (entry,) = parts.ledger.find("deploy-status", sha)
    assert json.loads(entry.body)["data"]["anchor"] == made.anchor


def test_a_new_checkpoint_alone_does_not_write_the_status_again(told: Told, tmp_path: Path) -> None:
    parts, sha = landed(told, tmp_path)
    for _ in range(3):
        checkpoints.make(parts)
        publishing.deployed(parts, sha)
        parts.ledger.append("drift", "shop/production", {}, NOON)
    assert len(deploy_statuses(told, sha)) == 1
    assert len(parts.ledger.find("deploy-status", sha)) == 1


def test_without_a_checkpoint_the_status_is_written_without_an_anchor(told: Told, tmp_path: Path) -> None:
    parts, sha = landed(told, tmp_path)
    publishing.deployed(parts, sha)
    assert "ledger" not in deploy_statuses(told, sha)[0]
