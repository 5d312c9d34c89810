"""The policy over case files: rules and requests in, denials and requirements out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.model.policy import Action, Effect, Need, Policy, Rule, TargetMatch, When, Who
from reconciler.model.principal import Agent, Person, Principals
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Finding, Severity, Verdict
from reconciler.policy import PolicyRequest, Removal, TargetFacts, evaluate
from reconciler.policy.facts import Facts
from reconciler.policy.rules import RULES, blast_radius, images

FILES = sorted((Path(__file__).parents[2] / "cases" / "policy").glob("*.yaml"))

ACCOUNTS = {"person": 1, "sre": 2, "agent": 3, "stranger": 4, None: None}
PRINCIPALS = Principals(
    people=(Person("person", (1,), ("operators",)), Person("sre", (2,), ("sre",))),
    agents=(Agent("deployer", (3,), owner="person"),),
)
FOUND = {"quorum": (Finding("quorum", Severity.DENY, "a group would be too small", gate=46),), None: ()}


def tuples(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in mapping.items()}


def rule(document: dict[str, Any]) -> Rule:
    target = document.get("target", {})
    who = document.get("who", {})
    return Rule(
        id=document["id"],
        effect=Effect(document["effect"]),
        actions=tuple(document["actions"]),
        who=Who(who.get("kind"), tuple(who.get("group", ()))),
        target=TargetMatch(
            tuple(target.get("tier", ())), tuple(target.get("environment", ())), tuple(target.get("host", ()))
        ),
        when=When(**tuples(document.get("when", {}))),
        need=Need(**document["need"]) if "need" in document else None,
        why=document.get("why", ""),
    )


def facts(
    tier: str | None = "production",
    host: str = "web-1",
    images: list[str | None] | None = ["registry.example.test/acme/web:1"],  # noqa: B006 - never changed
    destroys_data: bool | None = False,
    service: dict[str, Any] | None = None,
) -> TargetFacts:
    model = None
    if images is not None:
        services = {f"s{i}": ({"image": image} if image else {"build": "."}) for i, image in enumerate(images)}
        if service is not None:
            services["s0"] = {**services["s0"], **service}
        model = {"services": services}
    return TargetFacts(Target("shop", "production", host), tier, model, destroys_data)


def request(document: dict[str, Any]) -> PolicyRequest:
    files = document.get("changed_files", ["projects/shop/production/compose.yaml"])
    return PolicyRequest(
        actions=tuple(Action(a) for a in document.get("actions", ["deploy"])),
        targets=tuple(facts(**t) for t in document.get("targets", [{}])),
        authors=tuple(ACCOUNTS[name] for name in document.get("authors", ["person"])),
        changed_files=None if files is None else tuple(files),
        findings=FOUND[document.get("found")],
        removal=Removal(
            10, 10 - document.get("gone", 0), ((EnvironmentName("a", "b"), ("s",) * document.get("gone", 0)),)
        ),
    )


def cases() -> list[Any]:
    return [
        pytest.param(Policy(tuple(rule(r) for r in document["rules"]), "digest"), case, id=case["name"])
        for document in (yaml.safe_load(path.read_text()) for path in FILES)
        for case in document["cases"]
    ]


def needs(verdict: Verdict) -> list[str]:
    return sorted(f"{need.approvals} {need.from_group or '-'} {need.rule}" for need in verdict.requirements)


@pytest.mark.parametrize(("policy", "case"), cases())
def test_the_verdict_of(policy: Policy, case: dict[str, Any]) -> None:
    verdict = evaluate(request(case["request"]), policy, PRINCIPALS)
    assert sorted({finding.rule for finding in verdict.denied}) == case.get("denied", [])
    assert needs(verdict) == sorted(case["needs"])
    assert verdict.policy_digest == "digest"


def test_every_rule_of_the_cases_fires_somewhere() -> None:
    for path in FILES:
        document = yaml.safe_load(path.read_text())
        told = [
            word for case in document["cases"] for word in [*case.get("denied", []), *" ".join(case["needs"]).split()]
        ]
        silent = {r["id"] for r in document["rules"]} - set(told)
        assert silent <= {"sre-restores", "people-may-restart", "rules-need-one"}, "allows do not show in a verdict"


def test_an_unreadable_policy_denies_everything() -> None:
    verdict = evaluate(request({}), None, PRINCIPALS)
    assert [(finding.rule, finding.gate) for finding in verdict.denied] == [("policy", 47)]
    assert needs(verdict) == ["1 - default"]


def test_an_empty_policy_asks_for_one_other_person() -> None:
    assert needs(evaluate(request({}), Policy((), "digest"), PRINCIPALS)) == ["1 - default"]


def test_a_rule_fires_only_where_every_family_holds() -> None:
    whole = rule(
        {
            "id": "all",
            "effect": "deny",
            "actions": ["deploy"],
            "who": {"kind": "agent"},
            "target": {"tier": ["production"]},
            "when": {
                "files_any": ["projects/**"],
                "files_over": 0,
                "hosts_over": 0,
                "image_outside": ["nowhere/*"],
                "destroys_data": True,
                "privileged": True,
                "image_unpinned": True,
                "removes_over": 0,
            },
        }
    )
    policy = Policy((whole,), "digest")
    fits: dict[str, Any] = {
        "authors": ["agent"],
        "targets": [{"destroys_data": True, "service": {"privileged": True}}],
        "gone": 1,
    }
    assert "all" in [finding.rule for finding in evaluate(request(fits), policy, PRINCIPALS).denied]
    misses: list[dict[str, Any]] = [
        {"authors": ["person"]},
        {"targets": [{"destroys_data": True, "service": {"privileged": True}, "tier": "staging"}]},
        {"changed_files": ["README.md"]},
        {"changed_files": []},
        {"targets": [{"destroys_data": True, "service": {"privileged": True}, "images": ["nowhere/x"]}]},
        {"targets": [{"destroys_data": False, "service": {"privileged": True}}]},
        {"targets": [{"destroys_data": True}]},
        {"gone": 0},
        {"targets": [{"destroys_data": True, "service": {"privileged": True}, "images": [f"x@sha256:{'a' * 64}"]}]},
    ]
    assert len(misses) >= len(RULES)
    for miss in misses:
        denied = evaluate(request(fits | miss), policy, PRINCIPALS).denied
        assert "all" not in [finding.rule for finding in denied], miss


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("redis", "docker.io/library/redis"),
        ("redis:7@sha256:abc", "docker.io/library/redis"),
        ("acme/web:1", "docker.io/acme/web"),
        ("registry.example.test/acme/web:1", "registry.example.test/acme/web"),
        ("localhost:5000/web:1", "localhost:5000/web"),
    ],
)
def test_an_image_has_its_full_name(image: str, full: str) -> None:
    assert full in images.names(image)
    assert image in images.names(image)


PINNED = f"web@sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("found", "unpinned", "pinned"),
    [(["web:1"], True, False), ([PINNED], False, True), ([PINNED, "web"], True, False), ([None], None, None)],
)
def test_an_image_is_pinned_by_a_whole_digest(
    found: list[str | None], unpinned: bool | None, pinned: bool | None
) -> None:
    asked = Facts(request({"targets": [{"images": found}]}), facts(images=found), PRINCIPALS)
    for wanted, answer in ((True, unpinned), (False, pinned)):
        asks = rule({"id": "x", "effect": "deny", "actions": ["deploy"], "when": {"image_unpinned": wanted}})
        assert images.holds(asks, asked) is answer


@pytest.mark.parametrize(("gone", "limit", "answer"), [(3, 30, False), (4, 30, True), (0, 0, False), (1, 0, True)])
def test_removes_over_is_in_percent_of_all_services(gone: int, limit: int, answer: bool) -> None:
    asks = rule({"id": "x", "effect": "deny", "actions": ["deploy"], "when": {"removes_over": limit}})
    asked = Facts(request({"gone": gone}), facts(), PRINCIPALS)
    assert blast_radius.holds(asks, asked) is answer
    assert blast_radius.holds(asks, replace(asked, request=replace(asked.request, removal=None))) is None


@pytest.mark.parametrize(
    ("when", "number"),
    [
        ({"image_unpinned": True}, 74),
        ({"image_outside": ["nowhere"]}, 75),
        ({"privileged": True}, 78),
        ({"removes_over": 0}, 84),
        ({"files_over": 0}, None),
    ],
)
def test_a_denial_has_the_number_that_its_rule_defends_against(when: dict[str, Any], number: int | None) -> None:
    policy = Policy((rule({"id": "x", "effect": "deny", "actions": ["deploy"], "when": when}),), "digest")
    asked: dict[str, Any] = {"targets": [{"service": {"privileged": True}}], "gone": 1}
    verdict = evaluate(request(asked), policy, PRINCIPALS)
    assert [finding.gate for finding in verdict.denied if finding.rule == "x"] == [number]
    back = Policy((replace(policy.rules[0], actions=("rollback",)),), "digest")
    verdict = evaluate(request(asked | {"actions": ["rollback"]}), back, PRINCIPALS)
    assert [finding.gate for finding in verdict.denied if finding.rule == "x"] == [55 if number else None]
