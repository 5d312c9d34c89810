"""Webhooks arrive signed, are logged, can be sent again, and never hold up a request."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from reconciler.localforge.forge import Forge
from reconciler.localforge.server import running
from tests.unit.localforge.forge_under_test import REPOSITORY, TOKENS, Api, seed

pytestmark = pytest.mark.integration

SECRET = "s3cret"
EVENTS = ["pull_request", "pull_request_review", "push", "issue_comment", "status"]


@pytest.fixture
def received() -> queue.Queue[tuple[str, dict[str, Any]]]:
    return queue.Queue()


@pytest.fixture
def receiver(httpserver: HTTPServer, received: queue.Queue[tuple[str, dict[str, Any]]]) -> HTTPServer:
    def take(request: Request) -> Response:
        raw = request.get_data()
        expected = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers["X-Hub-Signature-256"]):
            return Response("bad signature", status=401)
        received.put((request.headers["X-GitHub-Event"], json.loads(raw)))
        return Response("taken")

    httpserver.expect_request("/hooks/github", method="POST").respond_with_handler(take)
    return httpserver


@pytest.fixture
def forge(tmp_path: Path, receiver: HTTPServer) -> Iterator[Forge]:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("a\n")
    hook = {"repository": "acme/infra", "url": receiver.url_for("/hooks/github"), "secret": SECRET, "events": EVENTS}
    with running(tmp_path / "data", seed(tmp_path / "source", webhooks=(hook,))) as forge:
        yield forge


@pytest.fixture
def apis(forge: Forge) -> Iterator[dict[str, Api]]:
    with httpx.Client(base_url=forge.base_url) as client:
        yield {name: Api(client, token) for name, token in TOKENS.items()}


def _next(received: queue.Queue[tuple[str, dict[str, Any]]], count: int) -> list[tuple[str, str | None]]:
    found = [received.get(timeout=10) for _ in range(count)]
    return [(event, payload.get("action")) for event, payload in found]


def test_each_event_of_a_pull_requests_life_is_delivered_in_order(
    apis: dict[str, Api], received: queue.Queue[tuple[str, dict[str, Any]]]
) -> None:
    head = apis["author"].commit_file("change", "a.txt", "b\n")
    number = apis["author"].open_pull("change")
    apis["engine"].post(f"{REPOSITORY}/statuses/{head}", state="pending", context="reconciler/plan")
    comment = apis["engine"].post(f"{REPOSITORY}/issues/{number}/comments", body="plan")
    apis["engine"].patch(f"{REPOSITORY}/issues/comments/{comment['id']}", body="plan 2")
    apis["author"].commit_file("change", "b.txt", "b\n")
    apis["reviewer"].approve(number)
    apis["reviewer"].put(f"{REPOSITORY}/pulls/{number}/merge")
    assert _next(received, 10) == [
        ("push", None),
        ("pull_request", "opened"),
        ("status", None),
        ("issue_comment", "created"),
        ("issue_comment", "edited"),
        ("pull_request", "synchronize"),
        ("push", None),
        ("pull_request_review", "submitted"),
        ("push", None),
        ("pull_request", "closed"),
    ]


def test_the_payload_names_repository_sender_and_what_it_is_about(
    apis: dict[str, Api], received: queue.Queue[tuple[str, dict[str, Any]]]
) -> None:
    head = apis["author"].commit_file("change", "a.txt", "b\n")
    apis["author"].open_pull("change")
    _, push = received.get(timeout=10)
    assert (push["ref"], push["after"], push["created"], push["sender"]["id"]) == (
        "refs/heads/change",
        head,
        True,
        1001,
    )
    assert [commit["modified"] for commit in push["commits"]] == [["a.txt"]]
    _, opened = received.get(timeout=10)
    assert (opened["pull_request"]["head"]["sha"], opened["repository"]["full_name"]) == (head, "acme/infra")
    apis["reviewer"].approve(1)
    _, review = received.get(timeout=10)
    assert (review["review"]["state"], review["review"]["commit_id"]) == ("approved", head)


def test_deliveries_are_logged_and_can_be_sent_again(
    apis: dict[str, Api], received: queue.Queue[tuple[str, dict[str, Any]]]
) -> None:
    apis["author"].commit_file("change", "a.txt", "b\n")
    received.get(timeout=10)
    (hook,) = apis["admin"].get(f"{REPOSITORY}/hooks")
    assert hook["config"]["secret"] == "********"
    apis["admin"].call("POST", f"{REPOSITORY}/hooks/{hook['id']}/pings", 204)
    assert received.get(timeout=10)[0] == "ping"
    url = f"{REPOSITORY}/hooks/{hook['id']}/deliveries"
    (first,) = [one for one in apis["admin"].get(url) if one["event"] == "push"]
    assert (first["status_code"], first["status"], first["redelivery"]) == (200, "OK", False)
    apis["admin"].post(f"{url}/{first['id']}/attempts", 202)
    assert received.get(timeout=10)[0] == "push"
    apis["admin"].call("POST", f"{REPOSITORY}/hooks/{hook['id']}/pings", 204)
    received.get(timeout=10)  # the one before it is now in the log
    again = next(one for one in apis["admin"].get(url) if one["redelivery"])
    assert again["guid"] == first["guid"]
    detail = apis["admin"].get(f"{url}/{again['id']}")
    assert detail["request"]["headers"]["X-GitHub-Event"] == "push"
    assert detail["response"]["payload"] == "taken"


def test_a_dead_receiver_is_logged_and_holds_nothing_up(
    apis: dict[str, Api], received: queue.Queue[tuple[str, dict[str, Any]]]
) -> None:
    made = apis["admin"].post(
        f"{REPOSITORY}/hooks", config={"url": "http://127.0.0.1:9/", "content_type": "json"}, events=["push"]
    )
    apis["author"].commit_file("change", "a.txt", "b\n")
    received.get(timeout=10)
    apis["admin"].call("POST", f"{REPOSITORY}/hooks/{made['id']}/pings", 204)
    url = f"{REPOSITORY}/hooks/{made['id']}/deliveries"
    assert apis["admin"].get(f"{REPOSITORY}/pulls") == []
    (other,) = [one for one in apis["admin"].get(f"{REPOSITORY}/hooks") if one["id"] != made["id"]]
    apis["admin"].call("POST", f"{REPOSITORY}/hooks/{other['id']}/pings", 204)
    received.get(timeout=10)  # deliveries are made in turn: all before this one have been tried
    logged = apis["admin"].get(url)
    assert {one["event"] for one in logged} == {"ping", "push"}
    assert all(one["status_code"] == 0 for one in logged)
    apis["admin"].delete(f"{REPOSITORY}/hooks/{made['id']}")


def test_a_hook_that_redirects_is_not_followed(
    apis: dict[str, Api], receiver: HTTPServer, received: queue.Queue[tuple[str, dict[str, Any]]]
) -> None:
    moved = Response(status=307, headers={"Location": receiver.url_for("/hooks/github")})
    receiver.expect_request("/moved").respond_with_response(moved)
    made = apis["admin"].post(f"{REPOSITORY}/hooks", config={"url": receiver.url_for("/moved"), "secret": SECRET})
    (other,) = [one for one in apis["admin"].get(f"{REPOSITORY}/hooks") if one["id"] != made["id"]]
    apis["admin"].call("POST", f"{REPOSITORY}/hooks/{other['id']}/pings", 204)
    assert received.get(timeout=10)[1]["hook_id"] == other["id"]
    (ping,) = apis["admin"].get(f"{REPOSITORY}/hooks/{made['id']}/deliveries")
    assert ping["status_code"] == 307
