"""A verdict in full: every word, number, place and order of what the policy says."""

from __future__ import annotations

from itertools import permutations

import pytest

from reconciler.model.location import Location
from reconciler.model.policy import Action, Effect, Need, Policy, Rule, TargetMatch, When
from reconciler.model.principal import Person, Principals
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Finding, Requirement, Severity, Verdict
from reconciler.policy import PolicyRequest, Removal, Surroundings, TargetFacts, evaluate
from reconciler.policy.evaluation import folded
from reconciler.policy.facts import matches

ANNA = Principals((Person("anna", (1,)),))
WEB_1 = TargetFacts(Target("shop", "production", "web-1"), "production", {}, False)
BROUGHT = Finding("quorum", Severity.DENY, "a group would be too small", gate=46)
ONE = Requirement(1, None, "default")


def asked(*actions: Action, targets: tuple[TargetFacts, ...] = (WEB_1,), **over: object) -> PolicyRequest:
    return PolicyRequest(actions, targets, (1,), (), **over)  # type: ignore[arg-type]


def verdict(request: PolicyRequest, *rules: Rule) -> Verdict:
    return evaluate(request, Policy(rules, "digest"), ANNA)


def test_an_unreadable_policy_denies_and_says_so_beside_what_was_found() -> None:
    text = "policy.yaml is missing or cannot be read; an unreadable policy denies everything"
    found = evaluate(asked(Action.DEPLOY, findings=(BROUGHT,)), None, ANNA)
    assert found == Verdict((Finding("policy", Severity.DENY, text, gate=47), BROUGHT), (ONE,), "")


def test_targets_without_an_action_are_denied() -> None:
    text = "targets change and no action is named"
    assert verdict(asked()) == Verdict((Finding("policy", Severity.DENY, text, gate=47),), (), "digest")


def test_where_nothing_changes_nobody_is_asked() -> None:
    assert verdict(asked(targets=())) == Verdict((), (Requirement(0, None, "nothing-changes"),), "digest")


@pytest.mark.parametrize("action", sorted(set(Action) - {Action.DEPLOY, Action.ROLLBACK}))
def test_what_the_policy_does_not_speak_of_nobody_may(action: Action) -> None:
    text = f"the policy says nothing of {action}, so nobody may; a rule that allows or requires it comes first"
    assert verdict(asked(action)) == Verdict((Finding("silence", Severity.DENY, text),), (ONE,), "digest")


@pytest.mark.parametrize("action", [Action.DEPLOY, Action.ROLLBACK])
def test_what_is_ordinary_needs_one_other_person(action: Action) -> None:
    assert verdict(asked(action)) == Verdict((), (ONE,), "digest")


@pytest.mark.parametrize("action", list(Action))
def test_only_a_change_of_the_rules_needs_what_the_strictest_deployment_needs(action: Action) -> None:
    own = Rule("own", Effect.REQUIRE, (action,), need=Need(1))
    elsewhere = Rule("far", Effect.REQUIRE, ("deploy",), target=TargetMatch(hosts=("elsewhere",)), need=Need(3, "sre"))
    about_rules = action in (Action.CHANGE_POLICY, Action.CHANGE_HOST, Action.REMOVE_HOST)
    more = (Requirement(3, "sre", "far"),) if about_rules else ()
    assert verdict(asked(action), own, elsewhere).requirements == (*more, Requirement(1, None, "own"))


def test_only_a_rule_that_requires_asks_for_somebody() -> None:
    odd = Rule("odd", Effect.ALLOW, ("deploy",), need=Need(9))
    assert verdict(asked(Action.DEPLOY), odd) == Verdict((), (ONE,), "digest")


def test_a_denial_says_where_why_and_by_which_line() -> None:
    here = Location("policy.yaml", 7)
    rule = Rule("no", Effect.DENY, ("deploy",), why="not on Fridays", location=here)
    assert verdict(asked(Action.DEPLOY), rule).findings == (
        Finding("no", Severity.DENY, "not on Fridays on shop/production@web-1", here),
    )
    assert verdict(asked(Action.DEPLOY, targets=()), Rule("no", Effect.DENY, ("deploy",))).findings == (
        Finding("no", Severity.DENY, "denied by the policy", Rule("no", Effect.DENY, ()).location),
    )


def test_a_denial_for_a_fact_that_nobody_knows_says_so() -> None:
    rule = Rule("no", Effect.DENY, ("deploy",), when=When(removes_over=50), why="too much")
    (finding,) = verdict(asked(Action.DEPLOY), rule).findings
    said = "too much on shop/production@web-1 (a fact that it asks for is not known, which counts as a yes)"
    assert (finding.text, finding.gate) == (said, 84)


def test_requirements_are_sorted_by_rule_number_and_group_and_each_is_there_once() -> None:
    groups = ["z", "A", None, "y", "b", "x", "c", None]  # so many that no order of a set is right by chance
    needs = [("b", 1, None), ("a", 2, None), *(("a", 1, group) for group in groups)]
    found = verdict(
        asked(Action.DEPLOY), *(Rule(name, Effect.REQUIRE, ("*",), need=Need(n, group)) for name, n, group in needs)
    )
    assert [(need.rule, need.approvals, need.from_group) for need in found.requirements] == [
        *(("a", 1, group) for group in (None, "A", "b", "c", "x", "y", "z")), ("a", 2, None), ("b", 1, None),
    ]  # fmt: skip


SORTED = (
    Finding("a", Severity.DENY, "x", Location("a", 1)),
    Finding("a", Severity.DENY, "x", Location("b", 1)),
    Finding("a", Severity.DENY, "y"),
    Finding("z", Severity.DENY, "a"),
    Finding("a", Severity.NOTE, "w"),
)


def test_findings_are_sorted_denials_first_whatever_the_order_in_which_they_were_made() -> None:
    assert all(folded([*order, order[0]]) == SORTED for order in permutations(SORTED))


def test_a_model_that_could_not_be_rendered_is_denied_in_words() -> None:
    unknown = TargetFacts(Target("shop", "production", "web-1"), "production", None, False)
    text = "shop/production: the model could not be rendered, so nobody can say what it would run; mend it"
    assert verdict(asked(Action.DEPLOY, targets=(unknown,))).findings == (
        Finding("not-rendered", Severity.DENY, text, gate=78),
    )


def test_what_a_change_removes_is_denied_for_the_environment_that_loses_it() -> None:
    gone = Removal(9, 0, ((EnvironmentName("shop", "production"), ("b", "a")), (EnvironmentName("x", "y"), ("c",))))
    (finding,) = verdict(asked(Action.DEPLOY, removal=gone)).findings
    assert finding.digest is not None
    assert finding == Finding(
        "mass-removal",
        Severity.DENY,
        "shop/production: loses a, b; this change removes 3 of 9 services of the repository (33 %); remove them in "
        f"several changes, or waive exactly this with finding: {finding.digest[:32]}",
        gate=84,
        digest=finding.digest,
    )


def test_what_nobody_says_of_a_request_is_nothing() -> None:
    assert TargetFacts(WEB_1.target, None, None, None) == TargetFacts(
        WEB_1.target, None, None, None, Surroundings("", (), (), ()), ()
    )
    assert PolicyRequest((), (), (), None) == PolicyRequest((), (), (), None, (), None)
    assert (Removal(0, 0).gone, Removal(0, 0).count, Removal(0, 0).percent) == ((), 0, 0.0)


@pytest.mark.parametrize(
    ("glob", "fits", "misses"),
    [
        ("a", ["a"], ["b", "aa", "xax", "A"]),
        ("a*", ["a", "ab", "a\nb"], ["ba", "a/b"]),
        ("a?", ["ab", "a\n"], ["a", "abc", "a/"]),
        ("a/**", ["a/", "a/b", "a/b/c"], ["a", "b/a/c"]),
        ("**/a", ["a", "b/a", "c/b/a"], ["ba", "a/b"]),
        ("**", ["", "a", "a/b", "a\n/b"], []),
        ("a.b+(c)", ["a.b+(c)"], ["aXb+(c)", "a.bb(c)"]),
    ],
)
def test_a_glob_stops_at_a_slash_and_two_stars_do_not(glob: str, fits: list[str], misses: list[str]) -> None:
    assert [text for text in (*fits, *misses) if matches(text, [glob])] == fits
    assert all(matches(text, ["nothing", glob]) for text in fits)
