"""One fresh stage per scenario: its own engines, SSH servers, forge and control plane, gone when the test ends."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from reconciler.bootstrap import open_parts
from reconciler.control import trusting
from reconciler.demo.actor import Actor
from reconciler.demo.machine import probe
from reconciler.demo.world import Account, World
from tests.scenarios.stage import FILES, Stage, write_files

StageMaker = Callable[..., Stage]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.integration)


@contextmanager
def stages(*, simulated: bool = False) -> Iterator[StageMaker]:
    """Make stages, with other or more files than the usual ones; `deploy=False` leaves the hosts empty, `accounts` are
    more accounts on the forge. `simulated`: hosts without Docker, for what no container is needed to show.
    """
    reason = None if simulated else probe().why_not("engine", "second_engine", "sshd", "image")
    if reason is not None:
        if os.environ.get("RECONCILER_REQUIRE_ENGINE") == "1":
            pytest.fail(f"RECONCILER_REQUIRE_ENGINE=1, but {reason}")
        pytest.skip(reason)
    root = Path(tempfile.mkdtemp(prefix="scene-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)

        def make(*, deploy: bool = True, accounts: Sequence[Account] = (), **changed: str | None) -> Stage:
            files = {path: text for path, text in (FILES | changed).items() if text is not None}
            source = root / "source"
            write_files(source, files)
            world = stack.enter_context(World(root / "w", simulated=simulated))
            world.accounts |= {account.login: account for account in accounts}
            repository = world.write_repository(source)
            world.start_forge(world.seed(repository, webhook=False))
            world.configure()
            people = {name: Actor(a, world.forge_url, root / "clones") for name, a in world.accounts.items()}
            people["author"].checkout()
            baseline = people["author"].git("rev-parse", "HEAD")
            plane = stack.enter_context(ExitStack())
            parts = plane.enter_context(open_parts(world.config))
            trusting.init_trust(parts, baseline, ())
            stage = Stage(world, parts, baseline, people, plane)
            if deploy:
                report = stage.run()
                assert not report["failures"], report["failures"]
                assert {e["sync"] for e in report["environments"]} == {"Synced"}, report["environments"]
            return stage

        yield make


@pytest.fixture
def make_stage() -> Iterator[StageMaker]:
    """Makes stages that end with the test."""
    with stages() as make:
        yield make


@pytest.fixture
def make_simulated() -> Iterator[StageMaker]:
    """Makes stages on simulated hosts that end with the test."""
    with stages(simulated=True) as make:
        yield make


@pytest.fixture
def stage(make_stage: StageMaker) -> Stage:
    """The usual two environments, deployed and healthy."""
    return make_stage()
