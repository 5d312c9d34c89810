"""Adopting a commit that nobody approved: what it deploys, who may approve it, and every way to cheat with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from reconciler.control import adopting
from reconciler.control.adopting import content
from reconciler.model.desired import Adoption
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.pull_request import PullRequestCommit
from reconciler.model.target import EnvironmentName
from reconciler.storage import Database
from tests.unit.control.town import (
    LOOSE,
    PEOPLE,
    PRODUCTION,
    PRODUCTION_COMPOSE,
    SPARE,
    SPARE_COMPOSE,
    Town,
    image,
)

BOTH = (PRODUCTION, SPARE)


@pytest.fixture
def town(tmp_path: Path, database: Database) -> Town:
    return Town.make(tmp_path, database)


def adopts(commit: str, *environments: EnvironmentName, why: str = "the fire of Friday") -> dict[str, str]:
    return {f"operations/adopt-{commit}.yaml": content(Adoption(commit, why, environments)).decode()}


def adoption_of(town: Town, commit: str, *environments: EnvironmentName, by: str = "keeper") -> int:
    """The pull request that adopts it, planned."""
    number = town.propose(adopts(commit, *environments), by, "reconciler/adopt")
    town.settle()
    return number


# -- the honest way ------------------------------------------------------------------------------------------------


def test_a_commit_that_is_adopted_is_deployed_as_it_is_and_the_environment_goes_on(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed)
    assert town.hold() == ("Held", pushed)
    comment = town.comment(number)
    assert f"This adopts {pushed}" in comment
    assert "demo:2" in comment
    assert "It is by author, pushed by author; none of them can approve this" in comment
    assert "the fire of Friday" in comment
    town.approve(number)
    assert town.gate(number) == {"outcome": "open"}
    merged = town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == ((None, None), "2")
    assert town.status()["revision"] == merged
    (record, _) = town.parts.deployments.of_environment(PRODUCTION)
    assert (record.revision, record.authority.pull_request) == (pushed, number)
    assert [given.person for given in record.authority.approvals] == ["reviewer"]
    state, said = town.status_of(pushed, "reconciler/deploy")
    assert state == "success"
    assert said.startswith("change of shop/production on web-1 succeeded")


def test_what_landed_after_it_is_deployed_after_it(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    town.land({SPARE_COMPOSE: image("2")})
    later = town.land({PRODUCTION_COMPOSE: image("3")})
    town.settle()
    assert (town.hold(), town.version(SPARE)) == (("Held", pushed), "2")
    number = adoption_of(town, pushed)
    town.approve(number)
    town.merge(number)
    town.settle()
    assert town.version() == "2"
    hold, commit = town.hold()
    assert (hold, commit) == ("AwaitingConsent", later), "its plan is another one now, from 2 and not from 1"


def test_the_file_is_inert_afterwards_and_can_be_deleted(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed)
    town.approve(number)
    town.merge(number)
    town.settle()
    town.land({f"operations/adopt-{pushed}.yaml": None})
    town.settle()
    assert (town.hold(), town.version()) == ((None, None), "2")
    town.land({PRODUCTION_COMPOSE: image("3")})
    town.settle()
    assert town.version() == "3"


def test_it_can_be_adopted_for_one_environment_and_undone_for_the_other(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2"), SPARE_COMPOSE: image("evil")})
    number = adoption_of(town, pushed, PRODUCTION)
    assert "demo:evil" not in town.comment(number)
    town.approve(number)
    town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == ((None, None), "2")
    assert (town.hold(SPARE), town.version(SPARE)) == (("Held", pushed), "1")
    town.land({SPARE_COMPOSE: image("1")})
    town.settle()
    assert town.hold(SPARE) == (None, None)


def test_a_change_of_the_rules_is_adopted_by_the_stricter_quorum(town: Town) -> None:
    town.push({"policy.yaml": LOOSE})
    number = adoption_of(town, town.tip, by="deployer")
    town.approve(number)
    assert any("from group operators" in text for text in town.gate(number)["missing"])
    town.approve(number, "operator")
    town.merge(number)
    town.settle()
    assert [town.hold(name) for name in BOTH] == [(None, None)] * 2


def test_merged_without_approval_it_waits_until_somebody_who_counts_approves(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed)
    town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == (("AwaitingConsent", pushed), "1")
    town.approve(number)
    town.settle()
    assert (town.hold(), town.version()) == ((None, None), "2")


def test_the_command_opens_the_pull_request(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    town.run()
    pull, adoption = adopting.propose(town.parts, pushed[:12], "the fire", (), "keeper")
    assert (pull.head_ref, adoption.commit) == (f"reconciler/adopt-{pushed[:12]}", pushed)
    assert town.entries("adoption-proposed", pushed) == [
        {"pull_request": pull.number, "environments": [], "by": "keeper"}
    ]
    town.forge.makers[pull.head_sha] = None  # what was typed: the noreply address of whoever's token it is
    town.settle()
    assert f"This adopts {pushed}" in town.comment(pull.number)


# -- who may approve it --------------------------------------------------------------------------------------------


def test_neither_author_nor_pusher_of_the_commit_approves_its_adoption(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")}, by="operator", made_by="reviewer")
    number = adoption_of(town, pushed, by="deployer")
    town.approve(number, "reviewer", "operator")
    assert town.rules(number) == [6, 8]
    assert any(reason["text"].startswith("operator pushed") for reason in town.gate(number)["reasons"])
    town.merge(number)
    town.settle()
    assert (town.hold()[1], town.version()) == (pushed, "1")
    town.approve(number, "keeper")
    town.settle()
    assert town.version() == "2"


def test_who_pushed_a_merge_by_hand_is_no_update_of_the_branch(town: Town) -> None:
    side = town.remote.commit({PRODUCTION_COMPOSE: image("2")}, town.tip, ref="refs/heads/side")
    before = town.tip
    tree = str(town.remote.repository[side].tree.id)  # type: ignore[attr-defined]
    pushed = town.remote.commit_tree(tree, before, side, ref="refs/heads/main")
    town.forge.makers |= {side: PEOPLE["author"], pushed: None}
    town.forge.tells_pushes = False
    number = adoption_of(town, pushed, by="deployer")
    town.approve(number, "reviewer", "operator")
    assert town.rules(number) == [6, 8], "an address that nobody knows, and whoever pushed it: one more person for each"
    town.approve(number, "keeper")
    assert town.gate(number) == {"outcome": "open"}


def test_where_nobody_can_say_who_pushed_it_one_more_person_is_asked(town: Town) -> None:
    town.forge.tells_pushes = False
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed, by="deployer")
    town.approve(number)
    assert town.rules(number) == [8]
    town.approve(number, "operator")
    assert town.gate(number) == {"outcome": "open"}


def test_whom_the_forge_does_not_know_asks_for_one_more_person(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")}, made_by=None)
    number = adoption_of(town, pushed, by="deployer")
    town.approve(number)
    assert town.rules(number) == [6]


def test_an_agent_does_not_approve_an_adoption_and_its_owner_not_what_it_proposed(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")}, by="reviewer")
    number = adoption_of(town, pushed, by="keeper")
    town.approve(number, "deployer")
    assert 3 in town.rules(number)
    other = town.propose(adopts(pushed, why="again"), "deployer", "agent/adopt")
    town.settle()
    town.approve(other, "author")
    assert 4 in town.rules(other)


def test_who_proposes_the_adoption_does_not_approve_it(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed, by="reviewer")
    town.approve(number, "reviewer")
    assert town.rules(number) == [1]


# -- what is no adoption -------------------------------------------------------------------------------------------


def told(town: Town, number: int) -> str:
    """What the plan's status says where there is no plan."""
    found = town.status_of(town.forge.pulls[number].head_sha, "reconciler/plan")
    assert found is not None
    assert found[0] == "failure", found
    with pytest.raises(InvalidInput) as refused:
        town.gate(number)
    return str(refused.value)


def test_a_change_of_the_rules_and_of_something_else_is_never_adopted(town: Town) -> None:
    pushed = town.push({"policy.yaml": LOOSE, PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed, by="deployer")
    town.approve(number, "reviewer", "operator", "keeper")
    assert 46 in town.rules(number)
    town.merge(number)
    town.settle()
    assert [town.hold(name) for name in BOTH] == [("Held", pushed)] * 2
    assert "gate 46" in town.status()["reason"]


def test_rules_are_not_adopted_for_some_environments(town: Town) -> None:
    pushed = town.push({"policy.yaml": LOOSE})
    assert "for all environments or not at all" in told(town, adoption_of(town, pushed, PRODUCTION))


def test_an_adoption_comes_alone(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = town.propose(adopts(pushed) | {SPARE_COMPOSE: image("2")})
    town.settle()
    assert "a pull request of its own" in told(town, number)
    town.approve(number)
    town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == (("Held", pushed), "1")


def test_a_commit_that_holds_another_unapproved_one_waits_for_that(town: Town) -> None:
    first = town.push({PRODUCTION_COMPOSE: image("evil")}, by="keeper")
    second = town.push({"projects/shop/production/www/index.html": "hello\n", PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, second)
    assert f"{first[:12]} did to shop/production before it" in told(town, number)
    town.approve(number)
    town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == (("Held", first), "1")


def test_each_of_several_commits_is_adopted_in_its_turn(town: Town) -> None:
    first = town.push({PRODUCTION_COMPOSE: image("2")})
    second = town.push({PRODUCTION_COMPOSE: image("3")})
    number = adoption_of(town, first)
    town.approve(number)
    town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == (("Held", second), "2")
    number = adoption_of(town, second)
    town.approve(number)
    town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == ((None, None), "3")


def test_a_commit_that_was_force_pushed_away_is_nothing_to_adopt(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.run()
    town.rewind(town.baseline)
    number = adoption_of(town, pushed)
    assert "is no commit of main that nobody approved" in told(town, number)
    town.approve(number)
    town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == ((None, None), "1")


def test_an_adoption_whose_commit_is_force_pushed_away_brings_it_along_and_is_refused(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    number = adoption_of(town, pushed)
    town.rewind(town.baseline)
    town.settle()
    assert f"comes along with {PRODUCTION_COMPOSE}" in told(town, number)


def test_an_old_adoption_does_not_adopt_the_same_change_pushed_again(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed)
    town.approve(number)
    town.merge(number)
    town.settle()
    town.land({PRODUCTION_COMPOSE: image("1")})
    town.settle()
    assert (town.hold(), town.version()) == ((None, None), "1")
    again = town.push({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    assert (town.hold(), town.version()) == (("Held", again), "1")
    repeated = town.propose(adopts(pushed, why="once more"), "keeper", "reconciler/again")
    town.settle()
    assert "holds nothing any more" in told(town, repeated)


def test_a_commit_that_was_undone_is_nothing_to_adopt_any_more(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    town.land({PRODUCTION_COMPOSE: image("1")})
    town.settle()
    assert town.hold() == (None, None)
    assert "holds nothing any more" in told(town, adoption_of(town, pushed))


def test_an_adoption_that_is_deleted_before_it_was_approved_adopts_nothing(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed)
    town.merge(number)
    town.land({f"operations/adopt-{pushed}.yaml": None})
    town.settle()
    town.approve(number)
    town.settle()
    assert (town.hold(), town.version()) == (("Held", pushed), "1")


def test_a_file_that_was_pushed_and_not_proposed_adopts_nothing(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    town.push(adopts(pushed))
    town.settle()
    assert (town.hold(), town.version()) == (("Held", pushed), "1")


def test_what_landed_by_a_pull_request_is_approved_there(town: Town) -> None:
    number = town.propose({PRODUCTION_COMPOSE: image("2")})
    town.run()
    merged = town.merge(number)
    town.settle()
    assert f"landed by pull request {number}" in told(town, adoption_of(town, merged))


def test_a_commit_from_somewhere_else_is_nothing_to_adopt(town: Town) -> None:
    elsewhere = town.remote.commit({PRODUCTION_COMPOSE: image("evil")}, town.tip, ref="refs/heads/side")
    assert "is no commit of main" in told(town, adoption_of(town, elsewhere))


def test_an_environment_that_it_does_not_hold_is_a_mistake(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    assert "does not hold shop/spare" in told(town, adoption_of(town, pushed, SPARE))


def test_a_branch_that_is_called_a_rollback_makes_no_rollback_of_it(town: Town) -> None:
    town.land({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    current = town.parts.deployments.of_environment(PRODUCTION)[0]
    pushed = town.push({PRODUCTION_COMPOSE: image("1")})
    number = town.propose(adopts(pushed), "keeper", f"reconciler/rollback-{current.id}")
    town.settle()
    town.approve(number)
    town.merge(number)
    town.settle()
    assert town.parts.deployments.of_environment(PRODUCTION)[0].kind.value == "change"


def test_the_plan_is_made_again_and_another_one_asks_again(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed)
    town.approve(number)
    town.drifts()
    town.merge(number)
    town.settle()
    assert (town.hold(), town.version()) == (("AwaitingConsent", pushed), "1")
    assert "The plan changed after the merge" in town.forge.said[number][-1].body


# -- asking for it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commit", "why", "says"),
    [
        ("main", "because", "is no commit"),
        ("abc", "because", "is no commit"),
        ("f" * 12, "because", "holds anything"),
        ("f" * 40, "because", "is no commit of main"),
        ("HELD", "", "why is it adopted"),
        ("HELD", "two\nlines", "why is it adopted"),
    ],
)
def test_what_cannot_be_adopted_is_said_before_anything_is_pushed(town: Town, commit: str, why: str, says: str) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    town.run()
    with pytest.raises(InvalidInput, match=says):
        adopting.propose(town.parts, pushed if commit == "HELD" else commit, why, (), "keeper")
    assert town.remote.head(f"refs/heads/reconciler/adopt-{pushed[:12]}") is None


def test_the_file_reads_as_it_was_meant_whatever_stands_in_the_reason(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    why = 'it: "burned" # {down} ünd so on'
    number = town.propose(adopts(pushed, PRODUCTION, why=why), "keeper", "reconciler/adopt")
    town.settle()
    head = town.parts.source.tree(town.forge.pulls[number].head_sha)
    from reconciler.desired import adoption_path, load

    found = load(head).adoption(adoption_path(pushed))
    assert found is not None
    assert replace(found, location=Adoption("", "").location) == Adoption(pushed, why, (PRODUCTION,))


def test_a_commit_that_the_forge_no_longer_knows_stays_held(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("2")})
    number = adoption_of(town, pushed)
    town.approve(number)
    town.merge(number)
    asked = town.forge.commit

    def lost(sha: str) -> PullRequestCommit:
        if sha == pushed:
            raise NotFound("no such commit")
        return asked(sha)

    with patch.object(type(town.forge), "commit", lambda _, sha: lost(sha)):
        town.settle()
    assert (town.hold(), town.version()) == (("Held", pushed), "1")
    assert "no such commit" in town.status()["reason"]
