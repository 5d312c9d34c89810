"""Branches, refs, commits, trees and comparisons through the API."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY


@pytest.fixture
def head(as_: As) -> str:
    as_("author").commit_file("feature/one", "a.txt", "a\n", "Add a")
    return as_("author").commit_file("feature/one", "shop/b.txt", "b\n", "Add b")


def _sha(as_: As, branch: str = "main") -> str:
    return str(as_("reader").get(f"{REPOSITORY}/branches/{branch}")["commit"]["sha"])


def test_branches_are_listed_and_found_by_names_with_slashes(as_: As, head: str) -> None:
    assert [one["name"] for one in as_("reader").get(f"{REPOSITORY}/branches")] == ["feature/one", "main"]
    assert _sha(as_, "feature/one") == head
    assert as_("reader").get(f"{REPOSITORY}/branches/nothing", 404)["message"] == "Branch not found"
    protection = as_("reader").get(f"{REPOSITORY}/branches/feature/one/protection", 404)
    assert protection["message"] == "Branch not protected"


def test_the_repository_tells_its_settings(as_: As) -> None:
    repository = as_("author").get(REPOSITORY)
    assert (repository["full_name"], repository["default_branch"], repository["private"]) == (
        "acme/infra",
        "main",
        True,
    )
    assert (repository["allow_squash_merge"], repository["permissions"]["push"]) == (True, True)
    assert repository["clone_url"] == "http://forge.test/acme/infra.git"
    assert as_("author").get("/repos/ACME/Infra")["id"] == repository["id"]


def test_commits_are_found_by_branch_path_and_sha(as_: As, head: str) -> None:
    listed = as_("reader").get(f"{REPOSITORY}/commits?sha=feature/one")
    assert [one["commit"]["message"] for one in listed] == ["Add b", "Add a", "Initial commit"]
    touching = as_("reader").get(f"{REPOSITORY}/commits?sha=feature/one&path=shop")
    assert [one["commit"]["message"] for one in touching] == ["Add b", "Initial commit"]
    assert as_("reader").get(f"{REPOSITORY}/commits/feature/one")["sha"] == head
    commit = as_("reader").get(f"{REPOSITORY}/commits/{head}")
    assert [file["filename"] for file in commit["files"]] == ["shop/b.txt"]
    assert commit["commit"]["verification"]["verified"] is False
    as_("reader").get(f"{REPOSITORY}/commits/{'0' * 40}", 422)


def test_unknown_addresses_belong_to_nobody_and_noreply_ones_to_the_id_in_them(as_: As) -> None:
    author = as_("author")
    who = {
        "author": {"name": "X", "email": "x@nowhere.test"},
        "committer": {"name": "Y", "email": "reviewer@example.test"},
    }
    sha = author.commit_file("one", "a.txt", "a\n", **who)
    commit = author.get(f"{REPOSITORY}/commits/{sha}")
    assert (commit["author"], commit["committer"]["id"]) == (None, 1002)
    who = {"author": {"name": "X", "email": "1003+any-login@users.noreply.github.com"}}
    sha = author.commit_file("two", "a.txt", "a\n", **who)
    assert author.get(f"{REPOSITORY}/commits/{sha}")["author"]["login"] == "deployer"


def test_comparisons_count_both_sides_and_show_the_merge_base(as_: As, head: str, client: TestClient) -> None:
    base = _sha(as_)
    as_("author").commit_file("main", "m.txt", "m\n")
    compared = as_("reader").get(f"{REPOSITORY}/compare/main...feature/one")
    assert (compared["status"], compared["ahead_by"], compared["behind_by"]) == ("diverged", 2, 1)
    assert compared["merge_base_commit"]["sha"] == base
    assert [file["filename"] for file in compared["files"]] == ["a.txt", "shop/b.txt"]
    assert as_("reader").get(f"{REPOSITORY}/compare/{base}...{head}")["status"] == "ahead"
    assert as_("reader").get(f"{REPOSITORY}/compare/{head}...{head}")["status"] == "identical"
    as_("reader").get(f"{REPOSITORY}/compare/main...nothing", 404)


def test_refs_are_read_exactly_and_by_prefix(as_: As, head: str) -> None:
    assert as_("reader").get(f"{REPOSITORY}/git/ref/heads/feature/one")["object"]["sha"] == head
    as_("reader").get(f"{REPOSITORY}/git/ref/heads/feature", 404)
    found = as_("reader").get(f"{REPOSITORY}/git/matching-refs/heads/feat")
    assert [one["ref"] for one in found] == ["refs/heads/feature/one"]
    assert as_("reader").get(f"{REPOSITORY}/git/matching-refs/heads/nothing") == []


def test_a_tag_named_like_a_branch_does_not_shadow_it(as_: As, head: str) -> None:
    main = _sha(as_)
    as_("author").post(f"{REPOSITORY}/git/refs", ref="refs/tags/feature/one", sha=main)
    assert as_("reader").get(f"{REPOSITORY}/git/ref/heads/feature/one")["object"]["sha"] == head
    assert as_("reader").get(f"{REPOSITORY}/git/ref/tags/feature/one")["object"]["sha"] == main


def test_refs_are_created_once_and_the_default_branch_stays(as_: As, head: str) -> None:
    as_("author").post(f"{REPOSITORY}/git/refs", 422, ref="refs/heads/feature/one", sha=head)
    as_("author").post(f"{REPOSITORY}/git/refs", 422, ref="refs/heads/x", sha="0" * 40)
    as_("author").delete(f"{REPOSITORY}/git/refs/heads/main", 422)
    as_("author").delete(f"{REPOSITORY}/git/refs/heads/feature/one")
    types = [one["activity_type"] for one in as_("reader").get(f"{REPOSITORY}/activity")]
    assert types == ["branch_deletion", "push", "branch_creation"]


def test_trees_and_blobs_are_read_and_written(as_: As, head: str) -> None:
    author = as_("author")
    tree = author.get(f"{REPOSITORY}/git/trees/{head}?recursive=1")
    kinds = {one["path"]: one["type"] for one in tree["tree"]}
    assert kinds["shop"] == "tree"
    assert kinds["shop/b.txt"] == "blob"
    blob = author.post(f"{REPOSITORY}/git/blobs", content="aGk=", encoding="base64")["sha"]
    assert author.get(f"{REPOSITORY}/git/blobs/{blob}")["content"] == "aGk=\n"
    entries = [{"path": "shop/b.txt", "mode": "100644", "sha": None}, {"path": "new/x", "mode": "100755", "sha": blob}]
    made = author.post(f"{REPOSITORY}/git/trees", base_tree=tree["sha"], tree=entries)["sha"]
    listed = author.get(f"{REPOSITORY}/git/trees/{made}?recursive=1")["tree"]
    paths = {one["path"]: one["mode"] for one in listed}
    assert "shop/b.txt" not in paths
    assert paths["new/x"] == "100755"


@pytest.mark.parametrize("path", ["../x", ".git/config", "a//b", "/a", ""])
def test_a_tree_cannot_hold_a_path_that_leaves_it(as_: As, path: str) -> None:
    as_("author").post(f"{REPOSITORY}/git/trees", 422, tree=[{"path": path, "mode": "100644", "content": "x"}])
