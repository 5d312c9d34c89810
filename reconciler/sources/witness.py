"""A git repository elsewhere that keeps the ledger's checkpoints: each is a file, each publication a commit on top of
the last. Bootstrap makes one where the settings name it; control publishes to it and verifies against it.

Nothing there is ever rewritten by us, and what somebody else rewrites is noticed: the branch is fetched and pushed
forward only.
"""

from __future__ import annotations

import fcntl
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, RepositoryOpenFlag

from reconciler.model.checkpoint import SignedCheckpoint, read_checkpoint
from reconciler.model.errors import InvalidInput, Retryable, VerificationFailed
from reconciler.sources.command import Finished, run_git, scheme_of

AUTHOR = ("reconciler", "reconciler@localhost")
MOST_BYTES = 64 * 1024  # of a file that can be a checkpoint
FULL_ID = re.compile("[0-9a-f]{40}")
SIZE = re.compile("[0-9]{1,18}")
_PER_DIRECTORY = 1000


class GitWitness:
    """Implements ports.Witness over a bare repository of our own in `directory` (made when missing).

    `key_file` is the deploy key for an ssh URL, `known_hosts` the file with the server's host keys (the user's own
    where it is None). `timeout` is in seconds, for each git command.
    """

    def __init__(
        self,
        directory: Path,
        url: str,
        key_file: Path | None = None,
        known_hosts: Path | None = None,
        branch: str = "main",
        timeout: float = 60.0,
    ) -> None:
        try:
            scheme_of(url)
        except InvalidInput as error:
            raise InvalidInput(error.text, where="ledger.witness.url") from error
        self._directory, self._url, self._timeout = directory, url, timeout
        self._key_file, self._known_hosts = key_file, known_hosts
        self._ref = f"refs/heads/{branch}"
        self._turn = threading.Lock()

    def newest(self, origin: str) -> SignedCheckpoint | None:
        """The newest checkpoint of a ledger that it had when we last saw it; it is not asked."""
        with self._alone():
            repository = self._repository()
            found = max(self._files(repository, origin), key=lambda file: file[0], default=None)
            return self._read(found[0], _data(repository, found[1])) if found is not None else None

    def publish(self, signed: Sequence[SignedCheckpoint], now: datetime) -> None:
        """Add what it does not have, as one commit. Retryable when it cannot be reached or somebody was quicker."""
        with self._alone():
            repository = self._repository()
            self._fetch(repository)
            commit = self._commit(repository, signed, now)
            if commit is None:
                return
            pushed = self._git("push", "--quiet", self._url, f"{commit}:{self._ref}")
            if pushed.status != 0:
                raise Retryable(f"the witness did not take a checkpoint: {pushed.error}", where=self._url)
            repository.references.create(self._ref, commit, force=True)

    def checkpoints(self, origin: str | None = None) -> tuple[SignedCheckpoint, ...]:
        """All that it has of one ledger, or of all, asked now, by size. VerificationFailed where one is none."""
        with self._alone():
            repository = self._repository()
            self._fetch(repository)
            found = [self._read(size, _data(repository, file)) for size, file in self._files(repository, origin)]
        return tuple(sorted(found, key=lambda signed: signed.checkpoint.size))

    def _commit(self, repository: pygit2.Repository, signed: Sequence[SignedCheckpoint], now: datetime) -> str | None:
        """A commit with those that are not there yet; None where all are."""
        tip = repository.references.get(self._ref)
        parents = [tip.target] if tip is not None else []
        index = pygit2.Index()
        if parents:
            index.read_tree(repository[parents[0]].tree)
        added = list[SignedCheckpoint]()
        for one in signed:
            path, text = _path(one), one.text.encode()
            if path in index:
                held = self._read(one.checkpoint.size, _data(repository, index[path].id))
                if held.checkpoint != one.checkpoint:
                    raise VerificationFailed(
                        f"the witness has another checkpoint of {one.checkpoint.size} entries", where=self._url
                    )
                continue
            index.add(pygit2.IndexEntry(path, repository.create_blob(text), FileMode.BLOB))
            added.append(one)
        if not added:
            return None
        who = pygit2.Signature(*AUTHOR, int(now.timestamp()), 0)
        last = added[-1].checkpoint
        message = f"Checkpoint of {last.size} entries of {last.origin}\n\n{last.anchor}\n"
        return str(repository.create_commit(None, who, who, message, index.write_tree(repository), parents))

    def _fetch(self, repository: pygit2.Repository) -> None:
        """Take over what it has. VerificationFailed where its history is not the one that we saw."""
        listed = self._git("ls-remote", self._url, self._ref)
        if listed.status != 0:
            raise Retryable(f"the witness cannot be reached: {listed.error}", where=self._url)
        ours = repository.references.get(self._ref)
        if not listed.output.strip():
            if ours is not None:
                raise VerificationFailed("the witness was emptied", where=self._url)
            return
        theirs = listed.output.split()[0].decode("ascii", "replace")
        if not FULL_ID.fullmatch(theirs):
            raise Retryable("the witness does not say where its branch is", where=self._url)
        if ours is not None and str(ours.target) == theirs:
            return
        fetched = self._git("fetch", "--quiet", "--no-tags", self._url, theirs)
        if fetched.status != 0:
            raise Retryable(f"the witness cannot be read: {fetched.error}", where=self._url)
        if ours is not None and not repository.descendant_of(theirs, ours.target):
            raise VerificationFailed("the history of the witness was rewritten", where=self._url)
        repository.references.create(self._ref, theirs, force=True)

    def _files(self, repository: pygit2.Repository, origin: str | None) -> Iterator[tuple[int, pygit2.Oid]]:
        """Every checkpoint's number and file as we last saw them."""
        tip = repository.references.get(self._ref)
        if tip is None:
            return
        index = pygit2.Index()
        try:
            index.read_tree(repository[tip.target].tree)
        except (pygit2.GitError, UnicodeDecodeError) as error:
            raise VerificationFailed(f"the witness holds what git cannot read: {error}", where=self._url) from error
        for entry in index:
            name = entry.path.rpartition("/")[2]
            if (origin is not None and not entry.path.startswith(f"{origin}/")) or not SIZE.fullmatch(name):
                continue
            yield int(name), entry.id

    def _read(self, size: int, data: bytes) -> SignedCheckpoint:
        try:
            signed = read_checkpoint(data.decode("ascii"))
            if signed.checkpoint.size != size:
                raise ValueError(f"says it is of {signed.checkpoint.size}")
        except ValueError as error:
            raise VerificationFailed(f"the witness's checkpoint {size} {error}", where=self._url) from error
        return signed

    def _repository(self) -> pygit2.Repository:
        return pygit2.Repository(str(self._directory), RepositoryOpenFlag.NO_SEARCH)  # never one that lies above

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread of one process at a time."""
        with self._turn:
            if not (self._directory / "HEAD").exists():
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                pygit2.init_repository(str(self._directory), bare=True)
            with (self._directory / "witness.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    def _git(self, *arguments: str) -> Finished:
        options = list[str]()
        if self._key_file is not None:
            options += ["-i", str(self._key_file), "-o", "IdentitiesOnly=yes"]
        if self._known_hosts is not None:
            options += ["-o", f"UserKnownHostsFile={self._known_hosts}"]
        return run_git(self._directory, *arguments, url=self._url, timeout=self._timeout, ssh_options=options)


def _data(repository: pygit2.Repository, oid: pygit2.Oid) -> bytes:
    """The beginning of a file, nothing where it is something else."""
    found = repository.get(oid)
    return found.data[:MOST_BYTES] if isinstance(found, pygit2.Blob) else b""


def _path(signed: SignedCheckpoint) -> str:
    size = signed.checkpoint.size
    return f"{signed.checkpoint.origin}/{size // _PER_DIRECTORY:015d}/{size:018d}"
