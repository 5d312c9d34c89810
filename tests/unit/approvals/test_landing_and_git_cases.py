"""The numbers 33 to 45 through their own doors: all numbers of each answer, and what each number alone stops."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gate.__main__ import knock
from tests.gate.answer import Answer
from tests.gate.case_files import CASES, Case, read
from tests.gate.git_tricks import HONEST, TRICKS

EVERY_NUMBER = frozenset(range(1, 86))
FILES = tuple(read(CASES))


def cases(*sections: str) -> list[Any]:
    """All cases of some sections that go through one of the two doors, named by the file's number."""
    return [
        pytest.param(file.number, case, id=f"{file.number:02}: {case.name}")
        for file in FILES
        for section in sections
        for case in getattr(file, section)
        if case.through in ("landings", "git")
    ]


@pytest.mark.parametrize(("number", "case"), cases("attacks", "never", "missing"))
def test_it_is_refused_by_exactly_its_numbers(number: int, case: Case) -> None:
    assert knock(case) == Answer("refused", tuple(case.rules)), number


@pytest.mark.parametrize(("number", "case"), cases("twins"))
def test_the_honest_twin_goes_through(number: int, case: Case) -> None:
    assert knock(case) == Answer("open", ()), number


@pytest.mark.parametrize(("number", "case"), cases("attacks"))
def test_without_its_number_the_attack_gets_through_and_with_it_alone_it_does_not(number: int, case: Case) -> None:
    assert case.rules == [number]
    assert knock(case, frozenset({number})).outcome == "open"
    assert knock(case, EVERY_NUMBER - {number}).outcome == "refused"


def test_every_number_of_how_it_landed_has_an_attack_and_a_twin() -> None:
    numbers = {33, 34, 35, 36, 37, 38, 39, 40, 41, 44, 45}
    assert {file.number for file in FILES if file.attacks and file.twins} >= numbers


def test_every_trick_is_played() -> None:
    given = [case.values[1].given for case in cases("attacks", "never", "twins", "missing")]
    assert {each.get("trick") for each in given} - {None} == set(TRICKS)
    assert {each.get("honest") for each in given} - {None} == set(HONEST)
