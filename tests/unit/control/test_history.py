"""What lies between the last verified revision and the tip, read from real git; the forge says what was merged."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.control import history
from reconciler.control.history import Landed, Step, Unapproved
from reconciler.control.parts import Parts
from reconciler.model.errors import UntrustedHistory
from reconciler.storage import Database
from tests.git_remotes import Remote
from tests.unit.control.plane import REPOSITORY_ID, ToldForge, a_pull, parts_of


class Branch:
    """A repository whose main grows, and the pull requests that the forge remembers."""

    def __init__(self, directory: Path, database: Database) -> None:
        self.remote = Remote.make(directory / "remote.git")
        self.directory = directory
        self.base = self.tip = self.remote.commit({"a": "0\n", "b": "0\n", "c": "0\n"})
        self.forge = ToldForge(landed={})
        self.parts: Parts = parts_of(database, self.remote.mirror(directory / "mirror.git"), forge=self.forge)

    def head(self, number: int, *changes: tuple[str, str], start: str | None = None) -> list[str]:
        """The commits of a pull request from the tip, one per change."""
        commits = [start or self.tip]
        for path, text in changes:
            commits.append(self.remote.commit({path: text}, commits[-1], ref=f"refs/pull/{number}/head"))
        return commits[1:]

    def tree(self, commit: str) -> str:
        return str(self.remote.repository[commit].tree.id)

    def lands(self, number: int, head: str, end: str, *more: str) -> str:
        """The forge says that this pull request was merged as `end`; `more` are other commits that it is tied to."""
        pull = a_pull(number, head, state="closed", merged=True, merge_commit=end)
        for sha in (end, *more):
            self.forge.landed = {**self.forge.landed, sha: (*self.forge.landed.get(sha, ()), pull)}
        self.tip = end
        return end

    def merge(self, number: int, head: str, *others: str, tree: str | None = None) -> str:
        end = self.remote.commit_tree(tree or self.tree(head), self.tip, head, *others, ref="refs/heads/main")
        return self.lands(number, head, end)

    def push(self, path: str, text: str) -> str:
        self.tip = self.remote.commit({path: text}, self.tip)
        return self.tip

    def steps(self, verified: str | None = None, tip: str | None = None) -> tuple[Step, ...]:
        self.parts.source.fetch()
        return history.steps(self.parts, REPOSITORY_ID, verified or self.base, tip or self.tip)


@pytest.fixture
def branch(tmp_path: Path, database: Database) -> Branch:
    return Branch(tmp_path, database)


def proven(step: Step) -> bool:
    assert isinstance(step, Landed)
    return step.landing.end_tree == step.landing.expected_tree


def test_where_nothing_landed_there_is_no_step(branch: Branch) -> None:
    assert branch.steps() == ()


def test_a_merge_is_one_landing_that_ends_at_the_merge_commit(branch: Branch) -> None:
    head = branch.head(1, ("a", "1\n"), ("a", "2\n"))[-1]
    end = branch.merge(1, head)
    (step,) = branch.steps()
    assert isinstance(step, Landed)
    assert (step.pull_request, step.revision, step.first_parent) == (1, end, branch.base)
    assert (step.landing.commits, step.landing.method) == ((end,), "merge")
    assert proven(step)


def test_a_squash_is_one_commit_with_the_tree_of_the_merge(branch: Branch) -> None:
    head = branch.head(1, ("a", "1\n"), ("b", "1\n"))[-1]
    branch.lands(1, head, branch.remote.commit_tree(branch.tree(head), branch.tip, ref="refs/heads/main"))
    (step,) = branch.steps()
    assert isinstance(step, Landed)
    assert (step.revision, step.landing.method) == (branch.tip, "squash")
    assert proven(step)


def test_a_rebase_is_all_its_commits_and_only_the_last_can_be_deployed(branch: Branch) -> None:
    commits = branch.head(1, ("a", "1\n"), ("b", "1\n"), ("c", "1\n"))
    branch.merge(2, branch.head(2, ("d", "1\n"))[-1])
    before = branch.tip
    copies = [before]
    for path in ("a", "b", "c"):
        copies.append(branch.remote.commit({path: "1\n"}, copies[-1]))
    branch.lands(1, commits[-1], copies[-1], *copies[1:-1])
    second, rebased = branch.steps()
    assert isinstance(second, Landed)
    assert isinstance(rebased, Landed)
    assert (rebased.pull_request, rebased.landing.commits) == (1, tuple(copies[1:]))
    assert (rebased.first_parent, rebased.landing.method) == (before, "rebase")
    assert proven(rebased)


def test_a_direct_push_belongs_to_nobody(branch: Branch) -> None:
    pushed = branch.push("a", "mine\n")
    (step,) = branch.steps()
    assert isinstance(step, Unapproved)
    assert (step.revision, step.first_parent) == (pushed, branch.base)
    assert step.reason.rule == 33


def test_each_commit_of_a_direct_push_between_two_landings_is_a_step_and_knows_what_came_before(
    branch: Branch,
) -> None:
    first = branch.merge(1, branch.head(1, ("a", "1\n"))[-1])
    pushed = [branch.push("b", "1\n"), branch.push("b", "2\n")]
    last = branch.merge(2, branch.head(2, ("c", "1\n"))[-1])
    one, *pushes, three = branch.steps()
    assert [type(step) for step in (one, *pushes, three)] == [Landed, Unapproved, Unapproved, Landed]
    assert [step.revision for step in pushes] == pushed
    assert all(isinstance(step, Unapproved) and step.revision[:12] in step.reason.text for step in pushes)
    assert [step.first_parent for step in (one, *pushes, three)] == [branch.base, first, *pushed]
    assert three.revision == last
    assert proven(three)


def test_a_merge_whose_tree_is_not_that_of_the_merge_is_not_proven(branch: Branch) -> None:
    head = branch.head(1, ("a", "1\n"))[-1]
    evil = branch.head(9, ("a", "evil\n"))[-1]
    branch.merge(1, head, tree=branch.tree(evil))
    assert not all(isinstance(step, Landed) and proven(step) for step in branch.steps())


def test_a_landing_whose_conflict_somebody_resolved_is_not_proven(branch: Branch) -> None:
    head = branch.head(1, ("a", "1\n"))[-1]
    branch.merge(2, branch.head(2, ("a", "2\n"))[-1])
    resolved = branch.remote.commit({"a": "3\n"}, branch.tip)
    branch.lands(1, head, resolved)
    first, second = branch.steps()
    assert proven(first)
    assert not (isinstance(second, Landed) and proven(second))


def test_what_nobody_approved_for_two_reasons_begins_each_time_where_the_one_before_ended(branch: Branch) -> None:
    head = branch.head(1, ("a", "1\n"))[-1]
    pushed = branch.push("b", "1\n")
    evil = branch.head(9, ("c", "evil\n"))[-1]
    end = branch.merge(1, head, tree=branch.tree(evil))
    steps = branch.steps()
    assert all(isinstance(step, Unapproved) for step in steps)
    ends = [branch.base, *(step.revision for step in steps)]
    assert [step.first_parent for step in steps] == ends[:-1]
    assert ends[-1] == end
    assert ends[1] == pushed


def test_an_octopus_that_brings_in_what_no_pull_request_had_is_not_proven(branch: Branch) -> None:
    head = branch.head(1, ("a", "1\n"))[-1]
    other = branch.head(9, ("b", "1\n"))[-1]
    both = branch.head(8, ("a", "1\n"), ("b", "1\n"))[-1]
    branch.merge(1, head, other, tree=branch.tree(both))
    assert not all(isinstance(step, Landed) and proven(step) for step in branch.steps())


def test_a_merge_of_two_branches_by_hand_is_nobodys_even_where_one_was_a_pull_request(branch: Branch) -> None:
    head = branch.head(1, ("a", "1\n"))[-1]
    branch.forge.landed = {head: (a_pull(1, head),)}  # open, not merged
    branch.tip = branch.remote.commit_tree(branch.tree(head), branch.tip, head, ref="refs/heads/main")
    (step,) = branch.steps()
    assert isinstance(step, Unapproved)


def test_the_revert_of_a_merge_is_a_landing_like_any_other(branch: Branch) -> None:
    merged = branch.merge(1, branch.head(1, ("a", "1\n"))[-1])
    back = branch.head(2, ("a", "0\n"))[-1]
    reverted = branch.merge(2, back)
    first, second = branch.steps()
    assert (first.revision, second.revision, second.first_parent) == (merged, reverted, merged)
    assert proven(second)
    assert branch.tree(reverted) == branch.tree(branch.base)


def test_a_pull_request_into_another_repository_or_branch_lands_nothing_here(branch: Branch) -> None:
    head = branch.head(1, ("a", "1\n"))[-1]
    end = branch.merge(1, head)
    for changes in ({"base_repository": 1}, {"base_ref": "staging"}):
        branch.forge.landed = {end: (a_pull(1, head, state="closed", merged=True, merge_commit=end, **changes),)}
        assert [type(step) for step in branch.steps()] == [Unapproved]


def test_the_first_commit_can_be_what_is_verified(branch: Branch) -> None:
    assert branch.remote.repository[branch.base].parents == []  # type: ignore[attr-defined]
    end = branch.merge(1, branch.head(1, ("a", "1\n"))[-1])
    assert [step.revision for step in branch.steps(verified=branch.base)] == [end]


def test_what_is_verified_already_is_not_looked_at_again(branch: Branch) -> None:
    first = branch.merge(1, branch.head(1, ("a", "1\n"))[-1])
    second = branch.merge(2, branch.head(2, ("b", "1\n"))[-1])
    assert [step.revision for step in branch.steps(verified=first)] == [second]


def test_a_branch_that_went_back_is_not_followed(branch: Branch) -> None:
    merged = branch.merge(1, branch.head(1, ("a", "1\n"))[-1])
    branch.steps()
    branch.remote.repository.references.create("refs/heads/main", branch.base, force=True)
    with pytest.raises(UntrustedHistory, match="revert"):
        branch.steps(verified=merged, tip=branch.base)


def test_a_branch_that_was_written_anew_is_not_followed(branch: Branch) -> None:
    other = branch.remote.commit({"a": "0\n"})
    with pytest.raises(UntrustedHistory):
        branch.steps(tip=other)
    with pytest.raises(UntrustedHistory):
        branch.steps(verified="9" * 40)
