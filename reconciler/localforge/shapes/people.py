"""Accounts as JSON, node ids, and how an account relates to a repository."""

from __future__ import annotations

import base64
from typing import Any

from reconciler.localforge.forge import Forge, has_role
from reconciler.localforge.records import Repository, User

JSON = dict[str, Any]


def node_id(kind: str, key: int | str) -> str:
    """GitHub's older form: base64 of the type's length, the type, and the id. GraphQL decodes it again."""
    return base64.b64encode(f"{len(kind):02}:{kind}{key}".encode()).decode()


def key_of_node_id(node: str, kind: str) -> str | None:
    """The key inside a node id of this kind, or None for anything else."""
    try:
        text = base64.b64decode(node, validate=True).decode()
    except ValueError:
        return None
    prefix = f"{len(kind):02}:{kind}"
    return text.removeprefix(prefix) if text.startswith(prefix) else None


def simple_user(forge: Forge, user: User) -> JSON:
    api = f"{forge.api_url}/users/{user.login}"
    return {
        "login": user.login,
        "id": user.id,
        "node_id": node_id(user.type, user.id),
        "avatar_url": f"{forge.base_url}/avatars/{user.id}",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{forge.base_url}/{user.login}",
        "followers_url": f"{api}/followers",
        "following_url": f"{api}/following{{/other_user}}",
        "gists_url": f"{api}/gists{{/gist_id}}",
        "starred_url": f"{api}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{api}/subscriptions",
        "organizations_url": f"{api}/orgs",
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events{{/privacy}}",
        "received_events_url": f"{api}/received_events",
        "type": user.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def user_by_id(forge: Forge, user_id: int | None) -> JSON | None:
    """The account as JSON, or None for one that does not exist (any more)."""
    user = forge.user(user_id) if user_id is not None else None
    return simple_user(forge, user) if user is not None else None


def public_user(forge: Forge, user: User) -> JSON:
    return {
        **simple_user(forge, user),
        "name": user.name,
        "company": None,
        "blog": "",
        "location": None,
        "email": None,
        "hireable": None,
        "bio": None,
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": user.created_at,
        "updated_at": user.created_at,
    }


def permissions(role: str) -> dict[str, bool]:
    return {
        "admin": has_role(role, "admin"),
        "maintain": has_role(role, "maintain"),
        "push": has_role(role, "write"),
        "triage": has_role(role, "triage"),
        "pull": has_role(role, "read"),
    }


def collaborator(forge: Forge, user: User, role: str) -> JSON:
    return {**simple_user(forge, user), "permissions": permissions(role), "role_name": role}


def folded_permission(role: str) -> str:
    """GitHub's `permission`: maintain reads as write and triage as read, so it is not the role."""
    return {"maintain": "write", "triage": "read"}.get(role, role)


def association(forge: Forge, repository: Repository, user_id: int | None) -> str:
    """GitHub's author_association: display only, never evidence of a permission."""
    user = forge.user(user_id) if user_id is not None else None
    if user is None or forge.role(repository, user) == "none":
        return "NONE"
    return "OWNER" if user.id == repository.owner_id else "COLLABORATOR"


def app(forge: Forge, app_id: int, slug: str, owner_id: int) -> JSON:
    """The GitHub App behind a token, as check runs and app comments name it."""
    created = "2026-01-01T00:00:00Z"
    owner = forge.user(owner_id)
    return {
        "id": app_id,
        "slug": slug,
        "node_id": node_id("Integration", app_id),
        "owner": simple_user(forge, owner) if owner is not None else None,
        "name": slug,
        "description": None,
        "external_url": f"{forge.base_url}/apps/{slug}",
        "html_url": f"{forge.base_url}/apps/{slug}",
        "created_at": created,
        "updated_at": created,
        "permissions": {"checks": "write", "metadata": "read"},
        "events": [],
    }
