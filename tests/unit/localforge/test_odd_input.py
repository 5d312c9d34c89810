"""Odd input is refused with an answer of 400 to 499 or taken; it never ends in a crash of the handler."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from reconciler.localforge.rest.routes import ROUTES
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY

ODD = ["", "\0", "a\nb", "\ud800", "-" * 300, "..", "@{-1}", "main~1", "0" * 40, "*"]
ODD_VALUES = ["\0", "\ud800", "..", None, 5, 10**30, [], [None], {"a": {}}]
PARAMETERS = (
    *("user_id", "login", "branch:path", "ref:path", "sha", "sha:path", "basehead:path"),
    *("review_id", "comment_id", "check_run_id", "hook_id", "delivery_id"),
)
FIELDS = {
    "POST /pulls": "title body head base draft",
    "PATCH /pulls/1": "title body state base",
    "POST /pulls/1/reviews": "event body commit_id comments",
    "PUT /pulls/1/merge": "sha merge_method",
    "PUT /pulls/1/update-branch": "expected_head_sha",
    "POST /pulls/1/requested_reviewers": "reviewers",
    "POST /issues/1/comments": "body",
    "POST /issues/1/labels": "labels",
    "POST /git/refs": "ref sha",
    "PATCH /git/refs/heads/change": "sha force",
    "POST /git/trees": "tree base_tree",
    "POST /git/commits": "message tree parents author committer",
    "POST /git/blobs": "content encoding",
    "POST /check-runs": "name head_sha status conclusion output external_id started_at",
    "POST /statuses/HEAD": "state context description target_url",
    "POST /hooks": "config events active",
}


@pytest.fixture
def head(as_: As) -> str:
    sha = as_("author").commit_file("change", "a.txt", "a\n")
    as_("author").open_pull("change")
    return sha


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_in_the_path_and_in_the_query(client: TestClient, head: str, odd: str) -> None:
    headers = {"Authorization": "token token-admin"}
    piece = quote(odd.encode("utf-8", "surrogatepass"), safe="")
    query = "&".join(f"{key}={piece}" for key in ("per_page", "page", "state", "sha", "path", "head", "ref", "actor"))
    for route in ROUTES:
        if route.method == "GET":
            path = route.path.replace("{owner}", "acme").replace("{repository}", "infra").replace("{number}", "1")
            for name in PARAMETERS:
                path = path.replace("{" + name + "}", piece or "x")
            response = client.get(f"/api/v3{path}?{query}", headers=headers)
            assert response.status_code < 500, (route.path, response.text)


@pytest.mark.parametrize("operation", FIELDS)
def test_in_the_body(client: TestClient, head: str, operation: str) -> None:
    method, path = operation.replace("HEAD", head).split(" ")
    token = "token-app-installation" if path == "/check-runs" else "token-admin"
    sound = {"title": "t", "head": "change", "base": "main", "body": "b", "name": "n", "head_sha": head}
    for field in FIELDS[operation].split():
        for odd in ODD_VALUES:
            response = client.request(
                method,
                f"/api/v3{REPOSITORY}{path}",
                content=json.dumps({**sound, field: odd}),
                headers={"Authorization": f"token {token}"},
            )
            assert response.status_code < 500, (field, odd, response.text)


def test_in_a_query_of_graphql(client: TestClient, head: str) -> None:
    query = 'mutation($b: String!) { addComment(input: {subjectId: "x", body: $b}) { clientMutationId } }'
    for odd in ODD_VALUES:
        response = client.post(
            "/api/graphql",
            content=json.dumps({"query": query, "variables": {"b": odd}}),
            headers={"Authorization": "token token-author"},
        )
        assert response.status_code in (200, 400), (odd, response.text)
