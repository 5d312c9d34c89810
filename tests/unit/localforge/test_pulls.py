"""Opening, reading, editing, closing and reopening pull requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import Person
from reconciler.localforge.records import Activity
from reconciler.localforge.server import close_forge, open_forge
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY

PULL = f"{REPOSITORY}/pulls/1"


@pytest.fixture
def head(as_: As) -> str:
    """An open pull request (number 1) of the author, from branch `change`; returns its head."""
    sha = as_("author").commit_file("change", "shop/compose.yaml", "services:\n  web:\n    image: web:2\n")
    as_("author").open_pull("change", title="Raise web", body="Because.")
    return sha


def test_a_pull_request_tells_what_it_changes(as_: As, head: str) -> None:
    pull = as_("reader").get(PULL)
    assert (pull["state"], pull["draft"], pull["merged"], pull["title"]) == ("open", False, False, "Raise web")
    assert (pull["head"]["sha"], pull["head"]["ref"], pull["base"]["ref"]) == (head, "change", "main")
    assert pull["head"]["repo"]["id"] == pull["base"]["repo"]["id"]
    assert (pull["user"]["id"], pull["user"]["type"]) == (1001, "User")
    assert (pull["commits"], pull["changed_files"], pull["additions"], pull["deletions"]) == (1, 1, 1, 1)
    (commit,) = as_("reader").get(f"{PULL}/commits")
    assert (commit["sha"], commit["author"]["id"], commit["committer"]["id"]) == (head, 1001, 1001)
    (file,) = as_("reader").get(f"{PULL}/files")
    assert (file["filename"], file["status"]) == ("shop/compose.yaml", "modified")
    assert "+    image: web:2" in file["patch"]


def test_mergeable_is_unknown_at_first_and_then_known(as_: As, head: str) -> None:
    first = as_("author").get(PULL)
    assert (first["mergeable"], first["mergeable_state"], first["merge_commit_sha"]) == (None, "unknown", None)
    second = as_("author").get(PULL)
    assert (second["mergeable"], second["mergeable_state"]) == (True, "clean")
    test_merge = as_("author").get(f"{REPOSITORY}/git/commits/{second['merge_commit_sha']}")
    assert [parent["sha"] for parent in test_merge["parents"]] == [second["base"]["sha"], head]
    assert as_("author").get(f"{REPOSITORY}/git/ref/pull/1/merge")["object"]["sha"] == second["merge_commit_sha"]
    assert as_("author").get(f"{REPOSITORY}/git/ref/pull/1/head")["object"]["sha"] == head


def test_mergeable_is_unknown_again_when_the_base_moves(as_: As, head: str) -> None:
    as_("author").get(PULL)
    assert as_("author").get(PULL)["mergeable"] is True
    as_("author").commit_file("main", "shop/compose.yaml", "services:\n  web:\n    image: web:3\n")
    assert as_("author").get(PULL)["mergeable"] is None
    conflicting = as_("author").get(PULL)
    assert (conflicting["mergeable"], conflicting["mergeable_state"]) == (False, "dirty")
    assert as_("author").put(f"{PULL}/merge", 405)["message"] == "Pull Request is not mergeable"


def test_the_diff_and_the_patch_can_be_had_as_text(as_: As, head: str, client) -> None:  # type: ignore[no-untyped-def]
    headers = {"Authorization": "token token-author", "Accept": "application/vnd.github.v3.diff"}
    diff = client.get(f"/api/v3{PULL}", headers=headers)
    assert diff.headers["content-type"].startswith("application/vnd.github.v3.diff")
    assert diff.text.startswith("diff --git a/shop/compose.yaml b/shop/compose.yaml\n")
    patch = client.get(f"/api/v3{PULL}", headers={**headers, "Accept": "application/vnd.github.v3.patch"})
    assert patch.text.startswith(f"From {head} ")


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"head": "nowhere"}, "head"), ({"base": "nowhere"}, "base"), ({"head": "other:change"}, "head")],
)
def test_a_branch_that_does_not_exist_is_named(as_: As, head: str, fields: dict[str, str], field: str) -> None:
    body = {"title": "x", "head": "change", "base": "main", **fields}
    errors = as_("author").post(f"{REPOSITORY}/pulls", 422, **body)["errors"]
    assert (errors[0]["resource"], errors[0]["field"], errors[0]["code"]) == ("PullRequest", field, "invalid")


def test_a_second_pull_request_for_the_same_branches_is_refused(as_: As, head: str) -> None:
    errors = as_("author").post(f"{REPOSITORY}/pulls", 422, title="x", head="change", base="main")["errors"]
    assert errors[0]["message"] == "A pull request already exists for acme:change."


def test_a_pull_request_without_commits_is_refused(as_: As) -> None:
    main = as_("author").get(f"{REPOSITORY}/git/ref/heads/main")["object"]["sha"]
    as_("author").post(f"{REPOSITORY}/git/refs", ref="refs/heads/same", sha=main)
    errors = as_("author").post(f"{REPOSITORY}/pulls", 422, title="x", head="same", base="main")["errors"]
    assert errors[0]["message"] == "No commits between main and same"


def test_a_push_moves_the_head_and_the_base_sha_stays_what_it_was_then(as_: As, head: str) -> None:
    main = as_("author").commit_file("main", "other.txt", "other\n")
    assert as_("author").get(PULL)["base"]["sha"] != main
    newer = as_("author").commit_file("change", "b.txt", "b\n")
    pull = as_("author").get(PULL)
    assert (pull["head"]["sha"], pull["base"]["sha"], pull["commits"]) == (newer, main, 2)
    assert as_("author").get(f"{REPOSITORY}/git/ref/pull/1/head")["object"]["sha"] == newer


def test_a_force_push_is_in_the_timeline_and_in_the_activity(as_: As, head: str) -> None:
    main = as_("author").get(f"{REPOSITORY}/git/ref/heads/main")["object"]["sha"]
    tree = as_("author").get(f"{REPOSITORY}/git/commits/{head}")["tree"]["sha"]
    other = as_("author").post(f"{REPOSITORY}/git/commits", message="Rewritten", tree=tree, parents=[main])["sha"]
    refused = as_("author").patch(f"{REPOSITORY}/git/refs/heads/change", 422, sha=other)
    assert refused["message"] == "Update is not a fast forward"
    as_("author").patch(f"{REPOSITORY}/git/refs/heads/change", sha=other, force=True)
    assert as_("author").get(PULL)["head"]["sha"] == other
    timeline = as_("author").get(f"{REPOSITORY}/issues/1/timeline")
    assert [event["event"] for event in timeline] == ["head_ref_force_pushed", "committed"]
    assert (timeline[0]["actor"]["id"], timeline[0]["commit_id"]) == (1001, other)
    newest = as_("author").get(f"{REPOSITORY}/activity?ref=refs/heads/change")[0]
    assert (newest["activity_type"], newest["before"], newest["after"]) == ("force_push", head, other)
    assert newest["actor"]["id"] == 1001


def test_a_pull_request_can_be_edited_by_its_author_and_by_writers_only(as_: As, head: str) -> None:
    assert as_("reviewer").patch(PULL, title="Better", body="New")["title"] == "Better"
    assert as_("reader").patch(PULL, 403, title="Worse")["message"].startswith("Must have write rights")
    assert "renamed" in as_("author").events(1)


def test_a_closed_one_can_be_reopened_and_the_timeline_tells(as_: As, head: str) -> None:
    assert as_("author").patch(PULL, state="closed")["closed_at"] is not None
    assert as_("author").get(f"{REPOSITORY}/pulls") == []
    assert len(as_("author").get(f"{REPOSITORY}/pulls?state=closed")) == 1
    assert as_("author").patch(PULL, state="open")["state"] == "open"
    assert as_("author").events(1) == ["committed", "closed", "reopened"]


def test_a_deleted_head_branch_closes_the_pull_request_for_good(as_: As, head: str) -> None:
    as_("author").delete(f"{REPOSITORY}/git/refs/heads/change")
    assert as_("author").get(PULL)["state"] == "closed"
    assert as_("author").events(1) == ["committed", "head_ref_deleted", "closed"]
    as_("author").patch(PULL, 422, state="open")
    assert as_("author").get(f"{REPOSITORY}/git/ref/pull/1/head")["object"]["sha"] == head


def test_a_retarget_is_in_the_timeline(as_: As, head: str) -> None:
    as_("author").commit_file("release", "release.txt", "1\n")
    assert as_("author").patch(PULL, base="release")["base"]["ref"] == "release"
    assert as_("author").events(1)[-1] == "base_ref_changed"


def test_when_the_base_was_itself_merged_its_deletion_retargets(as_: As, head: str) -> None:
    as_("author").commit_file("stacked", "c.txt", "c\n")
    number = as_("author").open_pull("stacked", base="main")
    as_("author").patch(f"{REPOSITORY}/pulls/{number}", base="change")
    as_("author").put(f"{PULL}/merge")
    as_("author").delete(f"{REPOSITORY}/git/refs/heads/change")
    stacked = as_("author").get(f"{REPOSITORY}/pulls/{number}")
    assert (stacked["state"], stacked["base"]["ref"]) == ("open", "main")
    assert "base_ref_changed" in as_("author").events(number)


def test_reviewers_can_be_asked_among_collaborators_but_not_the_author(as_: As, head: str) -> None:
    asked = f"{PULL}/requested_reviewers"
    assert [one["id"] for one in as_("author").post(asked, reviewers=["reviewer"])["requested_reviewers"]] == [1002]
    assert [one["id"] for one in as_("author").get(asked)["users"]] == [1002]
    assert as_("author").post(asked, 422, reviewers=["stranger"])["message"].startswith("Reviews may only be requested")
    as_("author").post(asked, 422, reviewers=["author"])
    as_("reviewer").approve(1)
    assert as_("author").get(asked)["users"] == []
    assert as_("author").events(1) == ["committed", "review_requested", "reviewed"]


def test_labels_can_be_put_on_and_taken_off(as_: As, head: str) -> None:
    labels = f"{REPOSITORY}/issues/1/labels"
    assert [one["name"] for one in as_("author").post(labels, 200, labels=["urgent"])] == ["urgent"]
    assert [one["name"] for one in as_("author").get(f"{REPOSITORY}/labels")] == ["urgent"]
    as_("author").delete(f"{labels}/urgent", expect=200)
    assert as_("author").get(labels) == []
    assert as_("author").events(1) == ["committed", "labeled", "unlabeled"]


def test_update_branch_merges_the_base_into_the_head(as_: As, head: str) -> None:
    assert "no new commits" in as_("author").put(f"{PULL}/update-branch", 422)["message"]
    main = as_("reviewer").commit_file("main", "other.txt", "other\n")
    as_("author").put(f"{PULL}/update-branch", 422, expected_head_sha=main)
    as_("reviewer").put(f"{PULL}/update-branch", 202, expected_head_sha=head)
    pull = as_("author").get(PULL)
    merge = as_("author").get(f"{REPOSITORY}/commits/{pull['head']['sha']}")
    assert [parent["sha"] for parent in merge["parents"]] == [head, main]
    assert (merge["author"]["id"], merge["committer"]["id"]) == (1002, 19864447)
    assert "head_ref_force_pushed" not in as_("author").events(1)


def test_a_push_that_the_forge_died_in_is_followed_when_it_starts_again(
    as_: As, forge: Forge, tmp_path: Path, head: str
) -> None:
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    git = forge.git(repository)
    tree = str(git.commit(head).tree_id)
    newer = git.create_commit(tree, [head], "Newer", Person("X", "x@example.test"))
    git.move("refs/heads/change", newer, head)  # the ref has moved and nothing else was written
    again = open_forge(tmp_path / "data", "http://forge.test")
    pull = again.pull(repository, 1)
    assert pull is not None
    assert pull.head_sha == newer
    assert again.git(repository).tip("refs/pull/1/head") == newer
    rows = len(again.database.all(Activity))
    close_forge(again)
    again = open_forge(tmp_path / "data", "http://forge.test")
    assert len(again.database.all(Activity)) == rows
    close_forge(again)
