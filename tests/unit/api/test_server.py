"""The control plane's HTTP face in process, with the real signature check and the real table of deliveries."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.server import MOST_BYTES, Hooks, build_app
from reconciler.bootstrap import Webhook
from reconciler.control.requests import Poll, Request, ReviewRequest
from reconciler.storage import open_database
from reconciler.storage.states import SqlStates
from tests.unit.storage.records import SEAL

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have a successor of httpx that nothing else here needs
    from starlette.testclient import TestClient

SECRET = b"s3cret"
PULL = json.dumps(
    {"repository": {"id": 1}, "action": "opened", "pull_request": {"number": 5, "base": {"ref": "main"}}}
).encode()


@dataclass
class Plane:
    """What stands behind the face."""

    hooks: Hooks
    put: list[Request]
    is_ready: tuple[bool, str] = (True, "")
    client: TestClient = field(init=False)

    def deliver(self, body: bytes = PULL, **headers: str | bytes | None) -> Any:
        """Post a delivery as GitHub does; `headers` replace (None: leave out) those of a genuine one."""
        given = {
            "x-github-event": "pull_request",
            "x-github-delivery": "one",
            "x-hub-signature-256": signed(body),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.client.post(
            "/hooks/github", content=body, headers={name: value for name, value in given.items() if value is not None}
        )


def signed(body: bytes, secret: bytes = SECRET) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    database = open_database(f"sqlite:///{tmp_path / 'reconciler.db'}", SEAL)
    put: list[Request] = []
    hooks = Hooks(Webhook(SECRET), SqlStates(database).delivery_seen, lambda: datetime.now(UTC), put.append)
    plane = Plane(hooks, put)
    plane.client = TestClient(build_app(hooks, lambda: plane.is_ready), raise_server_exceptions=False)
    try:
        yield plane
    finally:
        database.close()


def test_it_is_alive_whatever_is_behind_it(plane: Plane) -> None:
    plane.is_ready = (False, "the database does not answer")
    assert plane.client.get("/healthz").json() == {"ok": True}


def test_it_says_whether_it_is_ready_and_why_not(plane: Plane) -> None:
    assert (plane.client.get("/readyz").status_code, plane.client.get("/readyz").json()) == (
        200,
        {"ok": True, "reason": ""},
    )
    plane.is_ready = (False, "the loop does not run")
    answer = plane.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ok": False, "reason": "the loop does not run"})


def test_a_genuine_delivery_makes_its_pull_request_due(plane: Plane) -> None:
    answer = plane.deliver()
    assert (answer.status_code, answer.json()) == (202, {"ok": True, "data": {"due": ["pull request 5", "poll"]}})
    assert plane.put == [ReviewRequest(5), Poll()]


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        signed(PULL, b"another secret"),
        signed(PULL + b" "),
        signed(PULL).upper(),
        signed(PULL).removeprefix("sha256="),
        "sha1=" + hmac.new(SECRET, PULL, hashlib.sha1).hexdigest(),
        signed(PULL) + "\u00e9",
    ],
)
def test_a_delivery_that_is_not_signed_with_the_secret_is_refused_and_leaves_no_trace(
    plane: Plane, signature: str | None
) -> None:
    answer = plane.deliver(x_hub_signature_256=None if signature is None else signature.encode("latin-1"))
    assert answer.status_code == 401
    assert answer.json() == {"ok": False, "error": "the signature does not match (gate 60)"}
    assert plane.put == []
    assert plane.deliver().status_code == 202, "a forged delivery must not use up the id of a genuine one"


def test_a_delivery_that_comes_again_does_nothing_again(plane: Plane) -> None:
    assert plane.deliver().status_code == 202
    answer = plane.deliver()
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "data": {"duplicate": True}})
    assert plane.deliver(x_github_delivery="two").status_code == 202
    assert plane.put == [ReviewRequest(5), Poll()] * 2


@pytest.mark.parametrize("delivery", [None, "", "x" * 101])
def test_a_delivery_without_an_id_of_its_own_is_refused(plane: Plane, delivery: str | None) -> None:
    assert plane.deliver(x_github_delivery=delivery).status_code == 400
    assert plane.put == []


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("ping", PULL),
        ("never_heard_of", PULL),
        ("", PULL),
        ("pull_request", b"no json"),
        ("pull_request", b""),
        ("pull_request", b"[" * 100_000),
        ("pull_request", b"\xff\xfe\x00"),
        ("pull_request", b"null"),
        ("pull_request", b'{"repository": {"id": 1}, "pull_request": {"number": "5; rm -rf"}}'),
        ("pull_request", b'{"repository": {"id": 1}, "pull_request": {"number": -1}}'),
    ],
)
def test_what_is_genuine_and_not_understood_is_taken_and_ignored(plane: Plane, event: str, body: bytes) -> None:
    answer = plane.deliver(body, x_github_event=event)
    assert (answer.status_code, answer.json()) == (202, {"ok": True, "data": {"due": []}})
    assert plane.put == []


def test_a_body_larger_than_any_webhook_is_refused_before_it_is_read_to_its_end(plane: Plane) -> None:
    assert plane.deliver(b" " * (MOST_BYTES + 1)).status_code == 413
    largest = PULL + b" " * (MOST_BYTES - len(PULL))
    assert plane.deliver(largest).status_code == 202


def ask(app: Any, receive: Any) -> list[dict[str, Any]]:
    """Post PULL to the application directly, genuinely signed; what it sent."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [
        (b"x-github-event", b"pull_request"),
        (b"x-github-delivery", b"one"),
        (b"x-hub-signature-256", signed(PULL).encode()),
    ]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/hooks/github",
        "raw_path": b"/hooks/github", "query_string": b"", "headers": headers, "scheme": "http", "server": ("x", 80),
        "client": ("y", 1), "root_path": "",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent


def test_an_endless_body_is_cut_off_when_it_is_too_large(plane: Plane) -> None:
    pieces = [0]

    async def receive() -> dict[str, Any]:
        pieces[0] += 1
        return {"type": "http.request", "body": b"x" * 2**20, "more_body": True}

    sent = ask(build_app(plane.hooks, lambda: (True, "")), receive)
    assert sent[0]["status"] == 413
    assert pieces[0] == MOST_BYTES // 2**20 + 1


def test_a_body_that_does_not_arrive_is_given_up(plane: Plane) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    sent = ask(build_app(plane.hooks, lambda: (True, ""), body_within=0.02), receive)
    assert sent[0]["status"] == 408
    assert plane.put == []


def test_a_sender_that_hangs_up_halfway_has_sent_nothing(plane: Plane) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": PULL, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    ask(build_app(plane.hooks, lambda: (True, "")), receive)
    assert plane.put == []


def test_without_a_secret_nothing_is_genuine(plane: Plane) -> None:
    hooks = Hooks(None, plane.hooks.seen, plane.hooks.now, plane.hooks.put)
    answer = TestClient(build_app(hooks, lambda: (True, ""))).post("/hooks/github", content=PULL)
    assert answer.status_code == 404
    assert "webhook_secret_file" in answer.json()["error"]
    assert plane.put == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/hooks/github", 405),
        ("PUT", "/hooks/github", 405),
        ("POST", "/healthz", 405),
        ("DELETE", "/readyz", 405),
        ("GET", "/", 404),
        ("POST", "/hooks/gitlab", 404),
        ("GET", "/hooks/../../etc/passwd", 404),
        ("GET", "/docs", 404),
    ],
)
def test_there_is_nothing_else_to_ask(plane: Plane, method: str, path: str, status: int) -> None:
    assert plane.client.request(method, path).status_code == status


def test_a_fault_behind_it_shows_nothing_of_the_program(plane: Plane, tmp_path: Path) -> None:
    def broken(_delivery: str, _now: datetime) -> bool:
        raise RuntimeError(f"secret place {tmp_path}")

    hooks = Hooks(plane.hooks.webhook, broken, plane.hooks.now, plane.hooks.put)
    plane.client = TestClient(build_app(hooks, lambda: (True, "")), raise_server_exceptions=False)
    answer = plane.deliver()
    assert answer.status_code == 500
    for telling in ("Traceback", "RuntimeError", "secret place", ".py"):
        assert telling not in answer.text
    assert plane.put == []
    plane.client = TestClient(build_app(plane.hooks, lambda: (True, "")))
    assert plane.deliver().status_code == 202, "the delivery was not noted, so it may come again"
