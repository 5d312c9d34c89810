"""What is measured, each case against what one would use instead; run by the command in this order."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import ledger, sample
from benchmarks.measuring import Side, Times, in_turns
from benchmarks.report import NO_PEER, Goal
from benchmarks.stage import Failed, Stage, program, timed
from reconciler.bootstrap import working_tree
from reconciler.compose.driving import wheel_binary
from reconciler.compose.rendering import SandboxRenderer
from reconciler.control.planning import snapshot
from reconciler.desired import render_input
from reconciler.model.desired import RenderInput

COMPOSE_UP = "docker-compose up -d"
COMPOSE_CONFIG = "docker-compose config"
BASH = "sha256sum, jq and ssh-keygen"


@dataclass(slots=True)
class House:
    """Where a case finds what it needs: a directory of its own, and the stage, which is opened by the first to ask."""

    root: Path
    open: Callable[[], Stage]
    changes: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def next_text(self) -> str:
        """A greeting that was not there yet."""
        return f"greeting {next(self.changes)}"

    def directory(self) -> Path:
        """A new empty directory."""
        return Path(tempfile.mkdtemp(dir=self.root))


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement. `engine` says whether it needs the stage, `runs` how often unless told, after `warm_up`."""

    name: str
    peer: str
    what: str
    measure: Callable[[House, int, int], Times]
    engine: bool = True
    runs: int = 15
    warm_up: int = 2
    goal: Goal | None = None


def noop(house: House, runs: int, warm_up: int) -> Times:
    """A resync of the running control plane that finds nothing to do."""
    stage = house.open()
    return in_turns(stage.resync, stage.up, runs, warm_up)


def cold(house: House, runs: int, warm_up: int) -> Times:
    """The same by a process of its own, with Python, SSH and everything else to start."""
    stage = house.open()
    return in_turns(stage.once, stage.up, runs, warm_up)


def version(_house: House, runs: int, warm_up: int) -> Times:
    """The program's start."""
    return in_turns(
        lambda: timed([program(), "--version"]), lambda: timed([sys.executable, "-c", "pass"]), runs, warm_up
    )


def webhook(house: House, runs: int, warm_up: int) -> Times:
    """From the webhook of an opened pull request to its statuses."""
    stage = house.open()
    with stage.serving():
        return in_turns(lambda: stage.statuses_after(house.next_text()), None, runs, warm_up)


def decision(house: House, runs: int, warm_up: int) -> Times:
    """The gate's answer on an approved pull request of which nothing has changed, all evidence read again."""
    stage = house.open()
    number = stage.approved(house.next_text())
    return in_turns(lambda: stage.decide(number), None, runs, warm_up)


def change(house: House, runs: int, warm_up: int) -> Times:
    """An approved change of one service, from its merge to the record of its verified deployment."""
    stage = house.open()

    def ours() -> float:
        return stage.deploy(stage.land(house.next_text()))

    def peer() -> float:
        before = stage.peer_containers()
        seconds = stage.up(house.next_text())
        after = stage.peer_containers()
        if len(replaced := [name for name in before if after.get(name) != before[name]]) != 1:
            raise Failed(f"the peer was to recreate one service and recreated {replaced}")
        return seconds

    return in_turns(ours, peer, runs, warm_up)


def render(house: House, runs: int, warm_up: int) -> Times:
    """In the sandbox, nothing kept."""
    return _rendering(house, SandboxRenderer(None, kept=0), runs, warm_up)


def render_cached(house: House, runs: int, warm_up: int) -> Times:
    """The answer that is kept, found by the digest of all inputs."""
    return _rendering(house, SandboxRenderer(house.directory()), runs, max(1, warm_up))


def _rendering(house: House, renderer: SandboxRenderer, runs: int, warm_up: int) -> Times:
    with _sample(house) as (inputs, directory):

        def ours() -> float:
            begin = time.perf_counter()
            rendered = renderer.render(inputs)
            seconds = time.perf_counter() - begin
            if len(rendered.model["services"]) != sample.SERVICES:
                raise Failed(f"{sample.SERVICES} services were to be rendered")
            return seconds

        return in_turns(ours, _config(directory), runs, warm_up)


def _config(directory: Path) -> Side:
    command = [str(wheel_binary()), "-p", sample.COMPOSE_PROJECT, "config", "--format", "json"]
    return lambda: timed(command, directory, {"GREETING": "first", "DOCKER_CONFIG": os.devnull})


@contextmanager
def _sample(house: House) -> Iterator[tuple[RenderInput, Path]]:
    """What rendering the ten services takes, and the directory in which Compose finds them too."""
    directory = house.directory()
    sample.write_repository(directory)
    at = snapshot(working_tree(directory))
    environment = at.state.environment(sample.ENVIRONMENT)
    if environment is None:
        raise Failed("the sample has no environment")
    yield render_input(at.tree, environment), directory / f"projects/{sample.ENVIRONMENT.project}"


CASES = (
    Case(
        "noop", COMPOSE_UP, "a resync with nothing to do, 10 services, over a warm SSH connection", noop,
        runs=25, warm_up=3, goal=Goal(ratio=0.25),
    ),
    Case("cold", COMPOSE_UP, "the same by `reconciler reconcile --once`, started anew each time", cold, runs=9),
    Case(
        "version", "python -c pass", "`reconciler --version`", version,
        engine=False, runs=25, warm_up=3, goal=Goal(median_ms=150),
    ),
    Case(
        "webhook", NO_PEER, "from the webhook of an opened pull request to three statuses on it", webhook,
        runs=9,
    ),
    Case(
        "decision", NO_PEER, "all evidence of an approved pull request read again, planned and judged", decision,
        runs=100, warm_up=3, goal=Goal(p95_ms=500),
    ),
    Case(
        "change", COMPOSE_UP, "an approved change of one service: judged, applied, verified, recorded", change,
        runs=7, warm_up=1,
    ),
    Case("render", COMPOSE_CONFIG, "10 services rendered in the sandbox, nothing kept", render, engine=False),
    Case("render-cached", COMPOSE_CONFIG, "10 services from the cache", render_cached, engine=False),
    Case(
        "ledger", BASH, "100,000 entries and their checkpoint verified, in a process that runs already",
        lambda house, runs, warm_up: ledger.in_process(house.root, runs, warm_up),
        engine=False, runs=3, warm_up=1, goal=Goal(median_ms=500),
    ),
    Case(
        "ledger-command", BASH, "the same by `reconciler ledger verify`, started anew each time",
        lambda house, runs, warm_up: ledger.command(house.root, runs, warm_up),
        engine=False, runs=3, warm_up=0,
    ),
    Case(
        "ledger-append", NO_PEER, "one entry appended, on disk before the next",
        lambda house, runs, warm_up: ledger.appends(house.directory(), runs, warm_up), engine=False, runs=7,
    ),
    Case(
        "ledger-append-two", NO_PEER, "one entry, while two processes append to one ledger",
        lambda house, runs, warm_up: ledger.appends_by_two(house.directory(), runs, warm_up), engine=False, runs=7,
    ),
)  # fmt: skip
