"""A real host: sshd and Docker engine, reached as in production."""

import json
import secrets
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.compose import ComposeProgram
from reconciler.demo.machine import Engine, Registry, Sshd, push_image
from reconciler.hosts import SshHosts
from reconciler.hosts.host import SshHost
from reconciler.model.canonical import digest_bytes
from reconciler.model.desired import Bundle, DesiredNetwork, DesiredVolume, HostSpec, ShippedFile
from reconciler.model.errors import HostUnreachable, Retryable, Terminal
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import MissingImage, ResolvedImage
from reconciler.model.plan import CreateService, RecreateService, RunJob, ScaleService, StartService
from reconciler.model.target import Target
from reconciler.ports import ObservationRequest

FINGERPRINTER = Fingerprinter("k1", b"integration")
NETWORK = "com.docker.compose.network"
PROJECT = "com.docker.compose.project"


@pytest.fixture(scope="module")
def spec(sshd: Sshd, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> HostSpec:
    inside = "/run/docker.sock" if engine.own else str(engine.socket)
    directory = "/var/lib/reconciler" if engine.own else str(tmp_path_factory.mktemp("host"))
    return HostSpec("web-1", sshd.address, sshd.port, sshd.user, sshd.host_key, socket=inside, directory=directory)


@pytest.fixture(scope="module")
def hosts(ssh_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHosts]:
    opened = SshHosts(ssh_key, FINGERPRINTER, ComposeProgram(), tmp_path_factory.mktemp("run"), connect_timeout=5)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def host(hosts: SshHosts, spec: HostSpec) -> SshHost:
    return hosts.host(spec, ())


@pytest.fixture
def project(engine: Engine, host: SshHost) -> Iterator[str]:
    """A Compose project of its own with one network, removed with all its containers afterwards."""
    name = f"t{secrets.token_hex(4)}"
    host.create_network(DesiredNetwork("default", f"{name}_default", False, "bridge"), name)
    yield name
    for kind in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
        found = engine.docker(*kind, "--quiet", "--filter", f"label={PROJECT}={name}").split()
        verb = ("rm", "--force", "--volumes") if kind[0] == "ps" else (kind[0], "rm")
        if found:
            engine.docker(*verb, *found)


def model(project: str, image: str, **web: object) -> bytes:
    service = {"image": image, "networks": {"default": None}, "labels": {"dev.reconciler.owner": "reconciler"}, **web}
    job = {"image": image, "command": ["sh", "-c", "echo worked; exit 0"], "networks": {"default": None}}
    networks = {"default": {"name": f"{project}_default", "external": True}}
    return json.dumps({"name": project, "networks": networks, "services": {"web": service, "job": job}}).encode()


def test_compose_works_through_the_tunnel_and_the_host_is_observed(host: SshHost, project: str, image: str) -> None:
    asked = ObservationRequest(project, "shop/dev", images=(image,))
    before = host.observe(asked)
    assert (before.containers, [n.name for n in before.networks]) == ((), [f"{project}_default"])
    first = model(project, image, environment={"PASSWORD": "hunter2"})
    result = host.run(CreateService("web", 1, "new"), project, first, 60)
    assert result.exit_code == 0, result.output
    (web,) = host.observe(asked).containers
    assert (web.service, web.state.status, web.owned) == ("web", "running", True)
    assert ("PASSWORD", FINGERPRINTER.of("shop/dev", "PASSWORD", "hunter2")) in {
        (value.name, value.fingerprint) for value in web.environment
    }
    assert "hunter2" not in repr(host.observe(asked))
    assert host.run(RecreateService("web", 1, "env"), project, model(project, image), 60).exit_code == 0
    (changed,) = host.observe(asked).containers
    assert changed.id != web.id
    assert changed.labels["com.docker.compose.config-hash"] != web.labels["com.docker.compose.config-hash"]


def test_each_operation_does_its_one_thing_and_touches_no_other_service(
    host: SshHost, engine: Engine, project: str, image: str
) -> None:
    given = model(project, image)

    def containers() -> dict[str, str]:
        found = host.observe(ObservationRequest(project, "s")).containers
        return {f"{c.service}-{c.number}": f"{c.id} {c.state.status}" for c in found}

    assert host.run(RunJob("job", "declared"), project, given, 60).exit_code == 0
    assert host.run(CreateService("web", 1, "new"), project, given, 60).exit_code == 0
    one = containers()
    assert set(one) == {"job-1", "web-1"}
    assert host.run(ScaleService("web", 3, "up"), project, given, 60).exit_code == 0
    three = containers()
    assert set(three) == {"job-1", "web-1", "web-2", "web-3"}
    assert host.run(ScaleService("web", 2, "down"), project, given, 60).exit_code == 0
    two = containers()
    assert two == {name: three[name] for name in ("job-1", "web-1", "web-2")}, "the others are as they were"
    assert {name: two[name] for name in one} == one
    engine.docker("stop", "--time", "0", f"{project}-web-1")
    assert host.run(StartService("web", 2, (), "stopped"), project, model(project, image, scale=2), 60).exit_code == 0
    assert containers() == two
    engine.docker("pause", f"{project}-web-1")
    host.unpause(f"{project}-web-1")
    host.unpause(f"{project}-web-1")
    assert containers() == two


def test_two_services_are_worked_on_side_by_side(host: SshHost, project: str, image: str) -> None:
    given = model(project, image)
    results: list[int] = []
    operations = (CreateService("web", 1, "new"), RunJob("job", "new"))
    threads = [
        threading.Thread(target=lambda one=one: results.append(host.run(one, project, given, 60).exit_code))  # type: ignore[misc]
        for one in operations
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0, 0]
    assert {c.service for c in host.observe(ObservationRequest(project, "s")).containers} == {"web", "job"}


def test_a_compose_failure_comes_back_with_its_words_and_without_the_values(
    host: SshHost, project: str, image: str
) -> None:
    bad = model(project, image, entrypoint=["/no/such/sup3rsecret"], environment={"TOKEN": "sup3rsecret"})
    result = host.run(CreateService("web", 1, "new"), project, bad, 60)
    assert result.exit_code != 0
    assert "no such file" in result.output
    assert "sup3rsecret" not in result.output
    result = host.run(RecreateService("web", 1, "image"), project, model(project, "reconciler-test/none:1"), 60)
    assert result.exit_code != 0
    assert "reconciler-test/none" in result.output


def test_compose_that_takes_too_long_is_killed_and_says_so(host: SshHost, project: str, image: str) -> None:
    slow = model(project, image, command=["sh", "-c", "trap : TERM; while :; do sleep 1; done"], stop_signal="SIGTERM")
    assert host.run(CreateService("web", 1, "new"), project, slow, 60).exit_code == 0
    result = host.run(RecreateService("web", 1, "again"), project, slow, 2)
    assert result.exit_code == 124
    assert "did not end within 2 s and was killed" in result.output


def test_a_model_that_would_let_compose_touch_more_is_refused_before_it_runs(host: SshHost, project: str) -> None:
    for change in (
        {"networks": {"default": {"name": "x"}}},
        {"volumes": {"data": {"name": "x"}}},
        {"services": {"web": {"image": "x", "provider": {"type": "x"}}}},
        {"services": {"web": {"image": "x", "env_file": ["/etc/passwd"]}}},
        {"services": {}},
        {"include": ["x"]},
    ):
        given = json.dumps({"services": {"web": {"image": "x"}}, **change}).encode()
        with pytest.raises(Terminal):
            host.run(CreateService("web", 1, "new"), project, given, 10)


def test_networks_and_volumes_are_made_once_and_never_taken_from_others(
    host: SshHost, engine: Engine, project: str, image: str
) -> None:
    network = DesiredNetwork(
        "back",
        f"{project}_back",
        False,
        "bridge",
        driver_options=(("com.docker.network.bridge.enable_icc", "false"),),
        internal=True,
        attachable=True,
        subnets=(("10.231.7.0/24", "10.231.7.1"),),
        labels=(("team", "shop"),),
    )
    volume = DesiredVolume("data", f"{project}_data", False, "local", labels=(("team", "shop"),))
    for _ in range(2):
        host.create_network(network, project)
        host.create_volume(volume, project)
    state = host.observe(ObservationRequest(project, "s"))
    back = next(n for n in state.networks if n.name == network.name)
    assert (back.internal, back.attachable, back.subnets) == (True, True, network.subnets)
    assert back.options == {"com.docker.network.bridge.enable_icc": "false"}
    assert back.labels == {PROJECT: project, NETWORK: "back", "team": "shop"}
    (data,) = state.volumes
    assert data.labels == {PROJECT: project, "com.docker.compose.volume": "data", "team": "shop"}
    with pytest.raises(Terminal, match=f"belongs to project {project}"):
        host.create_network(network, "another")
    with pytest.raises(Terminal, match=f"belongs to project {project}"):
        host.create_volume(volume, "another")
    engine.docker("run", "--detach", "--name", f"{project}-guest", "--network", network.name, image)
    try:
        with pytest.raises(Terminal, match="active endpoints"):
            host.remove_network(network.name)
        for _ in range(2):
            host.disconnect_network(network.name, f"{project}-guest")
        host.remove_network(network.name)
        host.remove_network(network.name)
        host.remove_volume(volume.name)
        host.remove_volume(volume.name)
    finally:
        for _ in range(2):
            host.remove_container(f"{project}-guest", 0)
    after = host.observe(ObservationRequest(project, "s"))
    assert ([n.name for n in after.networks], after.volumes) == ([f"{project}_default"], ())
    assert f"{project}-guest" not in {other.name for other in after.others}


def test_containers_of_others_are_seen_as_far_as_they_can_clash(
    host: SshHost, engine: Engine, project: str, image: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine.docker("run", "-d", "--name", f"{project}-x", "--network", f"{project}_default", "-p", f"{port}:80", image)
    try:
        others = {other.name: other for other in host.observe(ObservationRequest("another", "s")).others}
        found = others[f"{project}-x"]
        assert f"0.0.0.0:{port}/tcp" in found.ports
        assert (found.networks, found.status) == ((f"{project}_default",), "running")
    finally:
        host.remove_container(f"{project}-x", 0)


def test_logs_are_the_last_lines_without_secrets_and_without_control_characters(
    host: SshHost, engine: Engine, project: str, image: str
) -> None:
    script = "for i in 1 2 3; do echo line $i; done; sleep 0.5; printf '\\033[31m%s\\033[0m %s\\n' $TOKEN $PATH >&2"
    for name, tty in ((f"{project}-l", ()), (f"{project}-t", ("--tty",))):
        engine.docker("run", *tty, "--env", "TOKEN=tok-12345", "--name", name, image, "sh", "-c", script)
        try:
            assert host.logs(name, 2).splitlines() == ["line 3", "••• /bin"]
        finally:
            host.remove_container(name, 0)
    assert host.logs(f"{project}-gone", 5) == ""


def test_an_image_is_resolved_from_the_host_first_then_from_its_registry(
    host: SshHost, engine: Engine, registry: Registry, image: str
) -> None:
    repository = f"{registry.address}/{secrets.token_hex(4)}/web"
    push_image(engine, image, registry, repository.split("/", 1)[1] + ":1")
    image_id = engine.docker("image", "inspect", "--format", "{{.Id}}", image)
    # Whatever push_image left behind under the registry's name is taken away, so that only the registry has it.
    for tag in engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}", repository).split():
        engine.docker("rmi", tag)
    prefix = image_id.removeprefix("sha256:")[:12]  # the engine would take it for the id
    answers = host.resolve_images(
        [f"{repository}:1", image, image_id, "none.test/x:1", f"{repository}:2", "../x", prefix]
    )
    remote = answers[f"{repository}:1"]
    assert isinstance(remote, ResolvedImage)
    assert not remote.on_host
    assert remote.deploy_as.startswith(f"{repository}@sha256:")
    assert answers[image] == ResolvedImage(image, image_id, image_id, True), "built here: no registry has it"
    assert answers[image_id] == ResolvedImage(image_id, image_id, image_id, True)
    for reference in ("none.test/x:1", f"{repository}:2", "../x", prefix):
        assert isinstance(answers[reference], MissingImage)
    try:
        host.pull(remote.deploy_as)
        host.pull(remote.deploy_as)
        for reference in (remote.deploy_as, f"{repository}:1", remote.deploy_as.replace("@", ":1@")):
            found = host.resolve_images([reference])[reference]
            assert found == ResolvedImage(reference, remote.deploy_as, image_id, True)
        host.keep_image(remote.deploy_as, "reconciler.invalid/keep:1")
        assert (
            "reconciler.invalid/keep:1" in host.observe(ObservationRequest("x", "s", images=(image_id,))).images[0].tags
        )
    finally:
        engine.docker("rmi", "reconciler.invalid/keep:1")
    gone = f"{repository}@sha256:{'0' * 64}"
    assert isinstance(host.resolve_images([gone])[gone], MissingImage)
    with pytest.raises(Terminal, match="cannot pull"):
        host.pull(gone)
    with pytest.raises(Terminal, match="cannot be pulled"):
        host.pull(f"sha256:{'0' * 64}")


def shipped(source: str, contents: dict[str, bytes], executable: str = "") -> Bundle:
    files = tuple(
        ShippedFile(path, digest_bytes(data), path == executable, len(data)) for path, data in sorted(contents.items())
    )
    single = list(contents) == [source.rpartition("/")[2]]
    return Bundle(source, digest_bytes(repr((source, files)).encode()), not single, files)


CONTENTS = {
    "index.html": b"<p>hello</p>\n",
    "a b 'c' $(d).txt": "ä\n".encode(),
    "bin/run.sh": b"#!/bin/sh\n",
    "empty": b"",
}


def test_files_arrive_once_under_their_digest_and_a_damaged_one_is_replaced(
    host: SshHost, engine: Engine, spec: HostSpec, image: str
) -> None:
    bundle = shipped("p/site", CONTENTS, executable="bin/run.sh")
    at = f"{spec.directory}/files/{bundle.digest}"

    def look(damage: str = ":") -> str:
        """What a container's user that is not root reads through a mount, before root in another one damages it."""
        mounts = ("--volume", f"{at}:/site:ro", "--volume", f"{at}:/damage")
        reading = 'cd /site && stat -c %i . && find . -exec stat -c "%a %n" {} + && cat index.html a*'
        script = f"su app -s /bin/sh -c '{reading}'; cd /damage; {damage}"
        return engine.docker("run", "--rm", *mounts, image, "sh", "-c", script)

    assert not host.path_exists(at)
    host.ship(bundle, CONTENTS)
    assert host.path_exists(at)
    inode, *listed = look().splitlines()
    assert sorted(listed) == [
        "444 ./a b 'c' $(d).txt",
        "444 ./empty",
        "444 ./index.html",
        "555 ./bin/run.sh",
        "755 .",
        "755 ./bin",
        "<p>hello</p>",
        "ä",
    ]
    host.ship(bundle, CONTENTS)
    damages = ("echo x >> index.html", "chmod 666 empty", "rm bin/run.sh", "ln -s /etc more", "touch 'x\ny'")
    assert look(damages[0]).splitlines()[0] == inode, "what is whole is left alone"
    for damage in (*damages[1:], ":"):
        host.ship(bundle, CONTENTS)
        new, *found = look(damage).splitlines()
        assert (found, new != inode) == (listed, True)
        inode = new


def test_many_files_and_a_single_file_are_shipped_whole(host: SshHost, spec: HostSpec) -> None:
    many = {f"{n:04}/{'long' * 30}.txt": secrets.token_bytes(3000) for n in range(400)}
    host.ship(shipped("p/many", many), many)
    one = {"nginx.conf": b"events {}\n"}
    bundle = shipped("p/nginx.conf", one)
    host.ship(bundle, one)
    assert host.path_exists(f"{spec.directory}/files/{bundle.digest}/nginx.conf")


def test_two_who_ship_the_same_at_once_both_succeed(host: SshHost, spec: HostSpec) -> None:
    contents = {"race": secrets.token_bytes(100_000)}
    bundle = shipped("p/race", contents)
    failures: list[BaseException] = []

    def ship() -> None:
        try:
            host.ship(bundle, contents)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=ship) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert host.path_exists(f"{spec.directory}/files/{bundle.digest}/race")


def test_other_bytes_than_the_planned_ones_are_never_sent(host: SshHost, spec: HostSpec) -> None:
    bundle = shipped("p/site", CONTENTS)
    for contents in ({**CONTENTS, "empty": b"x"}, {}):
        with pytest.raises(Terminal, match="is not the file that was planned"):
            host.ship(bundle, contents)
    for path in ("/etc/file", "a/../../x", "../x", "new\nline", "a//b", "."):
        evil = {path: b"x"}
        with pytest.raises(Terminal, match="cannot be shipped"):
            host.ship(Bundle("p/site", "0" * 64, True, (ShippedFile(path, digest_bytes(b"x"), False, 1),)), evil)
    with pytest.raises(Terminal, match="no digest"):
        host.ship(Bundle("p/site", "../../etc", True, bundle.files), CONTENTS)
    assert not host.path_exists(f"{spec.directory}/files/{bundle.digest}")


def test_data_directories_are_created_once(host: SshHost, spec: HostSpec) -> None:
    path = f"{spec.directory}/data/{secrets.token_hex(4)}/it's here"
    assert not host.path_exists(path)
    host.create_directory(path)
    host.create_directory(path)
    assert host.path_exists(path)
    for odd in ("relative", "/a/../b", "/", "/a\nb"):
        with pytest.raises(Terminal):
            host.create_directory(odd)


def test_a_second_holder_of_the_lock_is_sent_away_until_the_first_is_done(
    host: SshHost, ssh_key: Path, spec: HostSpec, tmp_path: Path
) -> None:
    target = Target("shop", secrets.token_hex(4), "web-1")
    other = SshHosts(ssh_key, FINGERPRINTER, ComposeProgram(), tmp_path)
    try:
        second = other.host(spec, ())
        with host.target_lock(target, "worker-1"):
            for contender in (second, host):
                with (
                    pytest.raises(Retryable, match=r"lock held by 1 [0-9]+ worker-1"),
                    contender.target_lock(target, "w2"),
                ):
                    pass
            with second.target_lock(Target("shop", secrets.token_hex(4), "web-1"), "w2"):
                pass
        _until_free(second, target)
    finally:
        other.close()


def test_a_cut_connection_frees_the_lock_refuses_changes_and_is_opened_again(
    host: SshHost, sshd: Sshd, ssh_key: Path, spec: HostSpec, tmp_path: Path
) -> None:
    target = Target("shop", secrets.token_hex(4), "web-1")
    engine_id = host.identity().id
    asked = ObservationRequest("nothing", "s")
    other = SshHosts(ssh_key, FINGERPRINTER, ComposeProgram(), tmp_path)
    try:
        with host.target_lock(target, "worker-1"):
            host.create_directory(f"{spec.directory}/data")
            sshd.drop_connections()
            assert host.observe(asked).engine.id == engine_id, "a read opens a new connection"
            with pytest.raises(HostUnreachable, match="with it the lock"):
                host.create_directory(f"{spec.directory}/data")
            _until_free(other.host(spec, ()), target)
        host.create_directory(f"{spec.directory}/data")
    finally:
        other.close()


def _until_free(host: SshHost, target: Target) -> None:
    """sshd ends the holder when it notices; a moment may pass."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with host.target_lock(target, "w2"):
                return
        except Retryable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_connection_cut_while_compose_works_is_unreachable_and_not_a_failure_of_compose(
    host: SshHost, sshd: Sshd, engine: Engine, project: str, image: str
) -> None:
    slow = model(project, image, command=["sh", "-c", "trap : TERM; while :; do sleep 1; done"], stop_signal="SIGTERM")
    assert host.run(CreateService("web", 1, "new"), project, slow, 60).exit_code == 0
    cut = threading.Timer(1.5, sshd.drop_connections)
    cut.start()
    with pytest.raises(HostUnreachable):
        host.run(RecreateService("web", 1, "again"), project, slow, 60)
    cut.join()
    assert host.observe(ObservationRequest(project, "s")).containers


def test_an_observation_while_containers_come_and_go_is_whole_or_none(
    host: SshHost, engine: Engine, project: str, image: str
) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            engine.docker("run", "--rm", "--label", f"{PROJECT}={project}", image, "true")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        whole = 0
        for _ in range(40):
            try:
                state = host.observe(ObservationRequest(project, "s"))
            except Retryable:
                continue
            else:
                whole += 1
                assert all(container.image_id for container in state.containers)
        assert whole
    finally:
        stop.set()
        thread.join()


def test_many_threads_share_the_one_connection(host: SshHost, project: str) -> None:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(host.identity().id)) for _ in range(16)]
    threads += [
        threading.Thread(target=lambda: answers.append(host.observe(ObservationRequest(project, "s")).engine.id))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 32
    assert len(set(answers)) == 1


def test_the_tunnel_is_private_and_gone_afterwards(
    hosts: SshHosts, spec: HostSpec, ssh_key: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []

    class Looking(ComposeProgram):
        def run(self, socket, *rest):  # type: ignore[no-untyped-def]
            seen.append((stat.S_IMODE(socket.stat().st_mode), stat.S_IMODE(socket.parent.stat().st_mode)))
            return super().run(socket, *rest)

    run_directory = tmp_path / "run"
    own = SshHosts(ssh_key, FINGERPRINTER, Looking(), run_directory)
    try:
        given = json.dumps({"services": {"web": {"image": "reconciler-test/none:1", "network_mode": "none"}}}).encode()
        assert own.host(spec, ()).run(CreateService("web", 1, "new"), "tunnel", given, 30).exit_code != 0
    finally:
        own.close()
    assert seen == [(0o600, 0o700)]
    assert list(run_directory.iterdir()) == []
