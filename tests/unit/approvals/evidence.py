"""Evidence for the gate with defaults: an honest pull request that opens it, and everything about it can be overridden.

Used by the case files (tests/cases/gate) and by the properties. Names stand for accounts, short words for commits and
digests, `HH:MM[:SS]` for times of one day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.model.approval import (
    Evidence,
    FirstSeen,
    Form,
    GateRules,
    Landing,
    PlannedTarget,
    PostedPlan,
    RuleSet,
    Signed,
)
from reconciler.model.desired import Consent
from reconciler.model.principal import Agent, Person, Principals
from reconciler.model.pull_request import (
    Account,
    Adopted,
    Capability,
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
from reconciler.model.verdict import Finding, Requirement, Severity, Verdict

REPOSITORY = 7

ACCOUNTS = {
    "author": Account(1001, "author", "User"),
    "reviewer": Account(2001, "reviewer", "User"),
    "reviewers-other-account": Account(2901, "reviewer-2", "User"),
    "second": Account(2002, "second", "User"),
    "operator": Account(2003, "operator", "User"),
    "agent": Account(3001, "deployer", "User"),
    "bot": Account(3002, "renovate-approve[bot]", "Bot"),
    "stranger": Account(4001, "stranger", "User"),
    "web-flow": Account(19864447, "web-flow", "User"),
}

PRINCIPALS = Principals(
    people=(
        Person("author", (1001,), ("developers", "operators")),
        Person("reviewer", (2001, 2901), ("operators",), ("ssh-ed25519 reviewer",)),
        Person("second", (2002,), ("operators",), ("ssh-ed25519 second",)),
        Person("operator", (2003,), ("developers",)),
    ),
    agents=(Agent("deployer", (3001,), owner="operator"),),
)


NOWHERE = "0" * 40
"""What git says in place of a commit where a branch comes or goes."""


def sha(word: str | None) -> str | None:
    """A commit id for a word."""
    return word if word is None or word == NOWHERE else hashlib.sha1(word.encode(), usedforsecurity=False).hexdigest()


def plan_digest(word: str) -> str:
    """A plan digest for a word."""
    return hashlib.sha256(word.encode()).hexdigest()


def time_of(clock: str | None) -> datetime | None:
    """`12:05`, `12:05:07` or `+73:00` (hours after midnight) on the day of the test."""
    if clock is None:
        return None
    parts = [int(part) for part in clock.lstrip("+").split(":")]
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def moment(clock: str) -> datetime:
    """A time that is there."""
    found = time_of(clock)
    assert found is not None
    return found


NOW = "12:10"


def account(name: str | None) -> Account | None:
    return None if name is None else ACCOUNTS[name]


def commit(
    sha_: str = "head",
    by: str | None = "author",
    committer: str | None = "web-flow",
    email: str | None = None,
    committer_email: str | None = None,
    trailers: Sequence[str | Mapping[str, Any]] = (),
    parents: Sequence[str] = ("base",),
    empty_update_merge: bool = False,
) -> PullRequestCommit:
    return PullRequestCommit(
        str(sha(sha_)),
        tuple(str(sha(p)) for p in parents),
        account(by),
        account(committer),
        email or f"{by or 'nobody'}@example.test",
        committer_email or f"{committer or 'nobody'}@example.test",
        named(trailers),
        empty_update_merge,
    )


def named(trailers: Sequence[str | Mapping[str, Any]]) -> tuple[tuple[str, int | None], ...]:
    """Co-authors; `is` says whom the forge knows under that address."""
    return tuple((t, None) if isinstance(t, str) else (t["text"], ACCOUNTS[t["is"]].id) for t in trailers)


def review(
    by: str | None = "reviewer",
    state: str = "APPROVED",
    commit: str | None = "head",
    at: str | None = "12:05",
    body: str = "",
    number: int = 0,
    edited: bool | None = False,
) -> Review:
    return Review(number, account(by), ReviewState(state), sha(commit), time_of(at), with_digests(body), edited)


def with_digests(body: str) -> str:
    """`<word>` in a text stands for the first twelve digits of that plan's digest."""
    return re.sub(r"<(\w+)>", lambda match: plan_digest(match.group(1))[:12], body)


def comment(
    by: str | None = "reviewer",
    body: str = "/reconciler approve <plan>",
    at: str = "12:05",
    edited_at: str | None = None,
    number: int = 0,
    edited: bool | None = False,
) -> Comment:
    created, updated = time_of(at), time_of(edited_at or at)
    assert created is not None
    assert updated is not None
    return Comment(number, account(by), with_digests(body), created, updated, edited)


def seen(
    by: str = "reviewer",
    form: str = "review",
    number: int = 50,
    state: str = "APPROVED",
    at: str = "12:05",
    role: str | None = "write",
    person: str | None = "reviewer",
) -> FirstSeen:
    return FirstSeen(
        Form(form), number, ACCOUNTS[by].id, by, ReviewState(state), time_of(at), role, person
    )  # fmt: skip


def signature(
    key: str = "reviewer",
    comment: int = 70,
    head: str = "head",
    base: str = "main",
    digests: Mapping[str, str] | None = None,
) -> Signed:
    pairs = digests if digests is not None else {"shop/production@web-1": "plan"}
    shown = tuple((Target.parse(name), plan_digest(word)) for name, word in pairs.items())
    return Signed(comment, f"ssh-ed25519 {key}", str(sha(head)), base, shown)


def permission(name: str, role: str) -> Permission:
    """`another` is the role that a forge gives for a login that belongs to somebody else by now."""
    same = role != "another"
    return Permission(ACCOUNTS[name].id, role if same else "none", same)


def push(by: str | None = "author", after: str = "head", before: str | None = "base") -> Push:
    return Push(account(by), sha(before), sha(after), time_of("11:50"))


def adopted(
    revision: str = "pushed", commits: Sequence[Mapping[str, Any]] = ({},), pushers: Sequence[str] = ("author",)
) -> Adopted:
    shaped = tuple(
        commit(**{("sha_" if k == "sha" else k): v for k, v in {"sha": revision, **c}.items()}) for c in commits
    )
    return Adopted(str(sha(revision)), shaped, tuple(ACCOUNTS[name] for name in pushers))


def posted(
    head: str = "head",
    at: str = "12:00",
    digests: Mapping[str, str] | None = None,
    base: str = "main",
    edited: bool = False,
) -> PostedPlan:
    pairs = digests if digests is not None else {"shop/production@web-1": "plan"}
    shown = tuple((Target.parse(name), plan_digest(word)) for name, word in pairs.items())
    moment = time_of(at)
    assert moment is not None
    return PostedPlan(str(sha(head)), base, shown, 900, moment, edited)


def rule_set(
    origin: str = "base",
    principals: Principals = PRINCIPALS,
    needs: Sequence[Mapping[str, Any]] = ({"approvals": 1, "rule": "production-needs-one"},),
    denied: Sequence[Mapping[str, Any]] = (),
    targets: Sequence[str] = ("shop/production@web-1",),
    consent: str = "review",
    delay: float = 30,
    owner_may: bool = False,
    without: Sequence[str] = (),
    made_agent: Sequence[str] = (),
    without_keys: Sequence[str] = (),
    bind: str | Mapping[str, str] = "plan",
) -> RuleSet:
    people = tuple(
        replace(p, signing_keys=() if p.name in without_keys else p.signing_keys)
        for p in principals.people
        if p.name not in (*without, *made_agent)
    )
    agents = principals.agents + tuple(
        Agent(p.name, p.accounts, owner="operator") for p in principals.people if p.name in made_agent
    )
    findings = tuple(Finding(f["rule"], Severity.DENY, f.get("text", "no"), gate=f.get("gate")) for f in denied)
    requirements = tuple(Requirement(n["approvals"], n.get("group"), n.get("rule", "rule")) for n in needs)
    bound = dict.fromkeys(targets, bind) if isinstance(bind, str) else bind
    environments = tuple(
        GateRules(Target.parse(t), "production", Consent(consent), delay, owner_may, bound.get(t, "plan"))
        for t in targets
    )
    return RuleSet(
        origin, Principals(people, agents), Verdict(findings, requirements, plan_digest("policy")), environments
    )


def pull_request(**over: Any) -> PullRequest:
    """Overrides: `head`, `base`, `author`, `merged_by`, `merge_commit` as words, other fields as they are called."""
    words = {
        "head": ("head_sha", sha),
        "base": ("base_ref", str),
        "author": ("author", account),
        "merged_by": ("merged_by", account),
        "merge_commit": ("merge_commit", sha),
        "updated": ("updated_at", time_of),
    }
    given = dict((words[k][0], words[k][1](v)) if k in words else (k, v) for k, v in over.items())
    updated = time_of("12:06")
    assert updated is not None
    plain = PullRequest(
        repository=REPOSITORY,
        number=12,
        title="Raise the web image",
        body="",
        author=ACCOUNTS["author"],
        state="open",
        draft=False,
        merged=False,
        merged_by=None,
        merged_at=None,
        merge_commit=None,
        head_sha=str(sha("head")),
        head_ref="raise-web",
        head_repository=REPOSITORY,
        base_sha=str(sha("base")),
        base_ref="main",
        base_repository=REPOSITORY,
        commit_count=1,
        updated_at=updated,
        url="http://127.0.0.1/acme/infra/pull/12",
    )
    return replace(plain, **given)


def landing(
    method: str = "squash",
    commits: Sequence[str] = ("merge",),
    tree: str = "landed",
    expected: str | None = "landed",
    co_authors: Sequence[str | Mapping[str, Any]] = (),
) -> Landing:
    return Landing(
        tuple(str(sha(c)) for c in commits),
        str(sha("base")),
        str(sha(tree)),
        sha(expected),
        method,
        named(co_authors),
    )


def event(
    kind: str, by: str | None = None, at: str | None = None, review: int | None = None, was: str | None = None
) -> TimelineEvent:
    return TimelineEvent(TimelineKind(kind), account(by), time_of(at), review, ReviewState(was) if was else None)


ROLES = {"author": "write", "reviewer": "write", "reviewers-other-account": "write", "second": "maintain"} | {
    "operator": "admin",
    "agent": "write",
    "bot": "write",
    "stranger": "write",
    "web-flow": "none",
}


def several(said: str | Sequence[str] | None) -> Sequence[str]:
    """Each of several answers to one question; none where there is no answer."""
    return () if said is None else (said,) if isinstance(said, str) else said


def evidence(
    *,
    pull: Mapping[str, Any] | None = None,
    again: Mapping[str, Any] | None = None,
    commits: Sequence[Mapping[str, Any]] = ({},),
    reviews: Sequence[Mapping[str, Any]] = ({},),
    timeline: Sequence[Mapping[str, Any]] = (),
    roles: Mapping[str, str | Sequence[str] | None] | None = None,
    shown: Sequence[Mapping[str, Any]] = ({},),
    plans: Mapping[str, str | Sequence[str]] | None = None,
    obstacles: Sequence[str] = (),
    expected: Sequence[str] | None = None,
    rules: Mapping[str, Any] | None = None,
    rules_at: Sequence[Mapping[str, Any]] | None = None,
    merged: bool = False,
    landed: Mapping[str, Any] | None = None,
    comments: Sequence[Mapping[str, Any]] = (),
    signed: Sequence[Mapping[str, Any]] = (),
    heard: Sequence[Mapping[str, Any]] = (),
    pushes: Sequence[Mapping[str, Any]] = (),
    lacks: Sequence[str] = (),
    closed: Sequence[Sequence[str]] = (),
    destroys: bool = False,
    adopts: Mapping[str, Any] | None = None,
    repeats: Sequence[str] = (),
    **over: Any,
) -> Evidence:
    """An honest pull request, with overrides.

    `pull` and `again` override both readings and the second one; `roles` the permissions; `shown` are posted plans;
    `plans` maps targets to digest words (and `roles` accounts to roles; a list is several answers that contradict each
    other, null none); `rules` overrides every rule set, `rules_at` lists them one by one;
    `merged: true` makes it a landed one. `comments` are numbered from 70, `heard` are words as they were first seen,
    `closed` pairs of times, `adopts` what came past the gate and is taken over, `repeats` targets that are planned
    twice. Everything else is a field of PullRequestReading or of Evidence.
    """
    plan_words = plans if plans is not None else {"shop/production@web-1": "plan"}
    wanted = expected if expected is not None else tuple(plan_words)
    fields = dict(pull or {})
    fields.setdefault("commit_count", len(commits))
    if merged:
        merged_fields = {"merged": True, "state": "closed", "merged_by": "second", "merge_commit": "merge"}
        fields = merged_fields | fields
    first = pull_request(**fields)
    second = pull_request(**(fields | dict(again or {})))
    read = {
        "remote_head": first.head_sha,
        "remote_base": str(sha("base")),
        "complete": True,
        "gaps": (),
        "raw_digests": (("pull_request", plan_digest("answer")),),
    }
    read |= {name: over.pop(name) for name in list(over) if name in read}
    for name in ("remote_head", "remote_base"):
        value = read[name]
        read[name] = sha(value) if isinstance(value, str) and len(value) != 40 else value
    read["gaps"] = tuple(read["gaps"])  # type: ignore[arg-type]
    read["raw_digests"] = tuple(read["raw_digests"])  # type: ignore[arg-type]
    given_roles = ROLES | dict(roles or {})
    reading = PullRequestReading(
        pull_request=first,
        again=second,
        reviews=tuple(review(**({"number": 50 + index} | dict(r))) for index, r in enumerate(reviews)),
        commits=tuple(commit(**{("sha_" if k == "sha" else k): v for k, v in c.items()}) for c in commits),
        timeline=tuple(event(**e) for e in timeline),
        permissions=tuple(permission(n, role) for n, said in given_roles.items() for role in several(said)),
        comments=tuple(comment(**({"number": 70 + index} | dict(c))) for index, c in enumerate(comments)),
        pushes=tuple(push(**p) for p in pushes),
        lacks=tuple(Capability(word) for word in lacks),
        adopted=adopted(**adopts) if adopts is not None else None,
        **read,  # type: ignore[arg-type]
    )
    base_rules = {"targets": tuple(wanted)} | dict(rules or {})
    origins = rules_at if rules_at is not None else ([{}, {"origin": "tip"}] if merged else [{}])
    whole: dict[str, Any] = {
        "repository": REPOSITORY,
        "deploy_branch": "main",
        "policy_readable": True,
        "rules_touched": False,
        "others_touched": True,
        "holds": (),
    } | over
    whole["holds"] = tuple(whole["holds"])
    return Evidence(
        reading=reading,
        plans=tuple(
            PlannedTarget(Target.parse(name), plan_digest(word), tuple(obstacles), destroys)
            for name, words in (
                *plan_words.items(),
                *((name, plan_words[name]) for name in repeats if name in plan_words),
            )
            for word in several(words)
        ),
        expected=tuple(Target.parse(name) for name in wanted),
        posted=tuple(posted(**p) for p in shown),
        rule_sets=tuple(rule_set(**(base_rules | dict(one))) for one in origins),
        landing=landing(**dict(landed or {})) if merged or landed is not None else None,
        signed=tuple(signature(**s) for s in signed),
        first_seen=tuple(seen(**s) for s in heard),
        closed=tuple((moment(begin), moment(end)) for begin, end in closed),
        **whole,
    )
