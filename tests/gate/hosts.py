"""The doors of cases about a host's record and about a reset of the trust. An honest value stands for everything that a
case does not give.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.approvals import host_record as records
from reconciler.approvals import trust_reset as resets
from reconciler.model.approval import Reason
from reconciler.model.host_record import HostRecord
from reconciler.model.target import Target
from reconciler.model.trust import ResetStatement, Roots
from tests.gate.answer import Answer, texts_of

NOON = datetime(2026, 1, 14, 12, 0, tzinfo=UTC)
TARGET, REPOSITORY, ENGINE = Target("shop", "production", "web-1"), 7, "engine-1"
VERIFIED = "a" * 40


def host_record(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """A record beside which something shall be deployed. Refused where nothing may be.

    `signed_by` is us, former, another or nobody; `readable` whether it is a record at all; `missing` that there is
    none; `repository`, `target` and `engine` what it says. `deploying` is the order of its revision to the one that
    shall be deployed. With `database` it is asked what is verified, and refused where the database's word does not
    count: the order of the record's revision to the one that the database has as verified (`none` for none),
    `same_inputs` whether the environment is made of the same at both, `on_branch`, and `trusted`, its order to the
    revision that root persons pinned.
    """
    expected = records.Expected(TARGET, REPOSITORY, ENGINE)
    found = None if given.get("missing") else record_of(given)
    if "database" in given:
        return _answer(_verified(given, found, expected), disabled)
    reasons = [reason for reason in records.foreign(found, expected) if reason.rule not in disabled]
    if not reasons and found is not None and found.content is not None:
        order = records.Order(given.get("deploying", "before"))
        reasons += records.backwards(found.content, order, "b" * 40)
    return _answer(reasons, disabled)


def record_of(given: Mapping[str, Any]) -> records.Found:
    content = HostRecord(
        target=Target.parse(given.get("target", str(TARGET))),
        repository=given.get("repository", REPOSITORY),
        engine_id=given.get("engine", ENGINE),
        compose_project="shop",
        revision=VERIFIED,
        plan_digest="0" * 64,
        deployment="d-1",
        generation=3,
        ledger_size=12,
        ledger_head="0" * 64,
        at=NOON,
    )
    signed_by = records.SignedBy(given.get("signed_by", "us"))
    return records.Found(signed_by, content if given.get("readable", True) else None, "ssh-ed25519 AAAA")


def _verified(given: Mapping[str, Any], found: records.Found | None, expected: records.Expected) -> list[Reason]:
    database = given["database"]
    standing = records.Standing(
        on_branch=given.get("on_branch", True),
        trusted=records.Order(given.get("trusted", "after")),
        verified=None if database == "none" else records.Order(database),
        same_inputs=given.get("same_inputs", False),
    )
    match records.meaning(found, expected, standing):
        case records.Refuse(reasons=reasons):
            return list(reasons)
        case records.Believe(reason=Reason() as reason):
            return [reason]
        case _:
            return []


PEOPLE = {"operator": ["key-operator", "key-2"], "keeper": ["key-keeper"], "reviewer": ["key-reviewer"]}
"""The root persons that are pinned, and their keys."""


def trust_reset(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """A statement and who signed it. Refused where it pins nothing.

    `signed_with` are the keys of its signatures (null for one that is by no pinned key); `roots` the pinned persons,
    name to keys; `repository`, `installation` and `former` what the statement names; `age` in minutes.
    """
    persons = given.get("roots", PEOPLE)
    roots: Roots = tuple((name, 1000 + n, tuple(keys)) for n, (name, keys) in enumerate(sorted(persons.items())))
    statement = ResetStatement(
        repository=given.get("repository", REPOSITORY),
        installation=given.get("installation", "ours"),
        former=given.get("former", "now"),
        revision="b" * 40,
        roots=roots,
        takes_over=(),
        reason="the group was left by everybody",
        at=NOON - timedelta(minutes=given.get("age", 1)),
    )
    pinned = resets.Pinned(REPOSITORY, "ours", "now", roots)
    keys = given.get("signed_with", ["key-operator", "key-keeper"])
    match resets.judge(statement, pinned, keys, NOON):
        case resets.Rejected(reasons=reasons):
            assert reasons, "what is rejected is told why"
            return _answer(list(reasons), disabled)
        case resets.Accepted(by=by):
            assert by == tuple(sorted(set(by))), "each person once"
            return Answer("open")


def _answer(reasons: list[Reason], disabled: frozenset[int]) -> Answer:
    left = [reason for reason in reasons if reason.rule not in disabled]
    rules = tuple(sorted({reason.rule for reason in left}))
    return Answer("refused" if left else "open", rules, texts_of(left))
