"""A merge queue: what is told on a group's head before it lands, and what is made of it afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.control import queueing
from reconciler.control.controller import Seen, poll
from reconciler.control.requests import GroupRequest
from reconciler.storage import Database
from tests.unit.control.town import PRODUCTION, PRODUCTION_COMPOSE, SPARE, SPARE_COMPOSE, Town, image

NAMES = ("reconciler/plan", "reconciler/policy", "reconciler/approval")


@pytest.fixture
def town(tmp_path: Path, database: Database) -> Town:
    return Town.make(tmp_path, database)


def two(town: Town, *approved: str) -> tuple[int, int]:
    """A pull request for each environment, planned; those that are named are approved."""
    first = town.propose({PRODUCTION_COMPOSE: image("2")}, branch="feature/production")
    second = town.propose({SPARE_COMPOSE: image("2")}, branch="feature/spare")
    town.run()
    for name, number in (("first", first), ("second", second)):
        if name in approved:
            town.approve(number)
    return first, second


def told(town: Town, branch: str) -> list[tuple[str, str] | None]:
    return [town.status_of(town.group_head(branch), name) for name in NAMES]


@pytest.mark.parametrize("squash", [False, True], ids=["merge", "squash"])
def test_a_group_is_planned_and_told_on_its_head_and_each_landing_is_deployed_in_turn(town: Town, squash: bool) -> None:
    first, second = two(town, "first", "second")
    branches = town.enqueue(first, second, squash=squash)
    heads = [town.group_head(branch) for branch in branches]
    town.run()
    assert told(town, branches[0]) == [
        ("success", "1 change on 1 target"),
        town.status_of(town.forge.pulls[first].head_sha, "reconciler/policy"),
        ("success", f"approved: #{first}"),
    ]
    plan, _, approval = told(town, branches[1])
    assert (plan, approval) == (("success", "2 changes on 2 targets"), ("success", f"approved: #{first}, #{second}"))
    assert (town.version(), town.version(SPARE)) == ("1", "1"), "a group is nothing that landed"
    town.lands_group(*branches)
    town.settle()
    assert (town.version(), town.version(SPARE)) == ("2", "2")
    assert [town.hold(name) for name in (PRODUCTION, SPARE)] == [(None, None)] * 2
    deployed = [town.parts.deployments.of_environment(name)[0].revision for name in (PRODUCTION, SPARE)]
    assert deployed == heads, "each by the end of its own landing"


def test_a_group_waits_while_one_of_its_pull_requests_does(town: Town) -> None:
    first, second = two(town, "second")
    branches = town.enqueue(first, second)
    town.run()
    for branch in branches:
        approval = told(town, branch)[2]
        assert approval is not None
        assert approval[0] != "success"
        assert approval[1].startswith(f"#{first}: ")
    town.approve(first)
    town.run()
    assert told(town, branches[1])[2] == ("success", f"approved: #{first}, #{second}")


def test_what_lands_past_the_status_is_held_by_its_own_environment_alone(town: Town) -> None:
    first, second = two(town, "second")
    branches = town.enqueue(first, second)
    head = town.group_head(branches[0])
    town.lands_group(*branches)
    town.settle()
    assert (town.hold()[1], town.version()) == (head, "1")
    assert (town.hold(SPARE), town.version(SPARE)) == ((None, None), "2")


def test_a_group_that_holds_more_than_its_pull_request_is_refused(town: Town) -> None:
    first, _ = two(town, "first")
    (branch,) = town.enqueue(first)
    evil = town.remote.commit({PRODUCTION_COMPOSE: image("evil")}, town.tip, town.forge.pulls[first].head_sha, ref=None)
    town.remote.repository.references.create(f"refs/heads/{branch}", evil, force=True)
    town.run()
    assert [status and status[0] for status in told(town, branch)] == ["failure"] * 3
    approval = told(town, branch)[2]
    assert approval is not None
    assert f"is not the merge of #{first}" in approval[1]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pr-1", "does not say which pull request"),
        ("pr-x-" + "a" * 40, "does not say which pull request"),
        ("pr-1-" + "a" * 40, "no commit"),
    ],
)
def test_a_branch_that_only_looks_like_a_group_is_refused(town: Town, name: str, says: str) -> None:
    two(town, "first")
    branch = f"gh-readonly-queue/main/{name}"
    town.remote.commit({PRODUCTION_COMPOSE: image("evil")}, town.tip, ref=f"refs/heads/{branch}")
    town.run()
    approval = told(town, branch)[2]
    assert approval is not None
    assert approval[0] == "failure"
    assert says in approval[1]


def test_a_group_on_a_commit_that_is_none_of_the_queue_is_refused(town: Town) -> None:
    first, _ = two(town, "first")
    side = town.remote.commit({"README.md": "x\n"}, town.tip, ref="refs/heads/side")
    branch = f"gh-readonly-queue/main/pr-{first}-{side}"
    town.remote.commit({PRODUCTION_COMPOSE: image("2")}, side, ref=f"refs/heads/{branch}")
    town.run()
    approval = told(town, branch)[2]
    assert approval is not None
    assert "neither main nor a group before it" in approval[1]


def test_the_poll_finds_groups_and_finds_them_once(town: Town) -> None:
    first, second = two(town, "first", "second")
    branches = town.enqueue(first, second)
    seen = Seen()
    assert {r.branch for r in poll(town.parts, seen) if isinstance(r, GroupRequest)} == set(branches)
    assert not [r for r in poll(town.parts, seen) if isinstance(r, GroupRequest)]
    town.forge.pulls[first] = replace(town.forge.pulls[first], updated_at=town.at())
    assert {r.branch for r in poll(town.parts, seen) if isinstance(r, GroupRequest)} == set(branches)


def test_a_group_is_told_once_and_one_that_is_gone_not_at_all(town: Town) -> None:
    first, _ = two(town, "first")
    (branch,) = town.enqueue(first)
    head = town.group_head(branch)
    town.run()
    town.run()
    assert len(town.entries("merge-group", head)) == 1
    town.remote.repository.references.delete(f"refs/heads/{branch}")
    town.parts.source.fetch()
    assert queueing.review(town.parts, branch) == ()
