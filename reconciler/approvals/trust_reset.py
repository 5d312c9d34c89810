"""Whether root persons may pin another revision: a statement and who signed it, against what is pinned. Called by
control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.approvals import numbers
from reconciler.approvals.completeness import short
from reconciler.model.approval import Reason
from reconciler.model.trust import ResetStatement, Roots, needed_of

LIVES = timedelta(hours=1)
AHEAD = timedelta(minutes=5)  # how far the clock that printed a statement may be before ours


@dataclass(frozen=True, slots=True)
class Pinned:
    """What is trusted now: the digest that the statement has to name, and whose signatures count. `installation` is
    our own public key.
    """

    repository: int
    installation: str
    digest: str
    roots: Roots


@dataclass(frozen=True, slots=True)
class Accepted:
    """The root persons who signed it, sorted."""

    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing is pinned, and why."""

    reasons: tuple[Reason, ...]


def of_this_repository(statement: ResetStatement, pinned: Pinned, _keys: Keys, _now: datetime) -> Iterator[Reason]:
    """It is about the repository that is trusted (43)."""
    if statement.repository != pinned.repository:
        text = f"it is about repository {statement.repository}, trusted is {pinned.repository}"
        yield Reason(numbers.OTHER_REPOSITORY, text)


def of_this_installation(statement: ResetStatement, pinned: Pinned, _keys: Keys, _now: datetime) -> Iterator[Reason]:
    """It was printed by this installation, and not by another one that follows the same repository (67)."""
    if statement.installation != pinned.installation:
        yield Reason(numbers.TWO_ENGINES, f"it was printed by another installation, {statement.installation}")


def for_what_is_pinned(statement: ResetStatement, pinned: Pinned, _keys: Keys, _now: datetime) -> Iterator[Reason]:
    """It replaces what is trusted now, so that it counts once and is no replay (22)."""
    if statement.former != pinned.digest:
        text = f"it replaces trust {short(statement.former)}, pinned is {short(pinned.digest)}: it was used already"
        yield Reason(numbers.REPLAYED, text)


def in_time(statement: ResetStatement, _pinned: Pinned, _keys: Keys, now: datetime) -> Iterator[Reason]:
    """It is not older than an hour, nor of a time to come (24)."""
    if now - statement.at > LIVES:
        yield Reason(numbers.TOO_OLD, "it is older than an hour; print it again and sign that one")
    elif statement.at - now > AHEAD:
        yield Reason(numbers.TOO_OLD, "it is of a time that has not come yet")


def signed_by_roots(_statement: ResetStatement, pinned: Pinned, keys: Keys, _now: datetime) -> Iterator[Reason]:
    """Every signature is made by a key that was pinned for exactly one root person (3)."""
    for number, key in enumerate(keys, start=1):
        persons = _persons(pinned.roots, key)
        if not persons:
            yield Reason(numbers.NOT_A_PERSON, f"signature {number} is by no key that is pinned for a root person")
        elif len(persons) > 1:
            text = f"signature {number} is by a key of {' and '.join(persons)}; a key is one person's"
            yield Reason(numbers.NOT_A_PERSON, text)


def by_enough(_statement: ResetStatement, pinned: Pinned, keys: Keys, _now: datetime) -> Iterator[Reason]:
    """More than half of the root persons, at least two, or the only one; two keys of one are one person (2)."""
    persons = {name for name, _, _ in pinned.roots}
    signed, needed = _signed(pinned.roots, keys), needed_of(len(persons))
    if len(signed) < needed:
        who = f"by {', '.join(signed)}" if signed else "by nobody"
        text = f"it needs {needed} of {', '.join(sorted(persons))}, and is signed {who}"
        yield Reason(numbers.SAME_PERSON, text)


Keys = Sequence[str | None]
"""Per signature the pinned key that made it over exactly the statement's bytes, None where none did."""

CONDITIONS: tuple[Callable[[ResetStatement, Pinned, Keys, datetime], Iterable[Reason]], ...] = (
    of_this_repository,
    of_this_installation,
    for_what_is_pinned,
    in_time,
    signed_by_roots,
    by_enough,
)


def judge(statement: ResetStatement, pinned: Pinned, keys: Keys, now: datetime) -> Accepted | Rejected:
    """Accepted where no condition objects."""
    reasons = tuple(r for condition in CONDITIONS for r in condition(statement, pinned, keys, now))
    return Rejected(reasons) if reasons else Accepted(_signed(pinned.roots, keys))


def _persons(roots: Roots, key: str | None) -> list[str]:
    return sorted({name for name, _, pinned in roots if key is not None and key in pinned})


def _signed(roots: Roots, keys: Keys) -> tuple[str, ...]:
    """Each key stands for one person only where it is pinned for one."""
    return tuple(sorted({persons[0] for key in keys if len(persons := _persons(roots, key)) == 1}))
