"""Handlers for accounts, the repository itself, collaborators, activity and the server's own facts."""

from __future__ import annotations

from reconciler.localforge.errors import invalid_field, not_found
from reconciler.localforge.forge import has_role
from reconciler.localforge.records import Activity, Collaborator, Pull, Repository, User
from reconciler.localforge.rest.call import RATE_LIMIT, Answer, Call
from reconciler.localforge.shapes.people import collaborator, folded_permission, permissions, public_user, simple_user
from reconciler.localforge.shapes.pulls import label_shape
from reconciler.localforge.shapes.repositories import activity_shape, full_repository, repository_shape

ROOT_PATHS = {
    "current_user_url": "/user",
    "current_user_authorizations_html_url": "/settings/connections/applications{/client_id}",
    "authorizations_url": "/authorizations",
    "code_search_url": "/search/code?q={query}{&page,per_page,sort,order}",
    "commit_search_url": "/search/commits?q={query}{&page,per_page,sort,order}",
    "emails_url": "/user/emails",
    "emojis_url": "/emojis",
    "events_url": "/events",
    "feeds_url": "/feeds",
    "followers_url": "/user/followers",
    "following_url": "/user/following{/target}",
    "gists_url": "/gists{/gist_id}",
    "issue_search_url": "/search/issues?q={query}{&page,per_page,sort,order}",
    "issues_url": "/issues",
    "keys_url": "/user/keys",
    "label_search_url": "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}",
    "notifications_url": "/notifications",
    "organization_url": "/orgs/{org}",
    "organization_repositories_url": "/orgs/{org}/repos{?type,page,per_page,sort}",
    "organization_teams_url": "/orgs/{org}/teams",
    "public_gists_url": "/gists/public",
    "rate_limit_url": "/rate_limit",
    "repository_url": "/repos/{owner}/{repo}",
    "repository_search_url": "/search/repositories?q={query}{&page,per_page,sort,order}",
    "current_user_repositories_url": "/user/repos{?type,page,per_page,sort}",
    "starred_url": "/user/starred{/owner}{/repo}",
    "starred_gists_url": "/gists/starred",
    "user_url": "/users/{user}",
    "user_organizations_url": "/user/orgs",
    "user_repositories_url": "/users/{user}/repos{?type,page,per_page,sort}",
    "user_search_url": "/search/users?q={query}{&page,per_page,sort,order}",
}


def root(call: Call) -> Answer:
    return Answer({name: call.forge.api_url + path for name, path in ROOT_PATHS.items()})


def meta(_: Call) -> Answer:
    return Answer({"verifiable_password_authentication": False, "installed_version": "3.17.0"})


def rate_limit(_: Call) -> Answer:
    rate = {"limit": RATE_LIMIT, "remaining": RATE_LIMIT - 1, "reset": 4102444800, "used": 1}
    return Answer({"resources": {"core": rate, "search": rate, "graphql": rate}, "rate": rate})


def current_user(call: Call) -> Answer:
    return Answer(public_user(call.forge, call.caller.user))


def user_by_id(call: Call) -> Answer:
    user = call.forge.user(call.number("user_id"))
    if user is None:
        raise not_found()
    return Answer(public_user(call.forge, user))


def user_by_login(call: Call) -> Answer:
    user = call.forge.database.find(User, login=call.parameters["login"])
    if user is None:
        raise not_found()
    return Answer(public_user(call.forge, user))


def repository(call: Call) -> Answer:
    return Answer(full_repository(call.forge, call.repository, call.caller.user))


def list_collaborators(call: Call) -> Answer:
    forge = call.forge
    found = [
        (user, entry.role)
        for entry in forge.database.all(Collaborator, repository_id=call.repository.id)
        if (user := forge.user(entry.user_id)) is not None
    ]
    least = {"pull": "read", "push": "write"}.get(call.query.get("permission", ""), call.query.get("permission"))
    if least in ("read", "triage", "write", "maintain", "admin"):
        found = [(user, role) for user, role in found if has_role(role, least)]
    return call.listed(found, lambda one: collaborator(forge, one[0], one[1]))


def _collaborator(call: Call) -> tuple[User, str]:
    user = call.forge.database.find(User, login=call.parameters["login"])
    if user is None:
        raise not_found()
    return user, call.forge.role(call.repository, user)


def is_collaborator(call: Call) -> Answer:
    _, role = _collaborator(call)
    if role == "none":
        raise not_found()
    return Answer(status=204)


def collaborator_permission(call: Call) -> Answer:
    """`permission` is folded (maintain reads as write); `role_name` is the role. No collaborator: `none`, not 404."""
    user, role = _collaborator(call)
    shape = {**simple_user(call.forge, user), "permissions": permissions(role), "role_name": role}
    return Answer({"permission": folded_permission(role), "role_name": role, "user": shape})


def list_activity(call: Call) -> Answer:
    """Newest first and by a cursor, as on GitHub; filters by `ref`, `actor` and `activity_type`."""
    found = call.forge.database.all(Activity, repository_id=call.repository.id)
    ref = call.query.get("ref")
    if ref:
        full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
        found = [one for one in found if one.ref == full]
    kind = call.query.get("activity_type")
    if kind:
        found = [one for one in found if one.activity_type == kind]
    if call.query.get("actor"):
        actor = call.forge.database.find(User, login=call.query["actor"])
        found = [one for one in found if actor is not None and one.actor_id == actor.id]
    direction = call.query.get("direction", "desc")
    if direction not in ("asc", "desc"):
        raise invalid_field("Activity", "direction")
    found.sort(key=lambda one: one.id, reverse=direction == "desc")
    return call.continued(found, lambda one: activity_shape(call.forge, one))


def user_repositories(call: Call) -> Answer:
    """What the caller can see."""
    forge, user = call.forge, call.caller.user
    found = [one for one in forge.database.all(Repository) if forge.role(one, user) != "none"]
    return call.listed(found, lambda one: repository_shape(forge, one, user))


def list_labels(call: Call) -> Answer:
    """The labels in use; there is no catalogue of them here."""
    pulls = call.forge.database.all(Pull, repository_id=call.repository.id)
    names = sorted({name for pull in pulls for name in pull.labels})
    return call.listed(names, lambda name: label_shape(call.forge, call.repository, name))
