"""The web pages: signing in, reading, reviewing and merging; and what a foreign page or a hostile text cannot do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from reconciler.localforge.pages.shown import MOST_DIFF_LINES, diff_lines, visible
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY, TOKENS

PULL = "/acme/infra/pull/1"


@pytest.fixture
def head(as_: As) -> str:
    sha = as_("author").commit_file(
        "change", "a.txt", "<b>new</b>\n", "Add <i>a</i>\n\nCo-authored-by: Friend <f@x.test>"
    )
    as_("author").open_pull(
        "change", title="<script>alert(1)</script>", body="![x](http://evil.test/x.png) <img src=x>"
    )
    return sha


def _sign_in(client: TestClient, who: str) -> str:
    """Signs in and returns the secret that forms must carry."""
    client.cookies.clear()
    response = client.post("/login", data={"token": TOKENS[who], "next": "/"})
    assert response.status_code == 200, response.text
    found = re.search(r'name="key" value="([^"]+)"', response.text)
    assert found is not None
    return found.group(1)


def _send(client: TestClient, path: str, **fields: str) -> Any:
    return client.post(f"{PULL}/{path}", data=fields, follow_redirects=False)


def test_without_signing_in_there_is_only_the_form(client: TestClient, head: str) -> None:
    for path in ("/", "/acme/infra/pulls", PULL, f"{PULL}.diff"):
        response = client.get(path, follow_redirects=False)
        assert (response.status_code, response.headers["location"]) == (303, f"/login?next={path}")
    assert client.post("/login", data={"token": "wrong"}).status_code == 401


@pytest.mark.parametrize("target", ["//evil.test", "https://evil.test", "/\\evil.test", "/x\r\nSet-Cookie: a=b"])
def test_signing_in_leads_to_no_other_site(client: TestClient, target: str) -> None:
    response = client.post("/login", data={"token": TOKENS["author"], "next": target}, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/")


def test_the_cookie_is_not_the_token_and_closed_to_scripts_and_other_sites(client: TestClient) -> None:
    response = client.post("/login", data={"token": TOKENS["author"]}, follow_redirects=False)
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKENS["author"] not in cookie


def test_a_pull_request_is_shown_with_everything_and_nothing_of_it_is_markup(
    client: TestClient, as_: As, head: str
) -> None:
    as_("engine").post(
        f"{REPOSITORY}/statuses/{head}", state="pending", context="reconciler/approval", description="<u>"
    )
    as_("engine").post(f"{REPOSITORY}/issues/1/comments", body="</pre><h1>plan</h1>")
    as_("reviewer").approve(1, body="<blink>")
    _sign_in(client, "reader")
    response = client.get(PULL)
    text = response.text
    for shown in (
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&lt;img src=x&gt;",
        "+&lt;b&gt;new&lt;/b&gt;",
        "Add &lt;i&gt;a&lt;/i&gt;",
        "Co-authored-by: Friend &lt;f@x.test&gt;",
        "&lt;/pre&gt;&lt;h1&gt;plan&lt;/h1&gt;",
        "&lt;blink&gt;",
        "reconciler/approval",
        f"approved at {head[:12]}",
    ):
        assert shown in text, shown
    for markup in ("<script", "<img", "<blink", "<i>", "<u>", 'http://evil.test/x.png"'):
        assert markup not in text, markup
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert client.get(f"{PULL}.diff").text.startswith("diff --git")
    assert client.get(f"{PULL}.patch").text.startswith("From ")
    assert client.get(f"{PULL}.exe").status_code == 404
    assert client.get("/assets/style.css").headers["content-type"].startswith("text/css")


def test_the_lists_show_what_the_account_may_see(client: TestClient, head: str) -> None:
    _sign_in(client, "reader")
    assert "acme/infra" in client.get("/").text
    assert "&lt;script&gt;" in client.get("/acme/infra/pulls").text
    assert "No pull requests" in client.get("/acme/infra/pulls?state=closed").text
    _sign_in(client, "stranger")
    assert "acme/infra" not in client.get("/").text
    assert client.get(PULL).status_code == client.get("/acme/nothing/pull/1").status_code == 404


def test_a_review_is_given_at_the_head_that_was_shown(client: TestClient, as_: As, head: str) -> None:
    key = _sign_in(client, "reviewer")
    as_("author").commit_file("change", "b.txt", "b\n")
    assert _send(client, "review", key=key, head=head, event="APPROVE", body="Good").status_code == 303
    (review,) = as_("reader").get(f"{REPOSITORY}/pulls/1/reviews")
    assert (review["commit_id"], review["state"]) == (head, "APPROVED")
    assert "not this head" in client.get(PULL).text


def test_a_merge_of_a_head_that_was_not_shown_is_refused(client: TestClient, as_: As, head: str) -> None:
    key = _sign_in(client, "reviewer")
    newer = as_("author").commit_file("change", "b.txt", "b\n")
    refused = _send(client, "merge", key=key, head=head, method="squash")
    assert refused.status_code == 409
    assert "Head branch was modified" in refused.text
    assert _send(client, "merge", key=key, method="squash").status_code == 422
    assert _send(client, "merge", key=key, head=newer, method="squash").status_code == 303
    assert as_("reader").get(f"{REPOSITORY}/pulls/1")["merged"] is True
    assert "merged this" in client.get(PULL).text


def test_the_author_cannot_approve_here_either(client: TestClient, as_: As, head: str) -> None:
    key = _sign_in(client, "author")
    refused = _send(client, "review", key=key, head=head, event="APPROVE")
    assert refused.status_code == 422
    assert "Can not approve your own pull request" in refused.text
    assert as_("reader").get(f"{REPOSITORY}/pulls/1/reviews") == []


def test_who_may_not_write_may_not_merge(client: TestClient, as_: As, head: str) -> None:
    for who in ("reader", "agent"):
        key = _sign_in(client, who)
        assert _send(client, "merge", key=key, head=head).status_code == 403
    assert as_("reader").get(f"{REPOSITORY}/pulls/1")["state"] == "open"


def test_a_form_without_the_sessions_secret_does_nothing(client: TestClient, as_: As, head: str) -> None:
    other = _sign_in(client, "author")
    _sign_in(client, "reviewer")
    for key in ({}, {"key": ""}, {"key": other}, {"key": "é"}):
        for path in ("review", "merge", "comment"):
            fields = {"head": head, "event": "APPROVE", "body": "x", **key}
            assert _send(client, path, **fields).status_code == 403
    assert as_("reader").events(1) == ["committed"]


def test_a_comment_can_be_written(client: TestClient, as_: As, head: str) -> None:
    key = _sign_in(client, "reader")
    assert _send(client, "comment", key=key, body="Hello").status_code == 303
    assert [one["body"] for one in as_("reader").get(f"{REPOSITORY}/issues/1/comments")] == ["Hello"]


def test_signing_out_ends_the_session(client: TestClient, head: str) -> None:
    key = _sign_in(client, "author")
    cookies = dict(client.cookies)
    client.post("/logout", data={"key": key})
    client.cookies.update(cookies)
    assert client.get("/", follow_redirects=False).status_code == 303


def test_a_huge_number_or_form_is_refused(client: TestClient, head: str) -> None:
    key = _sign_in(client, "author")
    assert client.get(f"/acme/infra/pull/{10**30}").status_code == 404
    assert _send(client, "comment", key=key, body="x" * 300_000).status_code == 413


def test_hidden_characters_are_written_out() -> None:
    assert visible("a\u202eb\u200bc\x1b[0m\U000e0041") == "a⟨U+202E⟩b⟨U+200B⟩c⟨U+001B⟩[0m⟨U+E0041⟩"
    assert visible("tab\tline\n") == "tab\tline\n"


def test_a_long_diff_says_that_it_is_cut() -> None:
    lines, cut = diff_lines("diff --git a b\n@@ -1 +1 @@\n-old\n+new\n same\n")
    assert ([line.kind for line in lines], cut) == (["file", "hunk", "removed", "added", "same"], False)
    lines, cut = diff_lines("x\n" * (MOST_DIFF_LINES + 1))
    assert (len(lines), cut) == (MOST_DIFF_LINES, True)
