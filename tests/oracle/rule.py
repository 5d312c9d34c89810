"""The gate's rule in its shortest form, over what happened; used by `python -m tests.oracle` and the tests of histories.

Written from the page that describes the gate, before its code was read, and sharing nothing with it: no import, no type, no
evidence. It is told every event in the order in which it happened, and by whom, and so needs no proof of anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DECISIVE = ("approved", "changes_requested")
MOVES = ("opened", "pushed", "forced", "updated")
VOIDS = ("forced", "retargeted", "reopened")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to the pull request, at a second of the forge's clock, by an account."""

    at: int
    kind: str
    by: str
    head: str = ""  # the head after a move, the commit that a review is on, the head that a plan is for
    base: str = ""  # the base after opening or retargeting, the base that a plan is for
    names: tuple[str, ...] = ()  # of a move: the accounts, or "unknown", that the commits up to this head name
    review: int = 0  # of a review and its dismissal: the same number
    plan: str = ""  # of a plan that was posted, or of the live state that changed: the digest
    clean: bool = True  # of an update or a merge: the tree is the merge of the two sides, and no more


@dataclass(frozen=True, slots=True)
class House:
    """Who is who, and what this environment asks for."""

    people: Mapping[
        str, str
    ]  # account: person, for registered accounts of persons who are in the group that is asked for
    owners: Mapping[str, str]  # agent's account: the person who owns it
    may_write: frozenset[str]  # accounts
    branch: str = "main"
    need: int = 1
    delay: int = 30
    lives: int = 72 * 3600
    owner_may: bool = False
    bots: frozenset[str] = field(default=frozenset())


def shut(house: House, history: Sequence[Event], now: int) -> str | None:
    """Why this must not be deployed now; None when it may."""
    moves = [event for event in history if event.kind in MOVES]
    head, base, digest = moves[-1].head, "", ""
    status, draft, merge = "open", False, None
    for event in history:
        base = event.base if event.kind in ("opened", "retargeted") else base
        digest = event.plan if event.kind in ("opened", "changed") else digest
        draft = event.kind == "drafted" or (draft and event.kind != "readied")
        if event.kind in ("closed", "reopened", "merged"):
            status, merge = event.kind, event if event.kind == "merged" else None
    if status == "closed" or draft:
        return "closed or a draft"
    if base != house.branch:
        return "another base"
    if merge and (merge.by not in house.people or not merge.clean):
        return "landed by no person, or with other content than was proposed"
    shown = [event for event in history if event.kind in ("planned", "edited")]
    if (
        not shown
        or shown[-1].kind == "edited"
        or (shown[-1].head, shown[-1].base, shown[-1].plan) != (head, base, digest)
    ):
        return "no plan is shown for this head, base and live state"
    shapers = {event.by for event in moves if event.kind != "updated" or not event.clean} | set(moves[-1].names)
    barred = {house.people[name] for name in shapers if name in house.people}
    barred |= {house.owners[name] for name in shapers if name in house.owners and not house.owner_may}
    need, consenting = house.need + ("unknown" in shapers), set[str]()
    for account in {event.by for event in history if event.kind in DECISIVE}:
        place, review = [(n, e) for n, e in enumerate(history) if e.by == account and e.kind in DECISIVE][-1]
        dismissals = [event for event in history if event.kind == "dismissed" and event.review == review.review]
        if review.kind == "changes_requested" and not dismissals:
            return f"{account} asks for changes"
        if review.kind == "changes_requested" and dismissals[-1].by != account:
            need += 1  # another one's objection was set aside
        voided = dismissals or any(event.kind in VOIDS for event in history[place:])
        timely = review.at >= shown[-1].at + house.delay and now <= review.at + house.lives
        known = account in house.people and account in house.may_write
        if review.kind == "approved" and review.head == head and timely and not voided and known:
            consenting.add(house.people[account])
    consenting -= barred
    return None if len(consenting) >= need else f"{len(consenting)} of {need} approvals count"
