"""The numbers 70 to 84: that number stops its attacks, and its honest twins go through (tests/gate/contents.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gate.contents import DOORS, play

FILES = sorted((Path(__file__).parents[2] / "cases" / "gate").glob("[78][0-9]-*.yaml"))
NUMBERS = range(70, 85)
EVERY_NUMBER = frozenset(range(1, 86))


def documents() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES]


def cases(*sections: str) -> list[Any]:
    """All cases that go through a door of this part, of some sections of all files."""
    return [
        pytest.param(case, id=f"{document['number']:02}: {case['name']}")
        for document in documents()
        for section in sections
        for case in document.get(section, ())
        if case.get("through") in DOORS
    ]


def own(case: dict[str, Any]) -> frozenset[int]:
    return frozenset({*case["rules"], *case.get("also", ())})


@pytest.mark.parametrize("case", cases("attacks", "missing"))
def test_the_gate_stays_shut_and_says_why_by_number(case: dict[str, Any]) -> None:
    answer = play(case)
    assert (answer.outcome, answer.rules) == (case["outcome"], tuple(case["rules"])), answer.texts
    assert answer.texts
    assert all(answer.texts)


@pytest.mark.parametrize("case", cases("twins"))
def test_the_honest_twin_goes_through(case: dict[str, Any]) -> None:
    answer = play(case)
    assert answer.outcome == "open", answer.texts


@pytest.mark.parametrize("case", cases("attacks"))
def test_without_its_number_the_attack_would_go_through_and_with_it_alone_it_does_not(case: dict[str, Any]) -> None:
    assert play(case, own(case)).outcome == "open", "another check stops this too: the case does not show its number"
    assert play(case, EVERY_NUMBER - own(case)).outcome == "refused"


def test_every_number_has_several_attacks_and_an_honest_twin() -> None:
    by_number = {document["number"]: document for document in documents() if document["number"] in NUMBERS}
    assert set(by_number) == set(NUMBERS)
    for number, document in by_number.items():
        assert len(document["attacks"]) >= 3, number
        assert document["twins"], number


@pytest.mark.parametrize("number", NUMBERS)
def test_every_attack_of_a_number_is_refused_by_that_number(number: int) -> None:
    (document,) = [each for each in documents() if each["number"] == number]
    assert all(case["rules"] == [number] for case in document["attacks"])
