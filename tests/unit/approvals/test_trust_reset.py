"""Who signed a reset of the trust is on the record: each root person once, by name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.approvals import trust_reset as resets
from reconciler.model.trust import ResetStatement, Roots
from tests.gate.hosts import NOON, PEOPLE

ROOTS: Roots = tuple((name, 1000 + n, tuple(keys)) for n, (name, keys) in enumerate(sorted(PEOPLE.items())))


@pytest.mark.parametrize(
    ("keys", "by"),
    [
        (["key-operator", "key-keeper"], ("keeper", "operator")),
        (["key-reviewer", "key-operator", "key-2", "key-keeper"], ("keeper", "operator", "reviewer")),
    ],
)
def test_who_signed_is_told_sorted_and_each_once(keys: list[str], by: tuple[str, ...]) -> None:
    at = NOON - timedelta(minutes=1)
    statement = ResetStatement(7, "ours", "now", "b" * 40, ROOTS, (), "the group was left by everybody", at)
    assert resets.judge(statement, resets.Pinned(7, "ours", "now", ROOTS), keys, NOON) == resets.Accepted(by)
