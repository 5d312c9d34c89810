"""Histories of pull requests, played on a forge's state machine: who may never get one through, and what always goes.

The first test bounds the search of `make oracle` so that it takes seconds; the properties go further, at random.
RECONCILER_HISTORIES says how many histories each property looks at, for long runs by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.approvals import decide
from reconciler.approvals.consent import WRITERS
from reconciler.model.approval import Evidence, Gate, Open, Refused, Stale, Waiting
from reconciler.model.pull_request import (
    Account,
    Permission,
    PullRequestCommit,
    Push,
    Review,
    ReviewState,
    TimelineEvent,
    TimelineKind,
)
from tests.oracle.exploration import SEARCHES, Search, answers, explore, said
from tests.oracle.history import Move, State, World, evidence, happen, moment, opened, sha, world
from tests.oracle.rule import shut

HISTORIES = int(os.environ.get("RECONCILER_HISTORIES", "100"))
many = settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))

PEOPLE = {name: name for name in ("author", "reviewer", "second", "operator")} | {"alt": "author"}
OWNERS = {"agent": "operator", "own-agent": "author"}
WORLDS = [
    world(PEOPLE, OWNERS, ("bot",), need=need, quoted=quoted, owner_may=owner_may)
    for need, quoted, owner_may in ((1, False, False), (2, False, False), (1, True, False), (1, False, True))
]
ALONE = ("author", "alt", "own-agent", "bot")
"""The author, what they own, and machines: whatever they do together, nobody else has agreed. The last of the worlds is
for one person and their agents, and asks for nobody else; a bot's own proposal is not the author's.
"""

EVERYBODY = (*PEOPLE, *OWNERS, "bot")
REVIEWS = [ReviewState.APPROVED, ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.COMMENTED]

ONE_SECOND, NOTHING = st.just(1), st.just("")


@dataclass(frozen=True)
class Life:
    """A pull request after each of the moves that were possible."""

    whose: World
    states: tuple[State, ...]

    def __repr__(self) -> str:
        return told(self.states[-1])


def told(state: State) -> str:
    """What happened, one line each."""
    return "\n".join(said(event) for event in state.events)


# -- every short history -------------------------------------------------------------------------------------------

BOUNDS = {"full": 2, "agent's": 2, "early": 2, "late": 2, "words": 4, "plans": 4, "roles": 4}


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.name)
def test_the_gate_says_what_the_rule_says_of_every_short_history(search: Search) -> None:
    found = explore(search.no_deeper(BOUNDS.get(search.name, 3)))
    assert found.disagreements == []
    assert sum(found.states) > 300


# -- histories at random -------------------------------------------------------------------------------------------


PLAN = (Move("plan", "engine"), Move("wait", "time"))


def phrases(actors: Sequence[str]) -> st.SearchStrategy[tuple[Move, ...]]:
    """Anything that these actors, the engine, the hosts and time can do; and what it takes to be approved, at once, or
    hardly a history by chance would ever be.
    """
    by, known, anybody = st.sampled_from(actors), st.sampled_from(EVERYBODY), st.sampled_from((*EVERYBODY, "x"))

    def move(what: str, how: Sequence[str] = ("",), whom: st.SearchStrategy[str] = NOTHING) -> st.SearchStrategy[Move]:
        return st.builds(Move, st.just(what), by, st.sampled_from(how), whom)

    approved = move("review", REVIEWS[:1], st.just("quoting"))
    agreed = st.one_of(
        approved.map(lambda one: (*PLAN, one)), st.tuples(approved, approved).map(lambda two: (*PLAN, *two))
    )
    toggled = [move(what) for what in ("draft", "retarget")]
    return st.one_of(
        agreed,
        agreed,
        agreed,
        one(move("push", ["", "forced", "nobody"])),
        one(move("push", ["unknown"], anybody)),
        one(move("push", ["co-author", "author", "hidden"], known)),
        one(st.one_of([move(what) for what in ("back", "tamper", "rename", "base")])),
        one(st.one_of(move("update"), move("update", ["evil"]))),
        one(move("review", REVIEWS, st.sampled_from(["", "", "old", "quoting"]))),
        one(st.one_of(move("dismiss", whom=known), move("edit", whom=known))),
        one(st.sampled_from([*PLAN, Move("live", "host"), Move("expire", "time")])),
        st.one_of(one(st.one_of(toggled)), st.one_of(toggled).map(lambda there: (there, there)), CLOSED, DEMOTED),
        one(move("merge", ["merge", "squash", "rebase", "queue"], st.sampled_from(["", "", "", "evil"]))),
    )


def one(move: st.SearchStrategy[Move]) -> st.SearchStrategy[tuple[Move, ...]]:
    return move.map(lambda said: (said,))


CLOSED = st.sampled_from([(Move("close", "author"), Move("reopen", "author")), (Move("close", "author"),)])
DEMOTED = st.sampled_from([(Move("demote", "operator", "", name),) * times for name in PEOPLE for times in (1, 2)])


def lives(
    actors: Sequence[str],
    seconds: st.SearchStrategy[int] = ONE_SECOND,
    worlds: Sequence[World] = WORLDS,
    openers: Sequence[str] = (),
) -> st.SearchStrategy[Life]:
    """A pull request of one of the actors, after each of many moves of theirs, in one of the worlds."""

    def played(whose: World, opener: str, chosen: list[tuple[tuple[Move, ...], int]]) -> Life:
        states = [opened(opener)]
        for phrase, lasted in chosen:
            for move in phrase:
                after = happen(states[-1], move, lasted)
                if after is not None:
                    states.append(after)
        return Life(whose, tuple(states))

    chosen = st.lists(st.tuples(phrases(actors), seconds), min_size=8, max_size=30)
    return st.builds(played, st.sampled_from(worlds), st.sampled_from(openers or actors), chosen)


@many
@given(lives(ALONE, st.integers(0, 2), WORLDS[:3], ALONE[:3]))
def test_whatever_the_author_their_accounts_agents_and_bots_do_the_gate_stays_shut(lived: Life) -> None:
    for state in lived.states:
        assert not isinstance(decide(evidence(lived.whose, state), moment(state.now)), Open), told(state)


@many
@given(lives(EVERYBODY))
def test_the_gate_says_what_the_rule_says_of_long_histories(lived: Life) -> None:
    for state in lived.states:
        why, answer = answers(lived.whose, state)
        assert (why is None) == isinstance(answer, Open), (told(state), why, answer)


@many
@given(lives(EVERYBODY, st.integers(0, 1)))
def test_what_happens_within_one_second_never_opens_what_the_rule_keeps_shut(lived: Life) -> None:
    for state in lived.states:
        why, answer = answers(lived.whose, state)
        assert why is None or not isinstance(answer, Open), (told(state), why)


SHOWN_TWICE = (
    Move("plan", "engine"), Move("wait", "time"), Move("live", "host"), Move("plan", "engine"), Move("live", "host"),
    Move("plan", "engine"), Move("live", "host"), Move("wait", "time"), Move("tick", "time"),
    Move("review", "reviewer", ReviewState.APPROVED),
)  # fmt: skip


def test_of_two_plans_shown_within_one_second_the_reviewer_saw_the_second() -> None:
    state = opened("author")
    for move in SHOWN_TWICE:
        state = happen(state, move, 0) or state
    why, answer = answers(WORLDS[0], state)
    assert (why, isinstance(answer, Open)) == ("0 of 1 approvals count", False)


OBJECTS, TAKEN = Move("review", "second", ReviewState.CHANGES_REQUESTED), Move("demote", "operator", "", "second")
AGREES = Move("review", "reviewer", ReviewState.APPROVED)


@pytest.mark.parametrize(
    ("moves", "why"),
    [
        ((OBJECTS, TAKEN, AGREES), "second asks for changes"),
        ((AGREES, OBJECTS, TAKEN), "second asks for changes"),
        ((OBJECTS, TAKEN, Move("dismiss", "author", "", "second"), AGREES), "1 of 2 approvals count"),
        ((TAKEN, OBJECTS, AGREES), None),
        ((OBJECTS, AGREES, TAKEN, Move("review", "second", ReviewState.APPROVED)), None),
    ],
    ids=["before the approval", "after it", "and dismissed", "heard from a reader", "answered by who was demoted"],
)
def test_nobody_is_demoted_out_of_an_objection(moves: tuple[Move, ...], why: str | None) -> None:
    state = opened("author")
    for move in (*PLAN, *moves):
        state = happen(state, move) or state
    said, answer = answers(WORLDS[0], state)
    assert (said, isinstance(answer, Open)) == (why, why is None)


def test_an_objection_whose_givers_role_was_not_known_stands_as_well() -> None:
    """No answer about a role is none that takes an objection away, neither now nor when it was heard first."""
    state = opened("author")
    for move in (*PLAN, OBJECTS, TAKEN, AGREES):
        state = happen(state, move) or state
    whole = evidence(WORLDS[0], state)
    unsaid = tuple(
        replace(seen, role=None) if seen.state is ReviewState.CHANGES_REQUESTED else seen for seen in whole.first_seen
    )
    assert isinstance(decide(replace(whole, first_seen=unsaid), moment(state.now)), Waiting)


# -- an honest day -------------------------------------------------------------------------------------------------

FIRST_VERSIONS: list[tuple[Move, ...]] = [
    (),
    (*PLAN, Move("review", "reviewer", ReviewState.CHANGES_REQUESTED), Move("push", "{opener}")),
    (*PLAN, Move("review", "reviewer", ReviewState.CHANGES_REQUESTED), Move("push", "{opener}", "forced")),
    (*PLAN, Move("review", "reviewer", ReviewState.APPROVED), Move("push", "{opener}"),
     Move("dismiss", "{opener}", "", "reviewer")),
    (*PLAN, Move("review", "second", ReviewState.APPROVED), Move("push", "{opener}"),
     Move("dismiss", "{opener}", "", "second")),
    (*PLAN, Move("review", "second", ReviewState.CHANGES_REQUESTED), Move("dismiss", "second", "", "second")),
    (*PLAN, Move("close", "{opener}"), Move("reopen", "{opener}")),
    (Move("retarget", "{opener}"), Move("retarget", "{opener}")),
    (Move("draft", "{opener}"), Move("push", "{opener}"), Move("draft", "{opener}")),
    (Move("push", "second", "co-author", "operator"),),
    (Move("push", "{opener}", "co-author", "second"), *PLAN, Move("review", "second", ReviewState.APPROVED)),
    (*PLAN, Move("tamper", "second")),
]  # fmt: skip
BY_THE_WAY = [
    Move("review", "second", ReviewState.COMMENTED), Move("review", "alt", ReviewState.COMMENTED),
    Move("base", "second"), Move("rename", "reviewer"), Move("rename", "author"),
    Move("edit", "reviewer", "", "reviewer"), Move("wait", "time"),
    Move("review", "agent", ReviewState.APPROVED), Move("review", "author", ReviewState.APPROVED),
    Move("demote", "operator", "", "second"),
]  # fmt: skip
"""What happens beside, at any time, and changes nothing."""

WAYS = [("second", "merge"), ("author", "squash"), ("reviewer", "rebase"), ("bot", "squash"), ("author", "queue")]


@st.composite
def honest_days(draw: st.DrawFn) -> Iterator[tuple[World, str, list[Move]]]:
    """An opener and moves: versions that were not it yet, then one that the reviewer approves and somebody merges."""
    opener = draw(st.sampled_from(["author", "own-agent", "agent", "alt"]))
    days = [move for version in draw(st.lists(st.sampled_from(FIRST_VERSIONS), max_size=3)) for move in version]
    days += draw(st.sampled_from([(), (Move("update", "reviewer"),), (Move("live", "host"),)]))
    days += [*PLAN, Move("review", "reviewer", ReviewState.APPROVED, "quoting")]
    by, how = draw(st.sampled_from(WAYS))
    days.append(Move("merge", by, how))
    for _ in range(draw(st.integers(0, 4))):
        days.insert(draw(st.integers(0, len(days))), draw(st.sampled_from(BY_THE_WAY)))
    whose = draw(st.sampled_from([WORLDS[0], WORLDS[2], WORLDS[3]]))
    return whose, opener, [move._replace(by=move.by.format(opener=opener)) for move in days]


@many
@given(honest_days())
def test_every_honest_day_ends_with_an_open_gate(day: tuple[World, str, list[Move]]) -> None:
    whose, opener, chosen = day
    state = opened(opener)
    for move in chosen:
        state = happen(state, move) or state
    why, answer = answers(whose, state)
    assert isinstance(answer, Open), (told(state), answer)
    assert why is None


# -- the evidence itself -------------------------------------------------------------------------------------------


def with_less(whose: World, state: State, whole: Evidence) -> Iterator[Evidence]:
    """The evidence with one contributor, objection, event, doubt or missing answer more."""
    reading, now = whole.reading, moment(state.now)
    longer = replace(reading.pull_request, commit_count=len(reading.commits) + 1)
    for account in (*whose.accounts.values(), None):
        extra = PullRequestCommit("e" * 40, (sha(0),), account, account, "extra@example.test", "extra@example.test", ())
        yield replace(
            whole, reading=replace(reading, commits=(extra, *reading.commits), pull_request=longer, again=longer)
        )
        push = Push(account, sha(0), "e" * 40, now)
        yield replace(whole, reading=replace(reading, pushes=(push, *reading.pushes)))
        objection = Review(90, account, ReviewState.CHANGES_REQUESTED, sha(state.head), now, "")
        yield replace(whole, reading=replace(reading, reviews=(*reading.reviews, objection)))
    for kind in (TimelineKind.HEAD_FORCE_PUSHED, TimelineKind.BASE_CHANGED, TimelineKind.REOPENED):
        event = TimelineEvent(kind, None, now)
        yield replace(whole, reading=replace(reading, timeline=(*reading.timeline, event)))
    for place, permission in enumerate(reading.permissions):
        others = reading.permissions[:place] + reading.permissions[place + 1 :]
        yield replace(whole, reading=replace(reading, permissions=others))
        said = {r.state for r in reading.reviews if r.account is not None and r.account.id == permission.account}
        heard = {seen.account for seen in whole.first_seen if seen.role in WRITERS}
        if permission.account in heard or said <= {ReviewState.APPROVED, ReviewState.COMMENTED}:
            # of an objection that was heard from a writer nobody is demoted; of one that counts since a promotion, yes
            yield replace(
                whole, reading=replace(reading, permissions=(*others, Permission(permission.account, "read")))
            )
        yield replace(
            whole,
            reading=replace(reading, permissions=(*reading.permissions, Permission(permission.account, "triage"))),
        )
    for place, plan in enumerate(whole.posted):
        edited = replace(plan, edited_by_others=True)
        yield replace(whole, posted=(*whole.posted[:place], edited, *whole.posted[place + 1 :]))
    for lacking in (
        {"complete": False},
        {"gaps": ("a page",)},
        {"remote_head": None},
        {"remote_base": None},
        {"raw_digests": ()},
    ):
        yield replace(whole, reading=replace(reading, **lacking))
    for closed in (
        {"holds": ("suspended",)},
        {"policy_readable": False},
        {"rule_sets": ()},
        {"posted": ()},
        {"plans": ()},
    ):
        yield replace(whole, **closed)
    yield (
        replace(whole, first_seen=tuple(replace(seen, role="read") for seen in whole.first_seen))
        if whole.first_seen
        else whole
    )


@many
@given(lives(EVERYBODY))
def test_evidence_that_only_takes_approvers_away_never_opens_the_gate(lived: Life) -> None:
    for state in lived.states[-2:]:
        whole, now = evidence(lived.whose, state), moment(state.now)
        if not isinstance(decide(whole, now), Open):
            assert not [less for less in with_less(lived.whose, state, whole) if isinstance(decide(less, now), Open)]


def shuffled(whole: Evidence, chance: Random) -> Evidence:
    """As the forge could have answered as well: only what one account reviewed keeps its order among itself."""

    def mixed(values: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(chance.sample(values, len(values)))

    reading = whole.reading
    queues = {review.account: [r for r in reading.reviews if r.account == review.account] for review in reading.reviews}
    turns = mixed(tuple(review.account for review in reading.reviews))
    other = replace(
        reading,
        reviews=tuple(queues[account].pop(0) for account in turns if isinstance(account, Account)),
        commits=mixed(reading.commits),
        timeline=mixed(reading.timeline),
        permissions=mixed(reading.permissions),
        pushes=mixed(reading.pushes),
        raw_digests=mixed(reading.raw_digests),
    )
    return replace(whole, reading=other, posted=mixed(whole.posted), first_seen=mixed(whole.first_seen))


def content(answer: Gate) -> tuple[object, ...]:
    """An answer without its reasons: whoever shaped a change in two ways is named for the one that was read first,
    and a person who approved with two accounts for one of them.
    """
    match answer:
        case Open(approvals, digests, head, _):
            return {given.person for given in approvals}, digests, head
        case Waiting(missing, _):
            return Waiting, set(missing)
        case Stale(_) | Refused(_):
            return (type(answer),)


@many
@given(lives(EVERYBODY), st.integers(0, 2**32))
def test_the_order_in_which_the_forges_pages_arrive_does_not_matter(lived: Life, seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    for state in lived.states[-3:]:
        whole, now = evidence(lived.whose, state), moment(state.now)
        assert content(decide(shuffled(whole, chance), now)) == content(decide(whole, now))


def test_the_properties_would_be_noticed_if_the_gate_were_open() -> None:
    """A history of everybody does open the gate, and one of the author alone is kept shut by the rule as well."""
    state = opened("author")
    for move in (*PLAN, Move("review", "alt", ReviewState.APPROVED), Move("review", "reviewer", ReviewState.APPROVED)):
        before, state = state, happen(state, move) or state
    assert isinstance(answers(WORLDS[0], state)[1], Open)
    assert shut(WORLDS[0].house, before.events, before.now) == "0 of 1 approvals count"
