"""What the record on a host means: whether anything may be deployed there, and which revision is the verified one.
Called by control, which reads the record, has its signature checked and asks git.

The database is a cache; what this installation signed on the hosts outlives it. A record that is not ours, or not of
this target, stops everything there (67, 66, 43); one that says another revision than the database is believed, so that
nothing is deployed backwards (39) and nothing is taken for deployed because a database says so (68).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from reconciler.approvals import numbers
from reconciler.approvals.completeness import short
from reconciler.model.approval import Reason
from reconciler.model.host_record import HostRecord
from reconciler.model.target import Target


class SignedBy(StrEnum):
    """Whose signature a record has: ours, that of a former installation whose hosts root persons gave to this one,
    another installation's, or none that fits its bytes.
    """

    US = "us"
    FORMER = "former"
    ANOTHER = "another"
    NOBODY = "nobody"


class Order(StrEnum):
    """Where one revision stands to another one on the deploy branch; APART where neither comes after the other."""

    SAME = "same"
    AFTER = "after"
    BEFORE = "before"
    APART = "apart"


@dataclass(frozen=True, slots=True)
class Found:
    """A record as it was found; `content` is None where the file is no record. `key` is the one that it names."""

    signed_by: SignedBy
    content: HostRecord | None
    key: str


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose record it has to be; `engine_id` is that of the engine which answers there now."""

    target: Target
    repository: int
    engine_id: str


# -- whose record it is ---------------------------------------------------------------------------------------------


def unchanged(found: Found, _expected: Expected) -> Iterator[Reason]:
    """What lies there is a record, and the signature is that of its bytes (68)."""
    if found.content is None:
        yield Reason(numbers.RECORD_CHANGED, "the host's record of it cannot be read")
    elif found.signed_by is SignedBy.NOBODY:
        yield Reason(numbers.RECORD_CHANGED, "the host's record of it was changed: its signature does not fit")


def of_this_installation(found: Found, _expected: Expected) -> Iterator[Reason]:
    """No other control plane deploys there (67)."""
    if found.content is not None and found.signed_by is SignedBy.ANOTHER:
        yield Reason(
            numbers.TWO_ENGINES,
            f"this target belongs to another installation: its record on the host is signed by {found.key}",
        )


def of_this_repository(found: Found, expected: Expected) -> Iterator[Reason]:
    """It was deployed from the repository that is trusted (43)."""
    record = found.content
    if record is not None and record.repository != expected.repository:
        text = f"the host's record of it names repository {record.repository}, trusted is {expected.repository}"
        yield Reason(numbers.OTHER_REPOSITORY, text)


def of_this_engine(found: Found, expected: Expected) -> Iterator[Reason]:
    """It is about this target on this engine, and was not carried there from another one (66)."""
    record = found.content
    if record is None:
        return
    if record.target != expected.target:
        yield Reason(numbers.ANOTHER_ENGINE, f"the host's record is that of {record.target}")
    if record.engine_id != expected.engine_id:
        text = f"the host's record was made for engine {record.engine_id}, and {expected.engine_id} answers now"
        yield Reason(numbers.ANOTHER_ENGINE, text)


BELONGS: tuple[Callable[[Found, Expected], Iterable[Reason]], ...] = (
    unchanged,
    of_this_installation,
    of_this_repository,
    of_this_engine,
)


def foreign(found: Found | None, expected: Expected) -> tuple[Reason, ...]:
    """Why nothing may be deployed beside this record; nothing where it is ours, or where there is none."""
    if found is None:
        return ()
    return tuple(reason for condition in BELONGS for reason in condition(found, expected))


# -- before the first operation -------------------------------------------------------------------------------------


def backwards(record: HostRecord, order: Order, deploying: str) -> Iterator[Reason]:
    """`order` is that of the record's revision to the one that shall be deployed: never an older one (39)."""
    if order is Order.AFTER:
        text = f"the host has {short(record.revision)} verified, which comes after {short(deploying)}"
        yield Reason(numbers.REWIND, text)
    elif order is Order.APART:
        text = f"the host has {short(record.revision)} verified, and {short(deploying)} does not come after it"
        yield Reason(numbers.REWIND, text)


# -- what is verified -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the record's revision stands. `verified` is None where the database knows of none.

    `on_branch`: the deploy branch contains it. `same_inputs`: the environment is made of the same at it and at the
    revision that the database has as verified.
    """

    on_branch: bool
    trusted: Order
    verified: Order | None
    same_inputs: bool


@dataclass(frozen=True, slots=True)
class Agrees:
    """Nothing to learn from it."""


@dataclass(frozen=True, slots=True)
class Believe:
    """Its revision is the verified one, whatever the database says, and why."""

    reason: Reason | None
    why: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing is deployed there."""

    reasons: tuple[Reason, ...]


Meaning = Agrees | Believe | Refuse


def meaning(found: Found | None, expected: Expected, standing: Standing | None) -> Meaning:
    """What a record says of what is verified. `standing` is None where there is no record to read a revision from."""
    refused = foreign(found, expected)
    if refused:
        return Refuse(refused)
    if found is None or found.content is None or standing is None:
        return Agrees()
    record = found.content
    at = short(record.revision)
    if found.signed_by is SignedBy.FORMER:
        if standing.trusted in (Order.SAME, Order.BEFORE):
            return Agrees()  # what root persons pinned is deployed by their word, not by a key that was given up
        text = f"the former installation verified {at} there, which does not come before what root persons pinned"
        return Refuse((Reason(numbers.REWIND, text),))
    if not standing.on_branch or standing.trusted is Order.APART:
        return Refuse((Reason(numbers.REWIND, f"the host has {at} verified, which the deploy branch does not hold"),))
    match standing.verified:
        case None:
            return Believe(None, f"the host's record says that {at} is verified, and the database knows nothing")
        case Order.SAME:
            return Agrees()
        case Order.AFTER:
            text = f"the host's record says that {at} is verified, which is newer than the database"
            return Believe(Reason(numbers.REWIND, text), text)
        case Order.BEFORE if standing.same_inputs:
            return Agrees()  # what landed since did not touch it, and there was nothing to deploy
        case Order.BEFORE:
            text = (
                f"the host's record says that {at} is verified, which is older than the database: the host was "
                "restored from a backup, or the database was changed"
            )
            return Believe(Reason(numbers.RECORD_CHANGED, text), text)
        case Order.APART:
            text = f"the host has {at} verified, and what the database has does not come after it"
            return Refuse((Reason(numbers.REWIND, text),))
