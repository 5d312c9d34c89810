"""The gate's own cases, exactly: the answer and all its numbers, what would be without them, and attacks together."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from tests.gate.__main__ import knock
from tests.gate.case_files import CASES, Case, read
from tests.unit.approvals.evidence import NOW


def cases(*sections: str) -> list[Any]:
    """All cases at the gate itself of some sections of all files, named by the file's number."""
    return [
        pytest.param(case, id=f"{file.number:02}: {case.name}")
        for file in read(CASES)
        for section in sections
        for case in getattr(file, section)
        if case.through == "evidence"
    ]


@pytest.mark.parametrize("case", cases("attacks", "never", "missing"))
def test_the_gate_stays_shut_and_says_why_by_number(case: Case) -> None:
    answer = knock(case)
    assert (answer.outcome, list(answer.rules)) == (case.outcome, case.rules)


@pytest.mark.parametrize("case", cases("twins"))
def test_the_honest_twin_goes_through(case: Case) -> None:
    answer = knock(case)
    assert answer.outcome == "open", answer


BY_NUMBER = [c for c in cases("attacks") if c.values[0].rules and not c.values[0].not_by_number]


@pytest.mark.parametrize("case", BY_NUMBER)
def test_without_its_numbers_the_attack_would_go_through(case: Case) -> None:
    answer = knock(case, frozenset({*case.rules, *case.also}))
    assert answer.outcome == "open", "another check stops this too: the case does not show that its number works"


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
    attacks = [case.values[0] for case in cases("attacks", "never", "missing")]
    tried = 0
    for one, other in combinations(attacks, 2):
        both = together(one.evidence or {}, other.evidence or {})
        if both is None or (one.now and other.now):
            continue
        tried += 1
        answer = knock(Case(name="both", evidence=both, now=one.now or other.now or NOW))
        assert answer.outcome != "open", (one.name, other.name)
    assert tried > 5000
