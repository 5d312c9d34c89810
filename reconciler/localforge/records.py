"""The rows of the forge's database as values; `database` reads and writes them, everything else passes them on.

Times are UTC texts with a resolution of one second (`2026-01-02T03:04:05Z`), because that is all GitHub tells.
Ids grow through one counter for all tables, so that (time, id) orders anything that happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class User:
    """An account: a person (`User`), a `Bot`, or the `Organization` that owns repositories."""

    table: ClassVar[str] = "users"
    id: int
    login: str
    type: str
    name: str | None
    email: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Token:
    """A credential of one account; only the SHA-256 of its value is kept.

    `branches` are patterns of branch names that it may push (None: all); `app_id` marks a token of a GitHub App.
    """

    table: ClassVar[str] = "tokens"
    id: int
    user_id: int
    digest: str
    scopes: tuple[str, ...]
    branches: tuple[str, ...] | None
    app_id: int | None
    app_slug: str | None


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, private to its collaborators; its git data lies under OWNER/NAME.git."""

    table: ClassVar[str] = "repositories"
    id: int
    owner_id: int
    owner: str
    name: str
    default_branch: str
    settings: dict[str, Any]
    created_at: str
    updated_at: str
    pushed_at: str

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class Collaborator:
    table: ClassVar[str] = "collaborators"
    id: int
    repository_id: int
    user_id: int
    role: str


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request. `test_merge_of` is "head base" of the commits that `mergeable` was computed for."""

    table: ClassVar[str] = "pulls"
    id: int
    repository_id: int
    number: int
    title: str
    body: str | None
    user_id: int
    state: str
    draft: bool
    locked: bool
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    mergeable: bool | None
    test_merge_of: str | None
    merge_commit_sha: str | None
    merged_at: str | None
    merged_by: int | None
    closed_at: str | None
    labels: tuple[str, ...]
    requested_reviewers: tuple[int, ...]
    created_at: str
    updated_at: str

    @property
    def merged(self) -> bool:
        return self.merged_at is not None


@dataclass(frozen=True, slots=True)
class Review:
    """A review, bound for ever to the commit it was given at. `submitted_at` is None while it is pending."""

    table: ClassVar[str] = "reviews"
    id: int
    pull_id: int
    user_id: int
    state: str
    body: str
    commit_id: str
    submitted_at: str | None
    last_edited_at: str | None


@dataclass(frozen=True, slots=True)
class ReviewComment:
    table: ClassVar[str] = "review_comments"
    id: int
    pull_id: int
    review_id: int
    user_id: int
    path: str
    line: int | None
    side: str
    body: str
    diff_hunk: str
    commit_id: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on the pull request's conversation (GitHub's issue comment)."""

    table: ClassVar[str] = "comments"
    id: int
    pull_id: int
    user_id: int
    body: str
    created_at: str
    updated_at: str
    last_edited_at: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a pull request apart from reviews and comments; `data` belongs to the kind."""

    table: ClassVar[str] = "events"
    id: int
    pull_id: int
    kind: str
    actor_id: int
    commit_id: str | None
    data: dict[str, Any]
    created_at: str


@dataclass(frozen=True, slots=True)
class Status:
    table: ClassVar[str] = "statuses"
    id: int
    repository_id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    user_id: int
    created_at: str


@dataclass(frozen=True, slots=True)
class CheckRun:
    table: ClassVar[str] = "check_runs"
    id: int
    repository_id: int
    head_sha: str
    name: str
    status: str
    conclusion: str | None
    details_url: str | None
    external_id: str
    output: dict[str, Any]
    app_id: int
    app_slug: str
    user_id: int
    started_at: str
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class Activity:
    """One movement of one ref, as GET /repos/{owner}/{repo}/activity tells it."""

    table: ClassVar[str] = "activity"
    id: int
    repository_id: int
    ref: str
    before: str
    after: str
    actor_id: int
    activity_type: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Hook:
    table: ClassVar[str] = "hooks"
    id: int
    repository_id: int
    url: str
    secret: str
    content_type: str
    events: tuple[str, ...]
    active: bool
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver one event; a redelivery is a new row with the same guid."""

    table: ClassVar[str] = "deliveries"
    id: int
    hook_id: int
    guid: str
    event: str
    action: str | None
    redelivery: bool
    delivered_at: str
    duration: float
    status: str
    status_code: int
    request_headers: dict[str, Any]
    payload: dict[str, Any]
    response_headers: dict[str, Any]
    response_body: str


RECORDS = (User, Token, Repository, Collaborator, Pull, Review, ReviewComment, Comment, Event, Status, CheckRun,
           Activity, Hook, Delivery)  # fmt: skip
