"""The machine parts do what the other integration tests and the demo take for granted."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.demo.machine import (
    Engine,
    ImageRecipe,
    MachineError,
    Registry,
    Sshd,
    build_image,
    probe,
    push_image,
    start_engine,
    start_registry,
    start_sshd,
)

WEB = ImageRecipe(
    files={"/www/index.html": "hello"},
    command=("httpd", "-f", "-p", "80", "-h", "/www"),
    labels={"made-by": "test"},
)


def ssh(sshd: Sshd, known_hosts: Path, command: str, host_key: str | None = None) -> subprocess.CompletedProcess[str]:
    known_hosts.write_text(f"[{sshd.address}]:{sshd.port} {host_key or sshd.host_key}\n")
    return subprocess.run(
        [
            *("ssh", "-F", "none", "-i", str(sshd.key_file), "-p", str(sshd.port)),
            *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known_hosts}", "-o", "BatchMode=yes"),
            *("-o", "IdentitiesOnly=yes", f"{sshd.user}@{sshd.address}", command),
        ],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def processes_naming(path: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(path) in command:
            found.append(command)
    return found


def test_a_container_runs_and_its_output_is_read(engine: Engine, image: str) -> None:
    assert engine.docker("run", "--rm", "--network", "none", image, "echo", "hello") == "hello"


def test_containers_of_a_network_find_each_other_by_name(engine: Engine, image: str) -> None:
    build_image(engine, "machine-names:1", WEB)
    engine.docker("network", "create", "machine-names")
    try:
        engine.docker("run", "-d", "--name", "machine-names-web", "--network", "machine-names", "machine-names:1")
        answer = engine.docker(
            "run", "--rm", "--network", "machine-names", image, "wget", "-q", "-O", "-", "http://machine-names-web/"
        )
        assert answer == "hello"
    finally:
        engine.docker("rm", "-f", "machine-names-web")
        engine.docker("network", "rm", "machine-names")


def test_two_engines_publish_the_same_port_and_share_no_container(engine: Engine, second_engine: Engine) -> None:
    engines = {"first": engine, "second": second_engine}
    for name, each in engines.items():
        build_image(each, "machine-port:1", ImageRecipe(files={"/www/index.html": name}, command=WEB.command))
        each.docker("run", "-d", "--name", "machine-port", "-p", "18080:80", "machine-port:1")
    try:
        assert {name: each.fetch(18080) for name, each in engines.items()} == {"first": "first", "second": "second"}
    finally:
        for each in engines.values():
            each.docker("rm", "-f", "machine-port")


def test_the_same_recipe_is_the_same_image_on_every_engine(engine: Engine, second_engine: Engine) -> None:
    other = ImageRecipe(files={"/www/index.html": "other"}, command=WEB.command)
    assert build_image(engine, "machine-same:1", WEB) == build_image(second_engine, "machine-same:1", WEB)
    assert build_image(engine, "machine-same:2", other) != build_image(engine, "machine-same:1", WEB)


def test_an_image_has_what_its_recipe_says(engine: Engine) -> None:
    build_image(engine, "machine-recipe:1", WEB)
    described = json.loads(engine.docker("image", "inspect", "machine-recipe:1"))[0]["Config"]
    assert described["Cmd"] == ["httpd", "-f", "-p", "80", "-h", "/www"]
    assert described["Labels"] == {"made-by": "test"}


def test_an_image_pushed_from_one_engine_is_pulled_by_digest_on_the_other(
    engine: Engine, second_engine: Engine, registry: Registry
) -> None:
    image_id = build_image(engine, "machine-push:1", WEB)
    reference = push_image(engine, "machine-push:1", registry, "machine/push:1")
    assert reference.startswith(f"{registry.address}/machine/push@sha256:")
    second_engine.docker("pull", "--quiet", reference)
    assert second_engine.docker("image", "inspect", "--format", "{{.Id}}", reference) == image_id


def test_a_login_with_the_pinned_host_key_reaches_the_machine_of_the_engine(
    engine: Engine, sshd: Sshd, tmp_path: Path
) -> None:
    answer = ssh(sshd, tmp_path / "known_hosts", "docker version --format '{{.Server.Version}}'")
    assert (answer.returncode, answer.stdout.strip()) == (0, engine.version), answer.stderr


def test_a_login_with_another_host_key_is_refused_by_the_client(sshd: Sshd, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    other_key = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    answer = ssh(sshd, tmp_path / "known_hosts", "true", other_key)
    assert answer.returncode == 255
    assert "Host key verification failed" in answer.stderr


def test_what_a_session_writes_below_var_lib_stays_on_its_machine(
    engine: Engine, sshd: Sshd, second_sshd: Sshd, image: str, tmp_path: Path
) -> None:
    if not engine.own:
        pytest.skip("the running engine of this machine is used, and its /var/lib is the real one")
    written = ssh(sshd, tmp_path / "known_hosts", "mkdir -p /var/lib/reconciler && echo one > /var/lib/reconciler/name")
    assert written.returncode == 0, written.stderr
    try:
        assert ssh(sshd, tmp_path / "known_hosts", "cat /var/lib/reconciler/name").stdout == "one\n"
        mount = "/var/lib/reconciler:/mounted:ro"
        assert engine.docker("run", "--rm", "--network", "none", "-v", mount, image, "cat", "/mounted/name") == "one"
        assert ssh(second_sshd, tmp_path / "known_hosts", "test -e /var/lib/reconciler/name").returncode == 1
        assert not Path("/var/lib/reconciler/name").exists()
    finally:
        ssh(sshd, tmp_path / "known_hosts", "rm -r /var/lib/reconciler")


def test_a_cut_connection_ends_and_the_server_goes_on(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text(f"[{sshd.address}]:{sshd.port} {sshd.host_key}\n")
    with subprocess.Popen(
        [
            *("ssh", "-F", "none", "-i", str(sshd.key_file), "-p", str(sshd.port)),
            *("-o", f"UserKnownHostsFile={tmp_path / 'known_hosts'}", "-o", "BatchMode=yes"),
            *(f"{sshd.user}@{sshd.address}", "echo ready; sleep 600"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == "ready\n"
        sshd.drop_connections()
        assert session.wait() == 255
    assert ssh(sshd, tmp_path / "known_hosts", "true").returncode == 0


def test_a_halted_server_is_down_and_resumes_as_the_same_host(engine: Engine, tmp_path: Path) -> None:
    with start_sshd(tmp_path / "server", engine) as server:
        server.halt()
        down = ssh(server, tmp_path / "known_hosts", "true")
        assert (down.returncode, "Connection refused" in down.stderr) == (255, True)
        server.resume()
        assert ssh(server, tmp_path / "known_hosts", "true").returncode == 0


def test_nothing_is_left_of_a_machine_that_was_stopped(tmp_path: Path, engine: Engine) -> None:
    if not engine.own:
        pytest.skip("the running engine of this machine is used, and it is not ours to stop")
    with start_engine(tmp_path) as own, start_registry(tmp_path, [own]), start_sshd(tmp_path, own) as server:
        build_image(own, "machine-left:1")
        network = own.docker("network", "create", "left")
        own.docker("run", "-d", "--network", "left", "-v", "data:/data", "-p", "18081:80", "machine-left:1")
        assert ssh(server, tmp_path / "known_hosts", "true").returncode == 0
        assert len(processes_naming(tmp_path)) > 5
    (tmp_path / "known_hosts").unlink()
    assert processes_naming(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert own.machine is not None
    assert list(Path("/sys/fs/cgroup").rglob(f"reconciler-{own.machine.root.name}")) == []
    assert not Path(f"/sys/class/net/br-{network[:12]}").exists()


def test_a_run_that_is_killed_leaves_no_daemon_behind(tmp_path: Path, engine: Engine) -> None:
    if not engine.own:
        pytest.skip("the running engine of this machine is used, and it is not ours to stop")
    program = """
import pathlib, sys
from reconciler.demo.machine import start_engine, start_registry, start_sshd
root = pathlib.Path(sys.argv[1])
engine = start_engine(root)
parts = engine, start_registry(root, [engine]), start_sshd(root, engine), start_sshd(root)
print("ready", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        started = processes_naming(tmp_path)
        assert any("dockerd" in command for command in started)
        run.kill()
    left = processes_naming(tmp_path)
    for _ in range(500):  # they end by themselves; how soon is no part of the promise
        if not left:
            break
        subprocess.run(["sleep", "0.02"], check=True)
        left = processes_naming(tmp_path)
    assert left == []


def test_a_machine_without_docker_says_what_to_do() -> None:
    reason = probe({"DOCKER_HOST": "unix:///nonexistent/docker.sock"}).why_not("engine")
    assert reason == "no Docker engine: no socket at /nonexistent/docker.sock"


def test_the_simulation_can_be_asked_for() -> None:
    assert probe({"ENGINE": "simulated"}).why_not("engine") == "no Docker engine: ENGINE=simulated was asked for"


def test_a_program_that_ends_at_once_is_reported_with_its_log(tmp_path: Path, sshd: Sshd) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MachineError, match="sshd ended before it was ready") as raised:
            start_sshd(tmp_path, port=taken.getsockname()[1])
    assert "Address already in use" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_two_engines_are_two_engines(engine: Engine, second_engine: Engine) -> None:
    first, second = (e.docker("info", "--format", "{{.ID}}") for e in (engine, second_engine))
    assert first
    assert first != second
