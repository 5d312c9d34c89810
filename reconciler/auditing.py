"""Joins what verifying a ledger needs and nothing else: bootstrap for an auditor.

It makes no database, no key and no connection but to the witness, and imports nothing that takes long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.control.verifying import Found, Outside
from reconciler.model.chain import StoredEntry
from reconciler.model.checkpoint import SignedCheckpoint, read_checkpoint
from reconciler.model.errors import InvalidInput, NotFound, Retryable
from reconciler.signatures import Ed25519Signatures, InstallationKey, SshSignatures
from reconciler.storage.stored import open_stored, read_copy

if TYPE_CHECKING:
    from reconciler.ports import Signatures, Witness
    from reconciler.settings import Settings

SIGNING_KEY = "signing.key"  # in the state directory, as the next two
CHECKPOINT_COPY = "checkpoint"
WITNESS_MIRROR = "witness.git"
LONGEST_FILE = 64 * 1024  # bytes of a key or checkpoint that somebody names
KEY_KINDS = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")


def signatures() -> Signatures:
    """How signatures are checked."""
    return Ed25519Signatures(SshSignatures())


def witness(settings: Settings) -> Witness | None:
    """The witness that is configured, None where none is."""
    configured = settings.ledger.witness
    if configured is None:
        return None
    from reconciler.sources.witness import GitWitness  # pygit2 is needed for nothing else here

    return GitWitness(
        settings.state_directory / WITNESS_MIRROR,
        configured.url,
        settings.resolve(configured.key_file) if configured.key_file is not None else None,
        settings.resolve(configured.known_hosts_file) if configured.known_hosts_file is not None else None,
        configured.branch,
    )


@contextmanager
def installation(config: Path, offline: bool) -> Iterator[tuple[Found, Outside]]:
    """The ledger of an installation, with its own key, the copy of its newest checkpoint, and its witness.

    `offline` leaves the witness alone. NotFound where there is no database.
    """
    from reconciler.settings import read_settings

    settings = read_settings(config)
    directory = settings.state_directory
    copy = read_copy(directory / CHECKPOINT_COPY)
    beside = (("the copy beside the database", copy),) if copy is not None else ()
    with open_stored(Path(settings.database_url.removeprefix("sqlite:///"))) as stored:
        kept = stored.checkpoints()
        witnessed, missing = _witnessed(settings, offline, _origin(copy, kept))
        outside = Outside(key=installation_public_key(directory), checkpoints=(*beside, *witnessed), missing=missing)
        yield Found(stored.rows(), kept, stored.faults()), outside


@contextmanager
def database(file: Path) -> Iterator[tuple[Found, Outside]]:
    """The ledger in a database file, wherever it comes from; nothing from outside."""
    with open_stored(file) as stored:
        yield Found(stored.rows(), stored.checkpoints(), stored.faults()), Outside()


def export(file: Path) -> tuple[Found, Outside]:
    """The ledger in an export: one entry per line. InvalidInput where the file cannot be read."""
    return Found(map(StoredEntry, filter(None, _bytes(file).split(b"\n")))), Outside()


def installation_public_key(directory: Path) -> str | None:
    """The public key of the installation whose state directory it is; None where it has none yet. Makes none."""
    file = directory / SIGNING_KEY
    return InstallationKey(file).public_key if file.exists() else None


def public_key(file: Path) -> str:
    """The public key in a file: as ssh-keygen writes one, or a line of an allowed_signers file."""
    for line in _text(file).splitlines():
        words = line.split()
        for kind, blob in pairwise(words):
            if kind.startswith(KEY_KINDS) and blob.startswith("AAAA"):
                return f"{kind} {blob}"
    raise InvalidInput("holds no public SSH key", where=str(file))


def checkpoint(file: Path) -> tuple[str, SignedCheckpoint]:
    """A checkpoint that was exported or witnessed, named by its file. InvalidInput where it is none."""
    try:
        return str(file), read_checkpoint(_text(file))
    except ValueError as error:
        raise InvalidInput(str(error), where=str(file)) from error


def _origin(copy: SignedCheckpoint | None, kept: tuple[tuple[str, str], ...]) -> str | None:
    """Of which ledger the witness is asked; of all that it has where nothing here says which it is."""
    if copy is not None:
        return copy.checkpoint.origin
    return kept[-1][1].split("\n", 1)[0] if kept else None


def _witnessed(
    settings: Settings, offline: bool, origin: str | None
) -> tuple[tuple[tuple[str, SignedCheckpoint], ...], tuple[str, ...]]:
    """What the witness has, and why it could not be asked."""
    there = None if offline else witness(settings)
    if there is None:
        return (), ()
    try:
        found = there.checkpoints(origin)
    except Retryable as error:
        return (), (str(error),)
    return tuple((f"the witness's checkpoint {one.checkpoint.size}", one) for one in found), ()


def _text(file: Path) -> str:
    data = _bytes(file, LONGEST_FILE)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("is no text", where=str(file)) from error


def _bytes(file: Path, most: int | None = None) -> bytes:
    try:
        if most is not None and file.stat().st_size > most:
            raise InvalidInput(f"is larger than {most} bytes", where=str(file))
        return file.read_bytes()
    except FileNotFoundError as error:
        raise NotFound("there is no such file", where=str(file)) from error
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(file)) from error
