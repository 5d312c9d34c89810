"""What people are told of who has still to approve, and what a comment has to say to be a command."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.approvals import decide
from reconciler.approvals.consent import contributors_of
from reconciler.approvals.staleness import TIME_TO_LIVE
from reconciler.approvals.words import command_in, quoted_in
from reconciler.model.approval import Form, Waiting, Word
from reconciler.model.principal import Person, Principals
from reconciler.model.pull_request import ReviewState
from tests.unit.approvals.evidence import NOW, evidence, moment


@pytest.mark.parametrize(
    ("others", "who"),
    [(5, "by p0 or p1 or p2 or p3 or p4"), (6, "by one of 6 persons")],
)
def test_whoever_may_approve_is_named_where_they_are_few(others: int, who: str) -> None:
    people = (Person("author", (1001,)), *(Person(f"p{n}", (5000 + n,)) for n in range(others)))
    found = decide(evidence(reviews=[], rules={"principals": Principals(people, ())}), moment(NOW))
    assert isinstance(found, Waiting)
    assert found.missing == (f"one approval is missing, asked for by rule production-needs-one: {who}",)


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("/reconciler approve", ReviewState.APPROVED),
        ("/reconciler approve 0123456789ab \t\nand more", ReviewState.APPROVED),
        ("/reconciler reject it breaks the shop", ReviewState.CHANGES_REQUESTED),
        ("/reconciler  reject", ReviewState.CHANGES_REQUESTED),
        ("\n \u00a0/Reconciler\u00a0REJECT: it breaks the shop", ReviewState.CHANGES_REQUESTED),
        ("/reconciler rejected", None),
        ("please\n/reconciler reject", None),
        ("/reconciler  approve", None),
        (" /reconciler approve", None),
        ("/Reconciler approve", None),
        ("/reconciler approved", None),
        ("please\n/reconciler approve", None),
        ("", None),
    ],
)
def test_an_approval_is_exact_and_an_objection_is_heard_as_it_is(body: str, state: ReviewState | None) -> None:
    assert command_in(body) is state


def test_what_is_no_command_quotes_nothing() -> None:
    word = Word(Form.COMMENT, 70, None, ReviewState.APPROVED, None, None, "look at 0123456789ab")
    assert quoted_in(word) == ()


def test_an_approval_lives_for_three_days() -> None:
    assert timedelta(days=3) == TIME_TO_LIVE


def test_githubs_own_address_makes_nobody_an_author() -> None:
    commits = [{"email": "19864447+web-flow@users.noreply.github.com"}]
    assert contributors_of(evidence(commits=commits).reading).accounts == ((1001, 1),)
