"""Reviews: who may give which, what they are bound to, what dismissing leaves behind."""

from __future__ import annotations

import pytest

from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY

PULL = f"{REPOSITORY}/pulls/1"
REVIEWS = f"{PULL}/reviews"


@pytest.fixture
def head(as_: As) -> str:
    """An open pull request of the agent; returns its head."""
    sha = as_("agent").commit_file("agent/raise", "a.txt", "a\n")
    as_("agent").open_pull("agent/raise")
    return sha


def test_an_approval_is_bound_to_the_head_it_was_given_at(as_: As, head: str) -> None:
    review = as_("reviewer").approve(1, body="Good")
    assert (review["state"], review["commit_id"], review["user"]["id"]) == ("APPROVED", head, 1002)
    newer = as_("agent").commit_file("agent/raise", "b.txt", "b\n")
    (kept,) = as_("reader").get(REVIEWS)
    assert (kept["state"], kept["commit_id"]) == ("APPROVED", head)
    assert as_("reader").get(PULL)["head"]["sha"] == newer


def test_nobody_approves_an_own_pull_request(as_: As, head: str) -> None:
    refused = as_("agent").post(REVIEWS, 422, event="APPROVE")
    assert refused["errors"] == ["Can not approve your own pull request"]
    as_("agent").post(REVIEWS, 422, event="REQUEST_CHANGES", body="x")
    as_("agent").post(REVIEWS, 200, event="COMMENT", body="A note")


def test_a_bot_with_a_token_for_it_may_approve_others(as_: As) -> None:
    as_("author").commit_file("change", "a.txt", "a\n")
    as_("author").open_pull("change")
    assert as_("agent").approve(1)["user"]["type"] == "Bot"


def test_an_approval_of_an_older_commit_is_taken_and_says_so(as_: As, head: str) -> None:
    as_("agent").commit_file("agent/raise", "b.txt", "b\n")
    assert as_("reviewer").approve(1, commit_id=head)["commit_id"] == head
    main = as_("reader").get(f"{REPOSITORY}/git/ref/heads/main")["object"]["sha"]
    as_("reviewer").post(REVIEWS, 422, event="APPROVE", commit_id=main)
    as_("reviewer").post(REVIEWS, 422, event="APPROVE", commit_id="0" * 40)


@pytest.mark.parametrize("event", ["REQUEST_CHANGES", "COMMENT"])
def test_these_need_a_text(as_: As, head: str, event: str) -> None:
    assert "Body can't be blank" in as_("reviewer").post(REVIEWS, 422, event=event)["errors"][0]


def test_an_unknown_event_is_refused(as_: As, head: str) -> None:
    as_("reviewer").post(REVIEWS, 422, event="LOVE")


def test_a_pending_review_is_seen_by_its_writer_only_until_it_is_submitted(as_: As, head: str) -> None:
    comments = [{"path": "a.txt", "line": 1, "body": "Why?"}]
    pending = as_("reviewer").post(REVIEWS, 200, body="Draft", comments=comments)
    assert pending["state"] == "PENDING"
    assert "submitted_at" not in pending
    assert as_("reader").get(REVIEWS) == []
    assert as_("reader").get(f"{PULL}/comments") == []
    as_("reader").get(f"{REVIEWS}/{pending['id']}", 404)
    as_("reviewer").post(REVIEWS, 422)
    submitted = as_("reviewer").post(f"{REVIEWS}/{pending['id']}/events", 200, event="REQUEST_CHANGES")
    assert (submitted["state"], submitted["body"]) == ("CHANGES_REQUESTED", "Draft")
    assert [one["body"] for one in as_("reader").get(f"{PULL}/comments")] == ["Why?"]
    assert [one["body"] for one in as_("reader").get(f"{REVIEWS}/{pending['id']}/comments")] == ["Why?"]


def test_a_pending_review_can_be_deleted_and_a_given_one_cannot(as_: As, head: str) -> None:
    pending = as_("reviewer").post(REVIEWS, 200, body="Draft")
    as_("reviewer").delete(f"{REVIEWS}/{pending['id']}", expect=200)
    given = as_("reviewer").approve(1)
    as_("reviewer").delete(f"{REVIEWS}/{given['id']}", expect=422)


def test_a_dismissal_names_who_dismissed_what(as_: As, head: str) -> None:
    objection = as_("reviewer").post(REVIEWS, 200, event="REQUEST_CHANGES", body="No")
    url = f"{REVIEWS}/{objection['id']}/dismissals"
    as_("reader").put(url, 403, message="x")
    as_("author").put(url, 422, message=" ")
    assert as_("author").put(url, message="Outdated")["state"] == "DISMISSED"
    as_("author").put(url, 422, message="again")
    event = as_("reader").get(f"{REPOSITORY}/issues/1/timeline")[-1]
    assert (event["event"], event["actor"]["id"]) == ("review_dismissed", 1001)
    assert event["dismissed_review"] == {
        "state": "changes_requested",
        "review_id": objection["id"],
        "dismissal_message": "Outdated",
    }


def test_a_comment_review_cannot_be_dismissed(as_: As, head: str) -> None:
    review = as_("reviewer").post(REVIEWS, 200, event="COMMENT", body="Hm")
    as_("author").put(f"{REVIEWS}/{review['id']}/dismissals", 422, message="x")


def test_whoever_may_write_edits_the_text_of_a_review_and_the_verdict_stays(as_: As, head: str) -> None:
    review = as_("reviewer").approve(1, body="Good")
    as_("reader").put(f"{REVIEWS}/{review['id']}", 403, body="Bad")
    assert as_("admin").put(f"{REVIEWS}/{review['id']}", body="Rather good")["user"]["login"] == "reviewer"
    edited = as_("reviewer").put(f"{REVIEWS}/{review['id']}", body="Very good")
    assert (edited["body"], edited["state"], edited["commit_id"]) == ("Very good", "APPROVED", head)


def test_someone_with_read_access_may_review_and_the_role_shows_what_it_is_worth(as_: As, head: str) -> None:
    assert as_("reader").approve(1)["state"] == "APPROVED"
    permission = as_("engine").get(f"{REPOSITORY}/collaborators/reader/permission")
    assert (permission["role_name"], permission["user"]["id"]) == ("read", 1004)


def test_a_review_of_another_pull_request_is_not_found_here(as_: As, head: str) -> None:
    review = as_("reviewer").approve(1)
    as_("agent").commit_file("agent/other", "c.txt", "c\n")
    number = as_("agent").open_pull("agent/other")
    as_("reviewer").get(f"{REPOSITORY}/pulls/{number}/reviews/{review['id']}", 404)
