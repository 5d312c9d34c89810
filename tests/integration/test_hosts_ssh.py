"""Who a host is, how it is reached, and what is said when it is not: against sshd with settings of its own."""

import dataclasses
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.compose import ComposeProgram
from reconciler.demo import machine
from reconciler.demo.machine import Engine, Sshd
from reconciler.hosts import SshHosts
from reconciler.model.desired import HostSpec
from reconciler.model.errors import HostKeyMismatch, HostUnreachable, InvalidInput, Terminal
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.location import Location
from reconciler.ports import ObservationRequest

Start = Callable[..., HostSpec]
ASKED = ObservationRequest("nothing", "s")


@pytest.fixture(scope="module")
def keys(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an authority, an ECDSA and an Ed25519 host key."""
    directory = tmp_path_factory.mktemp("keys")
    for name, kind in (
        ("ca", "ed25519"),
        ("other_ca", "ed25519"),
        ("ecdsa", "ecdsa"),
        ("ed25519", "ed25519"),
        ("rsa", "rsa"),
    ):
        command = ("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(directory / name))
        subprocess.run(command, check=True)
    shutil.copy(sshd.key_file, directory / "id")
    public = subprocess.run(("ssh-keygen", "-y", "-f", directory / "id"), capture_output=True, check=True).stdout
    (directory / "authorized_keys").write_bytes(public)
    return directory


@pytest.fixture
def start(keys: Path, sshd: Sshd, engine: Engine, tmp_path: Path) -> Iterator[Start]:
    """Starts an sshd beside the engine with more settings; gives the host that it is."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*settings: str, key: str = "ed25519", **spec: object) -> HostSpec:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        lines = [
            f"ListenAddress 127.0.0.1:{port}",
            f"HostKey {keys / key}",
            f"AuthorizedKeysFile {keys / 'authorized_keys'}",
            "PidFile none",
            "StrictModes no",
            f"UsePAM {'yes' if os.getuid() == 0 and machine._account_is_locked() else 'no'}",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            *settings,
        ]
        Path("/run/sshd").mkdir(exist_ok=True)
        file = tmp_path / f"sshd-{port}"
        file.write_text("\n".join(lines) + "\n")
        command = (str(shutil.which("sshd", path="/usr/sbin:/usr/bin")), "-D", "-f", str(file), "-E", f"{file}.log")
        running.append(subprocess.Popen(command))
        _until_listening(port)
        given = {
            "host_key": public(keys, key),
            "socket": str(engine.socket),
            "directory": str(tmp_path / "lib"),
            **spec,
        }
        return HostSpec("web-1", "127.0.0.1", port, sshd.user, **given)  # type: ignore[arg-type]

    yield begin
    for process in running:
        process.terminate()
        process.wait()


@pytest.fixture
def hosts(ssh_key: Path, tmp_path: Path) -> Iterator[SshHosts]:
    opened = SshHosts(ssh_key, Fingerprinter("k", b"k"), ComposeProgram(), tmp_path / "run", connect_timeout=3)
    yield opened
    opened.close()


def public(keys: Path, name: str) -> str:
    return " ".join((keys / f"{name}.pub").read_text().split()[:2])


def _until_listening(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            probe.settimeout(5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.05)
    raise AssertionError("sshd did not start")


@pytest.mark.parametrize("key", ["ed25519", "ecdsa", "rsa"])
def test_a_pinned_key_of_each_kind_is_accepted(hosts: SshHosts, start: Start, key: str) -> None:
    assert hosts.host(start(key=key), ()).identity().id


@pytest.mark.parametrize(("shown", "pinned"), [("ed25519", "ca"), ("ed25519", "ecdsa"), ("rsa", "ed25519")])
def test_another_key_is_refused_before_anything_is_sent(
    hosts: SshHosts, start: Start, keys: Path, tmp_path: Path, shown: str, pinned: str
) -> None:
    spec = start("LogLevel DEBUG1", key=shown, host_key=public(keys, pinned))
    with pytest.raises(HostKeyMismatch) as refused:
        hosts.host(spec, ()).identity()
    assert "web-1" in str(refused.value)
    log = (tmp_path / f"sshd-{spec.port}.log").read_text()
    assert "Connection from 127.0.0.1" in log
    assert "userauth-request" not in log, "not even a user name"


def test_a_host_without_a_pinned_key_is_never_called(hosts: SshHosts, start: Start) -> None:
    for odd in (None, "ssh-ed25519", "ssh-ed25519 not-base64", "ssh-ed25519 AAAA", "x y z"):
        with pytest.raises(InvalidInput):
            hosts.host(start(host_key=odd), ()).identity()


def certify(keys: Path, authority: str, *options: str) -> str:
    command = ("ssh-keygen", "-q", "-s", str(keys / authority), "-I", "web-1", *options, str(keys / "ed25519.pub"))
    subprocess.run(command, check=True)
    return f"HostCertificate {keys / 'ed25519-cert.pub'}"


@pytest.mark.parametrize(
    ("authority", "options", "problem"),
    [
        ("ca", ("-h", "-n", "127.0.0.1"), None),
        ("other_ca", ("-h", "-n", "127.0.0.1"), "another authority signed it"),
        ("ca", ("-h", "-n", "127.0.0.2"), "it is not for 127.0.0.1"),
        ("ca", ("-h",), "it is not for 127.0.0.1"),
        ("ca", ("-h", "-n", "127.0.0.1", "-V", "20200101:20200102"), "it is not valid at this time"),
    ],
)
def test_a_certified_host_key_counts_when_the_pinned_authority_signed_it_for_this_address(
    hosts: SshHosts, start: Start, keys: Path, authority: str, options: tuple[str, ...], problem: str | None
) -> None:
    spec = start(certify(keys, authority, *options), host_key=None, host_ca=public(keys, "ca"))
    if problem is None:
        assert hosts.host(spec, ()).identity().id
        return
    with pytest.raises(HostKeyMismatch, match=problem):
        hosts.host(spec, ()).identity()


def test_a_host_that_shows_no_certificate_is_refused_where_one_is_pinned(
    hosts: SshHosts, start: Start, keys: Path
) -> None:
    with pytest.raises(HostKeyMismatch):
        hosts.host(start(host_key=None, host_ca=public(keys, "ca")), ()).identity()


def test_without_forwarding_the_engine_is_reached_through_dial_stdio(hosts: SshHosts, start: Start) -> None:
    forwarded, dialled = hosts.host(start(), ()), hosts.host(start("DisableForwarding yes", "MaxSessions 4"), ())
    assert forwarded.observe(ASKED).engine == dialled.observe(ASKED).engine
    assert (forwarded.engine_way, dialled.engine_way) == ("direct-streamlocal", "dial-stdio")


def test_where_no_way_leads_to_the_engine_both_reasons_are_given(hosts: SshHosts, start: Start, tmp_path: Path) -> None:
    spec = start(socket=str(tmp_path / "none.sock"))
    with pytest.raises(HostUnreachable, match=r"forwarding refused.*docker there says: .*none\.sock"):
        hosts.host(spec, ()).identity()


def test_a_host_behind_another_is_reached_through_it_and_both_keys_count(
    hosts: SshHosts, start: Start, keys: Path
) -> None:
    bastion, inner = start(key="ecdsa"), start()
    assert hosts.host(inner, (bastion,)).identity().id
    wrong = start(key="ecdsa", host_key=public(keys, "ca"))
    with pytest.raises(HostKeyMismatch):
        hosts.host(inner, (wrong,)).identity()
    closed = start("AllowTcpForwarding no", key="ecdsa")
    with pytest.raises(HostUnreachable, match="from there"):
        hosts.host(inner, (closed,)).identity()


def test_a_key_that_the_host_does_not_know_is_said_to_be_refused(keys: Path, start: Start, tmp_path: Path) -> None:
    hosts = SshHosts(keys / "other_ca", Fingerprinter("k", b"k"), ComposeProgram(), tmp_path / "run", connect_timeout=3)
    try:
        with pytest.raises(Terminal, match="refuses our key for user"):
            hosts.host(start(), ()).identity()
    finally:
        hosts.close()


def test_a_host_that_is_down_is_unreachable_by_name_and_address(hosts: SshHosts, start: Start, keys: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spec = HostSpec("web-9", "127.0.0.1", port, "deploy", public(keys, "ed25519"))
    with pytest.raises(HostUnreachable, match=rf"host web-9 \(deploy@127\.0\.0\.1:{port}\): no connection: .*refused"):
        hosts.host(spec, ()).observe(ASKED)
    assert hosts.host(start(), ()).identity().id, "its neighbour is served"


@pytest.mark.timeout(30)
def test_a_host_that_takes_the_connection_and_says_nothing_is_unreachable_in_time(hosts: SshHosts, keys: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        spec = HostSpec("web-9", "127.0.0.1", silent.getsockname()[1], "deploy", public(keys, "ed25519"))
        with pytest.raises(HostUnreachable, match="no SSH connection"):
            hosts.host(spec, ()).identity()


@pytest.mark.timeout(30)
def test_those_who_wait_for_a_host_that_says_nothing_share_one_attempt(hosts: SshHosts, keys: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        spec = HostSpec("web-9", "127.0.0.1", silent.getsockname()[1], "deploy", public(keys, "ed25519"))

        def ask(_: int) -> str:
            with pytest.raises(HostUnreachable) as caught:
                hosts.host(spec, ()).identity()
            return str(caught.value)

        with ThreadPoolExecutor(max_workers=6) as pool:
            answers = set(pool.map(ask, range(6)))
        assert len(answers) == 1
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


@pytest.mark.timeout(60)
def test_an_engine_that_takes_the_connection_and_says_nothing_is_unreachable_in_time(
    hosts: SshHosts, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.hosts.engine_api._TIMEOUT", 2.0)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        with pytest.raises(HostUnreachable, match="does not answer in time"):
            hosts.host(start(socket=str(tmp_path / "silent.sock")), ()).identity()


def test_a_moved_line_in_the_hosts_file_opens_no_second_connection(hosts: SshHosts, start: Start) -> None:
    spec = start()
    moved = dataclasses.replace(spec, location=Location("hosts/web-1.yaml", 7), tiers=("production",))
    assert hosts.host(spec, ()) is hosts.host(moved, ())
    assert hosts.host(spec, ()) is not hosts.host(dataclasses.replace(spec, user="other"), ())
