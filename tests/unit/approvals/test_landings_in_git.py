"""The partition over real git history: three ways to land, and three ways to cheat, read through the mirror."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.approvals import DeployBranch, PullRequestLanding, candidates, classify
from reconciler.model.pull_request import PullRequest
from reconciler.model.revision import CleanMerge
from tests.git_remotes import Remote
from tests.unit.approvals.evidence import REPOSITORY, pull_request

COMPOSE = "".join(f"line {number}\n" for number in range(40))


def with_line(number: int, text: str, of: str = COMPOSE) -> str:
    lines = of.splitlines()
    lines[number] = text
    return "\n".join(lines) + "\n"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote.make(tmp_path / "remote.git")


def merge_tree(remote: Remote, ours: str, theirs: str) -> str:
    return str(remote.repository.merge_commits(ours, theirs).write_tree(remote.repository))


def rebase(remote: Remote, onto: str, *commits: str) -> list[str]:
    """Each commit copied onto the last, with its message and author."""
    done = [onto]
    for sha in commits:
        original = remote.repository[sha]
        index = remote.repository.merge_trees(original.parents[0].tree, remote.repository[done[-1]].tree, original.tree)
        tree = str(index.write_tree(remote.repository))
        done.append(remote.commit_tree(tree, done[-1], ref="refs/heads/main", message=original.message))
    return done[1:]


def proposal(remote: Remote, base: str) -> tuple[str, str]:
    """Two commits on a branch, as pull request 1."""
    one = remote.commit({"compose.yaml": with_line(2, "image: 2")}, base, ref=None, message="One\n")
    text = with_line(4, "port: 4", with_line(2, "image: 2"))
    return one, remote.commit({"compose.yaml": text}, one, ref="refs/pull/1/head", message="Two\n")


def told(remote: Remote, tmp_path: Path, verified: str, head: str, end: str) -> list[tuple[object, ...]]:
    mirror = remote.mirror(tmp_path / "mirror")
    tip = mirror.branch_head("main")
    commits = mirror.first_parents(verified, tip)
    pull: PullRequest = replace(pull_request(merged=True, state="closed"), number=1, head_sha=head, merge_commit=end)
    branch = DeployBranch(REPOSITORY, "main")
    associations = {commit.sha: (pull,) for commit in commits}
    heads = {1: mirror.commits_between(tip, head)}
    trees: dict[tuple[str, str], str | None] = {}
    for pair in candidates(branch, commits, associations, heads):
        preview = mirror.merge_preview(*pair)
        trees[pair] = preview.tree if isinstance(preview, CleanMerge) else None
    return [
        (part.landing.method, part.landing.commits)
        if isinstance(part, PullRequestLanding)
        else (part.reason.rule, part.commits)
        for part in classify(branch, verified, commits, associations, heads, trees)
    ]


def moved_base(remote: Remote) -> tuple[str, str]:
    """A verified base, and a tip that moved on elsewhere in the same file since the branch began."""
    base = remote.commit({"compose.yaml": COMPOSE})
    return base, remote.commit({"compose.yaml": with_line(30, "other: 30")}, base)


def test_a_merge_commit_is_proven(remote: Remote, tmp_path: Path) -> None:
    base, tip = moved_base(remote)
    _, head = proposal(remote, base)
    end = remote.commit_tree(merge_tree(remote, tip, head), tip, head, ref="refs/heads/main")
    assert told(remote, tmp_path, tip, head, end) == [("merge", (end,))]


def test_a_squash_is_proven(remote: Remote, tmp_path: Path) -> None:
    base, tip = moved_base(remote)
    _, head = proposal(remote, base)
    end = remote.commit_tree(merge_tree(remote, tip, head), tip, ref="refs/heads/main", message="Both (#1)\n")
    assert told(remote, tmp_path, tip, head, end) == [("squash", (end,))]


def test_a_rebase_is_proven_as_one_landing(remote: Remote, tmp_path: Path) -> None:
    base, tip = moved_base(remote)
    one, head = proposal(remote, base)
    landed = rebase(remote, tip, one, head)
    assert told(remote, tmp_path, tip, head, landed[-1]) == [("rebase", tuple(landed))]


def test_a_rebase_of_a_branch_that_was_updated_from_the_base_is_proven(remote: Remote, tmp_path: Path) -> None:
    base, tip = moved_base(remote)
    one, two = proposal(remote, base)
    head = remote.commit_tree(merge_tree(remote, two, tip), two, tip, ref="refs/pull/1/head", message="Update\n")
    landed = rebase(remote, tip, one, two)
    assert told(remote, tmp_path, tip, head, landed[-1]) == [("rebase", tuple(landed))]


def test_an_evil_merge_is_found(remote: Remote, tmp_path: Path) -> None:
    base, tip = moved_base(remote)
    _, head = proposal(remote, base)
    end = remote.commit({"compose.yaml": with_line(2, "image: evil")}, tip, head)
    assert told(remote, tmp_path, tip, head, end) == [(36, (end,))]


def test_a_squash_with_one_line_more_is_found(remote: Remote, tmp_path: Path) -> None:
    base, tip = moved_base(remote)
    _, head = proposal(remote, base)
    end = remote.commit({"compose.yaml": with_line(2, "image: 2"), "extra": "1"}, tip)
    assert told(remote, tmp_path, tip, head, end) == [(35, (end,))]


def test_a_direct_push_before_a_rebase_is_found(remote: Remote, tmp_path: Path) -> None:
    base, tip = moved_base(remote)
    one, head = proposal(remote, base)
    direct = remote.commit({"extra": "1"}, tip)
    landed = rebase(remote, direct, one, head)
    assert told(remote, tmp_path, tip, head, landed[-1]) == [(33, (direct,)), ("rebase", tuple(landed))]


def test_a_merge_that_resolved_a_conflict_by_hand_is_found(remote: Remote, tmp_path: Path) -> None:
    base = remote.commit({"compose.yaml": COMPOSE})
    tip = remote.commit({"compose.yaml": with_line(2, "image: 9")}, base)
    _, head = proposal(remote, base)
    end = remote.commit({"compose.yaml": with_line(2, "image: 9")}, tip, head)
    assert told(remote, tmp_path, tip, head, end) == [(36, (end,))]
