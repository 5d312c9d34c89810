"""The gate's rule in its shortest form, over what happened. Called by tests.oracle and by the tests of histories.

Written from the page that describes the gate, and sharing nothing with it: no import, no type, no evidence. It is told
every event in the order in which it happened, and by whom, and so needs no proof of anything.
"""

from collections.abc import Sequence

from tests.oracle.events import Event, House

DECISIVE = ("approved", "changes_requested")
MOVES = ("opened", "pushed", "forced", "updated")
ROLES = ("demoted", "promoted")
VOIDS = ("forced", "retargeted", "reopened")


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
    for account in house.people:
        words = [(place, e) for place, e in enumerate(history) if e.by == account and e.kind in DECISIVE]
        roles = [[e.kind for e in history[:n] if e.account == account and e.kind in ROLES][-1:] for n, _ in words]
        if account in readers and all(role == ["demoted"] for role in roles):
            continue  # nobody is demoted out of an objection, and who never might write makes none
        spoilt = {e.review for e in history if e.kind in ("dismissed", "reworded", "deleted")}
        taken_away = False
        for place, word in words:
            last = word.comment or word == [e for _, e in words if not e.comment][-1]
            later = [e for n, e in words if n > place and e.kind == "approved" and e.review not in spoilt]
            if word.kind == "approved" or not last or (word.comment and later):
                continue
            if word.review not in spoilt:
                return f"{account} asks for changes"
            if account not in [e.by for e in history if e.kind == "dismissed" and e.review == word.review]:
                need += 1  # set aside by another: one more has to agree
                taken_away = word.comment
        clicks, orders = ([w for w in words if w[1].comment is form] for form in (False, True))
        if clicks and (clicks[-1][1].kind != "approved" or clicks[-1][1].review in spoilt):
            continue
        if account in readers or taken_away:
            continue
        orders = [(place, e) for place, e in orders if e.kind == "approved" and e.review not in spoilt]
        for place, word in clicks[-1:] + orders[-1:]:
            shown = [e for e in history[:place] if e.kind == "planned" and (word.comment or e.head == word.head)]
            since = history[history.index(shown[-1]) + 1 :] if shown else ()
            edited = [e.kind for e in since if e.kind in ("planned", "edited")][:1] == ["edited"]
            if (
                not any(e.kind in VOIDS for e in history[place:])
                and now <= word.at + house.lives
                and shown
                and not edited
                and [e.kind for e in history[:place] if e.account == account and e.kind in ROLES][-1:] != ["demoted"]
                and (word.comment or shown[-1].at + house.delay <= word.at)
                and (shown[-1].head, shown[-1].base, shown[-1].plan) == (moves[-1].head, base, digest)
                and (not (house.quoted or word.comment) or word.plan == digest)
            ):
                consenting.add(house.people[account])
    return None if len(consenting - barred) >= need else f"{len(consenting - barred)} of {need} approvals count"
