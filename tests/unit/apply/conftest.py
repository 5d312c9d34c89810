"""A journal in a real database, and time that passes without anybody waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler import apply
from reconciler.apply import Execution, PreparedTarget, Waves
from reconciler.apply import execution as execution_module
from reconciler.model.deployment import Deployment
from reconciler.storage import open_database
from reconciler.storage.deployments import SqlDeployments
from tests.builders import FINGERPRINTER
from tests.unit.apply.surroundings import Clock
from tests.unit.storage.records import SEAL, a_deployment


@dataclass
class World:
    """Executes one queued deployment, as often as it takes."""

    deployments: SqlDeployments
    clock: Clock
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    asked: Callable[[], str | None] = lambda: None
    may_begin: Callable[[PreparedTarget], str | None] = lambda _: None
    keep: Callable[[PreparedTarget], object] = lambda _: None

    def execute(self, *waves: tuple[PreparedTarget, ...], pause: float = 0, max_failed_hosts: int = 0) -> Deployment:
        tools = Execution(
            deployments=self.deployments,
            clock=self.clock,
            fingerprinter=FINGERPRINTER,
            progress=lambda event, fields: self.events.append((event, dict(fields))),
            owner="this process",
            still_allowed=lambda: self.asked(),
            may_begin=lambda target: self.may_begin(target),
            keep=lambda target: self.keep(target),
        )
        return apply.execute(tools, self.stored(), Waves(waves, pause, max_failed_hosts))

    def stored(self) -> Deployment:
        record = self.deployments.get("d-1")
        assert record is not None
        return record


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    database = open_database(f"sqlite:///{tmp_path}/reconciler.db", SEAL)
    world = World(SqlDeployments(database), Clock())
    world.deployments.begin(a_deployment(), {})
    monkeypatch.setattr(execution_module.time, "sleep", world.clock.sleep)
    yield world
    database.close()
