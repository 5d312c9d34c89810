"""Who is asking and what the token and the account's role let them do. The REST, GraphQL, git and web faces ask it."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hmac
from dataclasses import dataclass

from reconciler.localforge.errors import bad_credentials, forbidden, not_found, requires_authentication
from reconciler.localforge.forge import Forge, has_role
from reconciler.localforge.records import Repository, Token, User
from reconciler.localforge.seed import token_digest

# permission of a fine-grained token -> the least role the account needs for it
LEAST_ROLE = {
    "metadata:read": "read",
    "contents:read": "read",
    "contents:write": "write",
    "pull_requests:read": "read",
    "pull_requests:write": "read",  # reviewing and commenting; merging asks for contents:write as well
    "issues:read": "read",
    "issues:write": "read",
    "statuses:read": "read",
    "statuses:write": "write",
    "checks:read": "read",
    "checks:write": "write",
    "members:read": "read",
    "webhooks:write": "admin",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated account together with the token it used."""

    user: User
    token: Token

    def granted(self, permission: str) -> bool:
        """Whether the token carries the permission; `repo` carries all, write carries read, metadata is implied."""
        scopes = self.token.scopes
        return (
            "repo" in scopes
            or permission in scopes
            or permission == "metadata:read"
            or (permission.endswith(":read") and permission.removesuffix("read") + "write" in scopes)
        )

    def may_push(self, branch: str) -> bool:
        patterns = self.token.branches
        return patterns is None or any(fnmatch.fnmatchcase(branch, pattern) for pattern in patterns)


def caller_of_header(forge: Forge, authorization: str | None) -> Caller | None:
    """The caller of an Authorization header (`token`, `Bearer`, or Basic with the token as password).

    None without a header; 401 when the token is unknown.
    """
    if not authorization:
        return None
    kind, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise bad_credentials() from None
    elif kind.lower() not in ("token", "bearer"):
        raise bad_credentials()
    return caller_of_token(forge, value)


def caller_of_token(forge: Forge, value: str) -> Caller:
    """The caller with this token value; 401 when unknown. Looked up by digest and compared in constant time."""
    digest = token_digest(value)
    token = forge.database.find(Token, digest=digest)
    if token is None or not hmac.compare_digest(token.digest, digest):
        raise bad_credentials()
    user = forge.user(token.user_id)
    if user is None:
        raise bad_credentials()
    return Caller(user, token)


def signed_in(caller: Caller | None) -> Caller:
    if caller is None:
        raise requires_authentication()
    return caller


def visible_repository(forge: Forge, caller: Caller | None, owner: str, name: str) -> Repository:
    """The repository, or 404 when it does not exist or the caller is no collaborator: nobody learns which."""
    repository = forge.database.find(Repository, owner=owner, name=name)
    if repository is None or caller is None or forge.role(repository, caller.user) == "none":
        raise not_found()
    return repository


def require(forge: Forge, caller: Caller, repository: Repository, *permissions: str) -> None:
    """403 unless the token carries one of the permissions and the account's role reaches what that one needs."""
    role = forge.role(repository, caller.user)
    if any(caller.granted(one) and has_role(role, LEAST_ROLE[one]) for one in permissions):
        return
    if any(caller.granted(one) for one in permissions):
        least = LEAST_ROLE[permissions[0]]
        raise forbidden(f"Must have {least} rights to Repository.")
    raise forbidden()
