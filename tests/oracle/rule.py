"""The gate's rule in its shortest form, over what happened. Called by tests.oracle and by the tests of histories.

Written from the page that describes the gate, and sharing nothing with it: no import, no type, no evidence. It is told
every event in the order in which it happened, and by whom, and so needs no proof of anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DECISIVE = ("approved", "changes_requested")
MOVES = ("opened", "pushed", "forced", "updated")
ROLES = ("demoted", "promoted")
VOIDS = ("forced", "retargeted", "reopened")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to the pull request, at a second of the forge's clock, by an account."""

    at: int
    kind: str
    by: str
    head: str = ""  # the head after a move, the commit that a review is on, the head that a plan is for
    base: str = ""  # the base after opening or retargeting, the base that a plan is for
    names: tuple[str, ...] = ()  # of a move: whom the commits up to this head name, "?…" for nobody we know
    updates: tuple[str, ...] = ()  # of a move: those heads up to this one that only brought the base in
    review: int = 0  # of a review, and of its dismissal
    plan: str = ""  # the digest that is shown, or that the live state asks for, or that a review quotes
    clean: bool = True  # of an update or a merge: the tree is the merge of the two sides, and no more
    account: str = ""  # whose role was changed


@dataclass(frozen=True, slots=True)
class House:
    """Who is who, and what this environment asks for."""

    people: Mapping[str, str]  # account: person, for the persons of the group that is asked for
    owners: Mapping[str, str]  # agent's account: the person who owns it
    need: int = 1
    quoted: bool = False
    owner_may: bool = False
    branch: str = "main"
    delay: int = 30
    lives: int = 72 * 3600


def shut(house: House, history: Sequence[Event], now: int) -> str | None:
    """Why this must not be deployed now; None when it may."""
    moves = [event for event in history if event.kind in MOVES]
    status, draft, suspended, readers, base, digest = moves[0], False, False, set[str](), "", ""
    for event in history:
        status = event if event.kind in ("closed", "reopened", "merged") else status
        draft = event.kind == "drafted" or (draft and event.kind != "readied")
        suspended = event.kind == "suspended" or (suspended and event.kind != "resumed")
        readers = readers - {event.account} if event.kind == "promoted" else readers
        readers = readers | {event.account} if event.kind == "demoted" else readers
        base = event.base if event.kind in ("opened", "retargeted") else base
        digest = event.plan if event.kind in ("opened", "changed") else digest
    if status.kind == "closed" or (draft and status.kind != "merged") or suspended:
        return "closed, a draft, or suspended"
    if base != house.branch:
        return "another base"
    if status.kind == "merged" and (status.by in house.owners or not status.clean):
        return "merged by an agent, or with other content than was proposed"
    shapers = {m.by for m in moves if m.kind != "updated" or m.head not in moves[-1].updates} | set(moves[-1].names)
    barred = {house.people[name] for name in shapers if name in house.people}
    barred |= {house.owners[name] for name in shapers if name in house.owners and not house.owner_may}
    need, consenting = house.need + sum(name.startswith("?") for name in shapers), set[str]()
    for account in house.people.keys() - readers:
        said = [(place, e) for place, e in enumerate(history) if e.by == account and e.kind in DECISIVE]
        if not said:
            continue
        place, review = said[-1]
        taken_back = [e.by for e in history if e.kind == "dismissed" and e.review == review.review]
        if review.kind == "changes_requested" and not taken_back:
            return f"{account} asks for changes"
        if review.kind == "changes_requested" and account not in taken_back:
            need += 1  # set aside by another: one more has to agree
        shown = [e for e in history[:place] if e.kind == "planned" and e.head == review.head]
        since = history[history.index(shown[-1]) + 1 :] if shown else ()
        edited = [e.kind for e in since if e.kind in ("planned", "edited")][:1] == ["edited"]
        if (
            review.kind == "approved"
            and not taken_back
            and review.head == moves[-1].head
            and not any(e.kind in VOIDS for e in history[place:])
            and now <= review.at + house.lives
            and shown
            and not edited
            and [e.kind for e in history[:place] if e.account == account and e.kind in ROLES][-1:] != ["demoted"]
            and shown[-1].at + house.delay <= review.at
            and (shown[-1].base, shown[-1].plan) == (base, digest)
            and (not house.quoted or review.plan == digest)
        ):
            consenting.add(house.people[account])
    return None if len(consenting - barred) >= need else f"{len(consenting - barred)} of {need} approvals count"
