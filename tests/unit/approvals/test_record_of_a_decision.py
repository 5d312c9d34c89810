"""What an open gate leaves behind: who approved what, and the digest of everything that it was decided from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.approvals import decide, gate
from reconciler.approvals import emergency as glass
from reconciler.model.approval import Approval, Form, Open, Reason, Refused, Stale, Waiting, Word
from reconciler.model.canonical import digest
from reconciler.model.principal import Person, Principals
from reconciler.model.pull_request import ReviewState
from reconciler.model.target import Target
from tests.gate.emergency import KEYS, evidence_of
from tests.gate.emergency import NOW as GLASS_NOW
from tests.unit.approvals.evidence import ACCOUNTS, NOW, PRINCIPALS, REPOSITORY, evidence, moment, plan_digest, sha

WEB_1, WEB_2 = Target.parse("shop/production@web-1"), Target.parse("shop/production@web-2")

LESS = Principals(
    (
        *(replace(p, groups=("operators",)) if p.name == "author" else p for p in PRINCIPALS.people),
        Person("late", (2004,), ()),
    ),
    PRINCIPALS.agents,
)
BOTH = {"shop/production@web-2": "b", "shop/production@web-1": "a"}

LANDED: dict[str, Any] = {
    "merged": True,
    "pull": {"author": "agent"},
    "commits": [{"by": "agent"}],
    "plans": BOTH,
    "shown": [{"digests": BOTH}],
    "reviews": [],
    "comments": [
        {"by": "second", "body": "/reconciler approve <a> <b>", "at": "12:05", "number": 90},
        {"by": "author", "body": "/reconciler approve <a> <b>", "at": "12:04", "number": 95},
    ],
    "signed": [{"key": "second", "comment": 90, "digests": BOTH}],
    "rules_at": [{}, {"origin": "tip", "principals": LESS}],
    "rules": {"needs": [{"approvals": 2, "group": "operators", "rule": "two"}]},
    "adopts": {"pushers": ["agent"], "commits": [{"by": "agent"}]},
}


def opened(**told: Any) -> Open:
    found = decide(evidence(**told), moment(NOW))
    assert isinstance(found, Open), found
    return found


def test_who_approved_what_is_on_the_record_in_the_order_of_their_words() -> None:
    found = opened(**LANDED)
    said: dict[str, Any] = {"head_sha": sha("head"), "form": Form.COMMENT, "groups": ("operators",)}
    assert found.approvals == (
        Approval("author", 1001, 95, submitted_at=moment("12:04"), key=None, **said),
        Approval("second", 2002, 90, submitted_at=moment("12:05"), key="ssh-ed25519 second", **said),
    )
    assert found.digests == ((WEB_1, plan_digest("a")), (WEB_2, plan_digest("b")))
    assert found.head_sha == sha("head")


@pytest.mark.parametrize("order", [1, -1])
def test_within_a_second_the_forges_numbers_say_who_was_first(order: int) -> None:
    reviews = [{"by": "second", "number": 61}, {"by": "reviewer", "number": 60}][::order]
    assert [given.person for given in opened(reviews=reviews).approvals] == ["reviewer", "second"]


def test_the_attestation_is_the_digest_of_what_it_was_decided_from() -> None:
    rules = {"policy": plan_digest("policy"), "requirements": [[2, "operators", "two"]], "waived": []}
    said = {"author": (1001, 95, None, "12:04"), "second": (2002, 90, "ssh-ed25519 second", "12:05")}
    assert opened(**LANDED).attestation == digest(
        {
            "repository": REPOSITORY,
            "pull_request": 12,
            "head": sha("head"),
            "base_ref": "main",
            "plans": [[str(WEB_1), plan_digest("a")], [str(WEB_2), plan_digest("b")]],
            "approvals": [
                [person, account, "comment", number, key, sha("head"), f"2026-01-05T{at}:00+00:00"]
                for person, (account, number, key, at) in said.items()
            ],
            "merged_by": 2002,
            "landing": {"commits": [sha("merge")], "first_parent": sha("base"), "tree": sha("landed")},
            "rules": [{"origin": "base", **rules}, {"origin": "tip", **rules}],
            "answers": [["pull_request", plan_digest("answer")]],
            "adopts": sha("pushed"),
        }
    )


def test_before_the_merge_the_attestation_names_no_landing() -> None:
    at = moment("12:05").isoformat()
    assert opened().attestation == digest(
        {
            "repository": REPOSITORY,
            "pull_request": 12,
            "head": sha("head"),
            "base_ref": "main",
            "plans": [[str(WEB_1), plan_digest("plan")]],
            "approvals": [["reviewer", 2001, "review", 50, None, sha("head"), at]],
            "merged_by": None,
            "landing": None,
            "rules": [
                {
                    "origin": "base",
                    "policy": plan_digest("policy"),
                    "requirements": [[1, None, "production-needs-one"]],
                    "waived": [],
                }
            ],
            "answers": [["pull_request", plan_digest("answer")]],
            "adopts": None,
        }
    )


@pytest.mark.parametrize("lacking", [{"account": None}, {"commit": None}, {"submitted_at": None}, {}])
def test_what_cannot_count_is_never_recorded_as_an_approval(lacking: dict[str, Any]) -> None:
    """The last assertion of the gate, behind all conditions: an account, a commit, a time and a person, or nothing."""
    account = ACCOUNTS["reviewer" if lacking else "stranger"]
    word = Word(Form.REVIEW, 50, account, ReviewState.APPROVED, "c" * 40, moment("12:05"), "")
    with pytest.raises(AssertionError, match=r"^a word without an account, a commit, a time or a person was counted$"):
        gate.approval(evidence(), replace(word, **lacking))


# -- breaking the glass --------------------------------------------------------------------------------------------


def test_what_the_glass_was_broken_for_is_on_the_record() -> None:
    given = evidence_of({"plans": {"web-2": "b", "web-1": "a"}, "token": "keeper-2"})
    statement = given.statement
    said = {"review": 0, "head_sha": statement.revision, "submitted_at": statement.issued, "form": Form.STATEMENT}
    assert glass.decide(given, moment(GLASS_NOW)) == Open(
        approvals=(
            Approval(person="keeper", account=1906, groups=("operators", "sre"), key=KEYS["keeper"], **said),
            Approval(person="operator", account=1005, groups=("operators", "sre"), key=KEYS["operator"], **said),
        ),
        digests=((WEB_1, plan_digest("a")), (WEB_2, plan_digest("b"))),
        head_sha=statement.revision,
        attestation=digest(
            {
                "statement": glass.statement_text(statement).decode(),
                "signers": [KEYS["keeper"], KEYS["operator"]],
                "account": 1906,
                "rules": [{"origin": "accepted", "policy": "policy", "requirements": [[2, "sre", "emergencies"]]}],
            }
        ),
    )


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"used": True}, Refused, "this statement was used already; ask for a new one and sign that"),
        (
            {"plans": {}, "signed": {"web-1": "plan"}, "expected": ["web-1"], "unplanned": ["x"]},
            Refused,
            "not planned: x",
        ),
        (
            {"signed": {"web-1": "plan", "web-2": "plan"}, "plans": {"web-1": "plan"}},
            Stale,
            "a plan for shop/production@web-2 is signed, and there is none now",
        ),
        ({"under_way": "d-1 is under way"}, Waiting, "d-1 is under way"),
    ],
)
def test_an_emergency_that_is_not_open_says_why(given: dict[str, Any], kind: type, text: str) -> None:
    found = glass.decide(evidence_of(given), moment(GLASS_NOW))
    assert type(found) is kind
    assert not isinstance(found, Open)
    assert found.reasons == (Reason(56, text),)
    assert not isinstance(found, Waiting) or found.missing == (text,)
