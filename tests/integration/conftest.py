"""The real parts that the integration tests run on, each started once per run and stopped at its end.

A test that needs a part which this machine does not have is skipped with the reason; where RECONCILER_REQUIRE_ENGINE
is 1, as in .ci/run, it fails instead, so that a run cannot pass by skipping.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.demo.machine import (
    Engine,
    MachineParts,
    Registry,
    Sshd,
    build_image,
    probe,
    start_engine,
    start_registry,
    start_sshd,
)

IMAGE = "reconciler-test/busybox:1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def machine_parts() -> MachineParts:
    return probe()


@pytest.fixture(scope="session")
def machine_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine")


@pytest.fixture(scope="session")
def engine(machine_parts: MachineParts, machine_root: Path) -> Iterator[Engine]:
    """A Docker engine: `engine.socket`, `engine.docker("ps")`. Shared by the run: use names of your own in it."""
    _need(machine_parts, "engine")
    with start_engine(machine_root) as started:
        yield started


@pytest.fixture(scope="session")
def second_engine(machine_parts: MachineParts, machine_root: Path) -> Iterator[Engine]:
    """Another engine beside the first one, on a machine of its own: it can publish the same ports."""
    _need(machine_parts, "second_engine")
    with start_engine(machine_root) as started:
        yield started


@pytest.fixture(scope="session")
def sshd(machine_parts: MachineParts, machine_root: Path, engine: Engine) -> Iterator[Sshd]:
    """An SSH server on the machine of `engine`: address, port, user, host_key (to pin) and key_file (to log in)."""
    _need(machine_parts, "sshd")
    with start_sshd(machine_root, engine) as started:
        yield started


@pytest.fixture(scope="session")
def second_sshd(machine_parts: MachineParts, machine_root: Path, second_engine: Engine) -> Iterator[Sshd]:
    """An SSH server on the machine of `second_engine`."""
    _need(machine_parts, "sshd")
    with start_sshd(machine_root, second_engine) as started:
        yield started


@pytest.fixture(scope="session")
def ssh_key(sshd: Sshd) -> Path:
    """The private key (OpenSSH format, ed25519, without passphrase) that `sshd` lets in."""
    return sshd.key_file


@pytest.fixture(scope="session")
def registry(
    request: pytest.FixtureRequest, machine_parts: MachineParts, machine_root: Path, engine: Engine
) -> Iterator[Registry]:
    """A registry whose `address` is valid on both engines and here."""
    _need(machine_parts, "registry")
    engines = [engine]
    if machine_parts.why_not("second_engine") is None:
        engines.append(request.getfixturevalue("second_engine"))
    with start_registry(machine_root, engines) as started:
        yield started


@pytest.fixture(scope="session")
def image(machine_parts: MachineParts, engine: Engine) -> str:
    """The name of a tiny image on `engine`: busybox, which sleeps until it is stopped."""
    _need(machine_parts, "image")
    build_image(engine, IMAGE)
    return IMAGE


def _need(parts: MachineParts, *names: str) -> None:
    reason = parts.why_not(*names)
    if reason is None:
        return
    if os.environ.get("RECONCILER_REQUIRE_ENGINE") == "1":
        pytest.fail(f"RECONCILER_REQUIRE_ENGINE=1, but {reason}")
    pytest.skip(reason)
