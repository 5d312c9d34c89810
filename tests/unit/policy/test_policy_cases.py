"""The policy over case files: rules and requests in, denials and requirements out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.model.policy import Action, Effect, Need, Policy, Rule, TargetMatch, When, Who
from reconciler.model.principal import Agent, Person, Principals
from reconciler.model.target import Target
from reconciler.model.verdict import Finding, Severity, Verdict
from reconciler.policy import PolicyRequest, TargetFacts, evaluate
from reconciler.policy.rules import RULES, host_access, images

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
            },
        }
    )
    policy = Policy((whole,), "digest")
    fits: dict[str, Any] = {"authors": ["agent"], "targets": [{"destroys_data": True, "service": {"privileged": True}}]}
    assert [finding.rule for finding in evaluate(request(fits), policy, PRINCIPALS).denied] == ["all"]
    misses: list[dict[str, Any]] = [
        {"authors": ["person"]},
        {"targets": [{"destroys_data": True, "service": {"privileged": True}, "tier": "staging"}]},
        {"changed_files": ["README.md"]},
        {"changed_files": []},
        {"targets": [{"destroys_data": True, "service": {"privileged": True}, "images": ["nowhere/x"]}]},
        {"targets": [{"destroys_data": False, "service": {"privileged": True}}]},
        {"targets": [{"destroys_data": True}]},
    ]
    assert len(misses) >= len(RULES)
    for miss in misses:
        assert evaluate(request(fits | miss), policy, PRINCIPALS).denied == ()


@pytest.mark.parametrize(
    ("service", "check"),
    [
        ({"privileged": True}, "privileged"),
        ({"network_mode": "host"}, "host-namespace"),
        ({"pid": "host"}, "host-namespace"),
        ({"ipc": "container:db"}, "host-namespace"),
        ({"userns_mode": "host"}, "host-namespace"),
        ({"cap_add": ["SYS_ADMIN"]}, "cap-add"),
        ({"devices": [{"source": "/dev/kvm"}]}, "devices"),
        ({"security_opt": ["seccomp:unconfined"]}, "unconfined"),
        ({"use_api_socket": True}, "use-api-socket"),
        ({"volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/s"}]}, "socket-bind"),
        ({"volumes": [{"type": "bind", "source": "/", "target": "/host"}]}, "host-path-bind"),
        ({"volumes": [{"type": "bind", "source": "/srv/../etc/ssh", "target": "/ssh"}]}, "host-path-bind"),
        ({"volumes": [{"type": "bind", "source": "//etc", "target": "/etc"}]}, "host-path-bind"),
        ({"volumes": [{"type": "bind", "source": "/var/lib/docker/volumes", "target": "/v"}]}, "host-path-bind"),
        ({"volumes": [{"type": "bind", "source": "/var/lib", "target": "/v"}]}, "host-path-bind"),
        ({"volumes": [{"type": "bind", "source": "/home/admin/.ssh", "target": "/v"}]}, "host-path-bind"),
        ({"volumes": [{"type": "bind", "source": "/usr/local/bin", "target": "/v"}]}, "host-path-bind"),
        ({"network_mode": "shop-production_default"}, "foreign-network"),
        ({"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}}, "gpus"),
    ],
)
def test_a_service_that_reaches_for_the_host_is_noted(service: dict[str, Any], check: str) -> None:
    verdict = evaluate(request({"targets": [{"service": service}]}), Policy((), "digest"), PRINCIPALS)
    assert [(f.rule, f.severity, f.gate) for f in verdict.findings] == [(check, Severity.NOTE, 78)]
    assert verdict.denied == ()


@pytest.mark.parametrize("how", [{"privileged": True}, {"user": "root"}, {"user": "0"}, {"user": "0:0"}])
def test_a_hook_is_shown_with_its_command_and_noted_where_it_runs_as_root(how: dict[str, Any]) -> None:
    plain = {"command": ["sh", "-c", "wget example.test"]}
    for hook, noted in ((plain, []), (plain | how, [("privileged-hook", 78)])):
        targets = {"targets": [{"service": {"post_start": [hook]}}]}
        verdict = evaluate(request(targets), Policy((), "digest"), PRINCIPALS)
        shown = [(f.rule, f.gate) for f in verdict.findings]
        assert shown == [("hook", 79), *noted]
        assert verdict.findings[0].text.endswith("service s0: post_start runs sh -c wget example.test")


def test_what_belongs_to_somebody_else_is_shown_by_its_real_name_and_is_no_reach_for_the_host() -> None:
    model = {
        "networks": {"front": {"name": "edge", "external": True}, "back": {"name": "app_back"}},
        "volumes": {"data": {"name": "shop-production_data", "external": True}},
    }
    assert [f"{finding.rule} {finding.gate}: {finding.text}" for finding in host_access.findings(model)] == [
        "external-network 80: network front is edge of this host, which is not this environment's own",
        "external-volume 80: volume data is shop-production_data of this host, which is not this environment's own",
    ]
    assert list(host_access.reaches(model)) == []


def test_an_ordinary_service_is_not_noted() -> None:
    service = {
        "image": "registry.example.test/acme/web:1",
        "volumes": [
            {"type": "bind", "source": "./web.conf", "target": "/etc/web.conf"},
            {"type": "bind", "source": "/srv/shop", "target": "/data"},
            {"type": "volume", "source": "data", "target": "/var/lib/data"},
        ],
        "network_mode": "bridge",
        "privileged": False,
    }
    assert list(host_access.reaches({"services": {"web": service}, "volumes": {"data": {}}})) == []


def test_a_volume_that_is_a_bind_in_disguise_is_noted() -> None:
    disguised = {"driver_opts": {"type": "none", "o": "bind", "device": "/etc"}}
    assert [check for check, _ in host_access.reaches({"volumes": {"data": disguised}})] == ["volume-driver-options"]


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
