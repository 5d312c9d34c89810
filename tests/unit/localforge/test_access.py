"""Who sees what and may do what: tokens, scopes, roles, hidden repositories."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from reconciler.localforge.forge import Forge
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY, TOKENS

PULL = f"{REPOSITORY}/pulls/1"


@pytest.fixture
def head(as_: As) -> str:
    sha = as_("author").commit_file("change", "a.txt", "a\n")
    as_("author").open_pull("change")
    return sha


def test_without_a_token_nothing_private_is_told(as_: As, head: str) -> None:
    assert as_(None).call("GET", "/user", 401).json()["message"] == "Requires authentication"
    as_(None).call("GET", REPOSITORY, 404)
    as_(None).call("GET", PULL, 404)


def test_an_unknown_token_is_told_so(client: TestClient) -> None:
    for header in ("token wrong", "Bearer wrong", "Basic eDp3cm9uZw==", "Basic !", "Digest x"):
        response = client.get("/api/v3/user", headers={"Authorization": header})
        assert (response.status_code, response.json()["message"]) == (401, "Bad credentials"), header


def test_each_way_to_send_a_token_works(client: TestClient) -> None:
    for header in ("token token-author", "Bearer token-author", "Basic eDp0b2tlbi1hdXRob3I="):
        response = client.get("/api/v3/user", headers={"Authorization": header})
        assert response.json()["id"] == 1001, header


def test_who_is_no_collaborator_cannot_tell_a_hidden_repository_from_a_missing_one(as_: As, head: str) -> None:
    for path in ("", "/pulls", "/pulls/1", f"/commits/{head}", "/branches", "/hooks"):
        hidden = as_("stranger").get(f"{REPOSITORY}{path}", 404)
        missing = as_("stranger").get(f"/repos/acme/nothing{path}", 404)
        assert hidden == missing
    assert as_("stranger").get("/user/repos") == []


def test_a_removed_collaborator_sees_nothing_any_more(as_: As, forge: Forge, head: str) -> None:
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    as_("reviewer").approve(1)
    forge.set_role(repository, "reviewer", "none")
    as_("reviewer").get(PULL, 404)
    permission = as_("author").get(f"{REPOSITORY}/collaborators/reviewer/permission")
    assert (permission["permission"], permission["role_name"]) == ("none", "none")
    assert as_("author").get(f"{PULL}/reviews")[0]["author_association"] == "NONE"


def test_permission_is_folded_and_role_name_is_not(as_: As) -> None:
    found = {}
    for login in ("author", "reviewer", "reader", "admin"):
        answer = as_("engine").get(f"{REPOSITORY}/collaborators/{login}/permission")
        found[login] = (answer["permission"], answer["role_name"])
    assert found == {
        "author": ("write", "write"),
        "reviewer": ("write", "maintain"),
        "reader": ("read", "read"),
        "admin": ("admin", "admin"),
    }
    listed = as_("engine").get(f"{REPOSITORY}/collaborators")
    assert {one["login"]: one["role_name"] for one in listed}["reviewer"] == "maintain"
    as_("engine").call("GET", f"{REPOSITORY}/collaborators/reader", 204)
    as_("engine").call("GET", f"{REPOSITORY}/collaborators/stranger", 404)
    as_("engine").get(f"{REPOSITORY}/collaborators/nobody/permission", 404)


def test_a_renamed_account_keeps_its_id(as_: As, forge: Forge) -> None:
    forge.rename_user("reviewer", "somebody-else")
    assert as_("author").get("/user/1002")["login"] == "somebody-else"
    as_("author").get("/users/reviewer", 404)
    assert as_("author").get("/users/somebody-else")["id"] == 1002


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/git/refs", {"ref": "refs/heads/x", "sha": "HEAD"}),
        ("POST", "/git/blobs", {"content": "x"}),
        ("PUT", "/pulls/1/merge", {}),
        ("POST", "/statuses/HEAD", {"state": "success"}),
        ("POST", "/check-runs", {"name": "x", "head_sha": "HEAD"}),
        ("GET", "/hooks", {}),
    ],
)
def test_reading_does_not_carry_writing(as_: As, head: str, method: str, path: str, body: dict[str, str]) -> None:
    body = {key: head if value == "HEAD" else value for key, value in body.items()}
    as_("reader").call(method, REPOSITORY + path.replace("HEAD", head), 403, **body)


def test_a_fine_grained_token_does_only_what_it_names(as_: As, head: str) -> None:
    engine = as_("engine")
    engine.post(f"{REPOSITORY}/statuses/{head}", state="success", context="reconciler/plan")
    engine.post(f"{REPOSITORY}/issues/1/comments", body="The plan")
    engine.post(f"{REPOSITORY}/git/refs", 403, ref="refs/heads/x", sha=head)
    engine.put(f"{PULL}/merge", 403)
    as_("agent").post(f"{REPOSITORY}/statuses/{head}", 403, state="success")


def test_a_token_limited_to_branches_moves_no_other(as_: As, head: str) -> None:
    agent = as_("agent")
    mine = agent.commit_file("agent/mine", "m.txt", "m\n")
    for ref in ("heads/main", "heads/change"):
        agent.patch(f"{REPOSITORY}/git/refs/{ref}", 403, sha=mine, force=True)
        agent.call("DELETE", f"{REPOSITORY}/git/refs/{ref}", 403)
    agent.post(f"{REPOSITORY}/git/refs", 403, ref="refs/heads/other", sha=mine)
    agent.post(f"{REPOSITORY}/git/refs", 403, ref="refs/tags/v1", sha=mine)
    agent.put(f"{PULL}/merge", 403)
    agent.put(f"{PULL}/update-branch", 403)


@pytest.mark.parametrize("ref", ["refs/pull/1/head", "refs/heads/../x", "refs/heads/a b", "heads/x", "refs/notes/x"])
def test_refs_of_the_forge_and_malformed_ones_cannot_be_written(as_: As, head: str, ref: str) -> None:
    as_("admin").post(f"{REPOSITORY}/git/refs", 422, ref=ref, sha=head)


def test_check_runs_are_for_apps_only(as_: As, head: str) -> None:
    body = {"name": "reconciler/plan", "head_sha": head, "status": "in_progress"}
    for who in ("admin", "engine"):
        as_(who).post(f"{REPOSITORY}/check-runs", 403, **body)
    run = as_("app").post(f"{REPOSITORY}/check-runs", **body)
    assert run["app"]["id"] == 77
    as_("admin").patch(f"{REPOSITORY}/check-runs/{run['id']}", 403, status="completed", conclusion="success")


def test_tokens_are_not_stored(client: TestClient, tmp_path: Path) -> None:
    client.get("/api/v3/user", headers={"Authorization": "token token-author"})
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("forge.db*"))
    assert b"author" in stored
    for value in TOKENS.values():
        assert value.encode() not in stored
    with sqlite3.connect(tmp_path / "data" / "forge.db") as connection:
        digests = [row[0] for row in connection.execute("SELECT digest FROM tokens")]
    connection.close()
    assert all(len(digest) == 64 for digest in digests)
