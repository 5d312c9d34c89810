"""Comments and the order of the timeline."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.localforge.forge import Forge
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY

COMMENTS = f"{REPOSITORY}/issues/1/comments"


@pytest.fixture
def head(as_: As) -> str:
    sha = as_("author").commit_file("change", "a.txt", "a\n")
    as_("author").open_pull("change")
    return sha


def test_a_comment_is_edited_in_place_and_shows_it(as_: As, forge: Forge, head: str) -> None:
    times = iter([datetime(2030, 1, 1, 12, 0, second, tzinfo=UTC) for second in range(30)])
    object.__setattr__(forge, "clock", lambda: next(times))
    written = as_("engine").post(COMMENTS, body="plan 1")
    assert written["created_at"] == written["updated_at"]
    edited = as_("engine").patch(f"{REPOSITORY}/issues/comments/{written['id']}", body="plan 2")
    assert (edited["body"], edited["created_at"]) == ("plan 2", written["created_at"])
    assert edited["updated_at"] > edited["created_at"]
    assert as_("reader").get(f"{REPOSITORY}/issues/comments/{written['id']}") == edited
    assert [one["body"] for one in as_("reader").get(COMMENTS)] == ["plan 2"]


def test_comments_of_others_are_for_writers_only(as_: As, head: str) -> None:
    written = as_("engine").post(COMMENTS, body="plan")
    url = f"{REPOSITORY}/issues/comments/{written['id']}"
    as_("reader").patch(url, 403, body="no plan")
    as_("reader").call("DELETE", url, 403)
    as_("admin").delete(url)
    as_("admin").get(url, 404)
    assert as_("reader").events(1)[-1] == "comment_deleted"


def test_the_timeline_tells_everything_in_order(as_: As, head: str) -> None:
    as_("engine").post(COMMENTS, body="plan")
    as_("reviewer").post(f"{REPOSITORY}/pulls/1/reviews", 200, event="REQUEST_CHANGES", body="No")
    second = as_("author").commit_file("change", "b.txt", "b\n")
    as_("reviewer").approve(1)
    as_("reviewer").put(f"{REPOSITORY}/pulls/1/merge")
    assert as_("reader").events(1) == [
        "committed", "commented", "reviewed", "committed", "reviewed", "merged", "closed",
    ]  # fmt: skip
    timeline = as_("reader").get(f"{REPOSITORY}/issues/1/timeline")
    assert [one["sha"] for one in timeline if one["event"] == "committed"] == [head, second]
    assert [one["state"] for one in timeline if one["event"] == "reviewed"] == ["changes_requested", "approved"]
    merged = next(one for one in timeline if one["event"] == "merged")
    assert merged["commit_id"] == as_("reader").get(f"{REPOSITORY}/pulls/1")["merge_commit_sha"]
    kinds = [one["event"] for one in as_("reader").get(f"{REPOSITORY}/issues/1/events")]
    assert kinds == ["merged", "closed"]


def test_the_pull_request_is_an_issue_too(as_: As, head: str) -> None:
    issue = as_("reader").get(f"{REPOSITORY}/issues/1")
    assert issue["pull_request"]["url"].endswith("/pulls/1")
    assert as_("author").patch(f"{REPOSITORY}/issues/1", state="closed")["state"] == "closed"
    assert as_("reader").get(f"{REPOSITORY}/issues") == []
    assert len(as_("reader").get(f"{REPOSITORY}/issues?state=all")) == 1
    as_("author").post(f"{REPOSITORY}/issues", 410, title="A real issue")
