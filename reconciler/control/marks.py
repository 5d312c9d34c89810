"""What an environment is marked with since somebody broke its glass, as the record of the environment keeps it.

Read by whatever moves or shows an environment; the ledger has the same, and more, for whoever audits it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

HOLD = "BrokenGlass"
KEY = "broken_glass"


@dataclass(frozen=True, slots=True)
class Break:
    """One time that the glass was broken: what was deployed past the gate, by whom and why.

    `plans` are digests by target, `since` and `review_by` ISO times (`review_by` is None where two persons signed, or
    when it was reviewed), `statement` the SHA-256 of what was signed, `groups` those that a reviewer has to be of.
    `reproduced` says that git has caught up: only the review is then still due.
    """

    deployment: str
    revision: str
    plans: Mapping[str, str]
    by: tuple[str, ...]
    reason: str
    ticket: str
    since: str
    statement: str
    review_by: str | None
    groups: tuple[str, ...] = ()
    reproduced: bool = False

    @property
    def over(self) -> bool:
        """Reproduced and reviewed: nothing is left to be said of it."""
        return self.reproduced and self.review_by is None

    def overdue(self, now: datetime) -> bool:
        """Whether the review did not come in time."""
        return self.review_by is not None and now > datetime.fromisoformat(self.review_by)


def of(detail: Mapping[str, Any]) -> tuple[Break, ...]:
    """The marks in the detail of an environment's record, oldest first."""
    return tuple(read(each) for each in detail.get(KEY) or () if each is not None)


def detail_with(detail: Mapping[str, Any], breaks: Iterable[Break]) -> dict[str, Any]:
    """The detail with these marks; those that are over are left out."""
    left = [written(each) for each in breaks if not each.over]
    return {**detail, KEY: left or None}


def written(one: Break) -> dict[str, Any]:
    """A mark as JSON values, for the record and for the ledger."""
    return asdict(one) | {"by": list(one.by), "groups": list(one.groups)}


def read(said: Mapping[str, Any]) -> Break:
    """What `written` made."""
    return Break(**{**said, "by": tuple(said["by"]), "groups": tuple(said["groups"])})


def live(detail: Mapping[str, Any]) -> tuple[Break, ...]:
    """Those whose state still runs and is in git nowhere: nothing heals it or deploys over it unseen."""
    return tuple(each for each in of(detail) if not each.reproduced)


def text(breaks: Iterable[Break], now: datetime | None) -> str:
    """What the mark says, in one line; `now` tells whether a review is overdue."""
    return "; ".join(_sentence(each, now) for each in breaks)


def _sentence(each: Break, now: datetime | None) -> str:
    late = now is not None and each.overdue(now)
    review = f", review {'was' if late else 'is'} due until {each.review_by}" if each.review_by is not None else ""
    state = "reproduced by git" if each.reproduced else "until a pull request reproduces what runs"
    who = f"glass broken by {' and '.join(each.by)} at {each.since} ({each.ticket}: {each.reason})"
    return f"{'overdue: ' if late else ''}{who}, {each.revision[:12]} as {each.deployment}, {state}{review}"
