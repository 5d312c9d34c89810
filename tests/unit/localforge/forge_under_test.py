"""What the forge's tests share: a seed, a client that checks every answer against GitHub's description, builders.

Used by tests/unit/localforge (in process) and tests/integration/test_localforge*.py (over a socket).
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs

from reconciler.localforge.seed import Seed

DATA = Path(__file__).parents[2] / "data" / "github"
REPOSITORY = "/repos/acme/infra"

TOKENS = {
    "author": "token-author",
    "reviewer": "token-reviewer",
    "agent": "token-agent",
    "reader": "token-reader",
    "admin": "token-admin",
    "stranger": "token-stranger",
    "engine": "token-engine",
    "app": "token-app-installation",
}


def seed(source: Path | None = None, webhooks: tuple[dict[str, Any], ...] = (), **settings: bool) -> Seed:
    """Seven accounts with every kind of right, one repository."""
    engine = ["contents:read", "pull_requests:write", "statuses:write", "metadata:read", "members:read"]
    users: list[dict[str, Any]] = [
        {"login": "author", "id": 1001, "email": "author@example.test", "tokens": [_token("author")]},
        {"login": "reviewer", "id": 1002, "email": "reviewer@example.test", "tokens": [_token("reviewer")]},
        {
            "login": "deployer",
            "id": 1003,
            "type": "Bot",
            "tokens": [{**_token("agent", "contents:write", "pull_requests:write"), "branches": ["agent/*"]}],
        },
        {"login": "reader", "id": 1004, "tokens": [_token("reader")]},
        {"login": "admin", "id": 1005, "tokens": [_token("admin")]},
        {"login": "stranger", "id": 1006, "tokens": [_token("stranger")]},
        {
            "login": "reconciler",
            "id": 1007,
            "type": "Bot",
            "tokens": [
                _token("engine", *engine),
                {**_token("app", *engine, "checks:write"), "app": {"id": 77, "slug": "reconciler"}},
            ],
        },
    ]
    repository = {
        "name": "acme/infra",
        "collaborators": {
            "author": "write",
            "reviewer": "maintain",
            "deployer": "write",
            "reader": "read",
            "admin": "admin",
            "reconciler": "write",
        },
        "settings": settings,
    }
    if source is not None:
        repository["from"] = source
    return Seed.model_validate({"users": users, "repositories": [repository], "webhooks": webhooks})


def _token(name: str, *scopes: str) -> dict[str, Any]:
    return {"value": TOKENS[name], "scopes": list(scopes or ("repo",))}


@functools.cache
def description() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / "openapi.json").read_text())
    return loaded


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], str], ...]:
    """Method, pattern of the path, and name of each operation; those with the fewest parameters first."""
    found = []
    for name in description()["operations"]:
        method, path = name.split(" ")
        pattern = re.sub(r"\\\{(?:ref|branch|basehead)\\\}", ".+", re.escape(path))
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", pattern)
        found.append((method, re.compile(pattern), name))
    return tuple(sorted(found, key=lambda one: (one[2].count("{"), "{ref}" in one[2], -len(one[2]))))


def operation(method: str, path: str) -> str:
    """The name of GitHub's operation that this request is."""
    for candidate, pattern, name in _patterns():
        if candidate == method and pattern.fullmatch(path):
            return name
    raise LookupError(f"{method} {path} is not among the operations in {DATA / 'openapi.json'}")


@functools.cache
def _validator(name: str, status: str) -> Any:
    schema = {**description()["operations"][name][status], "components": description()["components"]}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def check(method: str, path: str, status: int, body: Any) -> None:
    """Raises AssertionError unless GitHub's description has this status for this request, with such a body.

    Refusals are not all documented, and some without their body, though GitHub always sends one: then only what all
    of them have is checked.
    """
    name = operation(method, path)
    documented = description()["operations"][name]
    if status >= 400 and documented.get(str(status)) is None:
        assert str(status) in documented or status in (400, 401, 403, 404, 405, 410, 413, 422), (
            f"{name} never answers {status}"
        )
        assert isinstance(body, dict), body
        assert isinstance(body["message"], str)
        return
    assert str(status) in documented, f"{name} never answers {status}"
    if documented[str(status)] is None:
        assert body is None, f"{name} {status} has no body"
        return
    for error in _validator(name, str(status)).iter_errors(body):
        where = "/".join(map(str, error.instance_path))
        raise AssertionError(f"{name} {status}: at {where or 'the top'}: {error.message[:500]}")


def check_webhook(event: str, payload: dict[str, Any]) -> None:
    """Raises AssertionError unless GitHub's description of this event allows the payload."""
    name = f"{event} {payload['action']}" if event in ("check_run", "issue_comment") or "pull" in event else event
    for error in _webhook_validator(name).iter_errors(payload):
        where = "/".join(map(str, error.instance_path))
        raise AssertionError(f"{name}: at {where or 'the top'}: {error.message[:500]}")


@functools.cache
def _webhook_validator(name: str) -> Any:
    schema = {**description()["webhooks"][name], "components": description()["components"]}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


class Api:
    """A client of the REST API as one account; every answer is validated."""

    def __init__(self, client: httpx.Client, token: str | None) -> None:
        self._client = client
        self._token = token

    def call(self, method: str, path: str, expect: int | None = None, **body: Any) -> httpx.Response:
        """Sends a request (`body` as JSON), validates the answer, and asserts its status when told which."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        response = self._client.request(method, f"/api/v3{path}", json=body or None, headers=headers)
        content = response.json() if response.content else None
        check(method, path.partition("?")[0], response.status_code, content)
        if expect is not None:
            assert response.status_code == expect, response.text
        return response

    def get(self, path: str, expect: int = 200) -> Any:
        return self.call("GET", path, expect).json()

    def post(self, path: str, expect: int = 201, **body: Any) -> Any:
        return self.call("POST", path, expect, **body).json()

    def put(self, path: str, expect: int = 200, **body: Any) -> Any:
        return self.call("PUT", path, expect, **body).json()

    def patch(self, path: str, expect: int = 200, **body: Any) -> Any:
        return self.call("PATCH", path, expect, **body).json()

    def delete(self, path: str, expect: int = 204, **body: Any) -> None:
        self.call("DELETE", path, expect, **body)

    # builders: commits through the API, so that the unit tests need no git client

    def commit_file(self, branch: str, path: str, text: str, message: str = "Change a file", **fields: Any) -> str:
        """Commits one file on top of a branch (made from main when it is new) and moves the branch; returns the SHA."""
        refs = self.get(f"{REPOSITORY}/git/matching-refs/heads/{branch}")
        exists = any(ref["ref"] == f"refs/heads/{branch}" for ref in refs)
        tip = self.get(f"{REPOSITORY}/git/ref/heads/{branch if exists else 'main'}")["object"]["sha"]
        base = self.get(f"{REPOSITORY}/git/commits/{tip}")["tree"]["sha"]
        entry = {"path": path, "mode": "100644", "type": "blob", "content": text}
        tree = self.post(f"{REPOSITORY}/git/trees", base_tree=base, tree=[entry])["sha"]
        commit = self.post(f"{REPOSITORY}/git/commits", message=message, tree=tree, parents=[tip], **fields)["sha"]
        if exists:
            self.patch(f"{REPOSITORY}/git/refs/heads/{branch}", sha=commit)
        else:
            self.post(f"{REPOSITORY}/git/refs", ref=f"refs/heads/{branch}", sha=commit)
        return str(commit)

    def open_pull(self, head: str, base: str = "main", title: str = "A change", **fields: Any) -> int:
        return int(self.post(f"{REPOSITORY}/pulls", title=title, head=head, base=base, **fields)["number"])

    def approve(self, number: int, **fields: Any) -> Any:
        return self.post(f"{REPOSITORY}/pulls/{number}/reviews", 200, event="APPROVE", **fields)

    def events(self, number: int) -> list[str]:
        return [event["event"] for event in self.get(f"{REPOSITORY}/issues/{number}/timeline?per_page=100")]
