"""A pull request cannot lower its own gate: the stricter of base and head, and what counts as a change of the rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.approvals import RuleChanges, rule_changes, stricter, strictest_consent
from reconciler.approvals.rules import strictness
from reconciler.model.approval import GateRules
from reconciler.model.desired import Consent, DesiredState, DriftMode, EnvironmentSpec, HostSpec, Window
from reconciler.model.location import Location
from reconciler.model.policy import Action, Effect, Need, Policy, Rule, Waiver
from reconciler.model.principal import Person, Principals
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Finding, Severity

TARGET = Target("shop", "staging", "web-1")


def environment(**over: Any) -> EnvironmentSpec:
    plain = EnvironmentSpec(
        name=EnvironmentName("shop", "staging"),
        directory="projects/shop/staging",
        hosts=("web-1",),
        tier="staging",
        compose_project="shop",
        compose=("compose.yaml",),
    )
    return replace(plain, **over)


def host(name: str = "web-1", **over: Any) -> HostSpec:
    plain = HostSpec(name, f"{name}.example.net", 22, "reconciler", "ssh-ed25519 AAAA")
    return replace(plain, **over)


def state(**over: Any) -> DesiredState:
    plain = DesiredState(
        deploy_branch="main",
        hosts=(host(),),
        principals=Principals((Person("one", (1,), ("operators",)), Person("two", (2,), ("operators",)))),
        policy=Policy((Rule("two", Effect.REQUIRE, ("deploy",), need=Need(2, "operators")),), "digest"),
        environments=(environment(),),
    )
    return replace(plain, **over)


# -- the stricter wins ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "head", "tier"),
    [
        ("staging", "staging", "staging"),
        ("production", "development", "production"),
        ("development", "production", "production"),
        ("production-eu", "development", "production-eu"),
        ("development", "production-eu", "production-eu"),
        ("production-eu", "production", "production-eu"),
    ],
)
def test_the_tier_is_the_stricter_of_base_and_head(base: str, head: str, tier: str) -> None:
    assert stricter(environment(tier=base), environment(tier=head), None, None, TARGET).tier == tier


def test_an_environment_that_the_base_does_not_have_counts_as_production() -> None:
    assert stricter(None, environment(tier="development"), None, host(), TARGET).tier == "production"


def test_a_host_for_production_makes_its_targets_production() -> None:
    rules = stricter(environment(), environment(), host(tiers=("production",)), host(), TARGET)
    assert rules.tier == "production"


def test_consent_is_field_by_field_the_stricter() -> None:
    base = environment(consent=Consent.QUOTED, consent_delay=timedelta(seconds=5), agent_owner_may_approve=True)
    head = environment(consent=Consent.REVIEW, consent_delay=timedelta(seconds=60), agent_owner_may_approve=True)
    rules = stricter(base, head, None, None, TARGET)
    assert (rules.consent, rules.consent_delay_seconds, rules.agent_owner_may_approve) == (Consent.QUOTED, 60.0, True)
    lowered = stricter(environment(), head, None, None, TARGET)
    assert not lowered.agent_owner_may_approve


def test_a_removed_environment_keeps_the_rules_of_the_base() -> None:
    assert stricter(environment(agent_owner_may_approve=True), None, host(), None, TARGET).tier == "staging"


def test_an_environment_that_nobody_has_is_as_strict_as_can_be() -> None:
    assert stricter(None, None, None, None, TARGET) == GateRules(
        TARGET, "production", Consent.SIGNED, 30.0, False, "plan"
    )


def test_a_host_that_the_change_would_make_one_for_production_counts_as_well() -> None:
    rules = stricter(environment(), environment(), host(), host(tiers=("production",)), TARGET)
    assert rules.tier == "production"


@pytest.mark.parametrize(
    ("base", "head", "bind"),
    [
        ("revision", "revision", "revision"),
        ("plan", "revision", "plan"),
        ("revision", "plan", "plan"),
        ("plan", "plan", "plan"),
    ],
)
def test_consent_is_to_the_revision_only_where_base_and_head_say_so(base: str, head: str, bind: str) -> None:
    assert stricter(environment(bind=base), environment(bind=head), None, None, TARGET).bind == bind


@pytest.mark.parametrize(
    ("modes", "strictest"),
    [
        ((), Consent.REVIEW),
        ((Consent.REVIEW,), Consent.REVIEW),
        ((Consent.REVIEW, Consent.QUOTED), Consent.QUOTED),
        ((Consent.SIGNED, Consent.REVIEW, Consent.QUOTED), Consent.SIGNED),
    ],
)
def test_a_change_that_concerns_every_environment_takes_what_the_strictest_asks_for(
    modes: tuple[Consent, ...], strictest: Consent
) -> None:
    each = [state(environments=(environment(consent=mode),)) for mode in modes]
    assert strictest_consent(*each) is strictest
    assert strictest_consent(state(environments=tuple(environment(consent=mode) for mode in modes))) is strictest


def test_tiers_are_ranked_and_an_unknown_one_is_production() -> None:
    tiers = ("development", "test", "testing", "staging", "production", "production-eu")
    assert [strictness(tier) for tier in tiers] == [0, 1, 2, 3, 4, 4]


# -- what is a change of the rules ---------------------------------------------------------------------------------


def changes(head: DesiredState, *files: str, base: DesiredState | None = None) -> RuleChanges:
    return rule_changes(base or state(), head, files)


def test_a_new_image_changes_no_rules() -> None:
    found = changes(
        state(environments=(environment(variables=(("TAG", "2"),)),)), "projects/shop/staging/environment.yaml"
    )
    assert found == RuleChanges((), (), rules_touched=False, others_touched=True)


def test_a_changed_compose_file_changes_no_rules() -> None:
    assert changes(state(), "projects/shop/compose.yaml") == RuleChanges((), (), False, True)


@pytest.mark.parametrize(
    "over",
    [
        {"tier": "development"},
        {"consent": Consent.QUOTED},
        {"consent_delay": timedelta(0)},
        {"agent_owner_may_approve": True},
        {"bind": "revision"},
        {"windows": (Window("FRI 16:00", "MON 08:00", "Europe/Berlin"),)},
        {"drift": DriftMode.HEAL},
        {"on_failure": "restore"},
        {"hosts": ("web-1", "web-2")},
        {"compose_project": "other"},
        {"heal_stopped": True},
        {"when_unreachable": "converge"},
        {"waivers": (Waiver("0" * 64, "we know", None),)},
    ],
    ids=lambda over: next(iter(over)),
)
def test_each_gate_field_of_an_environment_is_a_change_of_policy(over: dict[str, Any]) -> None:
    found = changes(state(environments=(environment(**over),)), "projects/shop/staging/environment.yaml")
    assert found == RuleChanges((Action.CHANGE_POLICY,), (), rules_touched=True, others_touched=False)


def test_a_gate_field_and_a_new_image_together_touch_both() -> None:
    head = state(environments=(environment(tier="development", variables=(("TAG", "2"),)),))
    found = changes(head, "projects/shop/staging/environment.yaml")
    assert (found.rules_touched, found.others_touched) == (True, True)


@pytest.mark.parametrize("over", [{"principals": Principals(())}, {"deploy_branch": "release"}])
def test_people_and_the_branch_that_deploys_are_rules(over: dict[str, Any]) -> None:
    assert Action.CHANGE_POLICY in changes(state(**over)).actions


def test_a_host_that_moved_in_its_file_is_the_same_and_one_that_differs_is_found_without_its_file() -> None:
    moved = host(location=Location("hosts/web-1.yaml", 9))
    assert changes(state(hosts=(moved,))) == RuleChanges((), (), False, False)
    assert changes(state(hosts=(host(port=2222),))).actions == (Action.CHANGE_HOST,)


def test_lines_that_only_move_change_nothing() -> None:
    head = state(environments=(environment(location=Location("environment.yaml", 9)),))
    assert changes(head, "projects/shop/staging/environment.yaml") == RuleChanges((), (), False, False)


@pytest.mark.parametrize("path", ["policy.yaml", "principals.yaml", "reconciler.yaml"])
def test_the_rule_files_are_a_change_of_policy_whatever_changes_in_them(path: str) -> None:
    assert changes(state(), path) == RuleChanges((Action.CHANGE_POLICY,), (), True, False)


def test_a_policy_that_differs_is_a_change_of_policy_even_if_no_file_is_named() -> None:
    assert changes(state(policy=Policy((), "other"))).actions == (Action.CHANGE_POLICY,)


@pytest.mark.parametrize(
    "over",
    [{"address": "evil.example.net"}, {"host_key": "ssh-ed25519 BBBB"}, {"via": "b"}, {"tiers": ("development",)}],
    ids=lambda over: next(iter(over)),
)
def test_a_host_that_differs_is_a_change_of_host(over: dict[str, Any]) -> None:
    found = changes(state(hosts=(host(**over),)), "hosts/web-1.yaml")
    assert found == RuleChanges((Action.CHANGE_HOST,), (), rules_touched=True, others_touched=False)


def test_a_new_host_is_a_change_of_host_and_a_lost_one_a_removal() -> None:
    assert changes(state(hosts=(host(), host("web-2"))), "hosts/web-2.yaml").actions == (Action.CHANGE_HOST,)
    assert changes(state(hosts=()), "hosts/web-1.yaml").actions == (Action.REMOVE_HOST,)


def test_a_new_environment_is_a_deployment_and_no_change_of_the_rules() -> None:
    new = environment(name=EnvironmentName("shop", "new"))
    head = state(environments=(environment(), new))
    assert changes(head, "projects/shop/new/environment.yaml") == RuleChanges((), (), False, True)


def test_files_of_git_that_change_what_others_mean_are_rules() -> None:
    assert changes(state(), "projects/shop/.gitattributes").actions == (Action.CHANGE_POLICY,)
    assert changes(state(), ".gitmodules").actions == (Action.CHANGE_POLICY,)


def test_a_host_file_is_a_change_of_host_whatever_changes_in_it() -> None:
    assert changes(state(), "hosts/web-1.yaml") == RuleChanges((Action.CHANGE_HOST,), (), True, False)


def test_a_repository_without_rules_at_the_base_changes_everything() -> None:
    found = rule_changes(None, state(), ("policy.yaml",))
    assert Action.CHANGE_POLICY in found.actions
    assert (found.rules_touched, found.others_touched) == (True, True)


QUORUM = Rule("two", Effect.REQUIRE, ("deploy",), need=Need(2, "operators"), location=Location("policy.yaml", 7))
FEW = Principals((Person("one", (1,), ("operators",)), Person("two", (2,), ())))


def test_a_group_below_its_quorum_is_found_behind_whichever_rules() -> None:
    others = (Rule("no", Effect.DENY, ("deploy",)), Rule("odd", Effect.ALLOW, ("deploy",), need=Need(9)))
    head = state(principals=FEW, policy=Policy((*others, QUORUM), "digest"))
    text = "group operators would have 1 persons; rule two needs 2 approvals"
    assert changes(head, "principals.yaml").findings == (
        Finding("two", Severity.DENY, text, Location("policy.yaml", 7), 46),
    )


def test_fewer_people_than_approvals_are_found_without_a_group() -> None:
    head = state(principals=FEW, policy=Policy((replace(QUORUM, need=Need(3)),), "digest"))
    (finding,) = changes(head, "principals.yaml").findings
    assert finding.text == "there would be 2 persons; rule two needs 3 approvals"


def test_a_quorum_that_was_too_large_before_is_not_held_against_a_change_that_leaves_the_rules() -> None:
    as_it_was = state(principals=FEW)
    assert changes(as_it_was, "projects/shop/compose.yaml", base=as_it_was).findings == ()


def test_signed_consent_that_too_few_could_give_is_found() -> None:
    people = Principals((Person("one", (1,), ("operators",), ("ssh-ed25519 A",)), Person("two", (2,), ("operators",))))
    asked = state(environments=(environment(consent=Consent.SIGNED),), principals=people)
    (finding,) = changes(asked, "projects/shop/staging/environment.yaml").findings
    assert (finding.rule, finding.gate) == ("two", 46)
    assert "1 persons with signing keys" in finding.text
    keyed = tuple(Person(p.name, p.accounts, p.groups, ("ssh-ed25519 A",)) for p in people.people)
    assert (
        changes(state(environments=asked.environments, principals=Principals(keyed)), "principals.yaml").findings == ()
    )
