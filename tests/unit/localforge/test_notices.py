"""The payloads of webhooks are what GitHub describes. That they arrive is shown in the integration tests."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.localforge.forge import Forge
from reconciler.localforge.records import Hook
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY, check_webhook

PULL = f"{REPOSITORY}/pulls/1"


class Outbox:
    """In the place of the deliveries: keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, hook: Hook, event: str, payload: dict[str, Any]) -> str:
        self.sent.append((event, payload))
        return ""

    def names(self) -> list[str]:
        return [" ".join(filter(None, (event, payload.get("action")))) for event, payload in self.sent]


@pytest.fixture
def outbox(forge: Forge, as_: As, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """Everything that a hook for all events is sent from here on; closes the real deliveries itself at the end."""
    outbox = Outbox()
    as_("admin").post(f"{REPOSITORY}/hooks", config={"url": "http://hook.test/", "secret": "s"}, events=["*"])
    real = forge.deliveries
    real.close()
    object.__setattr__(forge, "deliveries", outbox)
    monkeypatch.setattr(outbox, "close", lambda: None, raising=False)
    return outbox


def _live_through_everything(as_: As) -> None:
    author, reviewer = as_("author"), as_("reviewer")
    head = author.commit_file("change", "a.txt", "a\n")
    author.post(f"{REPOSITORY}/pulls", title="A change", body="Why", head="change", base="main", draft=True)
    author.patch(PULL, title="Another title")
    author.patch(PULL, body="Another reason")
    as_("engine").post(f"{REPOSITORY}/statuses/{head}", state="success", context="plan", description="2 changes")
    run = as_("app").post(f"{REPOSITORY}/check-runs", name="plan", head_sha=head)
    as_("app").patch(f"{REPOSITORY}/check-runs/{run['id']}", conclusion="success")
    author.post(f"{PULL}/requested_reviewers", reviewers=["reviewer"])
    author.delete(f"{PULL}/requested_reviewers", expect=200, reviewers=["reviewer"])
    comment = as_("engine").post(f"{REPOSITORY}/issues/1/comments", body="plan")
    as_("engine").patch(f"{REPOSITORY}/issues/comments/{comment['id']}", body="plan 2")
    as_("engine").delete(f"{REPOSITORY}/issues/comments/{comment['id']}")
    review = reviewer.approve(1, body="Good")
    reviewer.put(f"{PULL}/reviews/{review['id']}", body="Very good")
    author.put(f"{PULL}/reviews/{review['id']}/dismissals", message="Not yet")
    author.commit_file("change", "b.txt", "b\n")
    author.commit_file("release", "r.txt", "r\n")
    author.patch(PULL, base="release")
    author.patch(PULL, base="main")
    author.patch(PULL, state="closed")
    author.patch(PULL, state="open")


def test_each_payload_is_what_github_describes(as_: As, outbox: Outbox) -> None:
    _live_through_everything(as_)
    as_("author").delete(f"{REPOSITORY}/git/refs/heads/release")
    assert outbox.names() == [
        "push", "pull_request opened", "pull_request edited", "pull_request edited", "status", "check_run created",
        "check_run completed", "pull_request review_requested", "pull_request review_request_removed",
        "issue_comment created", "issue_comment edited", "issue_comment deleted", "pull_request_review submitted",
        "pull_request_review edited", "pull_request_review dismissed", "pull_request synchronize", "push", "push",
        "pull_request edited", "pull_request edited", "pull_request closed", "pull_request reopened", "push",
    ]  # fmt: skip
    for event, payload in outbox.sent:
        check_webhook(event, payload)


def test_a_merge_tells_of_the_landing(as_: As, outbox: Outbox) -> None:
    as_("author").commit_file("change", "a.txt", "a\n")
    as_("author").open_pull("change")
    merged = as_("reviewer").put(f"{PULL}/merge")
    event, payload = outbox.sent[-1]
    check_webhook(event, payload)
    assert (payload["action"], payload["pull_request"]["merged"]) == ("closed", True)
    assert payload["pull_request"]["merge_commit_sha"] == merged["sha"]
    _, push = outbox.sent[-2]
    assert (push["ref"], push["after"]) == ("refs/heads/main", merged["sha"])


def test_the_check_of_payloads_bites(as_: As, outbox: Outbox) -> None:
    as_("author").commit_file("change", "a.txt", "a\n")
    event, payload = outbox.sent[-1]
    del payload["pusher"]
    with pytest.raises(AssertionError, match="pusher"):
        check_webhook(event, payload)


def test_a_refused_request_tells_nobody(as_: As, outbox: Outbox) -> None:
    as_("author").commit_file("change", "a.txt", "a\n")
    as_("author").open_pull("change")
    before = len(outbox.sent)
    as_("author").post(f"{PULL}/reviews", 422, event="APPROVE")
    as_("reviewer").put(f"{PULL}/merge", 409, sha="0" * 40)
    as_("reader").post(f"{REPOSITORY}/git/refs", 403, ref="refs/heads/x", sha="0" * 40)
    assert len(outbox.sent) == before
