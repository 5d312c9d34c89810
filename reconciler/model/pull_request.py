"""What a forge says of a pull request: the raw material of the gate, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the forge names it. `id` decides; `login` is for people; `kind` is the forge's word (User, Bot
    …).
    """

    id: int
    login: str
    kind: str


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One reading of a pull request. `merge_commit` is set once merged; `head_repository` None when it is gone."""

    repository: int
    number: int
    title: str
    body: str
    author: Account | None
    state: str
    draft: bool
    merged: bool
    merged_by: Account | None
    merged_at: datetime | None
    merge_commit: str | None
    head_sha: str
    head_ref: str
    head_repository: int | None
    base_sha: str
    base_ref: str
    base_repository: int
    commit_count: int
    updated_at: datetime
    url: str


class ReviewState(StrEnum):
    """GitHub's words; COMMENTED and PENDING decide nothing."""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


@dataclass(frozen=True, slots=True)
class Review:
    """A review in the forge's order. `commit` is None when the forge lost the object (never counts). `edited` is
    whether its text was ever edited, None where that was not asked or is not known.
    """

    id: int
    account: Account | None
    state: ReviewState
    commit: str | None
    submitted_at: datetime | None
    body: str
    edited: bool | None = None


@dataclass(frozen=True, slots=True)
class PullRequestCommit:
    """A commit of the pull request as the forge attributes it.

    `author` and `committer` are the accounts that the forge resolved, None when it knows none.
    `trailers` are the raw `Co-authored-by` and `Suggested-by` values with the accounts they resolve to.
    `empty_update_merge` says that it merges the base in and its tree equals the clean merge ("Update branch").
    """

    sha: str
    parents: tuple[str, ...]
    author: Account | None
    committer: Account | None
    author_email: str
    committer_email: str
    trailers: tuple[tuple[str, int | None], ...]
    empty_update_merge: bool = False


class TimelineKind(StrEnum):
    """The events that matter to the gate."""

    HEAD_FORCE_PUSHED = "head_ref_force_pushed"
    BASE_CHANGED = "base_ref_changed"
    REOPENED = "reopened"
    REVIEW_DISMISSED = "review_dismissed"
    COMMITTED = "committed"
    MERGED = "merged"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One event in the forge's order; `at` None where the forge gives no time.

    Of a dismissal `review` is the review's number and `was` what it had said, None where the forge does not tell.
    """

    kind: TimelineKind
    account: Account | None
    at: datetime | None
    review: int | None = None
    was: ReviewState | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    """What an account may do in the repository, read afresh. `role` is role_name: read, triage, write, maintain,
    admin, none. A forge is asked by login: `same_account` is False where its answer is about somebody else.
    """

    account: int
    role: str
    same_account: bool = True


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of ours or of others on a pull request. Its times are in whole seconds; `edited` is whether it was ever
    edited, within the second in which it was written too, None where that was not asked or is not known.
    """

    id: int
    account: Account | None
    body: str
    created_at: datetime
    updated_at: datetime
    edited: bool | None = None


class Capability(StrEnum):
    """Evidence that a forge may be unable to give."""

    ACTIVITY = "activity"
    TIMELINE = "timeline"
    ROLES = "roles"


@dataclass(frozen=True, slots=True)
class Push:
    """Somebody moved the head branch, by the forge's activity log (which may lag: absence proves nothing)."""

    account: Account | None
    before: str | None
    after: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Adopted:
    """A commit that came without a merged pull request and that this pull request adopts: it and what it brought in as
    the forge attributes them, oldest first, and who pushed it onto the branch (empty where the forge cannot say).
    """

    revision: str
    commits: tuple[PullRequestCommit, ...]
    pushers: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class PullRequestReading:
    """All that was read of one pull request for one decision.

    `again` is the second reading of the pull request after everything else (double collect), `remote_head` and
    `remote_base` what `git ls-remote` says. `complete` is False when a page or an answer is missing, with the
    reasons in
    `gaps`. `raw_digests` are (name of the request, SHA-256 of the raw answer) for the attestation. `comments` are all
    of the pull request's, ours too, in the forge's order; `pushes` what the forge knows of who moved the head branch.
    `lacks` is what this forge cannot say at all. `adopted` is what an adoption takes over, whose hands are its own.
    """

    pull_request: PullRequest
    again: PullRequest
    reviews: tuple[Review, ...]
    commits: tuple[PullRequestCommit, ...]
    timeline: tuple[TimelineEvent, ...]
    permissions: tuple[Permission, ...]
    remote_head: str | None
    remote_base: str | None
    complete: bool
    gaps: tuple[str, ...]
    raw_digests: tuple[tuple[str, str], ...]
    comments: tuple[Comment, ...] = ()
    pushes: tuple[Push, ...] = ()
    lacks: tuple[Capability, ...] = ()
    adopted: Adopted | None = None
