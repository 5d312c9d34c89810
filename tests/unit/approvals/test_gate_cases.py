"""Every number of the gate that has a case file: that number stops its attacks, and its honest twins go through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.approvals import decide, gate
from reconciler.model.approval import Gate, Open, Reason
from tests.unit.approvals.evidence import NOW, evidence, time_of

FILES = sorted((Path(__file__).parents[2] / "cases" / "gate").glob("*.yaml"))

FIRST_PART = {1, 3, 4, 6, 7, 16, 17, 18, 19, 25, 26, 28, 29, 33, 35, 36, 46, 47, 57, 58, 61, 63}
"""The numbers that this page of the product has to stop by evidence; 39 and 60 are stopped before there is any."""


def cases(*sections: str) -> list[Any]:
    """All cases of some sections of all files, with the file's number."""
    documents = [yaml.safe_load(path.read_text()) for path in FILES]
    return [
        pytest.param(case, id=f"{document['number']:02}: {case['name']}")
        for document in documents
        for section in sections
        for case in document.get(section, ())
    ]


def decision(case: dict[str, Any]) -> Gate:
    now = time_of(case.get("now", NOW))
    assert now is not None
    return decide(evidence(**case["evidence"]), now)


@pytest.mark.parametrize("case", cases("attacks", "missing"))
def test_the_gate_stays_shut_and_says_why_by_number(case: dict[str, Any]) -> None:
    answer = decision(case)
    assert not isinstance(answer, Open)
    assert (type(answer).__name__.lower(), sorted({r.rule for r in answer.reasons})) == (case["outcome"], case["rules"])
    assert all(reason.text for reason in answer.reasons)


@pytest.mark.parametrize("case", cases("twins"))
def test_the_honest_twin_goes_through(case: dict[str, Any]) -> None:
    answer = decision(case)
    assert isinstance(answer, Open), answer


@pytest.mark.parametrize("case", [c for c in cases("attacks") if not c.values[0].get("not_by_number")])
def test_without_its_number_the_attack_would_go_through(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    disabled = {*case["rules"], *case.get("also", ())}

    def without(condition: Callable[..., Iterable[Reason]]) -> Callable[..., Iterator[Reason]]:
        return lambda *given: (reason for reason in condition(*given) if reason.rule not in disabled)

    for family in ("REFUSALS", "BLOCKS", "RAISES", "COUNTS", "HOLDS"):
        monkeypatch.setattr(gate, family, tuple(without(condition) for condition in getattr(gate, family)))
    assert isinstance(decision(case), Open), (
        "another check stops this too: the case does not show that its number works"
    )


def together(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any] | None:
    """Both evidences as one: reviews and events after each other; None where they contradict each other."""
    whole = dict(one)
    for key, value in other.items():
        if key not in whole:
            whole[key] = value
        elif key in ("reviews", "timeline"):
            whole[key] = [*whole[key], *value]
        elif key != "plans" and isinstance(value, dict) and isinstance(whole[key], dict):
            inner = together(whole[key], value)
            if inner is None:
                return None
            whole[key] = inner
        elif whole[key] != value:
            return None
    return whole


def test_no_two_attacks_together_open_the_gate() -> None:
    attacks = [case.values[0] for case in cases("attacks", "missing")]
    tried = 0
    for one, other in combinations(attacks, 2):
        both = together(one["evidence"], other["evidence"])
        if both is None or ("now" in one and "now" in other):
            continue
        tried += 1
        now = one.get("now") or other.get("now") or NOW
        answer = decision({"evidence": both, "now": now})
        assert not isinstance(answer, Open), (one["name"], other["name"])
    assert tried > 5000


def test_every_number_of_the_first_part_has_a_file_with_an_attack_and_an_honest_twin() -> None:
    documents = [yaml.safe_load(path.read_text()) for path in FILES]
    assert {d["number"] for d in documents if d.get("attacks") and d.get("twins")} >= FIRST_PART


def test_a_file_is_named_for_its_number() -> None:
    for path in FILES:
        assert yaml.safe_load(path.read_text())["number"] == int(path.name[:2])
