"""Breaking the glass: every case of its number, what is signed, and whose review counts."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.approvals import emergency as glass
from reconciler.approvals.emergency import Review
from reconciler.approvals.statement import NAMESPACE
from reconciler.model.approval import Form, Open, Reason
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


def test_a_statement_is_exactly_these_bytes() -> None:
    statement = replace(evidence_of({}).statement, despite_suspension=True)
    (plan,) = statement.plans
    assert glass.statement_text(statement).decode() == (
        "reconciler break-glass\nrepository 7\nenvironment shop/production\n"
        f"revision {statement.revision}\nplan shop/production@web-1 {plan[1]}\n"
        "reason the shop answers 500\nticket OPS-1\ndespite suspension\nissued 2026-01-05T12:09:00+00:00\n"
    )


def test_what_is_signed_for_one_thing_fits_no_other() -> None:
    assert (glass.NAMESPACE, glass.REVIEW_NAMESPACE, NAMESPACE) == (
        "reconciler-break-glass",
        "reconciler-break-glass-review",
        "reconciler-approval",
    )


def test_a_review_has_a_day() -> None:
    assert timedelta(days=1) == glass.REVIEW_WITHIN


def test_what_nobody_says_of_an_emergency_keeps_the_glass_whole() -> None:
    defaults = {each.name: each.default for each in fields(glass.Emergency) if each.default is not MISSING}
    assert defaults == {
        "unplanned": (), "on_a_branch": False, "rules_touched": (), "deployed": False, "used": True,
        "suspended": None, "under_way": None, "overdue": (),
    }  # fmt: skip
    assert {each.name: each.default for each in fields(glass.Statement)}["despite_suspension"] is False


def test_where_the_rules_ask_for_nothing_one_person_signs_and_another_could_review() -> None:
    assert emergency({"needs": [], "signers": ["keeper"]}).outcome == "open"
    assert emergency({"needs": [], "signers": [None]}).texts[0].startswith("56: signature 1 is not over this")
    missing = glass.found(glass.MISSING, evidence_of({"needs": [], "signers": []}), moment(NOW))
    assert missing[0].text == "one more person must sign it (rule default, accepted)"


@pytest.mark.parametrize(("name", "longest"), [("reason", 500), ("ticket", 100)])
def test_a_reason_and_a_ticket_are_one_plain_line_of_bounded_length(name: str, longest: int) -> None:
    assert emergency({name: "x" * longest}).outcome == "open"
    assert emergency({name: "x" * (longest + 1)}).outcome == "refused"


def test_every_version_of_the_rules_asks_for_a_second_person() -> None:
    """Also where an earlier one is content, and whatever else stands against it."""
    given = {"token": None, "rules_at": [{}, {"origin": "tip", "without": ["operator"]}]}
    assert [each.text for each in glass.found([glass.two_eyes_more], evidence_of(given), moment(NOW))] == [
        "while the forge cannot say whose token it is, two persons must sign"
    ]


def test_without_rules_and_without_an_account_nobody_is_made_up() -> None:
    assert glass.approvals(evidence_of({"rules_at": []})) == ()
    people = tuple(replace(person, accounts=()) for person in PRINCIPALS.people)
    rules = replace(evidence_of({}).rule_sets[0], principals=replace(PRINCIPALS, people=people))
    assert [given.account for given in glass.approvals(replace(evidence_of({}), rule_sets=(rules,)))] == [0, 0]


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


def review(
    key: str | None,
    token: str,
    by: tuple[str, ...] = ("keeper",),
    *more: Principals,
    groups: tuple[str, ...] = ("sre",),
) -> list[str]:
    given = Review(KEYS[key] if key else None, ACCOUNTS[token], by, groups, (PRINCIPALS, *more))
    reasons = list(glass.review_refusals(given))
    assert {reason.rule for reason in reasons} <= {56}
    return [reason.text for reason in reasons]


def test_another_person_of_the_group_reviews_it() -> None:
    assert review("operator", "operator") == []
    assert review("operator", "operator", groups=("operators", "sre")) == []


NO_KEY = "the review is not signed by a key of one registered person"


@pytest.mark.parametrize(
    ("key", "token", "why"),
    [
        ("keeper", "keeper", "keeper broke the glass; somebody else reviews it"),
        ("keeper-2", "keeper-2", "keeper broke the glass; somebody else reviews it"),  # the same person otherwise
        ("developer", "developer", "developer is not of group operators and sre"),
        ("stranger", "operator", NO_KEY),
        (None, "operator", NO_KEY),
        ("operator", "deployer", "the signature is that of operator, and the token is not"),
        ("operator", "developer", "the signature is that of operator, and the token is not"),
        ("operator", "stranger", "the signature is that of operator, and the token is not"),
    ],
)
def test_nobody_else_does(key: str | None, token: str, why: str) -> None:
    assert review(key, token, groups=("operators", "sre")) == [why]


def test_who_lost_the_key_since_reviews_nothing() -> None:
    assert review("operator", "operator", ("keeper",), principals({"without": ["operator"]}))


def test_without_rules_there_is_no_review() -> None:
    (why,) = glass.review_refusals(Review(KEYS["operator"], 1005, ("keeper",), (), ()))
    assert why == Reason(56, "there are no accepted rules to judge by")
