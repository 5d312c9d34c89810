"""Handlers for pull requests, their reviews and merging."""

from __future__ import annotations

from typing import Any

from reconciler.localforge import merges, pulls, reviews
from reconciler.localforge.errors import ForgeError, invalid_field, not_found
from reconciler.localforge.mergeability import compare_base, compute, counts, known, mergeable_state
from reconciler.localforge.merges import MergeRequest
from reconciler.localforge.records import Pull, Review, ReviewComment
from reconciler.localforge.rest.call import Answer, Call
from reconciler.localforge.reviews import LineComment
from reconciler.localforge.shapes.commits import commit_shape, diff_entry
from reconciler.localforge.shapes.people import user_by_id
from reconciler.localforge.shapes.pulls import pull_shape, pull_simple, review_comment_shape, review_shape

MOST_COMMITS = 250  # GitHub's limit for any paging of a pull request's commits
MOST_FILES = 3000


def _full(call: Call, pull: Pull, status: int = 200) -> Answer:
    git = call.forge.git(call.repository)
    shown = known(git, pull)
    body = pull_shape(
        call.forge, call.repository, shown, mergeable_state=mergeable_state(git, shown), counts=counts(git, shown)
    )
    return Answer(body, status=status)


def list_pulls(call: Call) -> Answer:
    query = call.query
    state, direction = query.get("state", "open"), query.get("direction")
    if state not in ("open", "closed", "all"):
        raise invalid_field("PullRequest", "state")
    found = call.forge.database.all(Pull, repository_id=call.repository.id)
    if state != "all":
        found = [pull for pull in found if pull.state == state]
    head = query.get("head")
    if head:
        owner, colon, branch = head.partition(":")
        found = [pull for pull in found if colon and owner == call.repository.owner and pull.head_ref == branch]
    if query.get("base"):
        found = [pull for pull in found if pull.base_ref == query["base"]]
    updated = query.get("sort") == "updated"
    newest_first = direction != "asc" if direction or query.get("sort") in (None, "created") else False
    found.sort(key=lambda pull: (pull.updated_at, pull.id) if updated else ("", pull.id), reverse=newest_first)
    return call.listed(found, lambda pull: pull_simple(call.forge, call.repository, pull))


def create_pull(call: Call) -> Answer:
    pull = pulls.open_pull(
        call.forge,
        call.repository,
        call.caller.user,
        title=call.required("title", "PullRequest"),
        body=call.text("body", "PullRequest"),
        head=call.required("head", "PullRequest"),
        base=call.required("base", "PullRequest"),
        draft=call.flag("draft"),
    )
    answer = _full(call, pull, status=201)
    return Answer(answer.body, status=201, headers={"Location": answer.body["url"]})


def get_pull(call: Call) -> Answer:
    pull = call.pull()
    git = call.forge.git(call.repository)
    if "diff" in call.accept or "patch" in call.accept:
        base = compare_base(git, pull)
        if "diff" in call.accept:
            text, kind = git.diff_text(base, pull.head_sha), "diff"
        else:
            text, kind = git.patch_text(base, pull.head_sha), "patch"
        return Answer(text=text, media_type=f"application/vnd.github.v3.{kind}; charset=utf-8")
    answer = _full(call, pull)
    if pull.state == "open":
        # only now, so that the first reader has to ask again, as on GitHub where a job does it
        compute(call.forge, call.repository, pull)
    return answer


def update_pull(call: Call) -> Answer:
    changed = pulls.edit_pull(
        call.forge,
        call.repository,
        call.caller,
        call.pull(),
        title=call.text("title", "PullRequest"),
        body=call.text("body", "PullRequest"),
        state=call.text("state", "PullRequest"),
        base=call.text("base", "PullRequest"),
    )
    return _full(call, changed)


def list_commits(call: Call) -> Answer:
    pull, git = call.pull(), call.forge.git(call.repository)
    found = git.commits_between(compare_base(git, pull), pull.head_sha)[:MOST_COMMITS]
    return call.listed(found, lambda one: commit_shape(call.forge, call.repository, one))


def list_files(call: Call) -> Answer:
    pull, git = call.pull(), call.forge.git(call.repository)
    found = git.changes(compare_base(git, pull), pull.head_sha)[:MOST_FILES]
    return call.listed(found, lambda one: diff_entry(call.forge, call.repository, pull.head_sha, one))


def is_merged(call: Call) -> Answer:
    if not call.pull().merged:
        raise not_found()
    return Answer(status=204)


def merge(call: Call) -> Answer:
    wanted = MergeRequest(
        method=call.text("merge_method") or "merge",
        title=call.text("commit_title"),
        message=call.text("commit_message"),
        expected_head=call.text("sha"),
    )
    merged = merges.merge_pull(call.forge, call.repository, call.caller, call.pull().number, wanted)
    return Answer({"sha": merged.merge_commit_sha, "merged": True, "message": "Pull Request successfully merged"})


def update_branch(call: Call) -> Answer:
    pull = call.pull()
    pulls.update_branch(call.forge, call.repository, call.caller, pull, call.text("expected_head_sha"))
    url = f"{call.api}/pulls/{pull.number}"
    return Answer({"message": "Updating pull request branch.", "url": url}, status=202)


# reviews


def _review(call: Call, pull: Pull) -> Review:
    """One review of this pull request; a pending one only for who wrote it."""
    found = call.forge.database.find(Review, id=call.number("review_id"), pull_id=pull.id)
    if found is None or (found.state == "PENDING" and found.user_id != call.caller.user.id):
        raise not_found()
    return found


def _reviewed(call: Call, pull: Pull, review: Review) -> Answer:
    return Answer(review_shape(call.forge, call.repository, pull, review))


def list_reviews(call: Call) -> Answer:
    pull = call.pull()
    found = [
        one
        for one in call.forge.database.all(Review, pull_id=pull.id)
        if one.state != "PENDING" or one.user_id == call.caller.user.id
    ]
    return call.listed(found, lambda one: review_shape(call.forge, call.repository, pull, one))


def create_review(call: Call) -> Answer:
    pull = call.pull()
    given = call.body.get("comments") or []
    if not isinstance(given, list):
        raise invalid_field("PullRequestReview", "comments")
    review = reviews.create_review(
        call.forge,
        call.repository,
        call.caller,
        pull,
        event=call.text("event"),
        body=call.text("body") or "",
        commit_id=call.text("commit_id"),
        comments=tuple(_line_comment(one) for one in given),
    )
    return _reviewed(call, pull, review)


def _line_comment(given: Any) -> LineComment:
    if not isinstance(given, dict):
        raise invalid_field("PullRequestReviewComment", "comments")
    path, body, line = given.get("path"), given.get("body"), given.get("line", given.get("position"))
    if not isinstance(path, str) or not isinstance(body, str) or not (line is None or isinstance(line, int)):
        raise ForgeError(422, "A comment needs a path, a body and a line")
    return LineComment(path, line, "LEFT" if given.get("side") == "LEFT" else "RIGHT", body)


def get_review(call: Call) -> Answer:
    pull = call.pull()
    return _reviewed(call, pull, _review(call, pull))


def update_review(call: Call) -> Answer:
    pull = call.pull()
    body = call.required("body", "PullRequestReview")
    review = reviews.edit_review(call.forge, call.repository, call.caller, pull, _review(call, pull), body)
    return _reviewed(call, pull, review)


def delete_review(call: Call) -> Answer:
    pull = call.pull()
    review = _review(call, pull)
    answer = _reviewed(call, pull, review)
    reviews.delete_pending_review(call.forge, call.caller, review)
    return answer


def submit_review(call: Call) -> Answer:
    pull = call.pull()
    body = call.text("body") or ""
    review = reviews.submit_review(
        call.forge, call.repository, call.caller, pull, _review(call, pull), call.text("event"), body
    )
    return _reviewed(call, pull, review)


def dismiss_review(call: Call) -> Answer:
    pull = call.pull()
    message = call.required("message", "PullRequestReview")
    review = reviews.dismiss_review(call.forge, call.repository, call.caller, pull, _review(call, pull), message)
    return _reviewed(call, pull, review)


def list_review_comments(call: Call) -> Answer:
    """All of the pull request's, or those of one review when the path names it."""
    pull = call.pull()
    pending = {one.id for one in call.forge.database.all(Review, pull_id=pull.id, state="PENDING")}
    found = call.forge.database.all(ReviewComment, pull_id=pull.id)
    found = [one for one in found if one.review_id not in pending]
    if "review_id" in call.parameters:
        review = _review(call, pull)
        found = call.forge.database.all(ReviewComment, review_id=review.id)
    return call.listed(found, lambda one: review_comment_shape(call.forge, call.repository, pull, one))


def requested_reviewers(call: Call) -> Answer:
    pull = call.pull()
    users = [user_by_id(call.forge, user_id) for user_id in pull.requested_reviewers]
    return Answer({"users": users, "teams": []})


def request_reviewers(call: Call) -> Answer:
    pull = pulls.request_reviewers(call.forge, call.repository, call.caller, call.pull(), call.texts("reviewers"))
    return Answer(pull_simple(call.forge, call.repository, pull), status=201)


def remove_reviewers(call: Call) -> Answer:
    pull = pulls.request_reviewers(
        call.forge, call.repository, call.caller, call.pull(), call.texts("reviewers"), remove=True
    )
    return Answer(pull_simple(call.forge, call.repository, pull))
