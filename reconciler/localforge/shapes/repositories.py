"""Repositories, branches and refs as JSON."""

from __future__ import annotations

from typing import Any

from reconciler.localforge.forge import Forge
from reconciler.localforge.records import Activity, Pull, Repository, User
from reconciler.localforge.shapes.people import node_id, permissions, simple_user, user_by_id

JSON = dict[str, Any]

URL_TEMPLATES = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


def api_url(forge: Forge, repository: Repository) -> str:
    return f"{forge.api_url}/repos/{repository.full_name}"


def html_url(forge: Forge, repository: Repository) -> str:
    return f"{forge.base_url}/{repository.full_name}"


def minimal_repository(forge: Forge, repository: Repository) -> JSON:
    """What every repository shape has in common; its owner is always there."""
    owner = forge.user(repository.owner_id)
    assert owner is not None, "owners are never deleted"  # noqa: S101
    api = api_url(forge, repository)
    return {
        "id": repository.id,
        "node_id": node_id("Repository", repository.id),
        "name": repository.name,
        "full_name": repository.full_name,
        "owner": simple_user(forge, owner),
        "private": True,
        "html_url": html_url(forge, repository),
        "description": None,
        "fork": False,
        "url": api,
        **{name: f"{api}{template}" for name, template in URL_TEMPLATES.items()},
    }


def repository_shape(forge: Forge, repository: Repository, viewer: User | None = None) -> JSON:
    """The `repository` shape: inside pull requests, and with the merge settings in GET /repos/{owner}/{repo}."""
    clone = f"{forge.base_url}/{repository.full_name}.git"
    open_pulls = len(forge.database.all(Pull, repository_id=repository.id, state="open"))
    shape = {
        **minimal_repository(forge, repository),
        "git_url": clone,
        "ssh_url": clone,
        "clone_url": clone,
        "svn_url": html_url(forge, repository),
        "homepage": None,
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "watchers": 0,
        "language": None,
        "has_issues": True,
        "has_projects": False,
        "has_downloads": False,
        "has_wiki": False,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": 0,
        "forks": 0,
        "mirror_url": None,
        "archived": False,
        "disabled": False,
        "open_issues_count": open_pulls,
        "open_issues": open_pulls,
        "license": None,
        "allow_forking": False,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": "private",
        "default_branch": repository.default_branch,
        "created_at": repository.created_at,
        "updated_at": repository.updated_at,
        "pushed_at": repository.pushed_at,
    }
    if viewer is not None:
        shape["permissions"] = permissions(forge.role(repository, viewer))
    return shape


def full_repository(forge: Forge, repository: Repository, viewer: User) -> JSON:
    return {
        **repository_shape(forge, repository, viewer),
        **repository.settings,
        "allow_auto_merge": False,
        "network_count": 0,
        "subscribers_count": 0,
    }


def git_ref(forge: Forge, repository: Repository, ref: str, sha: str, kind: str = "commit") -> JSON:
    api = api_url(forge, repository)
    return {
        "ref": ref,
        "node_id": node_id("Ref", f"{repository.id}:{ref}"),
        "url": f"{api}/git/{ref}",
        "object": {"sha": sha, "type": kind, "url": f"{api}/git/{kind}s/{sha}"},
    }


def short_branch(forge: Forge, repository: Repository, name: str, sha: str) -> JSON:
    url = f"{api_url(forge, repository)}/commits/{sha}"
    return {"name": name, "commit": {"sha": sha, "url": url}, "protected": False}


def activity_shape(forge: Forge, activity: Activity) -> JSON:
    return {
        "id": activity.id,
        "node_id": node_id("Activity", activity.id),
        "before": activity.before,
        "after": activity.after,
        "ref": activity.ref,
        "timestamp": activity.created_at,
        "activity_type": activity.activity_type,
        "actor": user_by_id(forge, activity.actor_id),
    }
