"""The server's configuration file, read once; bootstrap hands its values on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from reconciler.documents import read_content, read_duration
from reconciler.model.errors import InvalidInput
from reconciler.model.location import Problem

LONGEST = timedelta(days=7)


def _duration(value: object) -> timedelta:
    said = f"should be a duration like 15s, 5m or 1h, more than nothing and at most a week, not '{value}'"
    try:
        duration = read_duration(str(value))
    except ValueError:
        raise ValueError(said) from None
    if not timedelta(0) < duration <= LONGEST:
        raise ValueError(said)
    return duration


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


class WitnessSettings(_Strict):
    """A git repository elsewhere to which each checkpoint of the ledger is pushed, forward only."""

    url: str
    key_file: Path | None = None
    known_hosts_file: Path | None = None
    branch: str = "main"


class LedgerSettings(_Strict):
    """What is done for the ledger beyond keeping it."""

    witness: WitnessSettings | None = None


class Settings(_Strict):
    """One control plane. `poll` is how often the forge is asked, `resync` how often every environment is compared."""

    forge: ForgeSettings
    git: GitSettings
    database: str
    ssh: SshSettings
    proposer: ProposerSettings | None = None
    ledger: LedgerSettings = LedgerSettings()
    listen: str = "127.0.0.1:8080"
    poll: Duration = timedelta(seconds=15)
    resync: Duration = timedelta(seconds=60)
    state: Path | None = None
    compose_binary: Path | None = None
    _directory: Path = PrivateAttr(Path())

    def resolve(self, path: Path) -> Path:
        """A path of the file, relative to the file's own directory."""
        return path if path.is_absolute() else self._directory / path

    def recorded(self) -> dict[str, str | int | None]:
        """Every value by its dotted key, for the ledger. Secrets are in files, of which only the names are here; what
        somebody wrote into a URL all the same is left out.
        """
        return dict(_flat("", self.model_dump(mode="json")))

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
    """Read and check the file. InvalidInput names everything that is wrong, with its line."""
    problems: list[Problem] = []
    read = read_content(str(file), _content(file), Settings, problems)
    if read is None or problems:
        raise InvalidInput("the configuration is not valid", tuple(sorted(problems)), where=str(file))
    read.model._directory = file.resolve().parent
    return read.model


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str | int | None]]:
    for name, value in sorted(values.items()):
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", re.sub(r"//[^/@]*@", "//***@", value) if isinstance(value, str) else value


def read_secret(file: Path) -> str:
    """The one line of a secret file; InvalidInput, without a word of it, when it is missing, empty or longer."""
    try:
        text = _content(file).decode().strip()
    except UnicodeDecodeError:
        text = ""
    if len(text.splitlines()) != 1 or not text.isprintable():
        raise InvalidInput("must hold the secret, as text on one line", where=str(file))
    return text


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput("there is no such file", where=str(file)) from error
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(file)) from error
