"""The seams: what the core needs from the world, as small Protocols. Adapters implement them; bootstrap joins
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from reconciler.model.chain import StoredEntry
from reconciler.model.checkpoint import SignedCheckpoint
from reconciler.model.deployment import Deployment, OperationResult
from reconciler.model.desired import Bundle, DesiredNetwork, DesiredVolume, HostSpec, Rendered, RenderInput
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.ledger_entry import LedgerEntry
from reconciler.model.observed import EngineIdentity, ImageResolution, ObservedState
from reconciler.model.plan import ServiceOperation
from reconciler.model.pull_request import Comment, PullRequest, PullRequestCommit, PullRequestReading, Push
from reconciler.model.revision import CommitInfo, MergePreview, Tree
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.trust import Roots


class Clock(Protocol):
    """The only source of the time; UTC and aware."""

    def now(self) -> datetime: ...


class Source(Protocol):
    """A local mirror of the repository. Every sha is a full commit id; a sha that is missing raises NotFound."""

    def fetch(self) -> None:
        """Bring the mirror up to date: deploy branch, pull-request heads. Retryable on network trouble.

        A deploy branch that moved backwards is fetched all the same; `is_ancestor` shows it (gate 39).
        """

    def branch_head(self, branch: str) -> str: ...

    def branches(self, prefix: str) -> Mapping[str, str]:
        """The heads of the branches whose names begin so, by name."""

    def tree(self, sha: str) -> Tree: ...

    def tree_at(self, oid: str) -> Tree:
        """The files of a tree id (a merge preview's)."""

    def commit(self, sha: str) -> CommitInfo: ...

    def on_a_branch(self, sha: str) -> bool:
        """Whether a branch of the repository itself contains this commit; a fork's commits are in the mirror too."""

    def is_ancestor(self, older: str, newer: str) -> bool: ...

    def first_parents(self, older: str, newer: str) -> tuple[CommitInfo, ...]:
        """The first-parent commits after `older` up to and with `newer`, oldest first."""

    def commits_between(self, base: str, head: str) -> tuple[CommitInfo, ...]:
        """Commits reachable from head and not from base, oldest first (merges too)."""

    def merge_preview(self, base: str, head: str) -> MergePreview: ...

    def changed_paths(self, older_tree: str, newer_tree: str) -> tuple[str, ...]:
        """Paths that differ between two tree ids, sorted; a rename is both its names."""

    def propose_revert(self, proposal: RevertProposal) -> str:
        """Commit the inverse of one landing onto a new branch and push it with the proposer's token; the new
        commit's sha.
        """

    def propose_file(self, proposal: FileProposal) -> str:
        """Commit one more file onto a new branch and push it with the proposer's token; the new commit's sha."""

    def remote_heads(self, refs: Sequence[str]) -> Mapping[str, str]:
        """`git ls-remote` for full ref names (gate 62)."""


@dataclass(frozen=True, slots=True)
class RevertProposal:
    """`landing_end` is undone against `landing_base` (so that a merge commit reverts with its mainline, a rebase
    as a whole).
    """

    landing_base: str
    landing_end: str
    onto: str
    branch: str
    message: str
    author_name: str
    author_email: str
    token: str


@dataclass(frozen=True, slots=True)
class FileProposal:
    """`path` gets `content` on top of the commit `onto`."""

    path: str
    content: bytes
    onto: str
    branch: str
    message: str
    author_name: str
    author_email: str
    token: str


class Forge(Protocol):
    """Where pull requests live. Reads raise ForgeUnavailable when an answer is missing; they never guess."""

    def repository_id(self) -> int: ...

    def open_pull_requests(self, base_ref: str) -> tuple[PullRequest, ...]: ...

    def pull_request(self, number: int) -> PullRequest: ...

    def reading(self, number: int) -> PullRequestReading:
        """All evidence of a pull request, every page, the pull request read before and after."""

    def pull_requests_of(self, sha: str) -> tuple[PullRequest, ...]:
        """Pull requests whose commits or merge commit include this one."""

    def commit(self, sha: str) -> PullRequestCommit:
        """A commit as the forge attributes it."""

    def pushes(self, branch: str) -> tuple[Push, ...]:
        """Who moved a branch, newest first, as far back as the forge says; empty where it cannot say."""

    def comments(self, number: int) -> tuple[Comment, ...]: ...

    def write_comment(self, number: int, comment: int | None, body: str) -> Comment:
        """Create (None) or edit our comment in place; editing to the same text does nothing."""

    def write_status(self, sha: str, status: StatusReport) -> None: ...

    def open_pull_request(self, request: NewPullRequest) -> PullRequest:
        """Open one with the proposer's token."""

    def review(self, number: int, approve: bool, head_sha: str, body: str, token: str) -> int:
        """Approve a commit or ask for changes with a person's token; the review's number. NotAllowed where the forge
        refuses.
        """

    def say(self, number: int, body: str, token: str) -> Comment:
        """Comment with a person's token."""

    def who(self, token: str | None = None) -> tuple[int, str]:
        """Account id and login of the engine's own credential, or of another token."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """`context` like reconciler/plan; `state` is pending, success, failure or error; `description` at most 140
    characters.
    """

    context: str
    state: str
    description: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class NewPullRequest:
    """A pull request from a branch of the same repository."""

    title: str
    body: str
    head_ref: str
    base_ref: str
    token: str


class Renderer(Protocol):
    """Renders one environment; InvalidInput with the repository's file names when Compose refuses it."""

    def render(self, inputs: RenderInput) -> Rendered: ...


@dataclass(frozen=True, slots=True)
class ObservationRequest:
    """What to read: one project, and the networks, volumes and images that the desired state names beside it."""

    compose_project: str
    scope: str
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComposeResult:
    """How a Compose call ended; `output` holds its last lines, values redacted."""

    exit_code: int
    output: str


class ComposeDriver(Protocol):
    """Our Compose as a program; the host adapter gets one from bootstrap and hands it its tunnel's socket."""

    def run(
        self, socket: Path, operation: ServiceOperation, compose_project: str, model: bytes, timeout: float
    ) -> ComposeResult:
        """Run the operation against the engine behind a Unix socket; `model` is JSON for standard input."""


class Host(Protocol):
    """One Docker host over one warm SSH connection. HostUnreachable or HostKeyMismatch when there is none."""

    def identity(self) -> EngineIdentity: ...

    def observe(self, request: ObservationRequest) -> ObservedState: ...

    def resolve_images(self, references: Sequence[str]) -> Mapping[str, ImageResolution]:
        """Each reference made exact: what the host has first, then its registry (through the engine)."""

    def pull(self, deploy_as: str) -> None: ...

    def keep_image(self, deploy_as: str, keep_as: str) -> None:
        """Tag an image so that a prune does not delete what a rollback needs."""

    def ship(self, bundle: Bundle, contents: Mapping[str, bytes]) -> None:
        """Write a bundle content-addressed under <directory>/files/<digest>; a finished one is verified and left
        alone.
        """

    def create_directory(self, path: str) -> None: ...

    def path_exists(self, path: str) -> bool: ...

    def create_network(self, network: DesiredNetwork, compose_project: str) -> None: ...

    def disconnect_network(self, name: str, container: str) -> None: ...

    def remove_network(self, name: str) -> None: ...

    def create_volume(self, volume: DesiredVolume, compose_project: str) -> None: ...

    def remove_volume(self, name: str) -> None: ...

    def remove_container(self, name_or_id: str, stop_timeout: int | None) -> None:
        """Stop and remove; one that is gone already is no error."""

    def unpause(self, name_or_id: str) -> None: ...

    def run(self, operation: ServiceOperation, compose_project: str, model: bytes, timeout: float) -> ComposeResult:
        """Do one service operation with our Compose through the tunnel, the execution model on standard input."""

    def logs(self, container: str, lines: int) -> str:
        """The last lines of a container's log."""

    def read_record(self, target: Target) -> bytes | None:
        """What `write_record` last wrote for a target, None where there is nothing; whoever has root there may have
        changed it.
        """

    def write_record(self, target: Target, content: bytes) -> None:
        """Keep the signed record of a target under <directory>/targets, in the place of the one before, atomically."""

    def target_lock(self, target: Target, owner: str) -> AbstractContextManager[None]:
        """An exclusive lock on the host for the length of a deployment (fence). Retryable when somebody else has
        it.
        """


class Hosts(Protocol):
    """Gives the one warm connection of a host, opened when first asked for."""

    def host(self, spec: HostSpec, jumps: tuple[HostSpec, ...]) -> Host: ...

    def close(self) -> None: ...


class Ledger(Protocol):
    """Append-only, hash-chained, full sync. VerificationFailed for an entry that this installation has not written."""

    def append(self, kind: str, subject: str, data: Mapping[str, Any], now: datetime) -> LedgerEntry: ...

    def entries(self, after: int = 0) -> Iterator[LedgerEntry]: ...

    def latest(self, kind: str, subject: str) -> LedgerEntry | None: ...

    def find(self, kind: str, subject: str) -> tuple[LedgerEntry, ...]:
        """All entries of a kind about a subject, oldest first."""

    def head(self) -> tuple[int, str]:
        """The number of the last entry and its hash (0 and GENESIS when there is none)."""

    def count(self) -> int:
        """How many entries there are: fewer than the number of the last one where somebody took some away."""

    def stored(self, after: int = 0) -> Iterator[StoredEntry]:
        """The entries after a sequence number as they are stored, whoever wrote them, for a walk over the chain."""


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint and when it was made."""

    signed: SignedCheckpoint
    at: datetime


class Checkpoints(Protocol):
    """The ledger's signed heads, append-only; VerificationFailed where what is kept is none."""

    def add(self, signed: SignedCheckpoint, now: datetime) -> bool:
        """Keep it; False where one of as many entries or more is kept already."""

    def newest(self) -> KeptCheckpoint | None: ...

    def after(self, size: int) -> tuple[KeptCheckpoint, ...]:
        """Those of more entries than `size`, oldest first."""

    def copy(self) -> SignedCheckpoint | None:
        """The newest as it is kept outside of the database."""

    def set_aside(self) -> SignedCheckpoint | None:
        """Keep the copy under another name, because the ledger that it speaks of is lost; what it says."""


class Witness(Protocol):
    """A place outside of the installation that keeps checkpoints, to which it can only add. Retryable on trouble."""

    def newest(self, origin: str) -> SignedCheckpoint | None:
        """The newest checkpoint of a ledger that it is known to have, without asking it."""

    def publish(self, signed: Sequence[SignedCheckpoint], now: datetime) -> None:
        """Add checkpoints; those that it has already are left. VerificationFailed where it has another of one size."""

    def checkpoints(self, origin: str | None = None) -> tuple[SignedCheckpoint, ...]:
        """All that it has of one ledger, or of all, asked now, smallest first. VerificationFailed where one is none."""


class Deployments(Protocol):
    """Deployment records and the journal of those that are under way."""

    def begin(self, deployment: Deployment, context: Mapping[str, Any], entry: Mapping[str, Any] | None = None) -> bool:
        """Store a queued deployment with what a resumption needs, and in the same transaction its entry in the ledger;
        False when this id exists already.

        Retryable while another one of the environment is under way.
        """

    def advance(self, deployment: Deployment, entry: Mapping[str, Any] | None = None) -> None:
        """Store a new state of an unfinished deployment, with its end also the entry in the ledger, in one transaction;
        a finished record never changes (Terminal).
        """

    def journal_intent(
        self,
        deployment: str,
        target: Target,
        index: int,
        operation: str,
        now: datetime,
        subject: str = "",
        why: str = "",
    ) -> None:
        """Note that an operation is about to begin, in the journal and in the ledger together."""

    def begun(self, deployment: str, target: Target) -> Mapping[int, datetime]:
        """When each operation on this target was begun, by index, whatever became of it."""

    def journal_outcome(self, deployment: str, target: Target, result: OperationResult) -> None:
        """Note what became of it, in the journal and in the ledger together."""

    def journal(self, deployment: str, target: Target) -> tuple[OperationResult, ...]:
        """Outcomes so far, by index."""

    def get(self, deployment: str) -> Deployment | None: ...

    def context(self, deployment: str) -> Mapping[str, Any]: ...

    def unfinished(self) -> tuple[Deployment, ...]: ...

    def of_environment(self, environment: EnvironmentName | None, limit: int = 100) -> tuple[Deployment, ...]:
        """Newest first."""

    def of_revision(self, revision: str) -> tuple[Deployment, ...]:
        """Of all environments, oldest first."""

    def reverted_by(self, deployment: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """What we know of an environment between runs. `verified` is the last verified revision, `hold` why it does
    not go on.

    `rendered` is the digest of what is deployed (canonical rendered model and spec), `deployment` the last one
    that succeeded.
    """

    name: EnvironmentName
    verified: str | None
    deployment: str | None
    hold: str | None
    hold_reason: str
    hold_commit: str | None
    sync: str
    health: str
    detail: Mapping[str, Any]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TrustReset:
    """By what right a trust replaced the one before: the root persons who signed the statement, and both of these."""

    by: tuple[str, ...]
    reason: str
    statement: str
    signatures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustRecord:
    """What `trust init` or `trust reset` pinned: repository id, baseline revision, root persons (name, account, keys).

    `takes_over` are public keys of former installations: what they signed on hosts keeps this one from nothing.
    `signature` is that of the installation which pinned it.
    """

    repository: int
    revision: str
    roots: Roots
    created_at: datetime
    takes_over: tuple[str, ...] = ()
    reset: TrustReset | None = None
    signature: str = ""


class States(Protocol):
    """Trust and what is known of each environment: a cache over ledger and hosts, except for trust itself."""

    def trust(self) -> TrustRecord | None:
        """What is pinned now, None before `trust init`."""

    def trust_history(self) -> tuple[TrustRecord, ...]:
        """All that was ever pinned, oldest first; the last one holds."""

    def set_trust(self, trust: TrustRecord, entry: Mapping[str, Any] | None = None) -> None:
        """Pin the first one, and what the ledger keeps of it; Terminal when something is pinned already."""

    def reset_trust(
        self,
        former: TrustRecord,
        trust: TrustRecord,
        mark: Callable[[EnvironmentRecord], EnvironmentRecord],
        entry: Mapping[str, Any] | None = None,
    ) -> None:
        """Pin another one in the place of `former`, with its ledger entry, and mark every environment, all in one
        transaction.

        Terminal where `former` is not what is pinned now.
        """

    def environment(self, name: EnvironmentName) -> EnvironmentRecord | None: ...

    def environments(self) -> tuple[EnvironmentRecord, ...]: ...

    def change_environment(
        self, name: EnvironmentName, change: Callable[[EnvironmentRecord | None], EnvironmentRecord]
    ) -> EnvironmentRecord:
        """In one transaction, so that nothing is lost that another process wrote meanwhile; what is stored then."""

    def delivery_seen(self, delivery: str, now: datetime) -> bool:
        """Whether this webhook delivery was recorded before; records it (gate 60)."""


class Leases(Protocol):
    """A time-limited right to act on a key, with a growing generation."""

    def acquire(self, key: str, owner: str, seconds: float, now: datetime) -> int | None:
        """The generation, or None while somebody else holds it."""

    def renew(self, key: str, owner: str, generation: int, seconds: float, now: datetime) -> bool: ...

    def release(self, key: str, owner: str, generation: int) -> None: ...


class Signer(Protocol):
    """The installation's own key: what it says can be checked by anyone with OpenSSH."""

    @property
    def public_key(self) -> str:
        """Type and base64."""

    def sign(self, payload: bytes, namespace: str) -> str:
        """An armored SSH signature (PROTOCOL.sshsig)."""


class Signatures(Protocol):
    """Whose SSH signature something is."""

    def signer_of(self, payload: bytes, signature: str, namespace: str, keys: Sequence[str]) -> str | None:
        """Which of the public keys signed exactly these bytes in this namespace, None when none did."""


class Engine(Protocol):
    """Executes a journaled deployment to its end, now or after a restart."""

    def execute(self, deployment: str) -> Deployment: ...


@dataclass(frozen=True, slots=True)
class Installation:
    """What belongs to this installation and to nobody else."""

    fingerprinter: Fingerprinter
    directory: Path


Progress = Callable[[str, Mapping[str, Any]], None]
