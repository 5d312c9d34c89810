"""The seed file: which accounts, tokens, repositories and webhooks a forge starts with. Read by `serve` and tests.

users:
  - {login: author, id: 1001, type: User, email: author@example.test, tokens: [{value: …, scopes: [repo]}]}
repositories:
  - {name: acme/infra, default_branch: main, from: ./desired_state, collaborators: {author: write}}
webhooks:
  - {repository: acme/infra, url: "http://127.0.0.1:8080/hooks/github", secret: …, events: [pull_request]}
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from reconciler.localforge import git_data
from reconciler.localforge.git_data import Person
from reconciler.localforge.records import Collaborator, Hook, Repository, Token, User
from reconciler.model.errors import InvalidInput

if TYPE_CHECKING:
    from reconciler.localforge.forge import Forge

Role = Literal["read", "triage", "write", "maintain", "admin"]
Scope = Literal[
    "repo",
    "metadata:read",
    "contents:read",
    "contents:write",
    "pull_requests:read",
    "pull_requests:write",
    "issues:read",
    "issues:write",
    "statuses:read",
    "statuses:write",
    "checks:read",
    "checks:write",
    "members:read",
]
HookEvent = Literal[
    "*", "pull_request", "pull_request_review", "push", "issue_comment", "status", "check_run", "create", "delete"
]
RepositoryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")]
BranchName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*$")]

RESERVED = ("api", "assets", "login", "logout")  # first parts of paths that are no owners


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AppSeed(Strict):
    """Marks a token as one of a GitHub App's installation: only such tokens post check runs."""

    id: int = Field(gt=0)
    slug: str = Field(pattern=r"^[a-z0-9-]+$")


class TokenSeed(Strict):
    value: SecretStr = Field(min_length=8)
    scopes: tuple[Scope, ...] = Field(min_length=1)
    branches: tuple[str, ...] | None = None
    app: AppSeed | None = None


class UserSeed(Strict):
    login: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*(\[bot\])?$", max_length=60)
    id: int = Field(gt=0)
    type: Literal["User", "Bot"] = "User"
    email: str | None = Field(default=None, pattern=r"^[^@\s<>]+@[^@\s<>]+$")
    name: str | None = None
    tokens: tuple[TokenSeed, ...] = ()


class SettingsSeed(Strict):
    allow_merge_commit: bool = True
    allow_squash_merge: bool = True
    allow_rebase_merge: bool = True
    allow_update_branch: bool = False
    delete_branch_on_merge: bool = False


class RepositorySeed(Strict):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: RepositoryName
    default_branch: BranchName = "main"
    source: Path | None = Field(default=None, alias="from")
    collaborators: dict[str, Role] = Field(default_factory=dict)
    settings: SettingsSeed = SettingsSeed()


class HookSeed(Strict):
    repository: RepositoryName
    url: str = Field(pattern=r"^https?://")
    secret: SecretStr
    events: tuple[HookEvent, ...] = Field(min_length=1)


class Seed(Strict):
    """The whole file. References between its parts are checked, so that applying it cannot fail half-way."""

    users: tuple[UserSeed, ...] = ()
    repositories: tuple[RepositorySeed, ...] = ()
    webhooks: tuple[HookSeed, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Seed:
        logins = [user.login.lower() for user in self.users]
        ids = [user.id for user in self.users]
        values = [token.value.get_secret_value() for user in self.users for token in user.tokens]
        names = [repository.name.lower() for repository in self.repositories]
        for what, found in (("login", logins), ("id", ids), ("token value", values), ("repository name", names)):
            if len(set(found)) != len(found):
                raise ValueError(f"users and repositories: each {what} may be there only once")
        for repository in self.repositories:
            if repository.name.partition("/")[0].lower() in RESERVED:
                raise ValueError(f"repositories: {repository.name}: {', '.join(RESERVED)} are pages of the forge")
            for login in repository.collaborators:
                if login.lower() not in logins:
                    raise ValueError(f"repositories: {repository.name}: collaborator {login} is not among the users")
        for hook in self.webhooks:
            if hook.repository.lower() not in names:
                raise ValueError(f"webhooks: {hook.repository} is not among the repositories")
        return self


def load_seed(path: Path) -> Seed:
    """Reads a seed file. `from` is taken relative to the file, or else to the current directory.

    Raises InvalidInput with every problem it has.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"the seed cannot be read: {error.strerror}", where=str(path)) from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"the seed is not YAML: {error}", where=str(path)) from error
    if not isinstance(document, dict):
        raise InvalidInput("the seed is a mapping with users, repositories and webhooks", where=str(path))
    try:
        seed = Seed.model_validate(document)
    except ValidationError as error:
        # the input itself is left out of the text: it may be a token
        lines = [f"{'.'.join(map(str, one['loc'])) or 'seed'}: {one['msg']}" for one in error.errors()]
        raise InvalidInput("; ".join(lines), where=str(path)) from None
    repositories = tuple(
        one.model_copy(update={"source": _directory(path, one)}) if one.source is not None else one
        for one in seed.repositories
    )
    return seed.model_copy(update={"repositories": repositories})


def _directory(seed: Path, repository: RepositorySeed) -> Path:
    source = repository.source or Path()
    places = [seed.resolve().parent / source, Path.cwd() / source]
    for place in places:
        if place.is_dir():
            return place
    said = ", and neither is ".join(dict.fromkeys(map(str, places)))
    raise InvalidInput(f"repositories: {repository.name}: from: {said} is no directory", where=str(seed))


def token_digest(value: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(value.encode()).hexdigest()


def apply_seed(forge: Forge, seed: Seed) -> None:
    """Brings accounts, tokens, collaborators and hooks to what the seed says; existing git data is left alone."""
    with forge.database.transaction():
        for user in seed.users:
            _apply_user(forge, user)
    for repository in seed.repositories:
        _apply_repository(forge, repository)
    for hook in seed.webhooks:
        _apply_hook(forge, hook)


def _apply_user(forge: Forge, seed: UserSeed) -> None:
    database = forge.database
    values = {"login": seed.login, "type": seed.type, "name": seed.name, "email": seed.email}
    existing = database.find(User, id=seed.id)
    user = (
        database.change(existing, **values)
        if existing is not None
        else database.add(User, id=seed.id, created_at=forge.now(), **values)
    )
    for token in database.all(Token, user_id=user.id):
        database.delete(token)  # a token that left the seed must not stay valid
    for one in seed.tokens:
        database.add(
            Token,
            user_id=user.id,
            digest=token_digest(one.value.get_secret_value()),
            scopes=tuple(one.scopes),
            branches=one.branches,
            app_id=one.app.id if one.app else None,
            app_slug=one.app.slug if one.app else None,
        )


def _apply_repository(forge: Forge, seed: RepositorySeed) -> None:
    database = forge.database
    owner_login, name = seed.name.split("/", 1)
    now = forge.now()
    with database.transaction():
        owner = database.find(User, login=owner_login) or database.add(
            User, login=owner_login, type="Organization", name=owner_login, email=None, created_at=now
        )
        repository = database.find(Repository, owner=owner_login, name=name)
        if repository is None:
            repository = database.add(
                Repository,
                owner_id=owner.id,
                owner=owner.login,
                name=name,
                default_branch=seed.default_branch,
                settings=seed.settings.model_dump(),
                created_at=now,
                updated_at=now,
                pushed_at=now,
            )
        else:
            repository = database.change(repository, settings=seed.settings.model_dump())
        for collaborator in database.all(Collaborator, repository_id=repository.id):
            database.delete(collaborator)
        for login, role in seed.collaborators.items():
            user = database.find(User, login=login)
            assert user is not None, "the seed was validated"  # noqa: S101
            database.add(Collaborator, repository_id=repository.id, user_id=user.id, role=role)
    path = forge.git_path(repository)
    if not path.exists():
        git_data.create_repository(path, seed.default_branch)
    if seed.source is None or git_data.GitData(path).branch(seed.default_branch) is not None:
        return
    if (seed.source / ".git").exists() or (seed.source / "HEAD").is_file():
        git_data.import_branch(path, seed.source, seed.default_branch)
    else:
        author = Person(owner.login, f"{owner.id}+{owner.login}@users.noreply.github.com")
        git_data.import_files(path, seed.source, seed.default_branch, author)


def _apply_hook(forge: Forge, seed: HookSeed) -> None:
    database = forge.database
    owner, name = seed.repository.split("/", 1)
    repository = database.find(Repository, owner=owner, name=name)
    assert repository is not None, "the seed was validated"  # noqa: S101
    values = {"secret": seed.secret.get_secret_value(), "events": tuple(seed.events), "updated_at": forge.now()}
    existing = database.find(Hook, repository_id=repository.id, url=seed.url)
    if existing is not None:
        database.change(existing, **values)
    else:
        database.add(
            Hook,
            repository_id=repository.id,
            url=seed.url,
            content_type="json",
            active=True,
            created_at=forge.now(),
            **values,
        )
