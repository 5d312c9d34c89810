"""A secret that only a live container knows (a canary) appears in nothing that is shown, in no spelling (gate 81)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from reconciler import diff
from reconciler.compose.redaction import redact
from reconciler.control.drifting import described
from reconciler.control.planning import Planned
from reconciler.model.approval import Gate, Reason, Refused, Waiting
from reconciler.model.errors import ReconcilerError
from reconciler.model.plan import Plan
from reconciler.model.verdict import Requirement, Verdict
from reconciler.reports.comment import comment_markdown, plan_section
from reconciler.reports.gate import gate_text
from reconciler.reports.plan import plan_markdown, plan_text
from reconciler.reports.statuses import statuses
from tests.builders import FINGERPRINTER, a_target, deployed, resolutions, with_container

CANARY = 'c4nary/"of production"&=+'
SPELLINGS = (
    CANARY,
    quote(CANARY, safe=""),
    json.dumps(CANARY)[1:-1],
    base64.b64encode(CANARY.encode()).decode().rstrip("="),
    "c4nary",
)
GIT = {"web": {"environment": {"GREETING": "hello", "PASSWORD": "not-the-live-one"}}}


def leaks(text: str) -> list[str]:
    return [spelling for spelling in SPELLINGS if spelling in text]


def plan() -> Plan:
    """Somebody set a secret on a live container by hand: one that git has otherwise, and one that git does not have."""
    target = a_target(GIT)
    live = with_container(deployed(target), "shop-web-1", environment={"PASSWORD": CANARY, "TOKEN": CANARY})
    changes = diff.compare(target, live, {}, FINGERPRINTER)
    made = diff.plan(target, live, changes, resolutions(target))
    assert {change.field for change in made.changes} >= {"environment.PASSWORD", "environment.TOKEN"}
    return made


def gates() -> Iterator[Gate]:
    yield Refused((Reason(78, "no"),))
    yield Waiting(("one approval is missing",), ())


def test_no_plan_no_comment_and_no_status_shows_a_live_value() -> None:
    made = plan()
    assert leaks(plan_text(made)) == leaks(plan_markdown(made)) == []
    section = plan_section("a" * 40, [made])
    verdict = Verdict((), (Requirement(1, None, "default"),), "")
    for gate in gates():
        assert leaks(comment_markdown(section, verdict, gate) + gate_text(gate)) == []
        assert all(leaks(status.description) == [] for status in statuses([made], verdict, gate))


def test_no_record_of_drift_shows_a_live_value() -> None:
    made = plan()

    class Where:
        target = made.target

    for change in made.changes:
        where: Planned = Where()  # type: ignore[assignment] - the target is all that is asked for
        assert leaks(json.dumps(described(where, change))) == []


def test_the_whole_of_a_plan_holds_no_live_value() -> None:
    """What is stored, digested, logged or sent as JSON is made from this value."""
    assert leaks(repr(plan())) == []


@pytest.mark.parametrize("spelling", SPELLINGS[:4])
def test_no_error_of_compose_shows_a_value_that_it_was_given(spelling: str) -> None:
    model = {"services": {"web": {"image": "x", "environment": {"PASSWORD": CANARY}}}}
    out = redact(f"Error response from daemon: exec: {spelling}: not found", model)
    assert leaks(str(ReconcilerError(out))) == []
    assert "not found" in out
