"""The three ways of merging, their guards, and landings by a push."""

from __future__ import annotations

import pytest

from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import NO_COMMIT
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY

PULL = f"{REPOSITORY}/pulls/1"
CO_AUTHOR = "Co-authored-by: Friend <friend@example.test>"


@pytest.fixture
def head(as_: As) -> str:
    """Two commits of the author on `change`, the second with a co-author, while main has moved; returns the head."""
    as_("author").commit_file("change", "a.txt", "a\n", "Add a")
    sha = as_("author").commit_file("change", "b.txt", "b\n", f"Add b\n\nIt is needed.\n\n{CO_AUTHOR}")
    as_("author").open_pull("change", title="Add both")
    as_("reviewer").commit_file("main", "other.txt", "other\n", "Move main")
    return sha


def _commit(as_: As, sha: str) -> dict:  # type: ignore[type-arg]
    found: dict = as_("reader").get(f"{REPOSITORY}/commits/{sha}")  # type: ignore[type-arg]
    return found


def _tip(as_: As, branch: str = "main") -> str:
    return str(as_("reader").get(f"{REPOSITORY}/git/ref/heads/{branch}")["object"]["sha"])


def _expected_tree(forge: Forge, base: str, head: str) -> str | None:
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    return forge.git(repository).merged_tree(base, head)


def test_a_merge_commit_has_the_base_first_and_is_committed_by_web_flow(as_: As, forge: Forge, head: str) -> None:
    base = _tip(as_)
    assert as_("reader").call("GET", f"{PULL}/merge").status_code == 404
    merged = as_("reviewer").put(f"{PULL}/merge", sha=head)
    assert merged["merged"] is True
    commit = _commit(as_, merged["sha"])
    assert [parent["sha"] for parent in commit["parents"]] == [base, head]
    assert (commit["author"]["id"], commit["committer"]["id"]) == (1002, 19864447)
    assert commit["commit"]["message"] == "Merge pull request #1 from acme/change\n\nAdd both"
    assert commit["commit"]["tree"]["sha"] == _expected_tree(forge, base, head)
    pull = as_("reader").get(PULL)
    assert (pull["state"], pull["merged"], pull["merge_commit_sha"]) == ("closed", True, merged["sha"])
    assert (pull["merged_by"]["id"], pull["base"]["sha"], pull["head"]["sha"]) == (1002, base, head)
    assert as_("reader").events(1)[-2:] == ["merged", "closed"]
    assert as_("reader").call("GET", f"{PULL}/merge").status_code == 204


def test_a_squash_keeps_the_author_and_names_co_authors_last(as_: As, forge: Forge, head: str) -> None:
    base = _tip(as_)
    merged = as_("reviewer").put(f"{PULL}/merge", merge_method="squash")
    commit = _commit(as_, merged["sha"])
    assert [parent["sha"] for parent in commit["parents"]] == [base]
    assert (commit["author"]["id"], commit["committer"]["id"]) == (1001, 19864447)
    assert commit["commit"]["message"] == (f"Add both (#1)\n\n* Add a\n\n* Add b\n\nIt is needed.\n\n{CO_AUTHOR}")
    assert commit["commit"]["tree"]["sha"] == _expected_tree(forge, base, head)


def test_a_squash_of_one_commit_takes_its_message_and_other_authors_become_co_authors(as_: As) -> None:
    friend = {"author": {"name": "Friend", "email": "friend@example.test"}}
    as_("author").commit_file("change", "a.txt", "a\n", "Add a\n\nWell.", **friend)
    as_("author").open_pull("change", title="Something else")
    merged = as_("reviewer").put(f"{PULL}/merge", merge_method="squash")
    assert _commit(as_, merged["sha"])["commit"]["message"] == f"Add a (#1)\n\nWell.\n\n{CO_AUTHOR}"


def test_a_rebase_copies_each_commit_onto_the_base(as_: As, forge: Forge, head: str) -> None:
    base = _tip(as_)
    merged = as_("reviewer").put(f"{PULL}/merge", merge_method="rebase")
    last = _commit(as_, merged["sha"])
    first = _commit(as_, last["parents"][0]["sha"])
    assert first["parents"][0]["sha"] == base
    assert [one["commit"]["message"].splitlines()[0] for one in (first, last)] == ["Add a", "Add b"]
    assert {(one["author"]["id"], one["committer"]["id"]) for one in (first, last)} == {(1001, 19864447)}
    assert last["commit"]["tree"]["sha"] == _expected_tree(forge, base, head)
    for sha in (first["sha"], last["sha"]):
        (landed,) = as_("reader").get(f"{REPOSITORY}/commits/{sha}/pulls")
        assert (landed["number"], landed["merge_commit_sha"]) == (1, last["sha"])


def test_a_moved_head_is_a_conflict_and_nothing_lands(as_: As, head: str) -> None:
    base = _tip(as_)
    as_("author").commit_file("change", "c.txt", "c\n")
    refused = as_("reviewer").put(f"{PULL}/merge", 409, sha=head)
    assert refused["message"] == "Head branch was modified. Review and try the merge again."
    assert _tip(as_) == base


@pytest.mark.parametrize("who", ["reader", "engine", "agent"])
def test_who_cannot_write_to_the_base_cannot_merge(as_: As, head: str, who: str) -> None:
    as_(who).put(f"{PULL}/merge", 403)
    assert as_("reader").get(PULL)["state"] == "open"


def test_drafts_closed_and_merged_ones_are_not_mergeable(as_: As, head: str) -> None:
    as_("author").commit_file("draft", "d.txt", "d\n")
    draft = as_("author").open_pull("draft", draft=True)
    as_("reviewer").put(f"{REPOSITORY}/pulls/{draft}/merge", 405)
    as_("author").patch(PULL, state="closed")
    as_("reviewer").put(f"{PULL}/merge", 405)
    as_("author").patch(PULL, state="open")
    as_("reviewer").put(f"{PULL}/merge")
    as_("reviewer").put(f"{PULL}/merge", 405)
    as_("author").patch(PULL, 422, state="open")


def test_a_method_that_the_repository_does_not_allow_is_refused(as_: As, forge: Forge, head: str) -> None:
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    forge.database.change(repository, settings={**repository.settings, "allow_squash_merge": False})
    refused = as_("reviewer").put(f"{PULL}/merge", 405, merge_method="squash")
    assert "Squash merges are not allowed" in refused["message"]
    as_("reviewer").put(f"{PULL}/merge", 422, merge_method="octopus")


def test_the_head_branch_is_deleted_where_the_repository_says_so(as_: As, forge: Forge, head: str) -> None:
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    forge.database.change(repository, settings={**repository.settings, "delete_branch_on_merge": True})
    as_("reviewer").put(f"{PULL}/merge")
    as_("reader").get(f"{REPOSITORY}/git/ref/heads/change", 404)
    assert as_("reader").events(1)[-3:] == ["merged", "closed", "head_ref_deleted"]
    assert as_("reader").get(f"{REPOSITORY}/git/ref/pull/1/head")["object"]["sha"] == head


def test_a_push_that_contains_the_head_counts_as_its_merge(as_: As, head: str) -> None:
    """Somebody merges by hand: two parents, then a further commit on top, pushed at once."""
    base, author = _tip(as_), as_("author")
    tree = author.get(f"{REPOSITORY}/git/commits/{head}")["tree"]["sha"]
    by_hand = author.post(f"{REPOSITORY}/git/commits", message="By hand", tree=tree, parents=[base, head])["sha"]
    on_top = author.post(f"{REPOSITORY}/git/commits", message="On top", tree=tree, parents=[by_hand])["sha"]
    author.patch(f"{REPOSITORY}/git/refs/heads/main", sha=on_top)
    pull = as_("reader").get(PULL)
    assert (pull["merged"], pull["merge_commit_sha"], pull["merged_by"]["id"]) == (True, by_hand, 1001)
    (landed,) = as_("reader").get(f"{REPOSITORY}/commits/{by_hand}/pulls")
    assert landed["number"] == 1
    assert as_("reader").get(f"{REPOSITORY}/commits/{on_top}/pulls") == []


def test_a_direct_push_belongs_to_no_pull_request(as_: As, head: str) -> None:
    pushed = as_("reviewer").commit_file("main", "direct.txt", "x\n")
    assert as_("reader").get(f"{REPOSITORY}/commits/{pushed}/pulls") == []
    assert as_("reader").get(f"{REPOSITORY}/activity?ref=main")[0]["activity_type"] == "push"


def test_a_ref_that_moved_meanwhile_is_not_overwritten(as_: As, forge: Forge, head: str) -> None:
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    git = forge.git(repository)
    with pytest.raises(Exception, match="was modified"):
        git.move("refs/heads/main", head, NO_COMMIT)
