"""The forge's state in one value: database, repositories, address, clock, webhooks. Every action takes it first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from reconciler.localforge.database import Database
from reconciler.localforge.git_data import WEB_FLOW_ID, GitData
from reconciler.localforge.records import Collaborator, Pull, Repository, User
from reconciler.localforge.webhooks import Deliveries

ROLES = ("none", "read", "triage", "write", "maintain", "admin")


def system_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Forge:
    """Everything that a request needs. `base_url` has no trailing slash, e.g. http://127.0.0.1:3000."""

    database: Database
    repositories: Path
    base_url: str
    deliveries: Deliveries
    clock: Callable[[], datetime] = system_clock
    _locks: dict[int, threading.RLock] = field(default_factory=dict)

    def now(self) -> str:
        return self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def api_url(self) -> str:
        return f"{self.base_url}/api/v3"

    def git_path(self, repository: Repository) -> Path:
        return self.repositories / repository.owner / f"{repository.name}.git"

    def git(self, repository: Repository) -> GitData:
        return GitData(self.git_path(repository))

    @contextmanager
    def changing(self, repository: Repository) -> Iterator[GitData]:
        """Held while refs move and what follows from it is written, so that nobody sees the one without the other."""
        with self._locks.setdefault(repository.id, threading.RLock()):
            yield self.git(repository)

    # people

    def user(self, user_id: int) -> User | None:
        return self.database.find(User, id=user_id)

    def user_of_email(self, email: str) -> User | None:
        """Whose commits carry this address: a registered one, or GitHub's ID+LOGIN@users.noreply.github.com."""
        address = email.lower()
        if address.endswith("@users.noreply.github.com"):
            number = address.partition("@")[0].partition("+")[0]
            return self.user(int(number)) if number.isdecimal() else None
        if address == "noreply@github.com":
            return self.user(WEB_FLOW_ID)
        for user in self.database.all(User):
            if user.email is not None and user.email.lower() == address:
                return user
        return None

    def role(self, repository: Repository, user: User) -> str:
        """The highest role of an account; the owner is an admin."""
        if user.id == repository.owner_id:
            return "admin"
        found = self.database.find(Collaborator, repository_id=repository.id, user_id=user.id)
        return found.role if found is not None else "none"

    # for tests: what only an account's or an organisation's owner could do on GitHub

    def rename_user(self, login: str, new_login: str) -> User:
        user = self.database.find(User, login=login)
        if user is None:
            raise LookupError(f"no account {login}")
        return self.database.change(user, login=new_login)

    def set_role(self, repository: Repository, login: str, role: str) -> None:
        """Makes an account a collaborator with this role; `none` removes it."""
        user = self.database.find(User, login=login)
        if user is None:
            raise LookupError(f"no account {login}")
        with self.database.transaction():
            found = self.database.find(Collaborator, repository_id=repository.id, user_id=user.id)
            if found is not None:
                self.database.delete(found)
            if role != "none":
                self.database.add(Collaborator, repository_id=repository.id, user_id=user.id, role=role)

    def repository_named(self, full_name: str) -> Repository | None:
        owner, _, name = full_name.partition("/")
        return self.database.find(Repository, owner=owner, name=name)

    def pull(self, repository: Repository, number: int) -> Pull | None:
        if number >= 2**31:
            return None  # more than the database's integers hold may be asked for
        return self.database.find(Pull, repository_id=repository.id, number=number)


def has_role(role: str, least: str) -> bool:
    return ROLES.index(role) >= ROLES.index(least)
