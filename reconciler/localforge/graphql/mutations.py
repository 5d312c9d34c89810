"""GraphQL mutations: each finds its objects, checks the permissions of the REST route, and calls the same action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reconciler.localforge import merges, pulls, reviews
from reconciler.localforge.database import Record
from reconciler.localforge.errors import ForgeError
from reconciler.localforge.graphql.objects import Viewer, comment_object, pull_object, review_object
from reconciler.localforge.merges import MergeRequest
from reconciler.localforge.records import Comment, Pull, Repository, Review, User
from reconciler.localforge.shapes.people import key_of_node_id, node_id

JSON = dict[str, Any]
Mutation = Callable[[Viewer, JSON], JSON]
R = TypeVar("R", bound=Record)


def _unresolved(node: str) -> ForgeError:
    return ForgeError(404, f"Could not resolve to a node with the global id of '{node}'.")


def find_repository(viewer: Viewer, node: str) -> Repository:
    found = _found(viewer, Repository, "Repository", node)
    if not viewer.sees(found):
        raise _unresolved(node)
    return found


def find_pull(viewer: Viewer, node: str, *permissions: str) -> tuple[Repository, Pull]:
    """A pull request by its global id, if the viewer may see its repository and holds one of the permissions."""
    pull = _found(viewer, Pull, "PullRequest", node)
    repository = viewer.forge.database.find(Repository, id=pull.repository_id)
    if repository is None or not viewer.sees(repository):
        raise _unresolved(node)
    viewer.require(repository, *permissions)
    return repository, pull


def find_comment(viewer: Viewer, node: str) -> tuple[Repository, Pull, Comment]:
    """A comment by its global id, if the viewer may read its pull request."""
    comment = _found(viewer, Comment, "IssueComment", node)
    return *_find_pull_of(viewer, comment.pull_id), comment


def find_review(viewer: Viewer, node: str) -> tuple[Repository, Pull, Review]:
    """A review by its global id, if the viewer may read its pull request and it is not somebody else's draft."""
    review = _found(viewer, Review, "PullRequestReview", node)
    if review.state == "PENDING" and review.user_id != viewer.caller.user.id:
        raise _unresolved(node)
    return *_find_pull_of(viewer, review.pull_id), review


def _find_pull_of(viewer: Viewer, pull: int) -> tuple[Repository, Pull]:
    return find_pull(viewer, node_id("PullRequest", pull), "pull_requests:read")


def _found(viewer: Viewer, record: type[R], kind: str, node: str) -> R:
    key = key_of_node_id(node, kind)
    found = viewer.forge.database.find(record, id=int(key)) if key is not None and key.isdecimal() else None
    if found is None:
        raise _unresolved(node)
    return found


def _changed(viewer: Viewer, repository: Repository, pull: Pull) -> JSON:
    return {"pullRequest": pull_object(viewer, repository, pull)}


def create_pull_request(viewer: Viewer, given: JSON) -> JSON:
    repository = find_repository(viewer, given["repositoryId"])
    viewer.require(repository, "pull_requests:write")
    if given.get("headRepositoryId") not in (None, given["repositoryId"]):
        raise ForgeError(422, "There are no forks on this forge: headRepositoryId must be the repository itself")
    pull = pulls.open_pull(
        viewer.forge,
        repository,
        viewer.caller.user,
        title=given["title"],
        body=given.get("body"),
        head=given["headRefName"],
        base=given["baseRefName"].removeprefix("refs/heads/"),
        draft=bool(given.get("draft")),
    )
    return _changed(viewer, repository, pull)


def update_pull_request(viewer: Viewer, given: JSON) -> JSON:
    repository, pull = find_pull(viewer, given["pullRequestId"], "pull_requests:write")
    state = given.get("state")
    changed = pulls.edit_pull(
        viewer.forge,
        repository,
        viewer.caller,
        pull,
        title=given.get("title"),
        body=given.get("body"),
        base=given.get("baseRefName"),
        state=state.lower() if state else None,
    )
    return _changed(viewer, repository, changed)


def _state_change(state: str) -> Mutation:
    def change(viewer: Viewer, given: JSON) -> JSON:
        repository, pull = find_pull(viewer, given["pullRequestId"], "pull_requests:write")
        changed = pulls.edit_pull(viewer.forge, repository, viewer.caller, pull, state=state)
        return _changed(viewer, repository, changed)

    return change


def _draft_change(draft: bool) -> Mutation:
    def change(viewer: Viewer, given: JSON) -> JSON:
        repository, pull = find_pull(viewer, given["pullRequestId"], "pull_requests:write")
        return _changed(viewer, repository, pulls.set_draft(viewer.forge, repository, viewer.caller, pull, draft))

    return change


def merge_pull_request(viewer: Viewer, given: JSON) -> JSON:
    repository, pull = find_pull(viewer, given["pullRequestId"], "contents:write")
    wanted = MergeRequest(
        method=(given.get("mergeMethod") or "MERGE").lower(),
        title=given.get("commitHeadline"),
        message=given.get("commitBody"),
        expected_head=given.get("expectedHeadOid"),
    )
    merged = merges.merge_pull(viewer.forge, repository, viewer.caller, pull.number, wanted)
    return _changed(viewer, repository, merged)


def add_pull_request_review(viewer: Viewer, given: JSON) -> JSON:
    repository, pull = find_pull(viewer, given["pullRequestId"], "pull_requests:write")
    if given.get("comments") or given.get("threads"):
        raise ForgeError(422, "Comments on lines are taken by the REST API only")
    event = given.get("event")
    if event == "DISMISS":
        raise ForgeError(422, "A review is dismissed by the REST API only")
    review = reviews.create_review(
        viewer.forge,
        repository,
        viewer.caller,
        pull,
        event=event,
        body=given.get("body") or "",
        commit_id=given.get("commitOID"),
    )
    return {"pullRequestReview": review_object(viewer, repository, pull, review)}


def add_comment(viewer: Viewer, given: JSON) -> JSON:
    repository, pull = find_pull(viewer, given["subjectId"], "issues:write", "pull_requests:write")
    comment = pulls.add_comment(viewer.forge, repository, viewer.caller.user, pull, given["body"])
    return {"commentEdge": {"cursor": "", "node": comment_object(viewer, repository, pull, comment)}}


def request_reviews(viewer: Viewer, given: JSON) -> JSON:
    repository, pull = find_pull(viewer, given["pullRequestId"], "pull_requests:write")
    logins = []
    for node in given.get("userIds") or ():
        key = key_of_node_id(node, "User")
        user = viewer.forge.database.find(User, id=int(key)) if key is not None and key.isdecimal() else None
        if user is None:
            raise _unresolved(node)
        logins.append(user.login)
    changed = pulls.request_reviewers(viewer.forge, repository, viewer.caller, pull, logins)
    return _changed(viewer, repository, changed)


MUTATIONS: dict[str, Mutation] = {
    "addComment": add_comment,
    "addPullRequestReview": add_pull_request_review,
    "closePullRequest": _state_change("closed"),
    "convertPullRequestToDraft": _draft_change(True),
    "createPullRequest": create_pull_request,
    "markPullRequestReadyForReview": _draft_change(False),
    "mergePullRequest": merge_pull_request,
    "reopenPullRequest": _state_change("open"),
    "requestReviews": request_reviews,
    "updatePullRequest": update_pull_request,
}
