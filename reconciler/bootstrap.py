"""The only module that names concrete adapters: it joins them to the parts of one control plane."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reconciler.auditing import CHECKPOINT_COPY, SIGNING_KEY, installation_public_key, witness
from reconciler.compose.driving import ComposeProgram
from reconciler.compose.rendering import SandboxRenderer
from reconciler.control import pipeline
from reconciler.control.parts import Parts
from reconciler.control.requests import Poll, Request, ReviewRequest
from reconciler.forges import FORGES, webhooks
from reconciler.hosts import SshHosts
from reconciler.logs import progress
from reconciler.model.canonical import digest_bytes
from reconciler.model.errors import InvalidInput
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.revision import Tree
from reconciler.ports import Renderer, Signer
from reconciler.settings import Settings, read_secret, read_settings
from reconciler.signatures import Ed25519Signatures, InstallationKey, PersonalKey, SshSignatures
from reconciler.sources.git import GitMirror
from reconciler.sources.working_tree import read_working_tree
from reconciler.storage import Database, open_database
from reconciler.storage.checkpoints import SqlCheckpoints
from reconciler.storage.deployments import SqlDeployments
from reconciler.storage.ledger import SqlLedger
from reconciler.storage.sealing import Seal
from reconciler.storage.states import SqlLeases, SqlStates
from reconciler.workflows.in_process import InProcessEngine


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """UTC and aware."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Records:
    """The database's side only: for commands that look at what was done."""

    settings: Settings
    database: Database
    ledger: SqlLedger
    checkpoints: SqlCheckpoints
    deployments: SqlDeployments
    states: SqlStates


@contextmanager
def open_records(config: Path) -> Iterator[Records]:
    """Open the database that a configuration names."""
    settings = read_settings(config)
    database = open_database(settings.database_url, seal_of(settings.state_directory))
    try:
        yield Records(
            settings,
            database,
            SqlLedger(database),
            SqlCheckpoints(database, settings.state_directory / CHECKPOINT_COPY),
            SqlDeployments(database),
            SqlStates(database),
        )
    finally:
        database.close()


def public_key_of(records: Records) -> str | None:
    """The public key of the installation; None where it has none yet. Makes none."""
    return installation_public_key(records.settings.state_directory)


def signer_of(records: Records) -> InstallationKey:
    """The installation's key, for what is signed without a control plane."""
    return InstallationKey(records.settings.state_directory / SIGNING_KEY)


@contextmanager
def open_parts(config: Path) -> Iterator[Parts]:
    """Join everything that a configuration names; connections are opened when they are first used."""
    with ExitStack() as stack:
        records = stack.enter_context(open_records(config))
        settings = records.settings
        if settings.forge.kind not in FORGES:
            raise InvalidInput(
                f"forge.kind: '{settings.forge.kind}' is not one of {', '.join(FORGES)}", where=str(config)
            )
        directory = settings.state_directory
        fingerprinter = installation_key(directory)
        token = read_secret(settings.resolve(settings.forge.token_file))
        source = GitMirror(directory / "mirror.git", settings.git.url, settings.git.branch, token)
        forge = FORGES[settings.forge.kind](
            settings.forge.api,
            settings.forge.repository,
            token,
            remote_heads=source.remote_heads,
            local_commits=source.commits_between,
            is_clean_update=source.is_clean_update,
            writes_per_minute=settings.forge.writes_per_minute,
        )
        key_file = settings.resolve(settings.ssh.key_file)
        if not key_file.is_file():
            raise InvalidInput("there is no such key; make one with ssh-keygen -t ed25519", where=str(key_file))
        hosts = SshHosts(
            key_file=key_file,
            fingerprinter=fingerprinter,
            compose=ComposeProgram(settings.compose_binary),
            run_directory=directory / "run",
            connect_timeout=settings.ssh.connect_timeout.total_seconds(),
        )
        stack.callback(hosts.close)
        engine = InProcessEngine()
        parts = Parts(
            source=source,
            forge=forge,
            renderer=SandboxRenderer(directory / "rendered", settings.compose_binary),
            hosts=hosts,
            ledger=records.ledger,
            checkpoints=records.checkpoints,
            deployments=records.deployments,
            states=records.states,
            leases=SqlLeases(records.database),
            engine=engine,
            signer=InstallationKey(directory / SIGNING_KEY),
            signatures=Ed25519Signatures(SshSignatures()),
            clock=SystemClock(),
            fingerprinter=fingerprinter,
            progress=progress,
            witness=witness(settings),
            branch=settings.git.branch,
            owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        )
        engine.work = lambda deployment: pipeline.execute(parts, deployment)
        yield parts


@dataclass(frozen=True, slots=True)
class Webhook:
    """How deliveries of the configured forge are checked and read."""

    secret: bytes

    def genuine(self, body: bytes, signature: str | None) -> bool:
        """Whether the signature is that of the raw body (gate 60)."""
        return webhooks.verify(self.secret, body, signature)

    def requests(self, event: str, body: bytes) -> tuple[Request, ...]:
        """What a delivery makes due; nothing for an event that decides nothing."""
        found = webhooks.hint(event, body)
        if isinstance(found, webhooks.Ignored):
            return ()
        return (*map(ReviewRequest, found.pull_requests), Poll())


def webhook(settings: Settings) -> Webhook | None:
    """The forge's webhook, None where no secret is configured and deliveries are therefore refused."""
    file = settings.forge.webhook_secret_file
    return Webhook(read_secret(settings.resolve(file)).encode()) if file is not None else None


def personal_key(file: Path) -> Signer:
    """The key of the person at the terminal."""
    return PersonalKey(file)


def local_renderer() -> Renderer:
    """A renderer that keeps nothing, for commands without a server."""
    return SandboxRenderer(None)


def working_tree(directory: Path) -> Tree:
    """The files of a directory; InvalidInput when it holds more than a repository may."""
    return read_working_tree(directory)


def installation_key(directory: Path) -> Fingerprinter:
    """The key under which values are fingerprinted."""
    key = _installation_secret(directory)
    return Fingerprinter(digest_bytes(b"reconciler key id" + key)[:8], key)


def seal_of(directory: Path) -> Seal:
    """What rows of the database are sealed with: it lies beside the database and never in it."""
    return Seal(hmac.digest(_installation_secret(directory), b"reconciler database", "sha256"))


def _installation_secret(directory: Path) -> bytes:
    """Made once, 0600, and never shown. InvalidInput where the file is none."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = directory / "fingerprint.key"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(stream.fileno())
    key = file.read_bytes()
    if len(key) != 32:
        raise InvalidInput("must hold 32 bytes; restore it from a backup", where=str(file))
    return key
