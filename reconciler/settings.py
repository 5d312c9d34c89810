"""The server's configuration file, read once; bootstrap hands its values on."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from reconciler.model.errors import InvalidInput
from reconciler.model.location import Location, Problem

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"'{value}' is not a duration like 15s, 5m or 1h")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ForgeSettings(_Strict):
    """The forge and the engine's own credential there. Files are relative to the configuration file."""

    kind: str
    api: str
    repository: str
    token_file: Path
    webhook_secret_file: Path | None = None
    writes_per_minute: int = Field(default=60, ge=1)


class GitSettings(_Strict):
    """Where git fetches from, and the branch that is deployed (it must be the one that reconciler.yaml names)."""

    url: str
    branch: str = "main"


class SshSettings(_Strict):
    """The key with which we log in to hosts."""

    key_file: Path
    connect_timeout: Duration = timedelta(seconds=10)


class ProposerSettings(_Strict):
    """The second, optional credential: it opens pull requests from reconciler/* branches and can do nothing else."""

    token_file: Path


class Settings(_Strict):
    """One control plane. `poll` is how often the forge is asked, `resync` how often every environment is compared."""

    forge: ForgeSettings
    git: GitSettings
    database: str
    ssh: SshSettings
    proposer: ProposerSettings | None = None
    listen: str = "127.0.0.1:8080"
    poll: Duration = timedelta(seconds=15)
    resync: Duration = timedelta(seconds=60)
    state: Path | None = None
    compose_binary: Path | None = None
    directory: Path = Path()

    def resolve(self, path: Path) -> Path:
        """A path of the file, relative to the file's own directory."""
        return path if path.is_absolute() else self.directory / path

    @property
    def database_url(self) -> str:
        """The database with a relative SQLite file resolved."""
        prefix = "sqlite:///"
        if self.database.startswith(prefix):
            return prefix + str(self.resolve(Path(self.database.removeprefix(prefix))))
        return self.database

    @property
    def state_directory(self) -> Path:
        """Where the mirror, the render cache and this installation's keys lie; beside the database by default."""
        if self.state is not None:
            return self.resolve(self.state)
        return Path(self.database_url.removeprefix("sqlite:///")).parent


def read_settings(file: Path) -> Settings:
    """Read and check the file. InvalidInput names every key that is wrong."""
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput("there is no such configuration file", where=str(file)) from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InvalidInput(f"cannot be read: {error}", where=str(file)) from error
    if not isinstance(raw, dict):
        raise InvalidInput("must hold keys and values: forge, git, database, ssh …", where=str(file))
    try:
        return Settings.model_validate({**raw, "directory": file.resolve().parent})
    except ValidationError as error:
        problems = tuple(
            Problem(Location(str(file)), f"{'.'.join(map(str, e['loc']))}: {e['msg']}") for e in error.errors()
        )
        raise InvalidInput("the configuration is not valid", problems, where=str(file)) from error


def read_secret(file: Path) -> str:
    """The one line of a secret file; InvalidInput when it is missing, empty or longer."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot be read: {error}", where=str(file)) from error
    if not text or "\n" in text:
        raise InvalidInput("must hold the secret on one line", where=str(file))
    return text
