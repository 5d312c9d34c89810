"""The repository's own files as pydantic models: what may be written, and nothing else. loading.py reads with them.

The JSON Schemas for editors are made from the same classes, so that an editor and the reconciler agree.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from reconciler.documents import DURATION, read_duration

NAME = r"[a-z0-9][a-z0-9_-]*"
_WORD = r"[a-z0-9][a-z0-9._-]*"
_MOMENT = r"(MON|TUE|WED|THU|FRI|SAT|SUN) ([01][0-9]|2[0-3]):[0-5][0-9]"
_ADDRESS = r"[A-Za-z0-9:]([A-Za-z0-9.:-]*[A-Za-z0-9])?"
_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


@dataclass(frozen=True, slots=True)
class _Form:
    """Text of a form, for Annotated; `says` completes "should be"."""

    pattern: str
    says: str

    def check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"should be {self.says}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^({self.pattern})$", "description": self.says}


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("should be a duration like 30s, 5m or 72h")
    return read_duration(value)


def _written(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}s"


def _key(text: str) -> str:
    """An OpenSSH public key without its comment; ValueError where it is not one."""
    kind, _, rest = text.partition(" ")
    blob = rest.split(" ", 1)[0]
    if kind not in _KEY_TYPES or not blob:
        raise ValueError("should be a public key like 'ssh-ed25519 AAAA…' (ssh-keyscan shows it)")
    try:
        data = base64.b64decode(blob, validate=True)
    except binascii.Error:
        raise ValueError("is not a whole public key: its second part is not base64") from None
    prefix = len(kind).to_bytes(4, "big") + kind.encode()
    if not data.startswith(prefix) or len(data) < len(prefix) + 32:
        raise ValueError(f"is not a whole public key of type {kind}")
    if kind == "ssh-ed25519" and len(data) != len(prefix) + 36:
        raise ValueError("is not a whole public key of type ssh-ed25519")
    return f"{kind} {blob}"


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("should be an IANA time zone like Europe/Berlin") from None
    return text


def _one_or_many(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("should be the account's number, or a list of such")
    return [value]


def _as_text(value: Any) -> Any:
    """A whole number is what it looks like; 1.10 and yes are not, and stay errors."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float | bool):
        raise ValueError("should be text: write it in quotes")
    return value


_AbsolutePath = Annotated[
    str, _Form(r"/[A-Za-z0-9._/-]*[A-Za-z0-9._-]", "an absolute path on the host of plain letters, like /var/lib/x")
]
_Path = Annotated[str, _Form(r"[^/\\\x00-\x1f$][^\\\x00-\x1f$]*", "a path relative to this file, with forward slashes")]
_Commit = Annotated[str, _Form(r"[0-9a-f]{40}", "a commit's whole SHA, 40 hex digits (in quotes)")]
_EnvironmentName = Annotated[str, _Form(f"{NAME}/{NAME}", "an environment like shop/production")]
_Name = Annotated[str, _Form(_WORD, "a word of small letters, digits, '.', '_' and '-'")]
_Identifier = Annotated[str, _Form(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a word of letters, digits, '.', '_' and '-'")]
_ComposeProject = Annotated[str, _Form(NAME, "a Compose project name: small letters, digits, '_' and '-'")]
_Address = Annotated[str, _Form(_ADDRESS, "a host name or an IP address")]
_User = Annotated[str, _Form(r"[a-z_][a-z0-9_-]*\$?", "a user name on the host")]
_Variable = Annotated[str, _Form(r"[A-Za-z_][A-Za-z0-9_]*", "a variable name of letters, digits and '_'")]
_Scope = Annotated[str, _Form(r"[a-z]+:[a-z]+", "a scope like plan:read")]
_TargetGlob = Annotated[str, _Form(r"[A-Za-z0-9*?_.-]+/[A-Za-z0-9*?_.-]+", "PROJECT/ENVIRONMENT, where * matches")]
_Moment = Annotated[str, _Form(_MOMENT, 'a weekday and a time like "FRI 16:00"')]
_Finding = Annotated[str, _Form(r"[0-9a-f]{32,64}", "the 32 to 64 hex digits that the plan comment shows")]
_Reason = Annotated[str, _Form(r"\S(.|\n)*", "a reason that a reader understands")]
_Branch = Annotated[str, _Form(r"[A-Za-z0-9][A-Za-z0-9._/-]*", "a branch name")]
_PublicKey = Annotated[
    str,
    AfterValidator(_key),
    WithJsonSchema({"type": "string", "description": "An OpenSSH public key: type and base64"}),
]
_Zone = Annotated[
    str,
    AfterValidator(_zone),
    WithJsonSchema({"type": "string", "description": "An IANA time zone like Europe/Berlin"}),
]
_Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_written, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{DURATION}$", "description": "a duration like 30s, 5m or 72h"}),
]
_Text = Annotated[str, BeforeValidator(_as_text), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})]
_Accounts = Annotated[
    list[Annotated[int, Field(gt=0)]],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1}},
            ],
            "description": "The forge's numeric account id, or several ids of the same principal",
        }
    ),
]
_Count = Annotated[int, Field(ge=0)]
Globs = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]

ActionWord = Literal[
    "break_glass",
    "deploy",
    "rollback",
    "restart",
    "restore",
    "remove_host",
    "change_host",
    "change_policy",
    "rotate_secret",
    "approve",
    "merge",
    "*",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DenyWindow(_Model):
    """From one moment of the week to another, in a time zone."""

    start: _Moment
    end: _Moment
    timezone: _Zone

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.start == self.end:
            raise ValueError("starts and ends at the same moment: say a minute less for almost a week")
        return self


class WindowFile(_Model):
    """A time in which nothing is deployed."""

    deny: DenyWindow


class HealthFile(_Model):
    """How long a service may take to arrive, and how long it must then stay as it is."""

    timeout: _Duration = timedelta(seconds=120)
    stable_for: _Duration = timedelta(seconds=10)


class RolloutFile(_Model):
    """Hosts in waves, the pause between them, and how many hosts may fail."""

    waves: list[Annotated[list[_Name], Field(min_length=1)]] = Field(default_factory=list)
    pause: _Duration = timedelta(0)
    max_failed_hosts: _Count = 0


class Choices(_Model):
    """What an environment says for itself, or reconciler.yaml under `defaults` for all of them."""

    consent: Literal["review", "quoted", "signed"] = "review"
    consent_delay: _Duration = Field(
        default=timedelta(seconds=30), description="A review counts only this long after the plan was posted"
    )
    agent_owner_may_approve: bool = Field(
        default=False, description="Whether the person behind an agent may approve what the agent wrote"
    )
    bind: Literal["plan", "revision"] = "plan"
    drift: Literal["off", "report", "heal"] = "report"
    heal_stopped: bool = False
    when_unreachable: Literal["wait", "last-known"] = "wait"
    health: HealthFile = HealthFile()
    windows: list[WindowFile] = Field(default_factory=list)
    on_failure: Literal["stop", "restore"] = "stop"


class WaiverFile(_Model):
    """One denied finding that this environment may have; a change of the rules."""

    finding: _Finding = Field(description="The digest, or its first 32 digits or more, as the plan comment shows it")
    why: _Reason


class EnvironmentFile(Choices):
    """projects/<project>/<environment>/environment.yaml"""

    hosts: list[_Name] | None = Field(default=None, min_length=1, description="Names of files in hosts/")
    select: dict[str, _Text] | None = Field(
        default=None, min_length=1, description="Hosts by all of these labels, not by name"
    )
    tier: _Name = Field(description="What policy rules match on, and what a host must admit")
    compose_project: _ComposeProject | None = Field(default=None, description="Default: <project>-<environment>")
    compose: list[_Path] | None = Field(
        default=None, min_length=1, description="Default: ../compose.yaml and compose.yaml, those that are there"
    )
    env_files: list[_Path] = Field(default_factory=list, description="With variables: the only sources of ${…}")
    variables: dict[_Variable, _Text] = Field(default_factory=dict)
    secrets: list[_Path] = Field(default_factory=list)
    registry: _Path | None = None
    rollout: RolloutFile = RolloutFile()
    jobs: list[_Identifier] = Field(default_factory=list, description="Services that run once and end")
    before: list[_Identifier] = Field(default_factory=list, description="Of the jobs, those that run first")
    remove_volumes: list[_Identifier] = Field(default_factory=list, description="Volumes that the plan may delete")
    renamed_from: _ComposeProject | None = Field(
        default=None, description="The Compose project name that this one replaces"
    )
    waivers: list[WaiverFile] = Field(
        default_factory=list, description="Denied findings that this environment may have, one by one"
    )


class RepositoryFile(_Model):
    """reconciler.yaml"""

    format: Literal[1] = Field(description="The version of this format")
    deploy_branch: _Branch = "main"
    defaults: Choices = Choices()


class HostFile(_Model):
    """hosts/<host>.yaml"""

    address: _Address
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: _User
    host_key: _PublicKey | None = None
    host_ca: _PublicKey | None = None
    via: _Name | None = Field(default=None, description="The host to jump over")
    labels: dict[str, _Text] = Field(default_factory=dict)
    tiers: list[_Name] = Field(min_length=1, description="What may run here")
    max_parallel: Annotated[int, Field(ge=1)] = 2
    socket: _AbsolutePath = "/var/run/docker.sock"
    directory: _AbsolutePath = Field(
        default="/var/lib/reconciler", description="Where shipped files and data directories go"
    )


class PersonFile(_Model):
    """A human being; all accounts are one person."""

    github: _Accounts
    groups: list[_Name] = Field(default_factory=list)
    signing_keys: list[_PublicKey] = Field(default_factory=list)


class AgentFile(_Model):
    """A program that asks and never approves."""

    github: _Accounts
    owner: _Name = Field(description="The person who stands behind it")
    scopes: list[_Scope] = Field(default_factory=list)
    targets: list[_TargetGlob] = Field(default_factory=list)


class PrincipalsFile(_Model):
    """principals.yaml"""

    people: dict[_Name, PersonFile] = Field(min_length=1)
    agents: dict[_Name, AgentFile] = Field(default_factory=dict)


class WhoFile(_Model):
    """Whom a rule is about."""

    kind: Literal["person", "agent", "unknown"] | None = None
    group: list[_Name] = Field(default_factory=list)


class TargetFile(_Model):
    """Which targets a rule is about."""

    tier: list[_Name] = Field(default_factory=list)
    environment: list[_TargetGlob] = Field(default_factory=list)
    host: list[str] = Field(default_factory=list)


class WhenFile(_Model):
    """Facts that must all hold for the rule to fire."""

    files_any: Globs | None = None
    files_over: _Count | None = None
    hosts_over: _Count | None = None
    image_outside: Globs | None = None
    destroys_data: bool | None = None
    privileged: bool | None = None
    image_unpinned: bool | None = None
    removes_over: Annotated[int, Field(ge=0, le=100)] | None = None


class NeedFile(_Model):
    """So many persons, out of a group when one is named."""

    approvals: _Count
    from_group: _Name | None = None


class RuleFile(_Model):
    """One rule: deny beats require beats allow."""

    id: _Name
    effect: Literal["deny", "require", "allow"]
    actions: list[ActionWord] = Field(min_length=1)
    who: WhoFile = WhoFile()
    target: TargetFile = TargetFile()
    when: WhenFile = WhenFile()
    need: NeedFile | None = None
    why: str = ""


class PolicyFile(_Model):
    """policy.yaml"""

    rules: list[RuleFile]


class ProjectFile(_Model):
    """projects/<project>/project.yaml"""

    owners: list[_Name] = Field(default_factory=list, description="People of principals.yaml to ask")
    description: str = ""


class AdoptionFile(_Model):
    """operations/adopt-<commit>.yaml"""

    adopt: _Commit = Field(description="The commit that is taken over, the same as in the file's name")
    why: Annotated[str, Field(min_length=1)] = Field(description="The reason, for whoever asks later")
    environments: list[_EnvironmentName] | None = Field(
        default=None, min_length=1, description="Only these; all that the commit holds where none is named"
    )


_KINDS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("adoption", AdoptionFile),
    ("environment", EnvironmentFile),
    ("host", HostFile),
    ("policy", PolicyFile),
    ("principals", PrincipalsFile),
    ("project", ProjectFile),
    ("reconciler", RepositoryFile),
)


class _Schema(GenerateJsonSchema):
    """Defaults as one writes them: 30s, not the form of ISO 8601."""

    def encode_default(self, dft: Any) -> Any:
        return _written(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def schemas() -> Mapping[str, dict[str, Any]]:
    """The JSON Schema (draft 2020-12) of each file kind, by its name: environment, host, policy, …"""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {name: {"$schema": dialect, **model.model_json_schema(schema_generator=_Schema)} for name, model in _KINDS}
