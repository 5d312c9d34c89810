"""What holds an environment and what ends it, case by case. Nothing is pretended but the forge and the hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.control import actions, queries
from reconciler.model.errors import ForgeUnavailable
from reconciler.storage import Database
from tests.unit.control.town import (
    LOOSE,
    POLICY,
    PRODUCTION,
    PRODUCTION_COMPOSE,
    SPARE,
    SPARE_COMPOSE,
    Town,
    environment,
    image,
)

BOTH = (PRODUCTION, SPARE)


@pytest.fixture
def town(tmp_path: Path, database: Database) -> Town:
    return Town.make(tmp_path, database)


# -- what holds ----------------------------------------------------------------------------------------------------


def test_an_unapproved_commit_holds_the_environment_that_it_touches_and_the_other_goes_on(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    landed = town.land({SPARE_COMPOSE: image("2")})
    town.settle()
    assert town.hold() == ("Held", pushed)
    assert town.version() == "1"
    assert town.hold(SPARE) == (None, None)
    assert (town.version(SPARE), town.status(SPARE)["revision"]) == ("2", landed)


def test_a_held_environment_says_why_in_its_status_and_on_the_commit(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.run()
    why = queries.why(town.parts, PRODUCTION)
    assert (why["hold"], why["commit"], why["sync"]) == ("Held", pushed, "OutOfSync")
    assert f"{pushed[:12]}… came without a merged pull request (gate 33)" in why["reason"]
    assert "adopt" in why["reason"]
    told = town.status_of(pushed, "reconciler/deploy")
    assert told is not None
    assert told[0] == "failure"
    assert "shop/production held" in told[1]
    assert [entry["commit"] for entry in town.entries("hold", "shop/production")] == [pushed]


@pytest.mark.parametrize(
    "files",
    [
        {"policy.yaml": LOOSE},
        {"hosts/web-2.yaml": "address: 192.0.2.9\n"},
        {"principals.yaml": "people: {author: {github: 1001, groups: [operators]}}\n"},
        {".gitattributes": "* text=auto\n"},
        {"policy.yaml": "rulse: []\n"},
    ],
    ids=["policy", "a host", "principals", "git's own files", "policy that cannot be read"],
)
def test_rules_and_hosts_hold_every_environment(town: Town, files: dict[str, str]) -> None:
    pushed = town.push(files)
    town.run()
    assert [town.hold(name) for name in BOTH] == [("Held", pushed)] * 2


def test_what_touches_nothing_holds_nothing(town: Town) -> None:
    pushed = town.push({"README.md": "hello\n"})
    town.run()
    assert [town.hold(name) for name in BOTH] == [(None, None)] * 2
    assert town.status()["revision"] == pushed


def test_of_several_unapproved_commits_the_first_that_touches_it_holds_each_environment(town: Town) -> None:
    town.push({"README.md": "hello\n"})
    spare = town.push({SPARE_COMPOSE: image("evil")})
    production = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.push({PRODUCTION_COMPOSE: image("2")})
    town.run()
    assert (town.hold(), town.hold(SPARE)) == (("Held", production), ("Held", spare))


def test_a_new_environment_that_nobody_approved_is_not_deployed(town: Town) -> None:
    town.push(
        {
            "projects/shop/new/compose.yaml": image("evil"),
            "projects/shop/new/environment.yaml": environment("web-2").replace("shop\n", "new\n"),
        }
    )
    report = town.run()
    assert report["deployments"] == []
    assert [row["hold"] for row in report["environments"] if row["environment"] == "shop/new"] == ["Held"]


# -- what does not end it ------------------------------------------------------------------------------------------


def test_an_approved_change_on_top_does_not_end_the_hold(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.land({"projects/shop/production/environment.yaml": environment("web-1", "remove_volumes: [old]\n")})
    town.settle()
    assert town.hold() == ("Held", pushed)
    assert town.version() == "1"


def test_a_revert_that_nobody_approved_does_not_end_it_and_the_next_approved_boundary_does(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.push({PRODUCTION_COMPOSE: image("1")})
    town.run()
    assert town.hold() == ("Held", pushed)
    landed = town.land({"README.md": "hello\n"})
    town.settle()
    assert town.hold() == (None, None)
    assert town.status()["revision"] == landed


def test_a_revert_that_was_merged_without_approval_does_not_end_it(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    number = town.propose({PRODUCTION_COMPOSE: image("1")})
    town.run()
    town.merge(number)
    town.settle()
    assert town.hold() == ("Held", pushed)


def test_an_approved_change_that_keeps_part_of_it_does_not_end_it(town: Town) -> None:
    pushed = [town.push({PRODUCTION_COMPOSE: image("evil")}), town.push({SPARE_COMPOSE: image("evil")})]
    town.land({PRODUCTION_COMPOSE: image("1")})
    town.settle()
    assert town.hold() == (None, None), "everything of production is what it was"
    assert town.hold(SPARE) == ("Held", pushed[1])


# -- what ends it --------------------------------------------------------------------------------------------------


def test_an_approved_revert_ends_it_and_what_comes_next_is_deployed(town: Town) -> None:
    town.push({PRODUCTION_COMPOSE: image("evil")})
    reverted = town.land({PRODUCTION_COMPOSE: image("1")})
    town.settle()
    assert town.hold() == (None, None)
    assert (town.status()["revision"], town.version()) == (reverted, "1")
    town.land({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    assert (town.hold(), town.version()) == ((None, None), "2")


def test_a_revert_ends_it_when_all_of_several_commits_are_undone(town: Town) -> None:
    first = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.push({"projects/shop/production/environment.yaml": environment("web-1", "remove_volumes: [data]\n")})
    town.land({PRODUCTION_COMPOSE: image("1")})
    town.settle()
    assert town.hold() == ("Held", first), "the other one is still there"
    town.land({"projects/shop/production/environment.yaml": environment("web-1")})
    town.settle()
    assert town.hold() == (None, None)


def test_rules_that_go_back_end_the_hold_of_all_by_the_old_quorum(town: Town) -> None:
    pushed = town.push({"policy.yaml": LOOSE})
    number = town.propose({"policy.yaml": POLICY})
    town.run()
    town.approve(number, "reviewer")
    town.merge(number)
    town.settle()
    assert town.hold() == ("Held", pushed), "two of the operators are asked, by the rules that were accepted last"
    town.approve(number, "operator")
    town.settle()
    assert [town.hold(name) for name in BOTH] == [(None, None)] * 2


def test_a_rule_change_among_several_holds_until_it_is_back_too(town: Town) -> None:
    first = town.push({PRODUCTION_COMPOSE: image("evil")})
    rules = town.push({"policy.yaml": LOOSE})
    town.land({PRODUCTION_COMPOSE: image("1")})
    town.settle()
    assert (town.hold(), town.hold(SPARE)) == (("Held", first), ("Held", rules))
    town.land({"policy.yaml": POLICY}, "reviewer", "operator")
    town.settle()
    assert [town.hold(name) for name in BOTH] == [(None, None)] * 2


def test_what_could_not_be_read_ends_with_an_approved_repair(town: Town) -> None:
    town.push({"projects/shop/production/environment.yaml": "hosts: 7\n"})
    town.run()
    assert [town.hold(name)[0] for name in BOTH] == ["Held", "Held"]
    town.land({"projects/shop/production/environment.yaml": environment("web-1")})
    town.settle()
    assert [town.hold(name) for name in BOTH] == [(None, None)] * 2


# -- where a deployment failed before ------------------------------------------------------------------------------


def test_after_a_failed_deployment_a_hold_ends_where_it_began(town: Town) -> None:
    town.engine.fails = True
    failed = town.land({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    assert town.hold() == ("Parked", failed)
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.run()
    assert town.hold() == ("Held", pushed)
    town.land({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    assert town.hold() == ("Parked", failed), "as before the push: version 2 was approved, and failed"
    assert town.version() == "1"


def test_a_commit_that_cannot_be_read_holds_after_a_failed_deployment_too(town: Town) -> None:
    town.engine.fails = True
    town.land({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    town.engine.fails = False
    pushed = town.push({PRODUCTION_COMPOSE: image("evil"), "policy.yaml": "rulse: []\n"})
    town.land({"policy.yaml": POLICY}, "reviewer", "operator")
    town.settle()
    assert town.hold() == ("Held", pushed)
    assert town.version() == "1"


# -- a rewind ------------------------------------------------------------------------------------------------------


def test_a_branch_that_went_back_holds_and_nothing_goes_back(town: Town) -> None:
    town.land({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    assert town.version() == "2"
    town.rewind(town.baseline)
    town.run()
    hold, commit = town.hold()
    assert (hold, commit, town.version()) == ("Held", town.baseline, "2")
    assert "rewound or force-pushed" in town.status()["reason"]


# -- drift while it is held ----------------------------------------------------------------------------------------

PRODUCTION_FILE = "projects/shop/production/environment.yaml"


def healing(tmp_path: Path, database: Database) -> Town:
    return Town.make(tmp_path, database, {PRODUCTION_FILE: environment("web-1", "drift: heal\n")})


def test_drift_of_a_held_environment_is_reported_beside_what_holds_it(town: Town) -> None:
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.run()
    town.drifts()
    for _ in range(3):
        town.run()
    status = town.status()
    assert (status["hold"], status["commit"], status["sync"]) == ("Held", pushed, "OutOfSync")
    assert "came without a merged pull request" in status["reason"]
    assert [change["field"] for change in status["drift"]["changes"]] == ["restart"]
    assert status["drift"]["why"] == "drift is reported, not healed (drift: report)"
    assert not town.restarts()
    assert len(town.entries("drift", "shop/production")) == 1
    assert len(town.entries("hold", "shop/production")) == 1


def test_a_held_environment_is_healed_to_its_last_approved_state_and_stays_held(
    tmp_path: Path, database: Database
) -> None:
    town = healing(tmp_path, database)
    town.land({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    pushed = town.push({PRODUCTION_COMPOSE: image("evil")})
    town.run()
    town.drifts()
    town.run()
    assert not town.restarts(), "a heal waits a little"
    town.clock.move(seconds=10)
    report = town.run()
    assert [made["kind"] for made in report["deployments"]] == ["heal"]
    assert (town.restarts(), town.version()) == (True, "2")
    assert town.hold() == ("Held", pushed)
    town.run()
    assert (town.hold(), town.status()["drift"]) == (("Held", pushed), None)
    assert len(town.entries("hold", "shop/production")) == 1
    assert len(town.entries("drift-ended", "shop/production")) <= 1


def test_a_forge_that_is_down_keeps_no_held_environment_from_being_healed(tmp_path: Path, database: Database) -> None:
    town = healing(tmp_path, database)
    town.push({PRODUCTION_COMPOSE: image("evil")})
    town.run()
    town.drifts()
    town.forge.down = True
    for _ in range(2):
        with pytest.raises(ForgeUnavailable):
            town.reconcile()
        town.clock.move(seconds=10)
    assert town.restarts()
    assert town.hold()[0] == "Held"


def test_what_a_failed_deployment_left_is_not_taken_for_drift(tmp_path: Path, database: Database) -> None:
    town = healing(tmp_path, database)
    town.engine.fails = True
    town.land({PRODUCTION_COMPOSE: image("2")})
    town.settle()
    town.drifts()
    town.clock.move(minutes=1)
    town.settle()
    assert (town.hold()[0], town.status()["drift"], town.restarts()) == ("Parked", None, False)
    town.push({PRODUCTION_COMPOSE: image("evil")})
    town.settle()
    assert (town.hold()[0], town.status()["drift"], town.restarts()) == ("Held", None, False)


def test_a_deny_of_the_tip_stops_healing_too(tmp_path: Path, database: Database) -> None:
    town = healing(tmp_path, database)
    town.push({"policy.yaml": POLICY + "  - {id: frozen, effect: deny, actions: [deploy], why: nothing moves}\n"})
    town.run()
    town.drifts()
    town.run()
    town.clock.move(minutes=1)
    town.run()
    assert not town.restarts()
    assert "nothing moves" in town.status()["drift"]["why"]


def test_a_suspended_environment_is_watched_and_not_healed(tmp_path: Path, database: Database) -> None:
    town = healing(tmp_path, database)
    actions.suspend(town.parts, PRODUCTION, "we look at it")
    town.land({PRODUCTION_COMPOSE: image("2")})
    town.run()
    town.drifts()
    town.run()
    town.clock.move(minutes=1)
    town.run()
    assert (town.hold()[0], town.restarts()) == ("Suspended", False)
    assert town.status()["drift"]["why"] == "suspended: we look at it"


def test_an_approval_ends_a_hold_at_once_where_plans_have_to_stand_for_an_hour(
    tmp_path: Path, database: Database
) -> None:
    slow = {PRODUCTION_FILE: environment("web-1").replace("consent_delay: 0s", "consent_delay: 1h")}
    town = Town.make(tmp_path, database, slow)
    town.push({PRODUCTION_COMPOSE: image("evil")})
    number = town.propose({PRODUCTION_COMPOSE: image("1")})
    town.run()
    town.approve(number)
    town.merge(number)
    town.settle()
    assert town.hold() == (None, None), "nothing is deployed, so there is no plan to be read first"


def test_a_host_that_says_something_else_of_the_environment_is_not_healed(tmp_path: Path, database: Database) -> None:
    town = healing(tmp_path, database)
    town.push({PRODUCTION_COMPOSE: image("evil")})
    town.run()
    town.drifts()
    town.machines.records["web-1"] = b"not a record of ours"
    town.parts.looked.clear()  # as after a restart
    town.forge.down = True
    for _ in range(2):
        with pytest.raises(ForgeUnavailable):
            town.reconcile()
        town.clock.move(minutes=1)
    assert not town.restarts()
    town.forge.down = False
    town.settle()
    assert not town.restarts()
