"""The partition of the deploy branch into landings: merge, squash and rebase are proven, the rest belongs to nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.approvals import (
    DeployBranch,
    PullRequestLanding,
    UnapprovedCommits,
    candidates,
    classify,
    rewound,
)
from reconciler.model.approval import Landing
from reconciler.model.pull_request import PullRequest
from reconciler.model.revision import CommitInfo
from tests.unit.approvals.evidence import REPOSITORY, pull_request, sha

MAIN = DeployBranch(REPOSITORY, "main")


def commit(name: str, *parents: str, tree: str | None = None, message: str | None = None) -> CommitInfo:
    return CommitInfo(
        sha=name,
        parents=parents,
        tree=tree or f"tree-{name}",
        author_name="Author",
        author_email="author@example.test",
        committer_name="GitHub",
        committer_email="noreply@github.com",
        committed_at=datetime(2026, 1, 5, tzinfo=UTC),
        message=message or name,
    )


def merged(number: int, end: str, **over: Any) -> PullRequest:
    """A merged pull request whose head is called head-NUMBER."""
    plain = pull_request(**({"merged": True, "state": "closed"} | over))
    return replace(plain, number=number, merge_commit=end, head_sha=f"head-{number}")


def partition(
    commits: Sequence[CommitInfo],
    pulls: Sequence[PullRequest] = (),
    heads: Mapping[int, Sequence[CommitInfo]] | None = None,
    trees: Mapping[tuple[str, str], str | None] | None = None,
    verified: str = "base",
) -> tuple[PullRequestLanding | UnapprovedCommits, ...]:
    associations = {c.sha: tuple(p for p in pulls if p.merge_commit == c.sha) for c in commits}
    own = heads or {p.number: (commit(p.head_sha, "base"),) for p in pulls}
    wanted = candidates(MAIN, commits, associations, own)
    given = {pair: tree for pair, tree in (trees or {}).items() if pair in wanted}
    return classify(MAIN, verified, commits, associations, own, given)


def told(parts: Sequence[PullRequestLanding | UnapprovedCommits]) -> list[object]:
    """Each part as (pull request, method, commits) or (number of the gate, commits)."""
    return [
        (p.pull_request, p.landing.method, p.landing.commits)
        if isinstance(p, PullRequestLanding)
        else (p.reason.rule, p.commits)
        for p in parts
    ]


def test_nothing_new_is_no_part() -> None:
    assert partition([]) == ()


def test_a_merge_commit_is_a_landing() -> None:
    parts = partition([commit("m", "base", "head-1", tree="t")], [merged(1, "m")], trees={("base", "head-1"): "t"})
    assert told(parts) == [(1, "merge", ("m",))]


def test_a_squash_is_a_landing_with_its_co_authors() -> None:
    trailers = "Co-authored-by: R <2001+r@users.noreply.github.com>\nSuggested-by: S <s@example.test>\n"
    landed = commit("s", "base", tree="t", message=f"Raise web (#1)\n\n{trailers}")
    (part,) = partition([landed], [merged(1, "s")], trees={("base", "head-1"): "t"})
    assert isinstance(part, PullRequestLanding)
    co_authors = (("R <2001+r@users.noreply.github.com>", None), ("S <s@example.test>", None))
    assert part.landing == Landing(("s",), "base", "t", "t", "squash", co_authors)


def test_a_rebase_of_one_commit_is_no_other_thing_than_a_squash() -> None:
    landed = [commit("s", "base", tree="t", message="head-1")]
    assert told(partition(landed, [merged(1, "s")], trees={("base", "head-1"): "t"})) == [(1, "squash", ("s",))]


def test_where_nothing_is_known_of_the_head_it_can_have_been_a_squash() -> None:
    landed, unknown = [commit("s", "base", tree="t")], {2: (commit("other", "base"),)}
    parts = partition(landed, [merged(1, "s")], heads=unknown, trees={("base", "head-1"): "t"})
    assert told(parts) == [(1, "squash", ("s",))]


REBASED = [commit("r1", "base", message="one"), commit("r2", "r1", tree="t", message="two")]
OWN = {1: (commit("o1", "base", message="one"), commit("head-1", "o1", message="two"))}
BOTH_TREES = {("base", "head-1"): "t", ("r1", "head-1"): "t"}


def test_a_rebase_is_one_landing_of_all_its_commits() -> None:
    assert told(partition(REBASED, [merged(1, "r2")], OWN, BOTH_TREES)) == [(1, "rebase", ("r1", "r2"))]


def test_merges_in_the_branch_do_not_count_for_a_rebase() -> None:
    own = {1: (OWN[1][0], commit("update", "o1", "base"), OWN[1][1])}
    assert told(partition(REBASED, [merged(1, "r2")], own, BOTH_TREES)) == [(1, "rebase", ("r1", "r2"))]


def test_a_squash_of_two_commits_after_a_direct_push_does_not_swallow_it() -> None:
    commits = [commit("direct", "base"), commit("s", "direct", tree="t", message="Raise web (#1)")]
    trees = {("base", "head-1"): "t", ("direct", "head-1"): "t"}
    assert told(partition(commits, [merged(1, "s")], OWN, trees)) == [(33, ("direct",)), (1, "squash", ("s",))]


def test_several_landings_keep_their_order() -> None:
    commits = [commit("m", "base", "head-1", tree="t1"), commit("s", "m", tree="t2")]
    trees = {("base", "head-1"): "t1", ("m", "head-2"): "t2"}
    parts = partition(commits, [merged(1, "m"), merged(2, "s")], trees=trees)
    assert told(parts) == [(1, "merge", ("m",)), (2, "squash", ("s",))]


def test_direct_pushes_belong_to_nobody() -> None:
    assert told(partition([commit("d1", "base"), commit("d2", "d1")])) == [(33, ("d1", "d2"))]


def test_a_direct_push_between_landings_is_found() -> None:
    commits = [
        commit("s1", "base", tree="t1"),
        commit("direct", "s1"),
        commit("s2", "direct", tree="t2"),
    ]
    trees = {("base", "head-1"): "t1", ("direct", "head-2"): "t2"}
    parts = partition(commits, [merged(1, "s1"), merged(2, "s2")], trees=trees)
    assert told(parts) == [(1, "squash", ("s1",)), (33, ("direct",)), (2, "squash", ("s2",))]


def test_a_commit_pushed_after_a_rebase_belongs_to_nobody() -> None:
    commits = [*REBASED, commit("direct", "r2")]
    assert told(partition(commits, [merged(1, "r2")], OWN, BOTH_TREES)) == [
        (1, "rebase", ("r1", "r2")),
        (33, ("direct",)),
    ]


def test_a_squash_with_other_content_is_refused() -> None:
    parts = partition([commit("s", "base", tree="other")], [merged(1, "s")], trees={("base", "head-1"): "t"})
    assert told(parts) == [(35, ("s",))]


def test_an_evil_merge_is_refused() -> None:
    evil = commit("m", "base", "head-1", tree="other")
    assert told(partition([evil], [merged(1, "m")], trees={("base", "head-1"): "t"})) == [(36, ("m",))]


def test_a_merge_over_a_conflict_is_refused() -> None:
    resolved = commit("m", "base", "head-1", tree="t")
    assert told(partition([resolved], [merged(1, "m")], trees={("base", "head-1"): None})) == [(36, ("m",))]


def test_a_tree_that_nobody_computed_proves_nothing() -> None:
    assert told(partition([commit("s", "base", tree="t")], [merged(1, "s")], trees={})) == [(35, ("s",))]


def test_two_trees_that_nobody_knows_are_not_the_same() -> None:
    unknown = replace(commit("s", "base"), tree=None)  # type: ignore[arg-type]
    assert told(partition([unknown], [merged(1, "s")], trees={})) == [(35, ("s",))]


def test_a_merge_of_another_head_is_refused() -> None:
    other = commit("m", "base", "something-else", tree="t")
    assert told(partition([other], [merged(1, "m")], trees={("base", "head-1"): "t"})) == [(38, ("m",))]


def test_an_approved_head_pushed_straight_onto_the_branch_is_no_merge() -> None:
    pushed = commit("head-1", "base", tree="t")
    assert told(partition([pushed], [merged(1, "head-1")], trees={("base", "head-1"): "t"})) == [(38, ("head-1",))]


def test_two_pull_requests_cannot_land_by_one_commit() -> None:
    trees = {("base", "head-1"): "t", ("base", "head-2"): "t"}
    parts = partition([commit("s", "base", tree="t")], [merged(1, "s"), merged(2, "s")], trees=trees)
    assert told(parts) == [(37, ("s",))]


@pytest.mark.parametrize(
    "over",
    [{"merged": False}, {"base": "release"}, {"base_repository": 8}, {"repository": 8}],
    ids=["not merged", "another base", "another base repository", "another repository"],
)
def test_a_pull_request_that_does_not_count_leaves_the_commit_to_nobody(over: dict[str, object]) -> None:
    parts = partition([commit("s", "base", tree="t")], [merged(1, "s", **over)], trees={("base", "head-1"): "t"})
    assert told(parts) == [(33, ("s",))]


def test_a_line_that_does_not_start_at_the_verified_revision_is_refused_whole() -> None:
    commits = [commit("s", "elsewhere", tree="t")]
    assert told(partition(commits, [merged(1, "s")], trees={("elsewhere", "head-1"): "t"})) == [(39, ("s",))]


def test_a_gap_in_the_line_is_refused_whole() -> None:
    commits = [commit("s1", "base", tree="t"), commit("s2", "other", tree="t")]
    trees = {("base", "head-1"): "t", ("other", "head-2"): "t"}
    assert told(partition(commits, [merged(1, "s1"), merged(2, "s2")], trees=trees)) == [(39, ("s1", "s2"))]


def test_a_rewind_has_its_number() -> None:
    reason = rewound(str(sha("verified")), str(sha("tip")))
    assert reason.rule == 39
    assert str(sha("tip"))[:12] in reason.text


def test_only_the_trees_that_are_needed_are_asked_for() -> None:
    associations = {"r2": (merged(1, "r2"),)}
    assert candidates(MAIN, REBASED, associations, OWN) == (("base", "head-1"), ("r1", "head-1"))
