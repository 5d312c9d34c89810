"""Every history of a pull request up to a depth, and whether the oracle and the gate say the same of each.

Breadth first, so that the first history on which they disagree is the shortest. Called by `python -m tests.oracle` and,
with small bounds, by the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import TypeVar

from reconciler.approvals import decide
from reconciler.model.approval import Gate, Open
from tests.oracle.history import Move, State, World, canonical, evidence, happen, history, moment, world
from tests.oracle.rule import Event, shut

T = TypeVar("T")

FOUR = world({"author": "author", "alt": "author", "reviewer": "reviewer"}, {"agent": "author"})
"""Author, the author's second account, their agent, and the one reviewer that there is."""

SEVEN_PEOPLE = {name: name for name in ("author", "reviewer", "second", "operator")} | {"alt": "author"}
SEVEN_AGENTS = {"agent": "operator"}


def moves(text: str) -> tuple[Move, ...]:
    """One move for each line: what by how whom, `-` for what is not said."""
    lines = [line.split() for line in text.strip().splitlines()]
    return tuple(Move(*("" if word == "-" else word for word in line)) for line in lines)


FULL = moves("""
    push author
    push agent
    push reviewer
    push alt
    push author co-author reviewer
    push author author reviewer
    push reviewer author author
    push reviewer hidden author
    push author unknown x
    push agent nobody
    push author forced
    push reviewer forced
    back author
    back reviewer
    update author
    update reviewer
    update reviewer evil
    review author APPROVED
    review agent APPROVED
    review alt APPROVED
    review reviewer APPROVED
    review reviewer APPROVED old
    review reviewer CHANGES_REQUESTED
    review alt CHANGES_REQUESTED
    review agent CHANGES_REQUESTED
    review reviewer COMMENTED
    dismiss reviewer - reviewer
    dismiss author - reviewer
    dismiss author - alt
    dismiss alt - alt
    edit author - reviewer
    plan engine
    tamper author
    live host
    retarget author
    close author
    reopen author
    draft author
    base second
    merge author merge
    merge author squash
    merge author rebase
    merge author queue
    merge agent squash
    merge reviewer merge
    merge author merge evil
    merge author squash evil
    rename reviewer
    demote operator - reviewer
    suspend operator
    wait
    expire
""")
"""Everything that four actors, the engine, the hosts and time can do."""

HEADS = moves("""
    push author
    push reviewer author author
    push reviewer hidden author
    push author forced
    back author
    update reviewer
    review reviewer APPROVED
    plan engine
    wait
    merge author squash
""")
"""Ten core events: what may lie under an approval."""

WORDS = moves("""
    review reviewer APPROVED
    review reviewer CHANGES_REQUESTED
    review alt CHANGES_REQUESTED
    dismiss author - reviewer
    dismiss alt - alt
    retarget author
    close author
    reopen author
    plan engine
    wait
""")
"""Ten others: what is said, and where it goes."""

PLANS = moves("""
    review reviewer APPROVED
    review alt APPROVED
    live host
    plan engine
    tamper author
    wait
    expire
    retarget author
    demote operator - reviewer
    merge agent squash
""")
"""And ten more: what was shown, for how long, and to whom."""

PLANNED = moves("plan engine\nwait")
APPROVED = (*PLANNED, *moves("review reviewer APPROVED"))


@dataclass(frozen=True, slots=True)
class Search:
    """From some beginnings, every sequence of moves of an alphabet up to a depth, in one world."""

    name: str
    world: World
    alphabet: tuple[Move, ...]
    depth: int
    roots: tuple[State, ...]

    def no_deeper(self, depth: int) -> Search:
        return replace(self, depth=min(self.depth, depth))


def roots(whose: World, openers: Sequence[str], *before: tuple[Move, ...]) -> tuple[State, ...]:
    """The states after each of some beginnings, for each opener."""
    return tuple(history(whose, opener, moves) for opener in openers for moves in before)


QUOTED = world({"author": "author", "alt": "author", "reviewer": "reviewer"}, {"agent": "author"}, quoted=True)
OWNERS = world({"author": "author", "alt": "author", "reviewer": "reviewer"}, {"agent": "author"}, owner_may=True)
QUOTING = (*PLANS[:-1], *moves("review reviewer APPROVED quoting"))

SEARCHES = (
    Search("full", FOUR, FULL, 4, roots(FOUR, ("author", "agent"), (), PLANNED, APPROVED)),
    Search("heads", FOUR, HEADS, 6, roots(FOUR, ("author", "agent"), ())),
    Search("words", FOUR, WORDS, 6, roots(FOUR, ("author",), (), PLANNED)),
    Search("plans", FOUR, PLANS, 6, roots(FOUR, ("author", "agent"), ())),
    Search("quoted", QUOTED, QUOTING, 5, roots(QUOTED, ("author",), ())),
    Search("owner may", OWNERS, PLANS, 5, roots(OWNERS, ("author", "agent"), ())),
)
"""All that `make oracle` looks at."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A history on which the two do not say the same; `oracle` is why not, None for yes."""

    search: str
    events: tuple[str, ...]
    oracle: str | None
    gate: Gate


@dataclass(slots=True)
class Found:
    """What one search has seen: states and open ones at each depth."""

    states: list[int] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    moves: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)


def answers(whose: World, state: State) -> tuple[str | None, Gate]:
    """Why not by the oracle, and what the gate says, a second after the last event."""
    return shut(whose.house, state.events, state.now), decide(evidence(whose, state), moment(state.now))


def agree(why: str | None, gate: Gate) -> bool:
    """Whether both say yes or both say no; why not is for each to say in its own words."""
    return (why is None) == isinstance(gate, Open)


@dataclass(slots=True)
class Level:
    """The states of one depth. Processes that are forked while it stands in LEVEL see it without being sent it."""

    search: Search
    states: list[State]


LEVEL: list[Level] = []
PIECE = 400


def judged(start: int) -> tuple[int, list[int]]:
    """Of a piece of the level: how many are open by the gate, and the places where the two disagree."""
    level = LEVEL[-1]
    opened, wrong = 0, []
    for place, state in enumerate(level.states[start : start + PIECE], start):
        why, gate = answers(level.search.world, state)
        opened += isinstance(gate, Open)
        if not agree(why, gate):
            wrong.append(place)
    return opened, wrong


def followed(start: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Of a piece of the level: how many moves are possible, and what they lead to (key, state, move), each once."""
    level = LEVEL[-1]
    possible, new = 0, dict[int, tuple[int, int]]()
    for place, state in enumerate(level.states[start : start + PIECE], start):
        for number, move in enumerate(level.search.alphabet):
            after = happen(state, move)
            if after is not None:
                possible += 1
                new.setdefault(hash(canonical(after)), (place, number))
    return possible, [(key, *value) for key, value in new.items()]


def each(work: Callable[[int], T], processes: int) -> Iterator[T]:
    """Some work on every piece of the level, in order."""
    starts = range(0, len(LEVEL[-1].states), PIECE)
    if processes == 1 or len(starts) < 2:
        yield from map(work, starts)
        return
    with get_context("fork").Pool(processes) as pool:
        yield from pool.imap(work, starts)


def explore(search: Search, processes: int = 1, most: int = 10) -> Found:
    """Run one search. It ends at the depth at which the two disagree, with at most `most` of the disagreements."""
    found = Found()
    first = {hash(canonical(state)): state for state in search.roots}
    seen, states = set(first), list(first.values())
    for depth in range(search.depth + 1):
        LEVEL.append(Level(search, states))
        found.states.append(len(states))
        found.opened.append(0)
        for opened, wrong in each(judged, processes):
            found.opened[-1] += opened
            found.disagreements += [disagreement(search, states[place]) for place in wrong]
        if found.disagreements or depth == search.depth:
            LEVEL.pop()
            break
        following = []
        for possible, new in each(followed, processes):
            found.moves += possible
            for key, place, number in new:
                if key not in seen:
                    seen.add(key)
                    following.append((place, number))
        LEVEL.pop()
        states = [after for place, n in following if (after := happen(states[place], search.alphabet[n])) is not None]
    found.disagreements = found.disagreements[:most]
    return found


def disagreement(search: Search, state: State) -> Disagreement:
    why, gate = answers(search.world, state)
    return Disagreement(search.name, tuple(said(event) for event in state.events), why, gate)


def said(event: Event) -> str:
    """An event as one line."""
    commit = f" {event.head[:7]}" if event.head else ""
    more = f" {event.base or event.account}{' review ' + str(event.review) if event.review else ''}".rstrip()
    plan = f" plan {event.plan[:7]}" if event.plan else ""
    return f"{event.at:>4} s  {event.by}: {event.kind}{commit}{more}{plan}{'' if event.clean else ' (evil)'}"
