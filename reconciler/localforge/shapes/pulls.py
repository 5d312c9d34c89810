"""Pull requests, reviews, comments and their timeline as JSON."""

from __future__ import annotations

from typing import Any

from reconciler.localforge.forge import Forge
from reconciler.localforge.records import Comment, Event, Pull, Repository, Review, ReviewComment
from reconciler.localforge.shapes.people import association, node_id, user_by_id
from reconciler.localforge.shapes.repositories import api_url, html_url, repository_shape

JSON = dict[str, Any]


def label_shape(forge: Forge, repository: Repository, name: str) -> JSON:
    key = int.from_bytes(name.encode()[:6], "big")
    return {
        "id": key,
        "node_id": node_id("Label", name),
        "url": f"{api_url(forge, repository)}/labels/{name}",
        "name": name,
        "description": None,
        "color": "ededed",
        "default": False,
    }


def pull_simple(forge: Forge, repository: Repository, pull: Pull) -> JSON:
    """The list's shape; `merge_commit_sha` of an open one is its test merge, later what it landed as."""
    api, html = api_url(forge, repository), html_url(forge, repository)
    url, issue = f"{api}/pulls/{pull.number}", f"{api}/issues/{pull.number}"
    page = f"{html}/pull/{pull.number}"
    links = {
        "self": url,
        "html": page,
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{api}/statuses/{pull.head_sha}",
    }
    return {
        "url": url,
        "id": pull.id,
        "node_id": node_id("PullRequest", pull.id),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": issue,
        "number": pull.number,
        "state": pull.state,
        "locked": pull.locked,
        "title": pull.title,
        "user": user_by_id(forge, pull.user_id),
        "body": pull.body,
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "merged_at": pull.merged_at,
        "merge_commit_sha": pull.merge_commit_sha,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [user_by_id(forge, user_id) for user_id in pull.requested_reviewers],
        "requested_teams": [],
        "labels": [label_shape(forge, repository, name) for name in pull.labels],
        "milestone": None,
        "draft": pull.draft,
        "commits_url": links["commits"],
        "review_comments_url": links["review_comments"],
        "review_comment_url": links["review_comment"],
        "comments_url": links["comments"],
        "statuses_url": links["statuses"],
        "head": _end(forge, repository, pull.head_ref, pull.head_sha),
        "base": _end(forge, repository, pull.base_ref, pull.base_sha),
        "_links": {name: {"href": link} for name, link in links.items()},
        "author_association": association(forge, repository, pull.user_id),
        "auto_merge": None,
        "active_lock_reason": None,
    }


def _end(forge: Forge, repository: Repository, ref: str, sha: str) -> JSON:
    return {
        "label": f"{repository.owner}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": user_by_id(forge, repository.owner_id),
        "repo": repository_shape(forge, repository),
    }


def pull_shape(
    forge: Forge, repository: Repository, pull: Pull, *, mergeable_state: str, counts: dict[str, int]
) -> JSON:
    """One pull request in full; `counts` has commits, additions, deletions and changed_files."""
    database = forge.database
    return {
        **pull_simple(forge, repository, pull),
        "merged": pull.merged,
        "mergeable": None if pull.state == "closed" else pull.mergeable,
        "rebaseable": None if pull.state == "closed" else pull.mergeable,
        "mergeable_state": mergeable_state,
        "merged_by": user_by_id(forge, pull.merged_by),
        "comments": len(database.all(Comment, pull_id=pull.id)),
        "review_comments": len(database.all(ReviewComment, pull_id=pull.id)),
        "maintainer_can_modify": False,
        **counts,
    }


def issue_shape(forge: Forge, repository: Repository, pull: Pull) -> JSON:
    """The pull request seen as an issue, which is where its comments and labels live."""
    api = api_url(forge, repository)
    url = f"{api}/issues/{pull.number}"
    page = f"{html_url(forge, repository)}/pull/{pull.number}"
    return {
        "id": pull.id,
        "node_id": node_id("PullRequest", pull.id),
        "url": url,
        "repository_url": api,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": page,
        "number": pull.number,
        "state": pull.state,
        "title": pull.title,
        "body": pull.body,
        "user": user_by_id(forge, pull.user_id),
        "labels": [label_shape(forge, repository, name) for name in pull.labels],
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "locked": pull.locked,
        "comments": len(forge.database.all(Comment, pull_id=pull.id)),
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "author_association": association(forge, repository, pull.user_id),
        "draft": pull.draft,
        "active_lock_reason": None,
        "reactions": _no_reactions(url),
        "pull_request": {
            "url": f"{api}/pulls/{pull.number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": pull.merged_at,
        },
    }


def review_shape(forge: Forge, repository: Repository, pull: Pull, review: Review) -> JSON:
    page = f"{html_url(forge, repository)}/pull/{pull.number}#pullrequestreview-{review.id}"
    url = f"{api_url(forge, repository)}/pulls/{pull.number}"
    shape = {
        "id": review.id,
        "node_id": node_id("PullRequestReview", review.id),
        "user": user_by_id(forge, review.user_id),
        "body": review.body,
        "state": review.state,
        "html_url": page,
        "pull_request_url": url,
        "author_association": association(forge, repository, review.user_id),
        "_links": {"html": {"href": page}, "pull_request": {"href": url}},
        "commit_id": review.commit_id,
    }
    if review.submitted_at is not None:
        shape["submitted_at"] = review.submitted_at
    return shape


def review_comment_shape(forge: Forge, repository: Repository, pull: Pull, comment: ReviewComment) -> JSON:
    api = api_url(forge, repository)
    url, pull_url = f"{api}/pulls/comments/{comment.id}", f"{api}/pulls/{pull.number}"
    page = f"{html_url(forge, repository)}/pull/{pull.number}#discussion_r{comment.id}"
    return {
        "url": url,
        "pull_request_review_id": comment.review_id,
        "id": comment.id,
        "node_id": node_id("PullRequestReviewComment", comment.id),
        "diff_hunk": comment.diff_hunk,
        "path": comment.path,
        "commit_id": comment.commit_id,
        "original_commit_id": comment.commit_id,
        "user": user_by_id(forge, comment.user_id),
        "body": comment.body,
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "html_url": page,
        "pull_request_url": pull_url,
        "author_association": association(forge, repository, comment.user_id),
        "_links": {"self": {"href": url}, "html": {"href": page}, "pull_request": {"href": pull_url}},
        "line": comment.line,
        "original_line": comment.line,
        "start_line": None,
        "original_start_line": None,
        "start_side": None,
        "side": comment.side,
        "position": 1,
        "original_position": 1,
        "subject_type": "line",
    }


def _no_reactions(url: str) -> JSON:
    """There are no reactions here: nobody approves by emoji."""
    kinds = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
    return {"url": f"{url}/reactions", "total_count": 0, **dict.fromkeys(kinds, 0)}


def comment_shape(forge: Forge, repository: Repository, pull: Pull, comment: Comment) -> JSON:
    api = api_url(forge, repository)
    url = f"{api}/issues/comments/{comment.id}"
    return {
        "url": url,
        "reactions": _no_reactions(url),
        "html_url": f"{html_url(forge, repository)}/pull/{pull.number}#issuecomment-{comment.id}",
        "issue_url": f"{api}/issues/{pull.number}",
        "id": comment.id,
        "node_id": node_id("IssueComment", comment.id),
        "user": user_by_id(forge, comment.user_id),
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "body": comment.body,
        "author_association": association(forge, repository, comment.user_id),
        "performed_via_github_app": None,
    }


def event_shape(forge: Forge, repository: Repository, event: Event) -> JSON:
    """An event of the timeline that is neither commit nor review nor comment."""
    api = api_url(forge, repository)
    commit_url = f"{api}/commits/{event.commit_id}" if event.commit_id else None
    return {
        "id": event.id,
        "node_id": node_id("IssueEvent", event.id),
        "url": f"{api}/issues/events/{event.id}",
        "actor": user_by_id(forge, event.actor_id),
        "event": event.kind,
        "commit_id": event.commit_id,
        "commit_url": commit_url,
        "created_at": event.created_at,
        "performed_via_github_app": None,
        **_event_details(forge, repository, event),
    }


def _event_details(forge: Forge, repository: Repository, event: Event) -> JSON:
    data = event.data
    if event.kind in ("review_requested", "review_request_removed"):
        return {
            "review_requester": user_by_id(forge, event.actor_id),
            "requested_reviewer": user_by_id(forge, data["reviewer_id"]),
        }
    if event.kind in ("labeled", "unlabeled"):
        label = label_shape(forge, repository, data["label"])
        return {"label": {"name": label["name"], "color": label["color"]}}
    if event.kind == "closed":
        return {"state_reason": None}
    return dict(data)
