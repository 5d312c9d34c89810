"""A forge's pull request as a state machine: what can happen to it, as events for the oracle and evidence for the gate.

`happen` makes one move, `evidence` says what an adapter would read of the state, `canonical` tells two states apart.
Called by tests.oracle and by the tests of histories.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from reconciler.model.approval import (
    Evidence,
    FirstSeen,
    Form,
    GateRules,
    Landing,
    PlannedTarget,
    PostedPlan,
    RuleSet,
)
from reconciler.model.desired import Consent
from reconciler.model.principal import Agent, Person, Principals
from reconciler.model.pull_request import (
    Account,
    Comment,
    Permission,
    PullRequest,
    PullRequestCommit,
    PullRequestReading,
    Push,
    Review,
    ReviewState,
    TimelineEvent,
    TimelineKind,
)
from reconciler.model.target import Target
from reconciler.model.verdict import Requirement, Verdict
from tests.oracle.events import Event, House

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEP, WAIT, EXPIRY = 1, 29, 72 * 3600
"""Seconds: an event takes one, so that a wait ends exactly when the delay is over; an expiry outlasts any approval."""

TARGET = Target("shop", "production", "web-1")
REPOSITORY, NUMBER, GROUP = 7, 12, "operators"


@dataclass(frozen=True, slots=True)
class World:
    """The accounts and the rules of one environment, for the oracle (`house`) and for the gate (`rules`)."""

    house: House
    accounts: dict[str, Account]
    rules: RuleSet

    def __repr__(self) -> str:
        return repr(self.house)

    def rule_sets(self, landed: bool) -> tuple[RuleSet, ...]:
        """Before the merge the rules at the base; after it those before the landing and those at the tip."""
        return (self.rules, replace(self.rules, origin="the tip")) if landed else (self.rules,)


def world(
    people: dict[str, str], owners: dict[str, str], bots: tuple[str, ...] = (), need: int = 1, quoted: bool = False,
    owner_may: bool = False,
) -> World:  # fmt: skip
    """`people` maps accounts to persons, `owners` an agent's account to the person behind it; bots are nobody's."""
    numbers = {name: 1001 + place for place, name in enumerate((*people, *owners, *bots))}
    accounts = {name: Account(n, name, "Bot" if name in bots else "User") for name, n in numbers.items()}
    persons = tuple(
        Person(person, tuple(numbers[name] for name in people if people[name] == person), (GROUP,))
        for person in dict.fromkeys(people.values())
    )
    agents = tuple(Agent(name, (numbers[name],), owner=owner) for name, owner in owners.items())
    rules = GateRules(TARGET, "production", Consent.QUOTED if quoted else Consent.REVIEW, 30, owner_may)
    verdict = Verdict((), (Requirement(need, GROUP, "production-needs"),), plan_digest("policy"))
    rule_set = RuleSet("base", Principals(persons, agents), verdict, (rules,))
    return World(House(people, owners, need, quoted, owner_may), accounts, rule_set)


class Commit(NamedTuple):
    """`by` the author and `committer` are accounts, None for an address that nobody knows; `update` merges the base."""

    parent: int
    by: str | None
    committer: str | None
    co_authors: tuple[str, ...]
    update: bool = False
    clean: bool = True


class Given(NamedTuple):
    """A review."""

    number: int
    by: str
    state: ReviewState
    commit: int
    at: int
    body: str
    could_write: bool
    first: ReviewState


class Said(NamedTuple):
    """A comment: `first` and `now` are what it commands, None where it is none; `live` whose plan's digest it names."""

    number: int
    by: str
    first: ReviewState | None
    now: ReviewState | None
    live: int
    at: int
    could_write: bool
    edited: bool = False
    deleted: bool = False


class Told(NamedTuple):
    """An event of the timeline; of a dismissal the review, and what it had said."""

    kind: TimelineKind
    by: str
    at: int
    review: int = 0
    was: ReviewState | None = None


class Shown(NamedTuple):
    """A plan that was posted."""

    head: int
    base: str
    live: int
    at: int
    edited: bool


class Merged(NamedTuple):
    by: str
    method: str
    clean: bool


class State(NamedTuple):
    """One pull request, and everything about it that a forge, git, the hosts and our record know."""

    now: int
    opener: str
    status: str
    draft: bool
    base: str
    base_moves: int
    head: int
    previous: int
    commits: tuple[Commit, ...]
    pushes: tuple[tuple[str, int, int, int], ...]  # by, before, after, at
    reviews: tuple[Given, ...]
    timeline: tuple[Told, ...]
    plans: tuple[Shown, ...]
    live: int
    renamed: frozenset[str]
    readers: frozenset[str]
    suspended: bool
    merged: Merged | None
    comments: tuple[Said, ...]
    events: tuple[Event, ...]


class Move(NamedTuple):
    """Something that an account may try: `what` is a verb of `MOVES`, `how` and `whom` say more where it needs it."""

    what: str
    by: str = ""
    how: str = ""
    whom: str = ""

    def __str__(self) -> str:
        return " ".join(word for word in self if word)


def opened(by: str, at: int = 0) -> State:
    """A pull request with one commit of its opener."""
    first = Event(at, "opened", by, sha(0), "main", (by,), plan=digest_of(0))
    pushes = ((by, -1, 0, at),)
    none = frozenset[str]()
    return State(
        at + STEP, by, "open", False, "main", 0, 0, -1, (Commit(-1, by, by, ()),), pushes, (), (), (), 0, none, none,
        False, None, (), (first,),
    )  # fmt: skip


def history(world: World, opener: str, moves: tuple[Move, ...]) -> State:
    """The state after some moves; a move that is not possible then is left out."""
    state = opened(opener)
    for move in moves:
        state = happen(state, move) or state
    return state


def happen(state: State, move: Move, seconds: int = STEP) -> State | None:
    """The state after a move, some seconds later; None when the forge would not let it happen, or nothing changes."""
    after = MOVES[move.what](state, move)
    if after is None or move.what in TIMES:
        return after
    return after._replace(now=after.now + seconds)


# -- moves of the head ---------------------------------------------------------------------------------------------


def push(state: State, move: Move) -> State | None:
    """`how`: forced replaces the last commit; co-author and author name `whom`; hidden does so below an update that is
    pushed with it; unknown and nobody are addresses behind which the forge knows no account.
    """
    commit = {
        "": Commit(state.head, move.by, move.by, ()),
        "forced": Commit(state.commits[state.head].parent, move.by, move.by, ()),
        "co-author": Commit(state.head, move.by, move.by, (move.whom,)),
        "author": Commit(state.head, move.whom, move.whom, ()),
        "hidden": Commit(state.head, move.whom, move.whom, ()),
        "unknown": Commit(state.head, move.by, move.by, (f"?{move.whom}",)),
        "nobody": Commit(state.head, None, move.by, ()),
    }[move.how]
    return moved(state, move, commit, "forced" if move.how == "forced" else "pushed")


def back(state: State, move: Move) -> State | None:
    """A force-push to the head before this one."""
    if state.status != "open" or state.previous < 0:
        return None
    return headed(state, move, state.previous, "forced", True)


def update(state: State, move: Move) -> State | None:
    """ "Update branch": a merge of the base into the head; `evil` puts more into it."""
    clean = move.how != "evil"
    return moved(state, move, Commit(state.head, move.by, "web-flow" if clean else move.by, (), True, clean), "updated")


def moved(state: State, move: Move, commit: Commit, kind: str) -> State | None:
    if state.status != "open":
        return None
    if move.how == "hidden":  # under an update, in the same push
        state = state._replace(commits=(*state.commits, commit))
        commit = Commit(len(state.commits) - 1, move.by, "web-flow", (), True)
    return headed(state._replace(commits=(*state.commits, commit)), move, len(state.commits), kind, commit.clean)


def headed(state: State, move: Move, head: int, kind: str, clean: bool) -> State:
    """The head is another one now; `clean` is whether that is an update which adds nothing."""
    now = state.now
    timeline = state.timeline
    if kind == "forced":
        timeline = (*timeline, Told(TimelineKind.HEAD_FORCE_PUSHED, move.by, now))
    after = state._replace(
        head=head, previous=state.head, timeline=timeline, pushes=(*state.pushes, (move.by, state.head, head, now))
    )
    return told(
        after, Event(now, kind, move.by, sha(head), names=names_of(after), updates=updates_of(after), clean=clean)
    )


def commits_of(state: State) -> tuple[int, ...]:
    """The commits up to the head, oldest first."""
    found = []
    place = state.head
    while place >= 0:
        found.append(place)
        place = state.commits[place].parent
    return tuple(reversed(found))


def names_of(state: State) -> tuple[str, ...]:
    """Everybody whom the commits up to the head name; an update that adds nothing names nobody."""
    names: dict[str, None] = {}
    for place in commits_of(state):
        commit = state.commits[place]
        if commit.update and commit.clean:
            continue
        for name in (commit.by or "?nobody", commit.committer or "?nobody", *commit.co_authors):
            names[name] = None
    return tuple(names)


def updates_of(state: State) -> tuple[str, ...]:
    """The heads up to this one that only brought the base in."""
    return tuple(
        sha(place) for place in commits_of(state) if state.commits[place].update and state.commits[place].clean
    )


def told(state: State, event: Event) -> State:
    return state._replace(events=(*state.events, event))


# -- what is said --------------------------------------------------------------------------------------------------


def review(state: State, move: Move) -> State | None:
    """`how`: the state; `whom`: old for the head before this one, quoting for the digest of the plan of now."""
    if state.status == "closed":
        return None
    commit = state.previous if move.whom == "old" else state.head
    if commit < 0 or (state.draft and move.whom == "old"):
        return None
    number = len(state.reviews) + 1
    quoting = move.whom == "quoting"
    body = f"I agree to {digest_of(state.live)[:12]}" if quoting else ""
    said = ReviewState(move.how)
    given = Given(number, move.by, said, commit, state.now, body, move.by not in state.readers, said)
    quoted = digest_of(state.live) if quoting else ""
    event = Event(state.now, move.how.lower(), move.by, sha(commit), review=number, plan=quoted)
    return told(state._replace(reviews=(*state.reviews, given)), event)


def last_of(state: State, account: str) -> int | None:
    """The place of an account's last review that can be dismissed."""
    places = [place for place, given in enumerate(state.reviews) if given.by == account]
    return next((place for place in reversed(places) if state.reviews[place].state in DISMISSIBLE), None)


DISMISSIBLE = (ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED)


def dismiss(state: State, move: Move) -> State | None:
    """Dismiss the last decisive review of `whom`."""
    place = last_of(state, move.whom)
    if place is None:
        return None
    given = state.reviews[place]
    event = Told(TimelineKind.REVIEW_DISMISSED, move.by, state.now, given.number, given.state)
    after = state._replace(
        reviews=replaced(state.reviews, place, ReviewState.DISMISSED), timeline=(*state.timeline, event)
    )
    return told(after, Event(state.now, "dismissed", move.by, review=given.number))


def replaced(reviews: tuple[Given, ...], place: int, to: ReviewState) -> tuple[Given, ...]:
    return (*reviews[:place], reviews[place]._replace(state=to), *reviews[place + 1 :])


def edit(state: State, move: Move) -> State | None:
    """The text of the last review of `whom` is edited."""
    place = last_of(state, move.whom)
    if place is None or state.reviews[place].body.endswith("LGTM"):
        return None
    given = state.reviews[place]
    edited = given._replace(body=f"{given.body} LGTM".strip())
    reviews = (*state.reviews[:place], edited, *state.reviews[place + 1 :])
    return told(state._replace(reviews=reviews), Event(state.now, "review edited", move.by, review=given.number))


COMMANDS = {"approve": ReviewState.APPROVED, "reject": ReviewState.CHANGES_REQUESTED, "hello": None}
FIRST_COMMENT = 1000


def say(state: State, move: Move) -> State | None:
    """A comment: `how` is approve, which names the digest of the plan that stands there, reject, or hello."""
    if move.how == "approve" and not state.plans:
        return None
    what, live = COMMANDS[move.how], state.plans[-1].live if state.plans else 0
    number = FIRST_COMMENT + len(state.comments)
    said = Said(number, move.by, what, what, live, state.now, move.by not in state.readers)
    after = state._replace(comments=(*state.comments, said))
    kind = what.lower() if what else "said"
    return told(after, Event(state.now, kind, move.by, review=number, comment=True, plan=digest_of(live)))


def last_said(state: State, account: str) -> int | None:
    """The place of the last comment of an account that is still there."""
    places = [n for n, said in enumerate(state.comments) if said.by == account and not said.deleted]
    return places[-1] if places else None


def unsay(state: State, move: Move) -> State | None:
    """The last comment of `whom` is deleted."""
    place = last_said(state, move.whom)
    return None if place is None else commented(state, move, place, "deleted", deleted=True)


def reword(state: State, move: Move) -> State | None:
    """The last comment of `whom` is edited, into an approval of the plan that stands there now."""
    place = last_said(state, move.whom)
    if place is None or not state.plans or state.comments[place].edited:
        return None
    live = state.plans[-1].live
    return commented(state, move, place, "reworded", edited=True, now=ReviewState.APPROVED, live=live)


def commented(state: State, move: Move, place: int, kind: str, **changes: Any) -> State:
    said = state.comments[place]
    comments = (*state.comments[:place], said._replace(**changes), *state.comments[place + 1 :])
    return told(state._replace(comments=comments), Event(state.now, kind, move.by, review=said.number))


# -- the plan ------------------------------------------------------------------------------------------------------


def plan(state: State, move: Move) -> State | None:
    """The engine shows the plan for what is the head, the base and the live state now; twice the same says nothing."""
    if state.status == "closed":
        return None
    last = state.plans[-1] if state.plans else None
    if last is not None and (last.head, last.base, last.live, last.edited) == (
        state.head,
        state.base,
        state.live,
        False,
    ):
        return None
    shown = Shown(state.head, state.base, state.live, state.now, False)
    event = Event(state.now, "planned", "engine", sha(state.head), state.base, plan=digest_of(state.live))
    return told(state._replace(plans=(*state.plans, shown)), event)


def tamper(state: State, move: Move) -> State | None:
    """Somebody edits the plan comment."""
    if not state.plans or state.plans[-1].edited:
        return None
    plans = (*state.plans[:-1], state.plans[-1]._replace(edited=True))
    return told(state._replace(plans=plans), Event(state.now, "edited", move.by))


def live(state: State, move: Move) -> State | None:
    """The live state moves, or back: another plan would be made now."""
    other = 1 - state.live
    return told(state._replace(live=other), Event(state.now, "changed", move.by, plan=digest_of(other)))


# -- the pull request, and where it goes ---------------------------------------------------------------------------


def retarget(state: State, move: Move) -> State | None:
    """To another base, or back."""
    if state.status != "open":
        return None
    base = "other" if state.base == "main" else "main"
    event = Told(TimelineKind.BASE_CHANGED, move.by, state.now)
    after = state._replace(base=base, timeline=(*state.timeline, event))
    return told(after, Event(state.now, "retargeted", move.by, base=base))


def close(state: State, move: Move) -> State | None:
    if state.status != "open":
        return None
    return told(state._replace(status="closed"), Event(state.now, "closed", move.by))


def reopen(state: State, move: Move) -> State | None:
    if state.status != "closed":
        return None
    event = Told(TimelineKind.REOPENED, move.by, state.now)
    after = state._replace(status="open", timeline=(*state.timeline, event))
    return told(after, Event(state.now, "reopened", move.by))


def draft(state: State, move: Move) -> State | None:
    """To a draft, or back to ready."""
    if state.status != "open":
        return None
    kind = "readied" if state.draft else "drafted"
    return told(state._replace(draft=not state.draft), Event(state.now, kind, move.by))


def base(state: State, move: Move) -> State | None:
    """Something else, approved, lands on the base."""
    if state.base_moves:
        return None
    return told(state._replace(base_moves=state.base_moves + 1), Event(state.now, "base moved", move.by))


def merge(state: State, move: Move) -> State | None:
    """`how`: merge, squash, rebase or queue; `evil` as `whom` puts other content into the landing."""
    if state.status != "open" or state.draft:
        return None
    clean = move.whom != "evil"
    by = "queue" if move.how == "queue" else move.by
    event = Told(TimelineKind.MERGED, by, state.now)
    after = state._replace(status="merged", merged=Merged(by, move.how, clean), timeline=(*state.timeline, event))
    return told(after, Event(state.now, "merged", by, clean=clean))


# -- everything else -----------------------------------------------------------------------------------------------


def rename(state: State, move: Move) -> State | None:
    """An account takes another login."""
    if move.by in state.renamed:
        return None
    return told(state._replace(renamed=state.renamed | {move.by}), Event(state.now, "renamed", move.by))


def demote(state: State, move: Move) -> State | None:
    """An account may only read from now on, or write again."""
    kind = "promoted" if move.whom in state.readers else "demoted"
    after = state._replace(readers=state.readers ^ {move.whom})
    return told(after, Event(state.now, kind, move.by, account=move.whom))


def suspend(state: State, move: Move) -> State | None:
    kind = "resumed" if state.suspended else "suspended"
    return told(state._replace(suspended=not state.suspended), Event(state.now, kind, move.by))


def tick(state: State, move: Move) -> State | None:
    return state._replace(now=state.now + STEP)


def wait(state: State, move: Move) -> State | None:
    return state._replace(now=state.now + WAIT)


def expire(state: State, move: Move) -> State | None:
    return state._replace(now=state.now + EXPIRY)


MOVES = {
    function.__name__: function
    for function in (
        push, back, update, review, dismiss, edit, say, unsay, reword, plan, tamper, live, retarget, close, reopen,
        draft, base, merge, rename, demote, suspend, tick, wait, expire,
    )
}  # fmt: skip


TIMES = ("tick", "wait", "expire")


# -- telling states apart ------------------------------------------------------------------------------------------


def canonical(state: State) -> tuple[object, ...]:
    """Equal for states whose evidence is the same but for how many seconds lie between what happened.

    Times are replaced by their order, and by whether a wait or an expiry lies between two of them: the clock is read
    for nothing else.
    """
    times = {given.at for given in state.reviews} | {shown.at for shown in state.plans} | {state.now}
    times |= {said.at for said in state.comments}
    times |= {told.at for told in state.timeline if told.kind in TIMED}
    order = sorted(times)
    rank = {at: place for place, at in enumerate(order)}
    gaps = tuple((b - a >= WAIT) + (b - a > WAIT) + (b - a > EXPIRY) for a, b in pairwise(order))
    return (
        gaps,
        state[1:9],
        tuple((by, after) for by, _, after, _ in state.pushes),
        tuple((g.number, g.by, g.state, g.commit, rank[g.at], g.body, g.could_write) for g in state.reviews),
        tuple((t.kind, t.by, rank.get(t.at), t.review, t.was) for t in state.timeline),
        tuple((s.head, s.base, s.live, rank[s.at], s.edited) for s in state.plans),
        state[13:18],
        tuple(said._replace(at=rank[said.at]) for said in state.comments),
    )


TIMED = frozenset({TimelineKind.HEAD_FORCE_PUSHED, TimelineKind.BASE_CHANGED, TimelineKind.REOPENED})


# -- what an adapter reads -----------------------------------------------------------------------------------------


@cache
def sha(place: int) -> str:
    """The id of a commit by its place among all that were ever pushed."""
    return hashlib.sha1(b"commit %d" % place, usedforsecurity=False).hexdigest()


@cache
def plan_digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def digest_of(live: int) -> str:
    """The digest of the plan that is made while the live state is this one."""
    return plan_digest(f"plan {live}")


@cache
def moment(at: int) -> datetime:
    return START + timedelta(seconds=at)


WEB_FLOW = Account(19864447, "web-flow", "User")
QUEUE = Account(9919, "github-merge-queue[bot]", "Bot")
ANSWERS = (("pull_request", plan_digest("answer")),)
LANDED, OTHER_TREE = plan_digest("tree")[:40], plan_digest("evil tree")[:40]


def account_of(world: World, state: State, name: str | None) -> Account | None:
    """The account as the forge names it now."""
    if name is None or name in ("web-flow", "queue"):
        return {None: None, "web-flow": WEB_FLOW, "queue": QUEUE}[name]
    account = world.accounts[name]
    return Account(account.id, f"{name}-renamed", account.kind) if name in state.renamed else account


def address(name: str | None) -> str:
    return f"{(name or 'nobody').replace('?', 'unknown-')}@example.test"


def evidence(world: World, state: State) -> Evidence:
    """What the gate is given: read from the forge and from git, with the plan of now and the plans of our record."""

    def account(name: str | None) -> Account | None:
        return account_of(world, state, name)

    own = commits_of(state)
    commits = tuple(read_commit(world, state, place) for place in own)
    pull_request = read_pull_request(world, state, len(own))
    reviews = tuple(
        Review(g.number, account(g.by), g.state, sha(g.commit), moment(g.at), g.body, edited=False)
        for g in state.reviews
    )
    timeline = tuple(
        TimelineEvent(t.kind, account(t.by), moment(t.at), t.review or None, t.was) for t in state.timeline
    )
    deciding = dict.fromkeys(g.by for g in state.reviews if g.state is not ReviewState.COMMENTED)
    deciding |= dict.fromkeys(said.by for said in state.comments if said.now is not None and not said.deleted)
    comments = tuple(
        Comment(c.number, account(c.by), text_of(c), moment(c.at), moment(c.at + c.edited), edited=c.edited)
        for c in state.comments
        if not c.deleted
    )
    permissions = tuple(
        Permission(world.accounts[name].id, "read" if name in state.readers else "write") for name in deciding
    )
    pushes = tuple(
        Push(account(by), sha(before) if before >= 0 else None, sha(after), moment(at))
        for by, before, after, at in state.pushes
    )
    reading = PullRequestReading(
        pull_request, pull_request, reviews, commits, timeline, permissions, sha(state.head),
        sha(-1 - state.base_moves), True, (), ANSWERS, comments, pushes,
    )  # fmt: skip
    posted = tuple(
        PostedPlan(sha(s.head), s.base, ((TARGET, digest_of(s.live)),), 900, moment(s.at), s.edited)
        for s in state.plans
    )
    return Evidence(
        REPOSITORY, "main", reading, (PlannedTarget(TARGET, digest_of(state.live)),), (TARGET,), posted,
        world.rule_sets(state.merged is not None), landing(state, own), True, False, True,
        ("suspended by hand",) if state.suspended else (), (), first_seen(world, state),
    )  # fmt: skip


def text_of(said: Said) -> str:
    if said.now is None:
        return "Looks good, but hold on."
    return f"/reconciler {'approve' if said.now is ReviewState.APPROVED else 'reject'} {digest_of(said.live)[:12]}"


def first_seen(world: World, state: State) -> tuple[FirstSeen, ...]:
    """The reviews and commands as they were heard, which is as soon as they were given."""
    commands = tuple(
        FirstSeen(
            form=Form.COMMENT,
            id=said.number,
            account=world.accounts[said.by].id,
            login=said.by,
            state=said.first or ReviewState.APPROVED,
            at=moment(said.at),
            role="write" if said.could_write else "read",
            person=world.house.people.get(said.by),
        )
        for said in state.comments
        if said.first is not None or said.edited
    )
    return commands + tuple(
        FirstSeen(
            form=Form.REVIEW,
            id=given.number,
            account=world.accounts[given.by].id,
            login=given.by,
            state=given.first,
            at=moment(given.at),
            role="write" if given.could_write else "read",
            person=world.house.people.get(given.by),
        )
        for given in state.reviews
        if given.first is not ReviewState.COMMENTED
    )


def read_pull_request(world: World, state: State, commits: int) -> PullRequest:
    merged = state.merged
    return PullRequest(
        repository=REPOSITORY,
        number=NUMBER,
        title="Raise the web image",
        body="",
        author=account_of(world, state, state.opener),
        state="open" if state.status == "open" else "closed",
        draft=state.draft,
        merged=merged is not None,
        merged_by=account_of(world, state, merged.by) if merged else None,
        merged_at=moment(state.now) if merged else None,
        merge_commit=MERGE_COMMIT if merged else None,
        head_sha=sha(state.head),
        head_ref="raise-web",
        head_repository=REPOSITORY,
        base_sha=sha(-1 - state.base_moves),
        base_ref=state.base,
        base_repository=REPOSITORY,
        commit_count=commits,
        updated_at=moment(state.now),
        url="http://127.0.0.1/acme/infra/pull/12",
    )


MERGE_COMMIT = plan_digest("merge commit")[:40]


def read_commit(world: World, state: State, place: int) -> PullRequestCommit:
    commit = state.commits[place]
    trailers = tuple(
        (f"{name.lstrip('?')} <{address(name)}>", None if name.startswith("?") else world.accounts[name].id)
        for name in commit.co_authors
    )
    base = sha(-1 - state.base_moves)
    parents = (sha(commit.parent) if commit.parent >= 0 else sha(-1), *((base,) if commit.update else ()))
    return PullRequestCommit(
        sha(place),
        parents,
        account_of(world, state, commit.by),
        account_of(world, state, commit.committer),
        address(commit.by),
        address(commit.committer),
        trailers,
        commit.update and commit.clean,
    )


def landing(state: State, own: tuple[int, ...]) -> Landing | None:
    """How git shows the merge; the queue merges, and a squash names the authors of what it squashed."""
    if state.merged is None:
        return None
    method = "merge" if state.merged.method == "queue" else state.merged.method
    kept = [state.commits[place] for place in own if not state.commits[place].update]
    count = max(1, len(kept)) if method == "rebase" else 1
    commits = (*(plan_digest(f"rebased {place}")[:40] for place in range(count - 1)), MERGE_COMMIT)
    authors = dict.fromkeys(f"{commit.by} <{address(commit.by)}>" for commit in kept if commit.by)
    co_authors = tuple((text, None) for text in authors) if method == "squash" else ()
    tree = LANDED if state.merged.clean else OTHER_TREE
    return Landing(commits, sha(-1), tree, LANDED, method, co_authors)
