"""GraphQL objects as dictionaries; what costs something or takes arguments is a function that the executor calls."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pygit2

from reconciler.localforge import access
from reconciler.localforge.access import Caller
from reconciler.localforge.errors import ForgeError
from reconciler.localforge.forge import Forge
from reconciler.localforge.mergeability import compare_base, compute, counts, known, mergeable_state
from reconciler.localforge.records import CheckRun, Collaborator, Comment, Pull, Repository, Review, Status, User
from reconciler.localforge.shapes.checks import combined_state, latest
from reconciler.localforge.shapes.commits import commit_shape
from reconciler.localforge.shapes.people import association, node_id, simple_user
from reconciler.localforge.shapes.pulls import comment_shape, label_shape, review_shape
from reconciler.localforge.shapes.repositories import html_url

JSON = dict[str, Any]
LARGEST_PAGE = 100
PERMISSION = {"read": "READ", "triage": "TRIAGE", "write": "WRITE", "maintain": "MAINTAIN", "admin": "ADMIN"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose eyes the objects are made for."""

    forge: Forge
    caller: Caller

    def sees(self, repository: Repository) -> bool:
        return self.forge.role(repository, self.caller.user) != "none"

    def require(self, repository: Repository, *permissions: str) -> None:
        access.require(self.forge, self.caller, repository, *permissions)

    def may(self, repository: Repository, permission: str) -> bool:
        try:
            self.require(repository, permission)
        except ForgeError:
            return False
        return True


def connection(items: Sequence[Any], shape: Callable[[Any], Any] | None = None) -> Callable[..., JSON]:
    """A connection over a list: `first`/`after` from its start, `last`/`before` from its end."""

    def resolve(_: Any, **arguments: Any) -> JSON:
        start, end = _position(arguments.get("after"), -1) + 1, _position(arguments.get("before"), len(items))
        first, last = arguments.get("first"), arguments.get("last")
        if first is not None:
            end = min(end, start + max(0, min(first, LARGEST_PAGE)))
        elif last is not None:
            start = max(start, end - max(0, min(last, LARGEST_PAGE)))
        chosen = items[start:end]
        return {
            "totalCount": len(items),
            "nodes": [shape(item) if shape else item for item in chosen],
            "pageInfo": {
                "hasNextPage": end < len(items),
                "hasPreviousPage": start > 0,
                "startCursor": _cursor(start) if chosen else None,
                "endCursor": _cursor(start + len(chosen) - 1) if chosen else None,
            },
        }

    return resolve


def _cursor(position: int) -> str:
    return base64.b64encode(f"cursor:{position}".encode()).decode()


def _position(cursor: str | None, default: int) -> int:
    if cursor is None:
        return default
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("cursor:"))
    except ValueError:
        raise ForgeError(422, f"`{cursor}` does not appear to be a valid cursor.") from None


def actor(forge: Forge, user_id: int | None) -> JSON | None:
    user = forge.user(user_id) if user_id is not None else None
    return account(forge, user) if user is not None else None


def account(forge: Forge, user: User) -> JSON:
    shape = simple_user(forge, user)
    return {
        "__typename": user.type,
        "id": shape["node_id"],
        "databaseId": user.id,
        "login": user.login,
        "name": user.name,
        "email": "",
        "url": shape["html_url"],
        "avatarUrl": shape["avatar_url"],
    }


def repository_object(viewer: Viewer, repository: Repository) -> JSON:
    forge = viewer.forge
    settings = repository.settings

    def pull_request(_: Any, number: int) -> JSON | None:
        viewer.require(repository, "pull_requests:read")
        pull = forge.pull(repository, number)
        if pull is None:
            raise ForgeError(404, f"Could not resolve to a PullRequest with the number of {number}.")
        return pull_object(viewer, repository, pull)

    def pull_requests(info: Any, **arguments: Any) -> JSON:
        viewer.require(repository, "pull_requests:read")
        found = _filtered(forge.database.all(Pull, repository_id=repository.id), arguments)
        return connection(found, lambda pull: pull_object(viewer, repository, pull))(info, **arguments)

    def assignable(info: Any, **arguments: Any) -> JSON:
        members = forge.database.all(Collaborator, repository_id=repository.id)
        users = [user for member in members if (user := forge.user(member.user_id)) is not None]
        return connection(users, lambda user: account(forge, user))(info, **arguments)

    return {
        "__typename": "Repository",
        "id": node_id("Repository", repository.id),
        "databaseId": repository.id,
        "name": repository.name,
        "nameWithOwner": repository.full_name,
        "owner": actor(forge, repository.owner_id),
        "description": None,
        "url": html_url(forge, repository),
        "isPrivate": True,
        "isFork": False,
        "isArchived": False,
        "hasIssuesEnabled": True,
        "hasWikiEnabled": False,
        "viewerPermission": PERMISSION.get(forge.role(repository, viewer.caller.user)),
        "defaultBranchRef": lambda _: ref_object(viewer, repository, f"refs/heads/{repository.default_branch}"),
        "ref": lambda _, qualifiedName: ref_object(viewer, repository, qualifiedName),  # noqa: N803 (GitHub's name)
        "parent": None,
        "mergeCommitAllowed": settings.get("allow_merge_commit", True),
        "rebaseMergeAllowed": settings.get("allow_rebase_merge", True),
        "squashMergeAllowed": settings.get("allow_squash_merge", True),
        "deleteBranchOnMerge": settings.get("delete_branch_on_merge", False),
        "pullRequest": pull_request,
        "pullRequests": pull_requests,
        "assignableUsers": assignable,
        "labels": connection(()),
        "milestones": connection(()),
        "pullRequestTemplates": [],
    }


def _filtered(pulls: list[Pull], arguments: dict[str, Any]) -> list[Pull]:
    states, base, head = arguments.get("states"), arguments.get("baseRefName"), arguments.get("headRefName")
    labels, order = arguments.get("labels"), arguments.get("orderBy") or {}
    found = [
        pull
        for pull in pulls
        if (states is None or _state(pull) in states)
        and (base is None or pull.base_ref == base)
        and (head is None or pull.head_ref == head)
        and (labels is None or set(labels) & set(pull.labels))
    ]
    if order.get("field") == "UPDATED_AT":
        found.sort(key=lambda pull: (pull.updated_at, pull.id))
    return found[::-1] if order.get("direction") == "DESC" else found


def _state(pull: Pull) -> str:
    return "MERGED" if pull.merged else pull.state.upper()


def ref_object(viewer: Viewer, repository: Repository, name: str) -> JSON | None:
    viewer.require(repository, "contents:read")
    git = viewer.forge.git(repository)
    full = name if name.startswith("refs/") else f"refs/heads/{name}"
    sha = git.tip(full)
    if sha is None:
        return None
    prefix = next((one for one in ("refs/heads/", "refs/tags/") if full.startswith(one)), "refs/")
    return {
        "__typename": "Ref",
        "id": node_id("Ref", f"{repository.id}:{full}"),
        "name": full.removeprefix(prefix),
        "prefix": prefix,
        "target": lambda _: commit_object(viewer, repository, git.resolve(full)),
    }


def commit_object(viewer: Viewer, repository: Repository, commit: pygit2.Commit) -> JSON:
    forge = viewer.forge
    shape = commit_shape(forge, repository, commit)
    details = shape["commit"]
    headline, _, rest = details["message"].partition("\n")
    author = {
        "name": details["author"]["name"],
        "email": details["author"]["email"],
        "date": details["author"]["date"],
        "user": account(forge, user) if (user := forge.user_of_email(details["author"]["email"])) is not None else None,
    }
    return {
        "__typename": "Commit",
        "id": shape["node_id"],
        "oid": shape["sha"],
        "message": details["message"],
        "messageHeadline": headline,
        "messageBody": rest.strip(),
        "committedDate": details["committer"]["date"],
        "authoredDate": details["author"]["date"],
        "authors": connection((author,)),
        "url": shape["html_url"],
        "statusCheckRollup": lambda _: rollup(viewer, repository, shape["sha"]),
    }


def rollup(viewer: Viewer, repository: Repository, sha: str) -> JSON | None:
    """Statuses and check runs of a commit, as far as the viewer may read them; None when there are none."""
    forge = viewer.forge
    statuses: list[Status] = []
    runs: list[CheckRun] = []
    if viewer.may(repository, "statuses:read"):
        statuses = latest(forge.database.all(Status, repository_id=repository.id, sha=sha))
    if viewer.may(repository, "checks:read"):
        found = forge.database.all(CheckRun, repository_id=repository.id, head_sha=sha)
        runs = list({(one.app_id, one.name): one for one in found}.values())
    if not statuses and not runs:
        return None
    conclusions = {run.conclusion for run in runs}
    state = combined_state(statuses) if statuses else "success"
    if conclusions & {"failure", "timed_out", "cancelled", "action_required"}:
        state = "failure"
    elif None in conclusions and state == "success":
        state = "pending"
    contexts = [
        *(_status_context(status) for status in statuses),
        *(_check_run(forge, repository, run) for run in runs),
    ]
    return {
        "id": node_id("StatusCheckRollup", f"{repository.id}:{sha}"),
        "state": state.upper(),
        "contexts": connection(contexts),
    }


def _status_context(status: Status) -> JSON:
    return {
        "__typename": "StatusContext",
        "id": node_id("StatusContext", status.id),
        "context": status.context,
        "state": status.state.upper(),
        "targetUrl": status.target_url,
        "description": status.description,
        "createdAt": status.created_at,
        "isRequired": lambda _, **__: False,
    }


def _check_run(forge: Forge, repository: Repository, run: CheckRun) -> JSON:
    return {
        "__typename": "CheckRun",
        "id": node_id("CheckRun", run.id),
        "name": run.name,
        "checkSuite": {"id": node_id("CheckSuite", run.app_id), "workflowRun": None},
        "status": run.status.upper(),
        "conclusion": run.conclusion.upper() if run.conclusion else None,
        "startedAt": run.started_at,
        "completedAt": run.completed_at,
        "detailsUrl": run.details_url or f"{html_url(forge, repository)}/runs/{run.id}",
        "isRequired": lambda _, **__: False,
    }


def pull_object(viewer: Viewer, repository: Repository, pull: Pull) -> JSON:
    forge = viewer.forge
    git = forge.git(repository)
    shown = known(git, pull)

    def mergeable(_: Any) -> str:
        if shown.state == "open":
            compute(forge, repository, pull)  # for the next reader, as in the REST API
        if shown.state == "closed" or shown.mergeable is None:
            return "UNKNOWN"
        return "MERGEABLE" if shown.mergeable else "CONFLICTING"

    def size(name: str) -> Callable[[Any], int]:
        return lambda _: counts(git, pull)[name]

    def commits(info: Any, **arguments: Any) -> JSON:
        found = git.commits_between(compare_base(git, pull), pull.head_sha)

        def shape(commit: pygit2.Commit) -> JSON:
            key = node_id("PullRequestCommit", f"{pull.id}:{commit.id}")
            return {"id": key, "commit": commit_object(viewer, repository, commit)}

        return connection(found, shape)(info, **arguments)

    def files(info: Any, **arguments: Any) -> JSON:
        changes = git.changes(compare_base(git, pull), pull.head_sha)
        entries = [{"path": one.filename, "additions": one.additions, "deletions": one.deletions} for one in changes]
        return connection(entries)(info, **arguments)

    def merge_commit(_: Any) -> JSON | None:
        if not pull.merged or pull.merge_commit_sha is None:
            return None
        return commit_object(viewer, repository, git.commit(pull.merge_commit_sha))

    given = [
        one
        for one in forge.database.all(Review, pull_id=pull.id)
        if one.state != "PENDING" or one.user_id == viewer.caller.user.id
    ]
    newest = {one.user_id: one for one in given if one.state != "PENDING"}
    asked = [
        {"id": node_id("ReviewRequest", f"{pull.id}:{user_id}"), "requestedReviewer": actor(forge, user_id)}
        for user_id in pull.requested_reviewers
    ]

    def review(one: Review) -> JSON:
        return review_object(viewer, repository, pull, one)

    return {
        "__typename": "PullRequest",
        "id": node_id("PullRequest", pull.id),
        "databaseId": pull.id,
        "number": pull.number,
        "title": pull.title,
        "body": pull.body or "",
        "state": _state(pull),
        "url": f"{html_url(forge, repository)}/pull/{pull.number}",
        "isDraft": pull.draft,
        "closed": pull.state == "closed",
        "closedAt": pull.closed_at,
        "merged": pull.merged,
        "mergedAt": pull.merged_at,
        "mergedBy": actor(forge, pull.merged_by),
        "mergeCommit": merge_commit,
        "mergeable": mergeable,
        "mergeStateStatus": lambda _: mergeable_state(git, shown).upper(),
        "reviewDecision": None,  # nothing is required here, so GitHub would give none either
        "author": actor(forge, pull.user_id),
        "baseRefName": pull.base_ref,
        "baseRefOid": pull.base_sha,
        "headRefName": pull.head_ref,
        "headRefOid": pull.head_sha,
        "baseRef": lambda _: ref_object(viewer, repository, f"refs/heads/{pull.base_ref}"),
        "headRef": lambda _: ref_object(viewer, repository, f"refs/heads/{pull.head_ref}"),
        "headRepository": lambda _: repository_object(viewer, repository),
        "baseRepository": lambda _: repository_object(viewer, repository),
        "repository": lambda _: repository_object(viewer, repository),
        "headRepositoryOwner": actor(forge, repository.owner_id),
        "isCrossRepository": False,
        "maintainerCanModify": False,
        "additions": size("additions"),
        "deletions": size("deletions"),
        "changedFiles": size("changed_files"),
        "commits": commits,
        "files": files,
        "comments": connection(
            forge.database.all(Comment, pull_id=pull.id), lambda one: comment_object(viewer, repository, pull, one)
        ),
        "reviews": connection(given, review),
        "latestReviews": connection(list(newest.values()), review),
        "reviewRequests": connection(asked),
        "assignees": connection(()),
        "labels": connection(pull.labels, lambda name: _label(forge, repository, name)),
        "projectCards": connection(()),
        "projectItems": connection(()),
        "milestone": None,
        "reactionGroups": [],
        "createdAt": pull.created_at,
        "updatedAt": pull.updated_at,
        "autoMergeRequest": None,
    }


def _label(forge: Forge, repository: Repository, name: str) -> JSON:
    shape = label_shape(forge, repository, name)
    return {"id": shape["node_id"], "name": name, "description": None, "color": shape["color"]}


def comment_object(viewer: Viewer, repository: Repository, pull: Pull, comment: Comment) -> JSON:
    shape = comment_shape(viewer.forge, repository, pull, comment)
    return {
        "__typename": "IssueComment",
        "id": shape["node_id"],
        "author": actor(viewer.forge, comment.user_id),
        "authorAssociation": shape["author_association"],
        "body": comment.body,
        "createdAt": comment.created_at,
        "updatedAt": comment.updated_at,
        "includesCreatedEdit": comment.last_edited_at is not None,
        "lastEditedAt": comment.last_edited_at,
        "isMinimized": False,
        "minimizedReason": None,
        "reactionGroups": [],
        "url": shape["html_url"],
        "viewerDidAuthor": comment.user_id == viewer.caller.user.id,
    }


def review_object(viewer: Viewer, repository: Repository, pull: Pull, review: Review) -> JSON:
    forge = viewer.forge

    def commit(_: Any) -> JSON | None:
        git = forge.git(repository)
        found = git.commit_or_none(review.commit_id)
        return commit_object(viewer, repository, found) if found is not None else None

    return {
        "__typename": "PullRequestReview",
        "id": node_id("PullRequestReview", review.id),
        "author": actor(forge, review.user_id),
        "authorAssociation": association(forge, repository, review.user_id),
        "submittedAt": review.submitted_at,
        "lastEditedAt": review.last_edited_at,
        "body": review.body,
        "state": review.state,
        "commit": commit,
        "reactionGroups": [],
        "url": review_shape(forge, repository, pull, review)["html_url"],
    }
