"""Rules as policy.yaml says them: deny beats require beats allow, and an unreadable policy denies everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.location import Location


class Effect(StrEnum):
    """What a rule does where it matches."""

    DENY = "deny"
    REQUIRE = "require"
    ALLOW = "allow"


class Action(StrEnum):
    """What somebody wants to do to a target or to the rules themselves."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    RESTART = "restart"
    RESTORE = "restore"
    REMOVE_HOST = "remove_host"
    CHANGE_HOST = "change_host"
    CHANGE_POLICY = "change_policy"
    ROTATE_SECRET = "rotate_secret"  # noqa: S105 - the name of an action
    APPROVE = "approve"
    MERGE = "merge"
    BREAK_GLASS = "break_glass"


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a rule is about, by the kind of the author and the groups of a person; empty means everybody."""

    kind: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class When:
    """Facts that must all hold for the rule to fire; None means the fact does not matter.

    `files_any`: globs, any changed file of the pull request. `files_over`, `hosts_over`: more than so many
    files changed or hosts touched. `image_outside`: globs, some image of the rendered model matches none.
    `image_unpinned`: some image is named without a digest. `destroys_data`, `privileged`: the plan removes a volume; a
    rendered service reaches for the host. `removes_over`: the change takes away more than so many percent of all
    services of the repository.
    """

    files_any: tuple[str, ...] = ()
    files_over: int | None = None
    hosts_over: int | None = None
    image_outside: tuple[str, ...] = ()
    destroys_data: bool | None = None
    privileged: bool | None = None
    image_unpinned: bool | None = None
    removes_over: int | None = None


@dataclass(frozen=True, slots=True)
class TargetMatch:
    """Which targets a rule is about; empty tuples match all. Names may be globs."""

    tiers: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """What a `require` rule asks for: so many persons, out of a group when one is named."""

    approvals: int
    from_group: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `actions` holds action names or "*"."""

    id: str
    effect: Effect
    actions: tuple[str, ...]
    who: Who = Who()
    target: TargetMatch = TargetMatch()
    when: When = When()
    need: Need | None = None
    why: str = ""
    location: Location = Location("policy.yaml")


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules in the order of the file. `digest` is SHA-256 of the file's bytes, recorded with each decision."""

    rules: tuple[Rule, ...]
    digest: str


WAIVER_DIGITS = 32
"""How many digits of a finding's digest a waiver holds at least. Twelve, which tell findings apart for people, could be
met on purpose: somebody who chooses a value freely tries 2^48 of them in hours.
"""


@dataclass(frozen=True, slots=True)
class Waiver:
    """One denied finding that an environment may have: the beginning of its digest, and why."""

    finding: str
    why: str
    location: Location = field(default=Location("environment.yaml"), compare=False)
