"""Breaking the glass: every case of its number, what is signed, and whose review counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.approvals import emergency as glass
from reconciler.approvals.emergency import Review
from reconciler.model.approval import Form, Open
from reconciler.model.principal import Principals
from tests.gate.emergency import ACCOUNTS, KEYS, NOW, PRINCIPALS, emergency, evidence_of, moment, principals

FILE = Path(__file__).parents[2] / "cases" / "gate" / "56-break-glass.yaml"


def cases(*sections: str) -> list[Any]:
    document = yaml.safe_load(FILE.read_text())
    return [pytest.param(case, id=case["name"]) for section in sections for case in document[section]]


@pytest.mark.parametrize("case", cases("attacks", "missing"))
def test_the_glass_holds(case: dict[str, Any]) -> None:
    answer = emergency(case["given"], frozenset())
    assert (answer.outcome, list(answer.rules)) == (case["outcome"], case["rules"])


@pytest.mark.parametrize("case", cases("twins"))
def test_people_who_may_get_through(case: dict[str, Any]) -> None:
    assert emergency(case["given"], frozenset()).outcome == "open"


@pytest.mark.parametrize("case", cases("attacks"))
def test_without_its_number_the_attack_goes_through(case: dict[str, Any]) -> None:
    assert emergency(case["given"], frozenset({56})).outcome == "open"


def test_no_condition_is_there_for_nothing() -> None:
    """Each one stops some attack that no other one stops."""
    attacks = [case.values[0]["given"] for case in cases("attacks", "missing")]
    for family in (glass.REFUSALS, glass.STALE, glass.MISSING):
        for condition in family:
            alone = [given for given in attacks if only(condition, given)]
            assert alone, f"{condition.__name__} never decides anything"


def only(condition: glass.Condition, given: dict[str, Any]) -> bool:
    now, evidence = moment(given.get("now", NOW)), evidence_of(given)
    every = (*glass.REFUSALS, *glass.STALE, *glass.MISSING)
    return [each for each in every if glass.found([each], evidence, now)] == [condition]


# -- what is signed ------------------------------------------------------------------------------------------------


def test_a_statement_reads_as_what_it_allows() -> None:
    statement = evidence_of({"plans": {"web-2": "b", "web-1": "a"}}).statement
    lines = glass.statement_text(statement).decode().splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == [
        "reconciler", "repository", "environment", "revision", "plan", "plan", "reason", "ticket", "issued",
    ]  # fmt: skip
    assert lines[4].startswith("plan shop/production@web-1 ")
    assert lines[-1] == "issued 2026-01-05T12:09:00+00:00"


@pytest.mark.parametrize(
    "other",
    [
        {"repository": 8}, {"revision": "f" * 40}, {"plans": ()}, {"reason": "x"}, {"ticket": "x"},
        {"issued": datetime(2026, 1, 5, tzinfo=UTC)}, {"despite_suspension": True},
    ],
)  # fmt: skip
def test_whatever_differs_is_other_bytes(other: dict[str, Any]) -> None:
    statement = evidence_of({}).statement
    assert glass.statement_text(replace(statement, **other)) != glass.statement_text(statement)


def test_who_signed_is_on_the_record_each_once() -> None:
    gate = glass.decide(evidence_of({"signers": ["keeper", "keeper-2", "operator"]}), moment(NOW))
    assert isinstance(gate, Open)
    assert [(a.person, a.account, a.form, a.key) for a in gate.approvals] == [
        ("keeper", 1006, Form.STATEMENT, KEYS["keeper"]),
        ("operator", 1005, Form.STATEMENT, KEYS["operator"]),
    ]
    other = glass.decide(evidence_of({"token": "operator"}), moment(NOW))
    assert isinstance(other, Open)
    assert other.attestation != gate.attestation


# -- whose review counts -------------------------------------------------------------------------------------------


def review(key: str | None, token: str, by: tuple[str, ...] = ("keeper",), *more: Principals) -> list[str]:
    given = Review(KEYS[key] if key else None, ACCOUNTS[token], by, ("sre",), (PRINCIPALS, *more))
    reasons = list(glass.review_refusals(given))
    assert {reason.rule for reason in reasons} <= {56}
    return [reason.text for reason in reasons]


def test_another_person_of_the_group_reviews_it() -> None:
    assert review("operator", "operator") == []


@pytest.mark.parametrize(
    ("key", "token"),
    [
        ("keeper", "keeper"),  # who broke it
        ("keeper-2", "keeper-2"),  # the same person otherwise
        ("developer", "developer"),  # not of the group
        ("stranger", "operator"),
        (None, "operator"),
        ("operator", "deployer"),
        ("operator", "developer"),
        ("operator", "stranger"),
    ],
)
def test_nobody_else_does(key: str | None, token: str) -> None:
    assert review(key, token)


def test_who_lost_the_key_since_reviews_nothing() -> None:
    assert review("operator", "operator", ("keeper",), principals({"without": ["operator"]}))


def test_without_rules_there_is_no_review() -> None:
    assert list(glass.review_refusals(Review(KEYS["operator"], 1005, ("keeper",), (), ())))
