"""The simulated host over SSH: who gets in, what they reach, and the product's own host adapter on it."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from reconciler.compose.driving import ComposeProgram
from reconciler.hosts import SshHosts
from reconciler.model.canonical import digest_bytes
from reconciler.model.desired import Bundle, DesiredNetwork, DesiredVolume, HostSpec, ShippedFile
from reconciler.model.errors import HostKeyMismatch, HostUnreachable, Retryable, Terminal
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import ResolvedImage
from reconciler.model.plan import CreateService, RecreateService
from reconciler.model.target import Target
from reconciler.ports import Host, ObservationRequest
from reconciler.simulation import SimulatedHost, SimulatedImage

IMAGES = (
    SimulatedImage("shop/web:1", {"Cmd": ["serve"], "Env": ["A=image"]}),
    SimulatedImage("shop/web:2", {"Cmd": ["serve"], "Env": ["A=image"]}, on_host=False, in_registry=True),
)
TARGET = Target("shop", "production", "box")


def _key(directory: Path, name: str) -> Path:
    path = directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _key(tmp_path_factory.mktemp("key"), "ours")


@pytest.fixture(params=[True, False], ids=["forwarded", "dial-stdio"])
def simulated(request: pytest.FixtureRequest, tmp_path: Path, key: Path) -> Iterator[SimulatedHost]:
    public = key.with_suffix(".pub").read_text()
    with SimulatedHost(tmp_path / "box", public, IMAGES, streamlocal=request.param) as host:
        yield host


@pytest.fixture
def plain(tmp_path: Path, key: Path) -> Iterator[SimulatedHost]:
    with SimulatedHost(tmp_path / "box", key.with_suffix(".pub").read_text(), IMAGES) as host:
        yield host


def _spec(host: SimulatedHost, **other: Any) -> HostSpec:
    given = {"host_key": host.host_key, "socket": host.socket, "directory": f"{host.directory}/reconciler", **other}
    return HostSpec("box", host.address, host.port, "anyone", **given)


@pytest.fixture
def hosts(key: Path, tmp_path: Path) -> Iterator[SshHosts]:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    opened = SshHosts(key, Fingerprinter("k1", b"x" * 32), ComposeProgram(), run)
    yield opened
    opened.close()


def _client(host: SimulatedHost, key: Path) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507 — not what these tests are about
    client.connect(
        host.address, host.port, "anyone", pkey=paramiko.PKey.from_path(key), allow_agent=False, look_for_keys=False
    )
    return client


def _model(image: str, value: str) -> bytes:
    web = {"image": image, "environment": {"B": value}, "networks": {"inside": None}, "volumes": ["data:/data"]}
    return json.dumps(
        {
            "services": {"web": web},
            "networks": {"inside": {"name": "shop_inside", "external": True}},
            "volumes": {"data": {"name": "shop_data", "external": True}},
        }
    ).encode()


def _observe(host: Host) -> Any:
    return host.observe(
        ObservationRequest("shop", "shop/production", ("shop_inside",), ("shop_data",), ("shop/web:1",))
    )


def test_the_host_adapter_observes_and_operates_it_like_any_other_host(
    simulated: SimulatedHost, hosts: SshHosts
) -> None:
    host = hosts.host(_spec(simulated), ())
    identity = host.identity()
    assert identity.id == simulated.engine_id
    assert identity.id.startswith("SIMULATED:")

    host.create_network(DesiredNetwork("inside", "shop_inside", False, "bridge"), "shop")
    host.create_volume(DesiredVolume("data", "shop_data", False, "local"), "shop")
    created = host.run(CreateService("web", 1, "new"), "shop", _model("shop/web:1", "1"), 60)
    assert created.exit_code == 0, created.output
    state = _observe(host)
    assert [(c.service, c.name, c.state.status) for c in state.containers] == [("web", "shop-web-1", "running")]
    assert [network.name for network in state.networks] == ["shop_inside"]
    assert [volume.name for volume in state.volumes] == ["shop_data"]
    assert [image.tags for image in state.images] == [("shop/web:1",)]
    first = state.containers[0].id

    recreated = host.run(RecreateService("web", 1, "environment"), "shop", _model("shop/web:1", "2"), 60)
    assert recreated.exit_code == 0, recreated.output
    (container,) = _observe(host).containers
    assert container.id != first
    assert container.networks["shop_inside"]["IPAddress"]

    host.remove_container("shop-web-1", 0)
    host.remove_network("shop_inside")
    host.remove_volume("shop_data")
    assert _observe(host).containers == ()


def test_images_are_resolved_pulled_and_kept(plain: SimulatedHost, hosts: SshHosts) -> None:
    host = hosts.host(_spec(plain), ())
    resolved = host.resolve_images(["shop/web:1", "shop/web:2", "shop/web:3"])
    there, fetched = resolved["shop/web:1"], resolved["shop/web:2"]
    assert isinstance(there, ResolvedImage)
    assert there.on_host
    assert isinstance(fetched, ResolvedImage)
    assert (fetched.on_host, fetched.deploy_as.partition("@")[0]) == (False, "shop/web")
    assert not isinstance(resolved["shop/web:3"], ResolvedImage)
    host.pull(fetched.deploy_as)
    host.keep_image(fetched.deploy_as, "reconciler.local/keep:1")
    again = host.resolve_images(["shop/web:2", fetched.deploy_as])
    assert isinstance(again[fetched.deploy_as], ResolvedImage)
    assert again[fetched.deploy_as].on_host  # type: ignore[union-attr]


def test_files_arrive_below_the_hosts_own_directory(plain: SimulatedHost, hosts: SshHosts) -> None:
    content = b"listen 80;\n"
    file = ShippedFile("web.conf", digest_bytes(content), False, len(content))
    bundle = Bundle("projects/shop/web.conf", "ab" * 32, False, (file,))
    host = hosts.host(_spec(plain), ())
    host.ship(bundle, {file.path: content})
    shipped = plain.directory / "reconciler" / "files" / bundle.digest / "web.conf"
    assert shipped.read_bytes() == content
    assert host.path_exists(str(shipped))
    assert not host.path_exists(str(shipped) + "x")


def test_a_target_lock_is_exclusive_and_ends_with_the_connection(
    plain: SimulatedHost, hosts: SshHosts, key: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    others = SshHosts(key, Fingerprinter("k1", b"x" * 32), ComposeProgram(), tmp_path / "other")
    host, other = hosts.host(_spec(plain), ()), others.host(_spec(plain), ())
    with (
        host.target_lock(TARGET, "first"),
        pytest.raises(Retryable, match="lock held by"),
        other.target_lock(TARGET, "second"),
    ):
        pass
    with host.target_lock(TARGET, "first"):
        hosts.close()
        deadline = time.monotonic() + 30
        while True:
            try:
                with other.target_lock(TARGET, "second"):
                    break
            except Retryable:
                assert time.monotonic() < deadline, "the lock outlived its connection"
                time.sleep(0.05)
    others.close()


def test_another_host_key_is_refused_before_anything_is_sent(
    plain: SimulatedHost, hosts: SshHosts, tmp_path: Path
) -> None:
    wrong = " ".join(_key(tmp_path, "wrong").with_suffix(".pub").read_text().split()[:2])
    with pytest.raises(HostKeyMismatch):
        hosts.host(_spec(plain, host_key=wrong), ()).identity()


def test_a_host_that_comes_back_has_its_old_key_and_a_new_engine(tmp_path: Path, key: Path) -> None:
    public = key.with_suffix(".pub").read_text()
    with SimulatedHost(tmp_path / "box", public) as first:
        shown, engine = first.host_key, first.engine_id
    with SimulatedHost(tmp_path / "box", public) as second:
        assert second.host_key == shown
        assert second.engine_id != engine


def test_no_other_key_and_no_password_gets_in(plain: SimulatedHost, tmp_path: Path, hosts: SshHosts) -> None:
    with pytest.raises(paramiko.AuthenticationException):
        _client(plain, _key(tmp_path, "stranger"))
    with pytest.raises(Terminal, match="refuses our key"):
        SshHosts(tmp_path / "stranger", Fingerprinter("k1", b"x" * 32), ComposeProgram(), tmp_path).host(
            _spec(plain), ()
        ).identity()
    transport = paramiko.Transport((plain.address, plain.port))
    try:
        transport.start_client(timeout=10)
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            transport.auth_password("anyone", "secret")
        assert refused.value.allowed_types == ["publickey"]
    finally:
        transport.close()


def test_commands_run_in_its_directory_without_our_environment(
    plain: SimulatedHost, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", "yes")
    with _client(plain, key) as client:
        stdin, stdout, stderr = client.exec_command('pwd; echo "$HOME|$SECRET_OF_THE_TEST"; cat; echo bad >&2; exit 7')
        stdin.write(b"from input\n")
        stdin.channel.shutdown_write()
        assert stdout.read().decode().splitlines() == [str(plain.directory), f"{plain.directory}|", "from input"]
        assert stderr.read() == b"bad\n"
        assert stdout.channel.recv_exit_status() == 7


def test_docker_never_means_the_machines_own_engine(plain: SimulatedHost, key: Path) -> None:
    with _client(plain, key) as client:
        for command in ("docker ps", "sh -c 'docker ps'", "env docker ps", "docker --host unix:///other.sock version"):
            _, stdout, _ = client.exec_command(command)
            assert stdout.channel.recv_exit_status() != 0, command
        if (docker := shutil.which("docker")) is not None:
            _, stdout, _ = client.exec_command(f"{docker} info --format '{{{{.ID}}}}'")
            assert stdout.read().decode().strip() == plain.engine_id


def test_sftp_stays_below_its_directory(plain: SimulatedHost, key: Path) -> None:
    with _client(plain, key) as client, client.open_sftp() as sftp:
        with sftp.open(f"{plain.directory}/note", "w") as file:
            file.write("kept")
        assert (plain.directory / "note").read_text() == "kept"
        for outside in ("/etc/passwd", "../../etc/passwd", f"{plain.directory}/../x"):
            with pytest.raises(PermissionError):
                sftp.open(outside)
        (plain.directory / "way-out").symlink_to("/etc")
        with pytest.raises(PermissionError):
            sftp.open("way-out/passwd")


def test_no_port_and_no_other_socket_is_forwarded(plain: SimulatedHost, key: Path) -> None:
    with _client(plain, key) as client:
        transport = client.get_transport()
        assert transport is not None
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", plain.port), ("127.0.0.1", 0))
        with pytest.raises(paramiko.SSHException):
            transport.request_port_forward("127.0.0.1", 0)


def test_only_the_engines_own_socket_leads_to_the_engine(simulated: SimulatedHost, hosts: SshHosts) -> None:
    with pytest.raises(HostUnreachable):
        hosts.host(_spec(simulated, socket="/var/run/other.sock"), ()).identity()


def test_it_refuses_to_listen_beyond_loopback(tmp_path: Path, key: Path) -> None:
    with pytest.raises(ValueError, match="loopback"):
        SimulatedHost(tmp_path, key.with_suffix(".pub").read_text(), address="0.0.0.0")


def test_its_end_ends_what_was_started_on_it(tmp_path: Path, key: Path) -> None:
    host = SimulatedHost(tmp_path / "box", key.with_suffix(".pub").read_text()).start()
    with _client(host, key) as client:
        _, stdout, _ = client.exec_command("echo $$; exec sleep 600")
        process_id = int(stdout.readline())
        os.kill(process_id, 0)
        host.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
    assert not list((tmp_path / "box").glob("engine-*"))


def test_as_a_program_it_says_when_it_is_ready_and_ends_on_a_signal(tmp_path: Path, key: Path) -> None:
    images = tmp_path / "images.json"
    images.write_text(json.dumps([{"reference": "shop/web:1", "config": {"Cmd": ["serve"]}}]))
    command = [sys.executable, "-m", "reconciler.simulation", "--directory", str(tmp_path / "box")]
    command += ["--authorized-key", str(key.with_suffix(".pub")), "--images", str(images)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            assert select.select([program.stdout], [], [], 60)[0], "it never became ready"
            ready = json.loads(program.stdout.readline())
            assert ready["ok"]
            assert ready["data"]["engine"] == "simulated"
            assert Path(ready["data"]["local_socket"]).is_socket()
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0
    assert not Path(ready["data"]["local_socket"]).exists()
