"""The first engine: it runs what it was given, and refuses to pretend where it was given nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.deployment import Deployment, DeploymentState
from reconciler.model.errors import HostUnreachable, Terminal
from reconciler.ports import Engine
from reconciler.workflows.in_process import InProcessEngine
from tests.unit.storage.records import a_deployment


def test_a_deployment_is_run_to_its_end_each_time_it_is_asked_for() -> None:
    asked: list[str] = []

    def work(deployment: str) -> Deployment:
        asked.append(deployment)
        return replace(a_deployment(deployment), outcome=DeploymentState.SUCCEEDED)

    engine: Engine = InProcessEngine(work)
    assert engine.execute("d-1").outcome is DeploymentState.SUCCEEDED
    assert engine.execute("d-2").id == "d-2"
    assert asked == ["d-1", "d-2"]


def test_a_host_that_is_away_reaches_the_caller_who_asks_again_later() -> None:
    def work(_: str) -> Deployment:
        raise HostUnreachable("no route", where="web-1")

    with pytest.raises(HostUnreachable, match="web-1: no route"):
        InProcessEngine(work).execute("d-1")


def test_an_engine_without_work_refuses() -> None:
    with pytest.raises(Terminal, match="deployment d-1 cannot run: the engine was given no work"):
        InProcessEngine().execute("d-1")
