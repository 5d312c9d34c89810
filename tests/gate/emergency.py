"""The door of number 56: from what a case gives to what the decision about breaking the glass answers.

What a case does not write is an honest emergency: two persons of the group that the rules ask for have signed for the
plan that would be carried out, a minute ago. Names stand for people and their keys, words for digests, `HH:MM` for
times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from reconciler.approvals import emergency as glass
from reconciler.approvals.emergency import Condition, Emergency, Statement
from reconciler.model.approval import Open, PlannedTarget, Reason, Refused, RuleSet, Stale
from reconciler.model.principal import Agent, Person, Principals
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Finding, Requirement, Severity, Verdict
from tests.gate.answer import Answer, texts_of
from tests.unit.approvals.evidence import plan_digest, sha, time_of

ENVIRONMENT = EnvironmentName("shop", "production")
NOW, ISSUED = "12:10", "12:09"

KEYS = {name: f"ssh-ed25519 {name}" for name in ("keeper", "keeper-2", "operator", "developer", "stranger")}
PRINCIPALS = Principals(
    people=(
        Person("keeper", (1006, 1906), ("operators", "sre"), (KEYS["keeper"], KEYS["keeper-2"])),
        Person("operator", (1005,), ("operators", "sre"), (KEYS["operator"],)),
        Person("developer", (1001,), ("developers",), (KEYS["developer"],)),
    ),
    agents=(Agent("deployer", (1003,), owner="keeper"),),
)
ACCOUNTS = {"keeper": 1006, "keeper-2": 1906, "operator": 1005, "developer": 1001, "deployer": 1003, "stranger": 4001}


def emergency(given: Mapping[str, Any], disabled: frozenset[int] = frozenset()) -> Answer:
    """`signers` (names of keys, null for a signature that fits nothing), `token` (a name, null while the forge cannot
    be asked), `needs` ([[2, sre]]), `denied` (findings), `plans` and `signed` (words by host), and the fields of the
    evidence by their names.
    """
    now = moment(given.get("now", NOW))
    evidence = evidence_of(given)
    families = [without(family, disabled) for family in (glass.REFUSALS, glass.STALE, glass.MISSING)]
    refused, stale, missing = (glass.found(family, evidence, now) for family in families)
    gate = glass.fold(refused, stale, missing, evidence)
    reasons = () if isinstance(gate, Open) else gate.reasons
    outcome = (
        "refused" if isinstance(gate, Refused) else "stale" if isinstance(gate, Stale) else type(gate).__name__.lower()
    )
    return Answer(outcome, tuple(sorted({reason.rule for reason in reasons})), texts_of(reasons))


def evidence_of(given: Mapping[str, Any]) -> Emergency:
    """The evidence of a case."""
    plans = given.get("plans", {"web-1": "plan"})
    rules = given.get("rules_at", [{}])
    return Emergency(
        statement=Statement(
            repository=7,
            environment=ENVIRONMENT,
            revision=str(sha("fix")),
            plans=tuple((target(host), plan_digest(word)) for host, word in given.get("signed", plans).items()),
            reason=given.get("reason", "the shop answers 500"),
            ticket=given.get("ticket", "OPS-1"),
            issued=moment(given.get("issued", ISSUED)),
            despite_suspension=given.get("despite_suspension", False),
        ),
        signers=tuple(KEYS[name] if name else None for name in given.get("signers", ["keeper", "operator"])),
        account=ACCOUNTS[name] if (name := given.get("token", "keeper")) else None,
        rule_sets=tuple(rule_set({**given, **each}) for each in rules),
        expected=tuple(target(host) for host in given.get("expected", plans)),
        plans=tuple(
            PlannedTarget(target(host), plan_digest(word), tuple(given.get("obstacles", ())))
            for host, word in plans.items()
        ),
        unplanned=tuple(given.get("unplanned", ())),
        on_a_branch=given.get("on_a_branch", True),
        rules_touched=tuple(given.get("rules_touched", ())),
        deployed=given.get("deployed", True),
        used=given.get("used", False),
        suspended=given.get("suspended"),
        under_way=given.get("under_way"),
        overdue=tuple(given.get("overdue", ())),
    )


def rule_set(given: Mapping[str, Any]) -> RuleSet:
    """One version of the rules: what is needed, what is denied, and who has lost the key or shares it."""
    needs = tuple(Requirement(count, group, "emergencies") for count, group in given.get("needs", [[2, "sre"]]))
    denied = tuple(
        Finding(each.get("rule", "silence"), Severity.DENY, "no", gate=each.get("gate"))
        for each in given.get("denied", ())
    )
    return RuleSet(given.get("origin", "accepted"), principals(given), Verdict(denied, needs, "policy"), ())


def principals(given: Mapping[str, Any]) -> Principals:
    """The people, `without` some of them, with the keys that some hold `also`."""
    also: Mapping[str, Sequence[str]] = given.get("also", {})
    people = tuple(
        Person(
            p.name, p.accounts, p.groups, (*p.signing_keys, *(f"{KEYS[key]} a comment" for key in also.get(p.name, ())))
        )
        for p in PRINCIPALS.people
        if p.name not in given.get("without", ())
    )
    return Principals(people, PRINCIPALS.agents)


def target(host: str) -> Target:
    return Target(ENVIRONMENT.project, ENVIRONMENT.environment, host)


def moment(clock: str) -> datetime:
    found = time_of(clock)
    assert found is not None
    return found


def without(family: Iterable[Condition], disabled: frozenset[int]) -> tuple[Condition, ...]:
    """The conditions, deaf for some numbers."""

    def deaf(condition: Condition) -> Condition:
        def heard(evidence: Emergency, now: datetime) -> Iterator[Reason]:
            return (reason for reason in condition(evidence, now) if reason.rule not in disabled)

        return heard

    return tuple(deaf(condition) for condition in family)
