"""A control plane for tests of its logic: git and the database are real, forge and hosts are small and do as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from reconciler.control.parts import Parts
from reconciler.model.pull_request import Account, PullRequest, PullRequestReading
from reconciler.ports import Checkpoints, Engine, Forge, Hosts, Renderer, Signer
from reconciler.signatures import InstallationKey, SshSignatures
from reconciler.sources import GitMirror
from reconciler.storage import Database
from reconciler.storage.checkpoints import SqlCheckpoints
from reconciler.storage.deployments import SqlDeployments
from reconciler.storage.ledger import SqlLedger
from reconciler.storage.states import SqlLeases, SqlStates
from tests.builders import FINGERPRINTER

REPOSITORY_ID = 77
NOW = datetime(2026, 1, 14, 12, 0, tzinfo=UTC)  # a Wednesday


@dataclass(slots=True)
class StoppedClock:
    """A clock that stands until it is moved."""

    moment: datetime = NOW

    def now(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> None:
        self.moment += timedelta(**by)


@dataclass(slots=True)
class Events:
    """What was told while it went on."""

    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        self.told.append((event, dict(fields)))

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [fields for kind, fields in self.told if kind in kinds]


class Unkept:
    """No checkpoints, for a test that is not about them."""

    def newest(self) -> None:
        """None."""

    def copy(self) -> None:
        """None."""

    def set_aside(self) -> None:
        """None."""


def nothing(*_: Any, **__: Any) -> Any:
    raise AssertionError("this test does not expect to be asked")


@dataclass(slots=True)
class ToldForge:
    """A forge (the part of it that the loop asks) whose answers are functions of the test."""

    pulls: tuple[PullRequest, ...] = ()
    reading_of: Callable[[int], Any] = nothing
    landed: Mapping[str, tuple[PullRequest, ...]] = field(default_factory=dict)

    def repository_id(self) -> int:
        return REPOSITORY_ID

    def open_pull_requests(self, base_ref: str) -> tuple[PullRequest, ...]:
        return self.pulls

    def reading(self, number: int) -> Any:
        return self.reading_of(number)

    def pull_requests_of(self, sha: str) -> tuple[PullRequest, ...]:
        return self.landed.get(sha, ())


def a_pull(number: int, head: str = "a" * 40, **changes: Any) -> PullRequest:
    """An open pull request into main by the author; `changes` replace fields."""
    pull = PullRequest(
        repository=REPOSITORY_ID,
        number=number,
        title="A change",
        body="",
        author=Account(1001, "author", "User"),
        state="open",
        draft=False,
        merged=False,
        merged_by=None,
        merged_at=None,
        merge_commit=None,
        head_sha=head,
        head_ref="agent/change",
        head_repository=REPOSITORY_ID,
        base_sha="b" * 40,
        base_ref="main",
        base_repository=REPOSITORY_ID,
        commit_count=1,
        updated_at=NOW,
        url=f"http://forge.test/{number}",
    )
    return replace(pull, **changes)


def a_reading(pull: PullRequest, **changes: Any) -> PullRequestReading:
    """A whole reading of a pull request on which nobody has said anything."""
    reading = PullRequestReading(
        pull_request=pull,
        again=pull,
        reviews=(),
        commits=(),
        timeline=(),
        permissions=(),
        remote_head=pull.head_sha,
        remote_base=pull.base_sha,
        complete=True,
        gaps=(),
        raw_digests=(),
    )
    return replace(reading, **changes)


def parts_of(
    database: Database,
    source: GitMirror | None = None,
    *,
    forge: Any = None,
    hosts: Any = None,
    renderer: Any = None,
    engine: Any = None,
    ledger: Any = None,
    clock: StoppedClock | None = None,
    events: Events | None = None,
    keys: Path | None = None,
) -> Parts:
    """Parts over this database and mirror; what a test does not give must not be asked."""
    return Parts(
        source=cast(GitMirror, source),
        forge=cast(Forge, forge or ToldForge()),
        renderer=cast(Renderer, renderer),
        hosts=cast(Hosts, hosts),
        ledger=ledger or SqlLedger(database),
        checkpoints=SqlCheckpoints(database, keys / "checkpoint") if keys else cast(Checkpoints, Unkept()),
        deployments=SqlDeployments(database),
        states=SqlStates(database),
        leases=SqlLeases(database),
        engine=cast(Engine, engine),
        signer=cast(Signer, InstallationKey(keys / "signing.key") if keys else None),
        signatures=SshSignatures(),
        clock=clock or StoppedClock(),
        fingerprinter=FINGERPRINTER,
        progress=events or Events(),
        branch="main",
        owner="test",
    )


def wait_for(what: Callable[[], bool], text: str) -> None:
    """Wait until something is so; fails after a time that only a hang takes."""
    pause = threading.Event()
    for _ in range(2000):
        if what():
            return
        pause.wait(0.01)
    raise AssertionError(f"never happened: {text}")
