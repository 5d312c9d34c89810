"""Evidence that the gate decides from, and its four answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.model.desired import Consent
from reconciler.model.principal import Principals
from reconciler.model.pull_request import Account, PullRequestReading, ReviewState
from reconciler.model.target import Target
from reconciler.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class PostedPlan:
    """What our comment showed for one head: one digest per target, and when, by the forge's clock.

    `updated_at` is when the comment for this head last changed what it says of the plan. `edited_by_others` is
    true when the
    comment's text is no longer what we wrote.
    """

    head_sha: str
    base_ref: str
    digests: tuple[tuple[Target, str], ...]
    comment: int
    updated_at: datetime
    edited_by_others: bool = False


class Form(StrEnum):
    """How somebody said yes or no: by a click, by a command in a comment (`/reconciler approve DIGEST`), or, for
    break-glass only, by signing a statement that never was on the forge.
    """

    REVIEW = "review"
    COMMENT = "comment"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True)
class Word:
    """What one account said that decides something: a review, or a comment that is a command.

    `commit` is the head that it is about: the review's own, and for a comment that of the plan which stood there when
    it was written. `body` is the whole text; `edited` says that its text is not known to be as it was first written.
    """

    form: Form
    id: int
    account: Account | None
    state: ReviewState
    commit: str | None
    submitted_at: datetime | None
    body: str
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Signed:
    """A comment holds an SSH signature by `key` over the consent to exactly these plans of this pull request, head and
    base (`approvals.statement`); checked by control, because checking is no pure matter.
    """

    comment: int
    key: str
    head_sha: str
    base_ref: str
    digests: tuple[tuple[Target, str], ...]


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """A word as it was when we first saw it, by the ledger: what it said, what its account might do in the repository,
    and which person it was by the rules (None for nobody).
    """

    form: Form
    id: int
    account: int
    login: str
    state: ReviewState
    at: datetime | None
    role: str | None
    person: str | None


@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """The plan made now for one target of the change; `obstacles` non-empty means that it cannot be carried out, and
    `destroys` says that something with data in it goes.
    """

    target: Target
    digest: str
    obstacles: tuple[str, ...] = ()
    destroys: bool = False


@dataclass(frozen=True, slots=True)
class GateRules:
    """The rules of one environment that decide about consent: the stricter of base and head (a pull request cannot
    lower its own gate).
    """

    target: Target
    tier: str
    consent: Consent
    consent_delay_seconds: float
    agent_owner_may_approve: bool
    bind: str = "plan"


@dataclass(frozen=True, slots=True)
class Landing:
    """How a merged pull request arrived on the deploy branch, as git and forge show it.

    `commits` are the first-parent commits of the landing, oldest first; `first_parent` the commit before them.
    `end_tree` is the tree at its end, `expected_tree` that of merging the approved head into `first_parent`
    (None when that merge has conflicts). `method` is merge, squash or rebase.
    """

    commits: tuple[str, ...]
    first_parent: str
    end_tree: str
    expected_tree: str | None
    method: str
    co_authors: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Principals and verdict under one version of the rules (the base's, the landing's first parent's, the tip's).

    `consent` is what a change asks for beside its environments: the strictest of all where it changes rules, or brings
    an environment that could otherwise choose its own.
    """

    origin: str
    principals: Principals
    verdict: Verdict
    environments: tuple[GateRules, ...]
    consent: Consent = Consent.REVIEW


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that one decision may look at, complete or marked as not.

    `repository` is the pinned id, `deploy_branch` the environment's branch. `rule_sets` must all pass. `posted` are the
    plans that the ledger holds for this pull request. `expected` is the set of targets that the change affects,
    computed from git alone (gate 30). `landing` is None before the merge. `policy_readable` is False when policy,
    principals or the format file could not be read at one of the origins; `rules_touched` and `others_touched` say
    what the files change. `holds` are sentences about windows and suspensions; `closed` the times (from, to) in which
    windows of the environments concerned kept anything from being deployed, sorted and apart from each other.
    `signed` and `first_seen` are what control found out about words.
    """

    repository: int
    deploy_branch: str
    reading: PullRequestReading
    plans: tuple[PlannedTarget, ...]
    expected: tuple[Target, ...]
    posted: tuple[PostedPlan, ...]
    rule_sets: tuple[RuleSet, ...]
    landing: Landing | None
    policy_readable: bool
    rules_touched: bool
    others_touched: bool
    holds: tuple[str, ...] = ()
    signed: tuple[Signed, ...] = ()
    first_seen: tuple[FirstSeen, ...] = ()
    closed: tuple[tuple[datetime, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why not, by the number in the gate's list."""

    rule: int
    text: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's consent that counted; `review` is the number of the review or of the comment, as `form` says, and
    `key` the one that signed it.
    """

    person: str
    account: int
    review: int
    head_sha: str
    submitted_at: datetime
    groups: tuple[str, ...]
    form: Form = Form.REVIEW
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """The consents suffice for exactly these plans."""

    approvals: tuple[Approval, ...]
    digests: tuple[tuple[Target, str], ...]
    head_sha: str
    attestation: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is wrong; somebody is missing. `missing` says who or what, in sentences for the comment; `rejected` that
    a person who may write asked for changes.
    """

    missing: tuple[str, ...]
    reasons: tuple[Reason, ...]
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class Stale:
    """There was consent, to something else than what would be done now."""

    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """It must not happen as it is."""

    reasons: tuple[Reason, ...]


Gate = Open | Waiting | Stale | Refused
