"""Whether the search would notice: the gate without one of its conditions, one by one. `make oracle ARGS=--bite`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from reconciler.approvals import gate
from tests.oracle.exploration import SEARCHES, Disagreement, explore

FAMILIES = ("REFUSALS", "BLOCKS", "RAISES", "COUNTS", "HOLDS")
TRIED = (
    ("late", 2), ("plans", 4), ("words", 4), ("quoted", 4), ("comments", 3), ("heads", 4), ("hands", 4), ("plans", 5),
    ("words", 5), ("comments", 4), ("quoted", 5), ("heads", 5), ("late", 3),
)  # fmt: skip
"""Searches and how deep they go, the quick ones first."""

ELSEWHERE = {
    "every_page": "forge's answers", "two_readings_agree": "forge's answers", "right_repository": "forge's answers",
    "every_plan": "planning", "readable": "rules of the gate", "alone": "rules of the gate",
    "allowed": "rules of the gate", "said_at_all": "forge's answers", "author_known": "forge's answers",
    "clocks": "clocks", "by_the_same_account": "forge's answers", "signed_where_asked": "signatures",
}  # fmt: skip
"""Conditions on what no event of a history changes; the case files show them (`make gate`)."""


@dataclass(frozen=True, slots=True)
class Bite:
    """A condition that was taken away, and the first history on which that was noticed."""

    family: str
    condition: str
    noticed: Disagreement | None
    stopped: str = ""

    @property
    def found(self) -> bool:
        return self.noticed is not None or bool(self.stopped)

    @property
    def text(self) -> str:
        if self.stopped:
            found = f"found: the gate stops, '{self.stopped}'"
        elif self.noticed is not None:
            found = f"found after {len(self.noticed.events)} events ({self.noticed.search})"
        else:
            found = f"not found: {ELSEWHERE.get(self.condition, 'IN NO HISTORY')}"
        return f"{self.family:<9} {self.condition:<24} {found}"


@contextmanager
def without(family: str, condition: Callable[..., Any]) -> Iterator[None]:
    """The gate without one condition, for as long as this lasts."""
    whole = getattr(gate, family)
    setattr(gate, family, tuple(each for each in whole if each is not condition))
    try:
        yield
    finally:
        setattr(gate, family, whole)


def bites(processes: int) -> Iterator[Bite]:
    """Take each condition away, and look for a history that shows it."""
    by_name = {search.name: search for search in SEARCHES}
    for family in FAMILIES:
        for condition in getattr(gate, family):
            with without(family, condition):
                found = (
                    explore(by_name[name].no_deeper(depth), processes, most=1).disagreements
                    for name, depth in (TRIED[:3] if condition.__name__ in ELSEWHERE else TRIED)
                )
                try:
                    yield Bite(family, condition.__name__, next((one[0] for one in found if one), None))
                except AssertionError as error:
                    yield Bite(family, condition.__name__, None, str(error))
