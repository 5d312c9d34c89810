"""How answers travel: pages, ETags, headers, malformed requests."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY

API = f"/api/v3{REPOSITORY}"
AUTHOR = {"Authorization": "token token-author"}
REVIEWER = {"Authorization": "token token-reviewer"}


@pytest.fixture
def comments(as_: As) -> str:
    as_("author").commit_file("change", "a.txt", "a\n")
    as_("author").open_pull("change")
    for number in range(5):
        as_("author").post(f"{REPOSITORY}/issues/1/comments", body=f"{number}")
    return f"{API}/issues/1/comments"


def test_pages_are_followed_by_links_to_the_end(client: TestClient, comments: str) -> None:
    seen, url = [], f"{comments}?per_page=2"
    while url:
        response = client.get(url, headers=AUTHOR)
        seen.append([one["body"] for one in response.json()])
        url = response.links.get("next", {}).get("url", "")
    assert seen == [["0", "1"], ["2", "3"], ["4"]]
    assert set(response.links) == {"prev", "first"}
    assert "page=3" in client.get(f"{comments}?per_page=2", headers=AUTHOR).links["last"]["url"]
    assert client.get(f"{comments}?page=9", headers=AUTHOR).json() == []
    assert "Link" not in client.get(comments, headers=AUTHOR).headers


def test_an_unchanged_answer_is_304_and_a_changed_one_is_not(client: TestClient, comments: str) -> None:
    etag = client.get(comments, headers=AUTHOR).headers["etag"]
    again = client.get(comments, headers={**AUTHOR, "If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    first = client.get(comments, headers=AUTHOR).json()[0]
    client.patch(f"{API}/issues/comments/{first['id']}", json={"body": "changed"}, headers=AUTHOR)
    assert client.get(comments, headers={**AUTHOR, "If-None-Match": etag}).status_code == 200


def test_an_etag_of_one_token_is_worth_nothing_for_another(client: TestClient, comments: str) -> None:
    etag = client.get(comments, headers=AUTHOR).headers["etag"]
    other = client.get(comments, headers={**REVIEWER, "If-None-Match": etag})
    assert other.status_code == 200
    assert other.json() == client.get(comments, headers=AUTHOR).json()


def test_every_answer_carries_githubs_headers(client: TestClient, comments: str) -> None:
    for response in (client.get(API, headers=AUTHOR), client.get(f"{API}/nothing", headers=AUTHOR)):
        for name in ("x-github-request-id", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"):
            assert response.headers[name]
    assert client.get(API, headers=AUTHOR).headers["x-oauth-scopes"] == "repo"
    assert "x-oauth-scopes" not in client.get(API, headers={"Authorization": "token token-engine"}).headers


@pytest.mark.parametrize("content", [b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_a_malformed_body_is_refused(client: TestClient, comments: str, content: bytes) -> None:
    assert client.post(comments, content=content, headers=AUTHOR).status_code == 400


def test_a_field_of_the_wrong_type_is_named(client: TestClient, comments: str) -> None:
    response = client.post(comments, json={"body": 5}, headers=AUTHOR)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "body")


def test_a_body_without_end_is_cut_off(client: TestClient, comments: str) -> None:
    response = client.post(comments, content=b'{"body": "' + b"x" * (11 * 1024 * 1024) + b'"}', headers=AUTHOR)
    assert response.status_code == 413


def test_a_comment_longer_than_githubs_limit_is_refused(client: TestClient, comments: str) -> None:
    assert client.post(comments, json={"body": "x" * 65_536}, headers=AUTHOR).status_code == 201
    assert client.post(comments, json={"body": "x" * 65_537}, headers=AUTHOR).status_code == 422


@pytest.mark.parametrize("path", ["/nothing", f"{REPOSITORY}/pulls/x", f"{REPOSITORY}/pulls/99999999999999999999"])
def test_unknown_paths_and_numbers_are_githubs_404(client: TestClient, path: str) -> None:
    response = client.get(f"/api/v3{path}", headers=AUTHOR)
    assert (response.status_code, response.json()["message"]) == (404, "Not Found")


def test_the_servers_own_facts(as_: As, client: TestClient) -> None:
    assert client.get("/api/v3").json() == client.get("/api/v3/").json()
    assert as_(None).get("/")["rate_limit_url"] == "http://forge.test/api/v3/rate_limit"
    assert as_(None).get("/rate_limit")["rate"]["limit"] == 5000
    assert as_(None).get("/meta")["installed_version"]
