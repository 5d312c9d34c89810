"""The parts of GitHub's answers that we rely on, checked as they come in; `GitHub` turns them into the model's values.

Only what is used is named, so that an answer with more in it is read and one with less is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from reconciler.model.pull_request import (
    Account,
    Comment,
    PullRequest,
    Push,
    Review,
    ReviewState,
    TimelineEvent,
    TimelineKind,
)

Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}\z")]


class Answer(BaseModel):
    """Strict about what is named (a number is no text), silent about the rest."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class AccountAnswer(Answer):
    id: int
    login: str
    type: str

    def account(self) -> Account:
        return Account(self.id, self.login, self.type)


def _nobody(value: Any) -> Any:
    """GitHub says null, and in some lists {}, for an account that it does not know."""
    return None if value == {} else value


MaybeAccount = Annotated[AccountAnswer | None, BeforeValidator(_nobody)]


class RepositoryAnswer(Answer):
    id: int


class NumberAnswer(Answer):
    number: int


class HeadAnswer(Answer):
    sha: Sha
    ref: str
    repo: RepositoryAnswer | None


class BaseAnswer(Answer):
    sha: Sha
    ref: str
    repo: RepositoryAnswer


class ListedPull(Answer):
    """A pull request in a list, which lacks what only a single reading has."""

    number: int
    title: str
    body: str | None = None
    user: MaybeAccount
    state: str = Field(pattern=r"^(open|closed)\z")
    draft: bool = False
    merged_at: AwareDatetime | None
    merge_commit_sha: Sha | None
    head: HeadAnswer
    base: BaseAnswer
    updated_at: AwareDatetime
    html_url: str

    def pull_request(self) -> PullRequest:
        return self._value(merged=self.merged_at is not None, merged_by=None, commits=0)

    def _value(self, *, merged: bool, merged_by: Account | None, commits: int) -> PullRequest:
        return PullRequest(
            repository=self.base.repo.id,
            number=self.number,
            title=self.title,
            body=self.body or "",
            author=account_of(self.user),
            state=self.state,
            draft=self.draft,
            merged=merged,
            merged_by=merged_by,
            merged_at=self.merged_at,
            merge_commit=self.merge_commit_sha if merged else None,  # before, it is a test merge of GitHub's
            head_sha=self.head.sha,
            head_ref=self.head.ref,
            head_repository=self.head.repo.id if self.head.repo is not None else None,
            base_sha=self.base.sha,
            base_ref=self.base.ref,
            base_repository=self.base.repo.id,
            commit_count=commits,
            updated_at=self.updated_at,
            url=self.html_url,
        )


class PullAnswer(ListedPull):
    """One pull request read by its number."""

    merged: bool
    merged_by: MaybeAccount
    commits: int

    def pull_request(self) -> PullRequest:
        return self._value(merged=self.merged, merged_by=account_of(self.merged_by), commits=self.commits)


class ReviewAnswer(Answer):
    id: int
    node_id: str = ""
    user: MaybeAccount
    state: str
    commit_id: Sha | None
    submitted_at: AwareDatetime | None = None
    body: str | None = None

    def value(self) -> Review:
        return Review(
            self.id,
            account_of(self.user),
            ReviewState(self.state),
            self.commit_id,
            self.submitted_at,
            self.body or "",
        )


class IdentityAnswer(Answer):
    email: str | None = None


class GitCommitAnswer(Answer):
    message: str
    author: IdentityAnswer | None
    committer: IdentityAnswer | None


class ParentAnswer(Answer):
    sha: Sha


class CommitAnswer(Answer):
    sha: Sha
    parents: list[ParentAnswer]
    author: MaybeAccount
    committer: MaybeAccount
    commit: GitCommitAnswer


class DismissedAnswer(Answer):
    review_id: int
    state: str | None = None


KINDS = {kind.value: kind for kind in TimelineKind} | {
    "automatic_base_change_succeeded": TimelineKind.BASE_CHANGED,  # the base branch was deleted (gate 26)
}


SAID = {state.value.lower(): state for state in (ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED)}


class EventAnswer(Answer):
    event: str = ""
    actor: MaybeAccount = None
    created_at: AwareDatetime | None = None
    dismissed_review: DismissedAnswer | None = None

    def value(self) -> TimelineEvent:
        return TimelineEvent(
            KINDS.get(self.event, TimelineKind.OTHER),
            account_of(self.actor),
            self.created_at,
            self.dismissed_review.review_id if self.dismissed_review is not None else None,
            SAID.get(self.dismissed_review.state or "") if self.dismissed_review is not None else None,
        )


class PermissionAnswer(Answer):
    permission: str
    role_name: str | None = None
    user: MaybeAccount


class CommentAnswer(Answer):
    id: int
    node_id: str = ""
    user: MaybeAccount
    body: str = ""
    created_at: AwareDatetime
    updated_at: AwareDatetime

    def value(self) -> Comment:
        return Comment(self.id, account_of(self.user), self.body, self.created_at, self.updated_at)


class EditAnswer(Answer):
    """A comment or a review by its node id, as GraphQL has it."""

    id: str
    last_edited_at: AwareDatetime | None = Field(alias="lastEditedAt")


class NodesAnswer(Answer):
    nodes: list[EditAnswer | None]


class EditsAnswer(Answer):
    data: NodesAnswer | None = None


class ActivityAnswer(Answer):
    before: str
    after: str
    actor: MaybeAccount = None
    timestamp: AwareDatetime | None = None

    def value(self) -> Push:
        return Push(account_of(self.actor), self.before, self.after, self.timestamp)


class StatusAnswer(Answer):
    context: str
    state: str
    description: str | None
    target_url: str | None


class CombinedAnswer(Answer):
    statuses: list[StatusAnswer]


class AppAnswer(Answer):
    id: int


class CheckOutputAnswer(Answer):
    title: str | None = None


class CheckRunAnswer(Answer):
    conclusion: str | None
    details_url: str | None = None
    output: CheckOutputAnswer
    app: AppAnswer | None = None


class CheckRunsAnswer(Answer):
    check_runs: list[CheckRunAnswer]


def account_of(answer: AccountAnswer | None) -> Account | None:
    return answer.account() if answer is not None else None


REPOSITORY = TypeAdapter(RepositoryAnswer)
ACCOUNT = TypeAdapter(AccountAnswer)
PULL = TypeAdapter(PullAnswer)
PULLS = TypeAdapter(list[ListedPull])
REVIEW = TypeAdapter(ReviewAnswer)
REVIEWS = TypeAdapter(list[ReviewAnswer])
NUMBERS = TypeAdapter(list[NumberAnswer])
COMMIT = TypeAdapter(CommitAnswer)
COMMITS = TypeAdapter(list[CommitAnswer])
EVENTS = TypeAdapter(list[EventAnswer])
PERMISSION = TypeAdapter(PermissionAnswer)
COMMENT = TypeAdapter(CommentAnswer)
COMMENTS = TypeAdapter(list[CommentAnswer])
EDITS = TypeAdapter(EditsAnswer)
ACTIVITY = TypeAdapter(list[ActivityAnswer])
COMBINED = TypeAdapter(CombinedAnswer)
CHECK_RUN = TypeAdapter(CheckRunAnswer)
CHECK_RUNS = TypeAdapter(CheckRunsAnswer)
ANYTHING: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
