"""The record of a target on its host, through the product's own adapter: a real SSH server, a real file system."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.compose.driving import ComposeProgram
from reconciler.hosts import SshHosts
from reconciler.model.desired import HostSpec
from reconciler.model.errors import HostUnreachable, Terminal
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.host_record import LONGEST
from reconciler.model.target import Target
from reconciler.ports import Host
from reconciler.simulation import SimulatedHost

TARGET, OTHER = Target("shop", "production", "box"), Target("shop", "staging", "box")
NAME = "shop%2Fproduction%40box.json"


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[SimulatedHost]:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with SimulatedHost(tmp_path / "box", (tmp_path / "key.pub").read_text()) as host:
        yield host


@pytest.fixture
def host(simulated: SimulatedHost, tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "run").mkdir(mode=0o700)
    hosts = SshHosts(tmp_path / "key", Fingerprinter("k1", b"x" * 32), ComposeProgram(), tmp_path / "run")
    spec = HostSpec(
        "box", simulated.address, simulated.port, "anyone",
        host_key=simulated.host_key, socket=simulated.socket, directory=f"{simulated.directory}/reconciler",
    )  # fmt: skip
    yield hosts.host(spec, ())
    hosts.close()


@pytest.fixture
def targets(simulated: SimulatedHost) -> Path:
    return simulated.directory / "reconciler" / "targets"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_there_is_none_until_one_is_written_and_then_the_last_one(host: Host, targets: Path) -> None:
    assert host.read_record(TARGET) is None
    for content in (b"one\n", b"", b"\x00\xff two"):
        host.write_record(TARGET, content)
        assert host.read_record(TARGET) == content
    assert host.read_record(OTHER) is None
    assert [file.name for file in targets.iterdir()] == [NAME], "nothing is left lying beside it"


def test_nobody_else_reads_or_writes_it(host: Host, targets: Path) -> None:
    targets.mkdir(parents=True, mode=0o777)
    targets.chmod(0o777)
    host.write_record(TARGET, b"ours")
    assert (mode(targets), mode(targets / NAME)) == (0o700, 0o600)


def test_a_new_one_takes_the_place_of_the_old_one_as_a_whole(host: Host, targets: Path) -> None:
    host.write_record(TARGET, b"old")
    with (targets / NAME).open("rb") as reading:
        host.write_record(TARGET, b"new")
        assert reading.read() == b"old", "the old file was not written into"


def test_what_is_no_plain_file_is_neither_read_nor_followed(host: Host, targets: Path, tmp_path: Path) -> None:
    targets.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's")
    (targets / NAME).symlink_to(elsewhere)
    with pytest.raises(Terminal, match="is not a plain file"):
        host.read_record(TARGET)
    host.write_record(TARGET, b"ours")
    assert (elsewhere.read_bytes(), host.read_record(TARGET)) == (b"somebody's", b"ours")
    (targets / NAME).unlink()
    os.mkfifo(targets / NAME)
    with pytest.raises(Terminal, match="is not a plain file"):
        host.read_record(TARGET)
    (targets / NAME).unlink()
    (targets / NAME).symlink_to(tmp_path / "nowhere")
    with pytest.raises(Terminal, match="is not a plain file"):
        host.read_record(TARGET)


def test_no_more_is_read_than_a_record_may_have(host: Host, targets: Path) -> None:
    targets.mkdir(parents=True)
    (targets / NAME).write_bytes(b"x" * 1_000_000)
    assert host.read_record(TARGET) == b"x" * (LONGEST + 1)


def test_what_cannot_be_written_is_said_and_leaves_what_is_there(host: Host, targets: Path) -> None:
    host.write_record(TARGET, b"old")
    (targets / NAME).unlink()
    (targets / NAME).mkdir()
    with pytest.raises(Terminal, match=r"cannot write the record of shop/production@box: .*on a disk with room"):
        host.write_record(TARGET, b"new")
    assert [file.name for file in targets.iterdir()] == [NAME]


def test_half_of_one_is_never_put_in_its_place(host: Host, targets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the connection ends in the middle: the host's shell then sees the end of its input."""
    from reconciler.hosts import ssh

    host.write_record(TARGET, b"old")
    whole = ssh._write_all
    monkeypatch.setattr(ssh, "_write_all", lambda channel, data: whole(channel, data[: len(data) // 2]))
    with pytest.raises(Terminal, match="cannot write the record"):
        host.write_record(TARGET, b"a new one")
    assert host.read_record(TARGET) == b"old"


def test_without_the_lock_nothing_is_written(host: Host, simulated: SimulatedHost) -> None:
    with host.target_lock(TARGET, "us"):
        (held,) = host._held  # type: ignore[attr-defined]
        held._channel.close()
        with pytest.raises(HostUnreachable, match="the lock that protects this"):
            host.write_record(TARGET, b"new")
    assert host.read_record(TARGET) is None
