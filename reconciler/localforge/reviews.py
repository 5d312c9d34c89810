"""Reviewing: giving, submitting, dismissing. A review stays on the commit it was given at, whatever is pushed later."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.localforge import notices, timeline
from reconciler.localforge.access import Caller
from reconciler.localforge.errors import ForgeError, forbidden, unprocessable
from reconciler.localforge.forge import Forge, has_role
from reconciler.localforge.mergeability import compare_base
from reconciler.localforge.pulls import check_body
from reconciler.localforge.records import Activity, Pull, Repository, Review, ReviewComment

STATE_OF_EVENT = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
OWN_PULL = {
    "APPROVE": "Can not approve your own pull request",
    "REQUEST_CHANGES": "Can not request changes on your own pull request",
}


@dataclass(frozen=True, slots=True)
class LineComment:
    """A remark on one line, as given with a review."""

    path: str
    line: int | None
    side: str
    body: str


def create_review(
    forge: Forge,
    repository: Repository,
    caller: Caller,
    pull: Pull,
    *,
    event: str | None,
    body: str,
    commit_id: str | None = None,
    comments: tuple[LineComment, ...] = (),
) -> Review:
    """Gives a review; without `event` it stays pending. `commit_id` may be an older head, as on GitHub."""
    at = commit_id or pull.head_sha
    _check_event(caller, pull, event, body, bool(comments))
    _check_commit(forge, repository, pull, at)
    check_body(body, "PullRequestReview")
    database = forge.database
    with database.transaction():
        if event is None and database.find(Review, pull_id=pull.id, user_id=caller.user.id, state="PENDING"):
            raise unprocessable("User can only have one pending review per pull request")
        now = forge.now()
        review = database.add(
            Review,
            pull_id=pull.id,
            user_id=caller.user.id,
            state=STATE_OF_EVENT[event] if event else "PENDING",
            body=body,
            commit_id=at,
            submitted_at=now if event else None,
            last_edited_at=None,
        )
        for comment in comments:
            database.add(
                ReviewComment,
                pull_id=pull.id,
                review_id=review.id,
                user_id=caller.user.id,
                path=comment.path,
                line=comment.line,
                side=comment.side,
                body=comment.body,
                diff_hunk="",
                commit_id=at,
                created_at=now,
                updated_at=now,
            )
        if event:
            _tell(forge, repository, caller, pull, review)
        return review


def submit_review(
    forge: Forge, repository: Repository, caller: Caller, pull: Pull, review: Review, event: str | None, body: str
) -> Review:
    if review.user_id != caller.user.id or review.state != "PENDING":
        raise unprocessable("Could not submit the review: it is not your pending review")
    if event is None:
        raise unprocessable("event can't be blank")
    has_comments = bool(forge.database.all(ReviewComment, review_id=review.id))
    _check_event(caller, pull, event, body or review.body, has_comments)
    with forge.database.transaction():
        submitted = forge.database.change(
            review, state=STATE_OF_EVENT[event], body=body or review.body, submitted_at=forge.now()
        )
        _tell(forge, repository, caller, pull, submitted)
        return submitted


def dismiss_review(
    forge: Forge, repository: Repository, caller: Caller, pull: Pull, review: Review, message: str
) -> Review:
    """Anybody who can write may dismiss, also an objection; who did it stays in the timeline."""
    if not has_role(forge.role(repository, caller.user), "write"):
        raise forbidden("Must have write rights to Repository.")
    if not message.strip():
        raise unprocessable("Message can't be blank")
    if review.state not in ("APPROVED", "CHANGES_REQUESTED"):
        raise unprocessable(f"Can not dismiss a {review.state.lower()} pull request review")
    with forge.database.transaction():
        dismissed = forge.database.change(review, state="DISMISSED")
        forge.database.change(pull, updated_at=forge.now())
        details = {"state": review.state.lower(), "review_id": review.id, "dismissal_message": message}
        timeline.record(forge, pull, caller.user, "review_dismissed", dismissed_review=details)
        notices.review(forge, repository, caller.user, pull, dismissed, "dismissed")
        return dismissed


def edit_review(forge: Forge, repository: Repository, caller: Caller, pull: Pull, review: Review, body: str) -> Review:
    """Changes the text, never the verdict or its commit: of one's own, or of anybody's for who can write."""
    if review.user_id != caller.user.id and not has_role(forge.role(repository, caller.user), "write"):
        raise forbidden("Must have write rights to Repository.")
    if not body.strip():
        raise unprocessable("Body can't be blank")
    check_body(body, "PullRequestReview")
    with forge.database.transaction():
        changed = forge.database.change(review, body=body, last_edited_at=forge.now())
        notices.review(forge, repository, caller.user, pull, changed, "edited", changes={"body": {"from": review.body}})
        return changed


def delete_pending_review(forge: Forge, caller: Caller, review: Review) -> None:
    if review.user_id != caller.user.id or review.state != "PENDING":
        raise unprocessable("Can not delete a non-pending pull request review")
    with forge.database.transaction():
        for comment in forge.database.all(ReviewComment, review_id=review.id):
            forge.database.delete(comment)
        forge.database.delete(review)


def _check_event(caller: Caller, pull: Pull, event: str | None, body: str, has_comments: bool) -> None:
    if event is not None and event not in STATE_OF_EVENT:
        raise ForgeError(422, f"Variable $event of type PullRequestReviewEvent was provided invalid value: {event}")
    if caller.user.id == pull.user_id and event in OWN_PULL:
        raise unprocessable(OWN_PULL[event])
    if event == "REQUEST_CHANGES" and not body.strip():
        raise unprocessable("Could not request changes. Body can't be blank")
    if event == "COMMENT" and not body.strip() and not has_comments:
        raise unprocessable("Could not comment. Body can't be blank")


def _check_commit(forge: Forge, repository: Repository, pull: Pull, sha: str) -> None:
    """Any commit of the pull request, and any head that its branch ever had."""
    if sha == pull.head_sha:
        return
    git = forge.git(repository)
    if git.commit_or_none(sha) is not None:
        if any(str(one.id) == sha for one in git.commits_between(compare_base(git, pull), pull.head_sha)):
            return
        ref = f"refs/heads/{pull.head_ref}"
        if forge.database.find(Activity, repository_id=repository.id, ref=ref, after=sha):
            return
    raise unprocessable("Commit is not part of the pull request")


def _tell(forge: Forge, repository: Repository, caller: Caller, pull: Pull, review: Review) -> None:
    asked = tuple(one for one in pull.requested_reviewers if one != caller.user.id)
    changed = forge.database.change(pull, requested_reviewers=asked, updated_at=forge.now())
    notices.review(forge, repository, caller.user, changed, review, "submitted")
