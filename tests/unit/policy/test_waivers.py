"""Waivers: one lets exactly its finding pass, only once the rules have it, and nobody smuggles one in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.approvals import rule_changes
from reconciler.desired import load
from reconciler.model.errors import InvalidInput
from reconciler.model.location import Location
from reconciler.model.policy import WAIVER_DIGITS, Action, Effect, Policy, Rule, Waiver, When
from reconciler.model.principal import Person, Principals
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Finding, Severity, Verdict
from reconciler.policy import PolicyRequest, Removal, Surroundings, TargetFacts, evaluate
from reconciler.policy.contents import discoveries
from reconciler.policy.contents.catalogue import CHECKS
from reconciler.policy.waiving import finding_digest, finding_of, image_of
from reconciler.reports.verdict import verdict_markdown, verdict_text
from tests.unit.desired.repositories import one_environment, sample, with_files

SHOP = EnvironmentName("shop", "production")
PRINCIPALS = Principals((Person("anna", (1,)),))
IMAGE = "registry.example.test/acme/proxy:1"
SOCKET = {"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock", "read_only": True}
AROUND = Surroundings("shop-production")
PROXY = {"proxy": {"image": IMAGE, "volumes": [SOCKET]}}


def verdict(
    services: Mapping[str, Any] | None = None,
    waivers: Mapping[EnvironmentName, tuple[Waiver, ...]] | None = None,
    *,
    environment: EnvironmentName = SHOP,
    proposed: tuple[Waiver, ...] = (),
    rules: tuple[Rule, ...] = (),
    around: Surroundings = AROUND,
) -> Verdict:
    target = Target(environment.project, environment.environment, "web-1")
    model = {"services": PROXY if services is None else services}
    facts = TargetFacts(target, "production", model, False, around, proposed)
    request = PolicyRequest((Action.DEPLOY,), (facts,), (1,), (), removal=Removal(1, 1))
    return evaluate(request, Policy(rules, "digest"), PRINCIPALS, {SHOP: ()} if waivers is None else waivers)


def denied(found: Verdict) -> list[str]:
    return [finding.rule for finding in found.denied]


def the_finding(**given: Any) -> Finding:
    (finding,) = verdict(**given).denied
    return finding


def waiver(finding: Finding, digits: int = WAIVER_DIGITS) -> Waiver:
    assert finding.digest is not None
    return Waiver(finding.digest[:digits], "the proxy reads labels", Location("environment.yaml", 3))


# -- what one is for ------------------------------------------------------------------------------------------------


def test_a_finding_says_service_key_value_what_to_do_and_what_would_allow_it() -> None:
    finding = the_finding()
    assert finding.gate == 78
    assert finding.digest is not None
    assert finding.text == (
        "shop/production: service proxy: volumes (/var/run/docker.sock) /var/run/docker.sock is a socket: who answers "
        "there does what the container asks; put a filtering proxy before it, on a network, or waive exactly this with "
        f"finding: {finding.digest[:32]}"
    )


def test_the_comment_and_the_terminal_show_the_line_to_add() -> None:
    found = verdict()
    line = f'- {{finding: {(found.denied[0].digest or "")[:32]}, why: "…"}}'
    assert f"- `{line}`" in verdict_markdown(found)
    assert line in verdict_text(found)


def test_a_waiver_turns_its_finding_into_a_note_with_the_reason() -> None:
    found = verdict(waivers={SHOP: (waiver(the_finding()),)})
    assert found.denied == ()
    (finding,) = found.findings
    text = (
        "shop/production: service proxy: volumes (/var/run/docker.sock) /var/run/docker.sock is a socket: who answers "
        "there does what the container asks; waived: the proxy reads labels"
    )
    own = waiver(the_finding())
    assert finding == Finding("socket-bind", Severity.NOTE, text, own.location, 78, the_finding().digest, waived=True)


def test_of_a_waived_finding_everything_is_told_but_what_to_do_instead() -> None:
    services = {"x": {"image": "x", "cap_add": ["SYS; ADMIN"]}}
    found = verdict(services, waivers={SHOP: (waiver(the_finding(services=services)),)})
    assert found.findings[0].text == (
        "shop/production: service x: cap_add SYS; ADMIN is a capability that the engine withholds from containers; "
        "waived: the proxy reads labels"
    )
    assert not [check.name for check in CHECKS.values() if "; " in check.advice]


def test_the_digest_is_that_of_environment_check_subject_key_value_and_image() -> None:
    network = {"name": "n", "driver": "macvlan"}
    model = {"services": {"n": {"image": "web:1", "privileged": True}}, "networks": {"n": network}}
    found = [finding_of(SHOP, each, model) for each in discoveries(model, AROUND)]
    value = {"key": "privileged", "value": True, "image": "docker.io/library/web"}
    assert found[0].digest == finding_digest(SHOP, "privileged", "service n", value)
    value = {"key": "driver", "value": ["macvlan", {}], "image": ""}
    assert found[1].digest == finding_digest(SHOP, "network-driver", "network n", value)
    assert image_of("service a b", {"services": {"a b": {"image": "web"}}}) == "docker.io/library/web"


def test_a_note_has_no_digest_because_nothing_waives_it() -> None:
    (note,) = verdict({"web": {"image": "x", "build": "."}}).findings
    text = "shop/production: service web: build is left out: nothing is built at apply, the image runs"
    assert note == Finding("build", Severity.NOTE, text, gate=75)


def test_the_whole_digest_is_as_good_as_its_beginning() -> None:
    assert denied(verdict(waivers={SHOP: (waiver(the_finding(), 64),)})) == []


# -- what one is not for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "services",
    [
        {"proxy": {"image": IMAGE, "volumes": [{**SOCKET, "read_only": False}]}},
        {"proxy": {"image": IMAGE, "volumes": [{**SOCKET, "target": "/s"}]}},
        {"proxy": {"image": IMAGE, "volumes": [{**SOCKET, "source": "/run/containerd/containerd.sock"}]}},
        {"proxy": {"image": "registry.example.test/evil/proxy:1", "volumes": [SOCKET]}},
        {"other": {"image": IMAGE, "volumes": [SOCKET]}},
    ],
    ids=["for writing", "elsewhere in the container", "another socket", "another image", "another service"],
)
def test_a_waiver_fits_nothing_that_differs(services: Mapping[str, Any]) -> None:
    assert denied(verdict(services, {SHOP: (waiver(the_finding()),)})) == ["socket-bind"]


def test_a_waiver_fits_a_newer_tag_of_the_same_image() -> None:
    newer = {"proxy": {"image": IMAGE.replace(":1", ":2"), "volumes": [SOCKET]}}
    assert denied(verdict(newer, {SHOP: (waiver(the_finding()),)})) == []


def test_a_waiver_of_one_environment_is_none_for_another() -> None:
    staging = EnvironmentName("shop", "staging")
    own = waiver(the_finding())
    assert denied(verdict(waivers={SHOP: (own,), staging: ()}, environment=staging)) == ["socket-bind"]
    assert denied(verdict(waivers={SHOP: (own,), staging: (own,)}, environment=staging)) == ["socket-bind"]


def test_a_waiver_waives_no_rule_of_the_repository() -> None:
    rule = Rule("no-privilege", Effect.DENY, ("deploy",), when=When(privileged=True))
    assert denied(verdict(waivers={SHOP: (waiver(the_finding()),)}, rules=(rule,))) == ["no-privilege"]


def test_an_unreadable_policy_is_waived_by_nothing() -> None:
    facts = TargetFacts(Target("shop", "production", "web-1"), "production", {"services": PROXY}, False)
    request = PolicyRequest((Action.DEPLOY,), (facts,), (1,), ())
    own = {SHOP: (waiver(the_finding()),)}
    assert denied(evaluate(request, None, PRINCIPALS, own)) == ["policy"]


def test_a_model_that_nobody_could_render_is_denied_and_waived_by_nothing() -> None:
    facts = TargetFacts(Target("shop", "production", "web-1"), "production", None, False)
    (finding,) = evaluate(PolicyRequest((Action.DEPLOY,), (facts,), (1,), ()), Policy((), ""), PRINCIPALS).denied
    assert (finding.rule, finding.gate, finding.digest) == ("not-rendered", 78, None)


# -- how somebody could smuggle one in ------------------------------------------------------------------------------


def test_a_waiver_that_the_change_itself_brings_waives_nothing() -> None:
    assert denied(verdict(proposed=(waiver(the_finding()),))) == ["socket-bind"]


def test_a_new_environment_brings_no_waivers_not_even_for_later() -> None:
    own = waiver(the_finding())
    harmless = {"proxy": {"image": IMAGE}}
    found = verdict(harmless, waivers={}, proposed=(own,))
    text = "shop/production: a new environment brings waivers; add it without them, then them in a change of their own"
    assert found.denied == (Finding("new-waivers", Severity.DENY, text, own.location, 46),)
    assert denied(verdict(harmless, waivers={SHOP: ()}, proposed=(own,))) == []


def test_a_waiver_that_fits_nothing_is_noted_because_it_waits_for_something() -> None:
    own = replace(waiver(the_finding()), location=Location(FILE, 7))
    text = (
        f"shop/production: the waiver {own.finding[:12]}… fits nothing that is found here; it lets its finding pass as "
        "soon as somebody proposes it, so remove it unless that is what it is for"
    )
    found = verdict({"proxy": {"image": IMAGE}}, proposed=(own,))
    assert found.findings == (Finding("unused-waiver", Severity.NOTE, text, Location(FILE, 7)),)


ENVIRONMENT = "hosts: [web-1]\ntier: production\n"
WAIVER = f'waivers:\n  - {{finding: {"ab" * 16}, why: "the proxy reads labels"}}\n'
FILE = "projects/demo/production/environment.yaml"
PLAIN = one_environment("services: {web: {image: x}}\n", ENVIRONMENT)


def test_adding_a_waiver_is_a_change_of_the_rules_and_stands_alone() -> None:
    before, after = load(PLAIN), load(with_files(PLAIN, {FILE: ENVIRONMENT + WAIVER}))
    alone = rule_changes(before, after, (FILE,))
    assert (alone.actions, alone.rules_touched, alone.others_touched) == ((Action.CHANGE_POLICY,), True, False)
    with_more = rule_changes(before, after, (FILE, "projects/demo/production/compose.yaml"))
    assert (with_more.rules_touched, with_more.others_touched) == (True, True)


def test_taking_a_waiver_away_or_giving_another_reason_is_one_too_and_moving_it_is_none() -> None:
    held = load(with_files(PLAIN, {FILE: ENVIRONMENT + WAIVER}))
    reworded = load(with_files(PLAIN, {FILE: ENVIRONMENT + WAIVER.replace("labels", "everything")}))
    moved = load(with_files(PLAIN, {FILE: "\n\n" + WAIVER + ENVIRONMENT}))
    assert rule_changes(held, load(PLAIN), (FILE,)).actions == (Action.CHANGE_POLICY,)
    assert rule_changes(held, reworded, (FILE,)).actions == (Action.CHANGE_POLICY,)
    assert rule_changes(held, moved, (FILE,)).actions == ()


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("waivers: [{finding: abcdefabcdef, why: x}]\n", "should be the 32 to 64 hex digits"),
        (f"waivers: [{{finding: {'AB' * 16}, why: x}}]\n", "should be the 32 to 64 hex digits"),
        (f"waivers: [{{finding: {'ab' * 16}}}]\n", "is missing"),
        (f'waivers: [{{finding: {"ab" * 16}, why: ""}}]\n', "should be a reason"),
        (f"waivers: [{{finding: {'ab' * 16}, why: x}}, {{finding: {'ab' * 17}, why: x}}]\n", "is waived twice"),
        (f"waivers: [{{finding: {'ab' * 16}, why: x, until: 2030}}]\n", "unknown key"),
    ],
)
def test_a_waiver_that_is_not_whole_is_refused(written: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        load(with_files(PLAIN, {FILE: ENVIRONMENT + written}))


def test_the_defaults_of_a_repository_hold_no_waivers() -> None:
    with pytest.raises(InvalidInput, match="unknown key"):
        load(with_files(sample(), {"reconciler.yaml": "format: 1\ndefaults: {waivers: []}\n"}))


def test_paths_of_a_host_file_are_the_hosts_own_wherever_they_lie() -> None:
    bound = {"proxy": {"image": IMAGE, "volumes": [{"type": "bind", "source": "/srv/engine", "target": "/x"}]}}
    assert denied(verdict(bound)) == []
    moved = Surroundings("shop-production", host_paths=("/srv/engine/docker", "/srv/reconciler"))
    assert denied(verdict(bound, around=moved)) == ["host-path-bind"]
