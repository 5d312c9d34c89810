"""The numbers 70 to 84, exactly: the answer of each case and all its numbers, and what each number alone stops."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gate.__main__ import knock
from tests.gate.answer import Answer
from tests.gate.case_files import CASES, Case, CaseFile, read

NUMBERS = range(70, 85)
EVERY_NUMBER = frozenset(range(1, 86))
FILES = {file.number: file for file in read(CASES) if file.number in NUMBERS}


def cases(*sections: str) -> list[Any]:
    """All cases of some sections of all files, named by the file's number."""
    return [
        pytest.param(case, id=f"{file.number:02}: {case.name}")
        for file in FILES.values()
        for section in sections
        for case in getattr(file, section)
    ]


def own(case: Case) -> frozenset[int]:
    return frozenset({*case.rules, *case.also})


@pytest.mark.parametrize("case", cases("attacks", "missing"))
def test_the_gate_stays_shut_and_says_why_by_number(case: Case) -> None:
    answer = knock(case)
    assert answer == Answer(case.outcome or "refused", tuple(case.rules)), answer.texts
    assert answer.texts
    assert all(answer.texts)


@pytest.mark.parametrize("case", cases("twins"))
def test_the_honest_twin_goes_through(case: Case) -> None:
    answer = knock(case)
    assert answer.outcome == "open", answer.texts


@pytest.mark.parametrize("case", cases("attacks"))
def test_without_its_number_the_attack_would_go_through_and_with_it_alone_it_does_not(case: Case) -> None:
    assert knock(case, own(case)).outcome == "open", "another check stops this too: the case does not show its number"
    assert knock(case, EVERY_NUMBER - own(case)).outcome == "refused"


def test_every_number_has_several_attacks_and_an_honest_twin() -> None:
    assert set(FILES) == set(NUMBERS)
    for number, file in FILES.items():
        assert len(file.attacks) >= 3, number
        assert file.twins, number


@pytest.mark.parametrize("file", FILES.values(), ids=lambda file: str(file.number))
def test_every_attack_of_a_number_is_refused_by_that_number(file: CaseFile) -> None:
    assert all(case.rules == [file.number] for case in file.attacks)
