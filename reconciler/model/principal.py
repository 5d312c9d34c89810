"""People and agents as principals.yaml registers them: accounts are numeric ids, because logins get renamed and
reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PrincipalKind(StrEnum):
    """What an account is, by our registry and never by what the forge calls it."""

    PERSON = "person"
    AGENT = "agent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Person:
    """A human being. All `accounts` are one person, and two approvals need two persons (gate 2)."""

    name: str
    accounts: tuple[int, ...]
    groups: tuple[str, ...] = ()
    signing_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """A program that asks and never approves. `owner` is the person who stands behind it."""

    name: str
    accounts: tuple[int, ...]
    owner: str
    scopes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Principals:
    """The registry. An account that is in neither list belongs to nobody, and nobody approves nothing."""

    people: tuple[Person, ...] = ()
    agents: tuple[Agent, ...] = ()

    def person_of(self, account: int | None) -> Person | None:
        """The person behind an account id, None for agents, bots and strangers."""
        return next((p for p in self.people if account is not None and account in p.accounts), None)

    def agent_of(self, account: int | None) -> Agent | None:
        """The agent behind an account id, None for people and strangers."""
        return next((a for a in self.agents if account is not None and account in a.accounts), None)

    def members(self, group: str) -> frozenset[str]:
        """Names of the people in a group."""
        return frozenset(p.name for p in self.people if group in p.groups)
