"""How much may go at once before somebody has to say that it is meant (gate 84)."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.target import EnvironmentName
from reconciler.policy import Removal, running
from reconciler.policy.removal import removals, too_much

SHOP, BLOG = EnvironmentName("shop", "production"), EnvironmentName("blog", "production")


def gone(before: int, after: int, count: int) -> Removal:
    return Removal(before, after, ((SHOP, tuple(f"s{n}" for n in range(count))),) if count else ())


@pytest.mark.parametrize(
    ("removal", "stops"),
    [
        (gone(1, 0, 1), True),  # nothing is left
        (gone(0, 0, 0), False),  # nothing was there
        (gone(1, 1, 1), False),  # another name for the only one
        (gone(3, 3, 3), False),
        (gone(4, 4, 4), True),  # all of them under other names
        (gone(6, 3, 3), False),  # half, and few
        (gone(7, 3, 4), True),
        (gone(8, 4, 4), False),  # half is not more than half
        (gone(9, 4, 5), True),
        (gone(0, 0, 1), True),  # more than was counted, and nothing is left
        (gone(0, 9, 4), True),  # more than was counted
        (gone(100, 50, 50), False),
        (gone(100, 49, 51), True),
    ],
    ids=str,
)
def test_what_is_too_much(removal: Removal, stops: bool) -> None:
    assert too_much(removal) is stops
    assert bool(list(removals(removal, SHOP))) is stops


def test_only_environments_that_lose_something_are_stopped_each_for_itself() -> None:
    removal = Removal(9, 0, ((BLOG, ("a",)), (SHOP, ("b", "c"))))
    (one,), (other,) = list(removals(removal, SHOP)), list(removals(removal, BLOG))
    assert one.digest != other.digest
    assert "loses b, c; this change removes 3 of 9 services of the repository (33 %)" in one.text
    assert list(removals(removal, EnvironmentName("shop", "staging"))) == []
    assert list(removals(None, SHOP)) == []


def test_the_digest_is_that_of_exactly_those_services_in_whichever_order() -> None:
    def digest(*services: str) -> str | None:
        (finding,) = removals(Removal(2, 0, ((SHOP, services),)), SHOP)
        return finding.digest

    assert digest("a", "b") == digest("b", "a")
    assert digest("a", "b") != digest("a", "c")


@pytest.mark.parametrize(
    ("service", "runs"),
    [
        ({}, True),
        ({"scale": 0}, False),
        ({"deploy": {"replicas": 0}}, False),
        ({"deploy": {"replicas": 2}}, True),
        ({"deploy": {"replicas": 1}}, True),
        ({"deploy": {"replicas": "0"}}, False),
        ({"scale": 0, "deploy": {"replicas": 1}}, False),
        ({"scale": 1}, True),
        ({"scale": 1, "deploy": {"replicas": 0}}, True),
        ({"deploy": None}, True),
        (None, True),
    ],
)
def test_a_service_that_is_scaled_to_nothing_does_not_run(service: Any, runs: bool) -> None:
    assert running({"services": {"web": service}}) == (("web",) if runs else ())
    assert running({}) == ()
