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
from tests.oracle.events import Event
from tests.oracle.history import STEP, Move, State, World, canonical, evidence, happen, history, moment, world
from tests.oracle.rule import shut

T = TypeVar("T")

FOUR = world({"author": "author", "alt": "author", "reviewer": "reviewer"}, {"agent": "author"})
"""Author, the author's second account, their agent, and the one reviewer that there is."""


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

HANDS = moves("""
    push author co-author reviewer
    push author author reviewer
    push author unknown x
    push agent nobody
    push alt
    update reviewer evil
    review reviewer APPROVED
    review alt APPROVED
    plan engine
    wait
""")
"""Ten others: whose hands were in it."""

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
    seconds: int = STEP  # that an event takes; 0 when only ticks and waits let time pass

    def follow(self, state: State, move: Move) -> State | None:
        return happen(state, move, self.seconds)

    def agree(self, why: str | None, gate: Gate) -> bool:
        """Whether both say yes or both say no. Within one second a forge does not tell what came first, and then the
        gate may keep shut what the rule, which was told, would open.
        """
        return why is None if isinstance(gate, Open) else why is not None or not self.seconds

    def no_deeper(self, depth: int) -> Search:
        return replace(self, depth=min(self.depth, depth))


def roots(whose: World, openers: Sequence[str], *before: tuple[Move, ...]) -> tuple[State, ...]:
    """The states after each of some beginnings, for each opener."""
    return tuple(history(whose, opener, moves) for opener in openers for moves in before)


QUOTED = world({"author": "author", "alt": "author", "reviewer": "reviewer"}, {"agent": "author"}, quoted=True)
OWNERS = world({"author": "author", "alt": "author", "reviewer": "reviewer"}, {"agent": "author"}, owner_may=True)
COMMENTS = moves("""
    say reviewer approve
    say reviewer reject
    say reviewer hello
    say alt reject
    say alt hello
    reword author - alt
    unsay author - alt
    unsay agent - reviewer
    review reviewer APPROVED
    review alt APPROVED
    plan engine
    wait
""")
"""What is said in comments, by whom, and what others make of it."""

FIVE = world({name: name for name in ("author", "reviewer", "second")}, {"agent": "author"})
"""One more who may object, so that there is still somebody to approve."""

ROLES = moves("""
    review reviewer APPROVED
    review second CHANGES_REQUESTED
    review second APPROVED
    review second COMMENTED
    demote operator - second
    demote operator - reviewer
    dismiss author - second
    dismiss second - second
    plan engine
    wait
""")
"""Ten others: who may say it, and when."""

SECOND = (
    *WORDS[:4],
    *PLANS[2:6],
    *moves("retarget author\npush author forced\nback author\nclose author\nreopen author\ntick"),
)
QUOTING = (*PLANS[:-1], *moves("review reviewer APPROVED quoting"))

SEARCHES = (
    Search("full", FOUR, FULL, 4, roots(FOUR, ("author",), PLANNED)),
    Search("agent's", FOUR, FULL, 3, roots(FOUR, ("agent",), PLANNED)),
    Search("early", FOUR, FULL, 3, roots(FOUR, ("author", "agent"), ())),
    Search("late", FOUR, FULL, 3, roots(FOUR, ("author", "agent"), APPROVED)),
    Search("heads", FOUR, HEADS, 6, roots(FOUR, ("author", "agent"), ())),
    Search("hands", FOUR, HANDS, 5, roots(FOUR, ("author",), ())),
    Search("words", FOUR, WORDS, 6, roots(FOUR, ("author",), (), PLANNED)),
    Search("roles", FIVE, ROLES, 6, roots(FIVE, ("author",), PLANNED)),
    Search("plans", FOUR, PLANS, 6, roots(FOUR, ("author", "agent"), ())),
    Search("comments", FOUR, COMMENTS, 5, roots(FOUR, ("author", "agent"), PLANNED)),
    Search("quoted", QUOTED, QUOTING, 5, roots(QUOTED, ("author",), ())),
    Search("one second", FOUR, SECOND, 5, roots(FOUR, ("author",), (), PLANNED), seconds=0),
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


@dataclass(slots=True)
class Level:
    """The states of one depth, as steps from those before. Processes forked while it stands in LEVEL see it as it is.

    A step is the place of the state before times STEPS, plus the number of the move; the first level has none.
    """

    search: Search
    states: list[State]
    steps: list[int] | None

    def __len__(self) -> int:
        return len(self.states if self.steps is None else self.steps)

    def state(self, place: int) -> State:
        if self.steps is None:
            return self.states[place]
        before, move = divmod(self.steps[place], STEPS)
        after = self.search.follow(self.states[before], self.search.alphabet[move])
        if after is None:
            raise AssertionError("a move that was possible is so no more")
        return after


LEVEL: list[Level] = []
PIECE, STEPS = 400, 100


def piece(start: int) -> Iterator[tuple[int, State]]:
    """Some states of the level, with their places."""
    level = LEVEL[-1]
    return ((place, level.state(place)) for place in range(start, min(start + PIECE, len(level))))


def judged(start: int) -> tuple[int, list[int]]:
    """Of a piece of the level: how many are open by the gate, and the places where the two disagree."""
    opened, wrong = 0, []
    for place, state in piece(start):
        why, gate = answers(LEVEL[-1].search.world, state)
        opened += isinstance(gate, Open)
        if not LEVEL[-1].search.agree(why, gate):
            wrong.append(place)
    return opened, wrong


def followed(start: int) -> tuple[int, dict[int, int]]:
    """Of a piece of the level: how many moves are possible, and the steps to what they lead to, by its key."""
    possible, new = 0, dict[int, int]()
    for place, state in piece(start):
        for number, move in enumerate(LEVEL[-1].search.alphabet):
            after = LEVEL[-1].search.follow(state, move)
            if after is not None:
                possible += 1
                new.setdefault(hash(canonical(after)), place * STEPS + number)
    return possible, new


def each(work: Callable[[int], T], processes: int) -> Iterator[T]:
    """Some work on every piece of the level, in order."""
    starts = range(0, len(LEVEL[-1]), PIECE)
    if processes == 1 or len(starts) < 2:
        yield from map(work, starts)
        return
    with get_context("fork").Pool(processes) as pool:
        yield from pool.imap(work, starts)


def explore(search: Search, processes: int = 1, most: int = 10) -> Found:
    """Run one search. It ends at the depth at which the two disagree, with at most `most` of the disagreements."""
    found = Found()
    first = {hash(canonical(state)): state for state in search.roots}
    seen = set(first)
    LEVEL.append(Level(search, list(first.values()), None))
    for depth in range(search.depth + 1):
        level = LEVEL[-1]
        found.states.append(len(level))
        found.opened.append(0)
        for opened, wrong in each(judged, processes):
            found.opened[-1] += opened
            found.disagreements += [disagreement(search, level.state(place)) for place in wrong]
        if found.disagreements or depth == search.depth:
            break
        steps = []
        for possible, new in each(followed, processes):
            found.moves += possible
            steps += [step for key, step in new.items() if key not in seen]
            seen.update(new)
        LEVEL[-1] = Level(search, [level.state(place) for place in range(len(level))], steps)
    LEVEL.pop()
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
