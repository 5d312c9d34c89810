"""What the diff says of a real engine after the real Compose: nothing where nothing differs, and all that does."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import diff
from reconciler.demo.machine import Engine
from reconciler.model.change import Change, ChangeKind
from reconciler.model.health import Health
from reconciler.model.plan import RecreateNetwork, RecreateService, RemoveContainer, RunJob
from tests.integration.engine_laboratory import Laboratory

FILES = {
    "projects/p/e/site/index.html": "hello\n",
    "projects/p/e/app.conf": "mode = careful\n",
    "projects/p/e/token.txt": "not a secret\n",
}

WIDE = """
services:
  plain:
    image: IMAGE
    ipc: shareable
  wide:
    image: IMAGE
    command: ["sh", "-c", "sleep 1000000", "$$HOME"]
    entrypoint: ["/bin/busybox"]
    environment: {GREETING: "hello", EMPTY: "", DOLLAR: "a$$b", NUMBER: 1}
    ports: ["127.0.0.1:28080:80", "28081:81/udp", "82", "28090-28092:90-92"]
    volumes:
      - ./site:/site:ro
      - uploads:/uploads
      - ./data:/var/data
      - {type: volume, source: uploads, target: /again, read_only: true, volume: {nocopy: true}}
      - {type: volume, target: /anonymous}
      - {type: tmpfs, target: /scratch, tmpfs: {size: 1048576, mode: 0700}}
    configs: [{source: settings, target: /etc/app.conf}]
    secrets: [{source: token, target: token}, plain_name]
    tmpfs: ["/run:size=64k", "/other"]
    networks:
      front: {aliases: [alpha, beta]}
      back: {ipv4_address: 172.30.77.9, priority: 10}
    labels: {"a.b": "c$$d", empty: ""}
    restart: unless-stopped
    healthcheck: {test: ["CMD", "true"], interval: 1m30s, timeout: 5s, retries: 4, start_period: 1500ms}
    mem_limit: 64m
    memswap_limit: 128m
    mem_reservation: 32m
    cpus: 0.5
    cpu_shares: 512
    cpuset: "0"
    pids_limit: 100
    shm_size: 32m
    user: "1000:1000"
    group_add: ["44"]
    working_dir: /tmp/
    hostname: wide-host
    domainname: example.test
    container_name: PROJECT-named
    cap_add: [NET_ADMIN, SYS_TIME]
    cap_drop: [MKNOD]
    read_only: true
    extra_hosts: ["db.example:10.0.0.1", "host6=::1"]
    dns: [10.0.0.53]
    dns_search: [example.test]
    dns_opt: ["ndots:2"]
    ulimits: {nofile: {soft: 1000, hard: 2000}, nproc: 300}
    logging: {driver: json-file, options: {max-size: 1m}}
    stop_signal: SIGKILL
    stop_grace_period: 1m2s
    init: true
    sysctls: {net.core.somaxconn: 1024}
    devices: ["/dev/null:/dev/mynull:rw"]
    security_opt: ["no-new-privileges:true"]
    oom_score_adj: 100
    tty: true
    stdin_open: true
    expose: ["7000"]
  limited:
    image: IMAGE
    healthcheck: {disable: true}
    configs: [inline]
    deploy:
      replicas: 2
      restart_policy: {condition: on-failure, max_attempts: 3}
      resources: {limits: {cpus: "0.25", memory: 50M, pids: 50}, reservations: {memory: 20M}}
  quiet:
    image: IMAGE
    network_mode: none
    entrypoint: []
    stop_grace_period: 1s
  child:
    image: IMAGE
    network_mode: service:plain
    ipc: service:plain
    pid: service:plain
    volumes_from: [limited]
  checked:
    image: IMAGE
    healthcheck: {test: "true || exit 1", interval: 1s}
    command: sleep 100000
  migrate:
    image: IMAGE
    command: ["true"]
  after:
    image: IMAGE
    depends_on: {migrate: {condition: service_completed_successfully}}
configs:
  settings: {file: ./app.conf}
  inline: {content: "hello"}
secrets:
  token: {file: ./token.txt}
  plain_name: {file: ./token.txt}
networks:
  front: {labels: {purpose: front}}
  back: {internal: true, ipam: {config: [{subnet: 172.30.77.0/24}]}}
volumes:
  uploads: {}
"""

PAIR = """
services:
  web:
    image: IMAGE
    environment: {GREETING: hello}
    stop_signal: SIGKILL
  other:
    image: IMAGE
    stop_signal: SIGKILL
"""


@pytest.fixture
def laboratory(engine: Engine, image: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    project = f"diff{zlib.crc32(request.node.name.encode())}"
    opened = Laboratory(engine, tmp_path, project)
    yield opened
    opened.clean()


def fields(changes: tuple[Change, ...]) -> list[str]:
    return [f"{change.kind} {change.subject.name} {change.field}".strip() for change in changes]


def written(text: str, laboratory: Laboratory, image: str) -> str:
    return text.replace("IMAGE", image).replace("PROJECT", laboratory.project)


def test_what_was_just_deployed_does_not_differ(laboratory: Laboratory, image: str) -> None:
    desired = laboratory.desired(written(WIDE, laboratory, image), FILES)
    plan = laboratory.deploy(desired)
    assert not plan.empty
    assert laboratory.changes(desired) == ()
    hashes = {service.name: service.config_hash for service in desired.services if service.config_hash}
    labels = {c.service: c.labels["com.docker.compose.config-hash"] for c in laboratory.observe().containers}
    assert {name: labels[name] for name in hashes} == hashes  # so the hash would show what no field shows
    assert set(labels) - set(hashes) == {"child"}


def test_what_was_just_recreated_does_not_differ(laboratory: Laboratory, image: str) -> None:
    laboratory.deploy(laboratory.desired(written(WIDE, laboratory, image), FILES))
    moved = laboratory.desired(written(WIDE.replace("hello", "good day"), laboratory, image), FILES)
    plan = laboratory.deploy(moved)
    recreated = [operation.service for operation in plan.operations if isinstance(operation, RecreateService)]
    assert recreated == ["limited", "wide", "child"]  # child mounts the volumes of limited
    assert laboratory.changes(moved) == ()
    seen = diff.health(moved, laboratory.observe())
    assert [entry for entry in seen if entry.health not in (Health.HEALTHY, Health.PROGRESSING)] == []


DRIFT = (
    (("stop", "web"), "state web state"),
    (("pause", "web"), "state web state"),
    (("update", "--memory", "64m", "--memory-swap", "128m", "web"), "update web memory"),
    (("update", "--cpus", "0.5", "web"), "update web cpus"),
    (("update", "--pids-limit", "50", "web"), "update web pids_limit"),
    (("update", "--restart", "always", "web"), "update web restart"),
    (("rename", "web", "PROJECT-renamed"), "update web container_name"),
    (("network", "disconnect", "PROJECT_default", "web"), "update web networks.PROJECT_default"),
    (("network", "connect", "bridge", "web"), "update web networks.bridge"),
    (("rm", "--force", "web"), "create web"),
)


@pytest.fixture(scope="module")
def pair(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """Two services that run as git says; a test that changes something has it healed at its end."""
    opened = Laboratory(engine, tmp_path_factory.mktemp("pair"), "diffpair")
    opened.deploy(opened.desired(written(PAIR, opened, image)))
    yield opened
    opened.clean()


@pytest.mark.parametrize(("command", "expected"), DRIFT, ids=[" ".join(command) for command, _ in DRIFT])
def test_what_somebody_does_by_hand_is_found_and_healed(
    pair: Laboratory, image: str, command: tuple[str, ...], expected: str
) -> None:
    desired = pair.desired(written(PAIR, pair, image))
    assert pair.changes(desired) == ()
    before = pair.container("diffpair-other-1")
    words = ["diffpair-web-1" if word == "web" else word.replace("PROJECT", "diffpair") for word in command]
    pair.engine.docker(*words)
    assert fields(pair.changes(desired)) == [expected.replace("PROJECT", "diffpair")]
    pair.deploy(desired)
    assert pair.changes(desired) == ()
    after = pair.container("diffpair-other-1")
    assert (after.id, after.state.started_at) == (before.id, before.state.started_at)  # nobody else was touched


def test_a_changed_network_is_replaced_with_the_services_on_it(laboratory: Laboratory, image: str) -> None:
    laboratory.deploy(laboratory.desired(written(PAIR, laboratory, image)))
    changed = PAIR + "networks: {default: {internal: true, labels: {a: b}}}\n"
    desired = laboratory.desired(written(changed, laboratory, image))
    plan = laboratory.deploy(desired)
    replaced = next(operation for operation in plan.operations if isinstance(operation, RecreateNetwork))
    assert replaced.disconnects == (f"{laboratory.project}-other-1", f"{laboratory.project}-web-1")
    assert [o.service for o in plan.operations if isinstance(o, RecreateService)] == ["other", "web"]
    assert laboratory.changes(desired) == ()


def test_a_network_that_was_removed_while_its_containers_were_stopped_is_mended(
    laboratory: Laboratory, image: str
) -> None:
    desired = laboratory.desired(written(PAIR, laboratory, image))
    laboratory.deploy(desired)
    for name in ("web", "other"):
        laboratory.engine.docker("stop", f"{laboratory.project}-{name}-1")
    laboratory.engine.docker("network", "rm", f"{laboratory.project}_default")
    plan = laboratory.deploy(desired)
    assert [o.service for o in plan.operations if isinstance(o, RecreateService)] == ["other", "web"]
    assert laboratory.changes(desired) == ()


def test_a_network_replaced_by_hand_without_labels_is_replaced_again(laboratory: Laboratory, image: str) -> None:
    desired = laboratory.desired(written(PAIR, laboratory, image))
    laboratory.deploy(desired)
    network = f"{laboratory.project}_default"
    for name in ("web", "other"):
        laboratory.engine.docker("network", "disconnect", network, f"{laboratory.project}-{name}-1")
    laboratory.engine.docker("network", "rm", network)
    laboratory.engine.docker("network", "create", network)
    laboratory.deploy(desired)
    assert laboratory.changes(desired) == ()


def test_an_interrupted_recreate_is_cleared_away(laboratory: Laboratory, image: str) -> None:
    desired = laboratory.desired(written(PAIR, laboratory, image))
    laboratory.deploy(desired)
    web = f"{laboratory.project}-web-1"
    temporary = f"{laboratory.container(web).id[:12]}_{web}"
    labels = {**laboratory.container(web).labels, "com.docker.compose.replace": "web-1"}
    arguments = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    laboratory.engine.docker("create", "--name", temporary, *arguments, image)
    plan = laboratory.deploy(desired)
    assert [o.container for o in plan.operations if isinstance(o, RemoveContainer)] == [temporary]
    assert len(plan.operations) == 1
    assert laboratory.changes(desired) == ()


def test_a_finished_job_stays_finished_until_it_changes(laboratory: Laboratory, image: str) -> None:
    text = PAIR + '  migrate: {image: IMAGE, command: ["true"]}\n'
    desired = laboratory.desired(written(text, laboratory, image), jobs=("migrate",))
    laboratory.deploy(desired)
    laboratory.engine.docker("wait", f"{laboratory.project}-migrate-1")
    assert laboratory.changes(desired) == ()
    changed = laboratory.desired(
        written(text.replace('["true"]', '["sh", "-c", "true"]'), laboratory, image), jobs=("migrate",)
    )
    plan = laboratory.deploy(changed)
    assert [type(o) for o in plan.operations[1:]] == [RunJob]
    laboratory.engine.docker("wait", f"{laboratory.project}-migrate-1")
    assert laboratory.changes(changed) == ()


def test_an_environment_that_git_no_longer_has_goes_and_its_volumes_stay(laboratory: Laboratory, image: str) -> None:
    text = PAIR + '  store: {image: IMAGE, stop_signal: SIGKILL, volumes: ["data:/data"]}\nvolumes: {data: {}}\n'
    laboratory.deploy(laboratory.desired(written(text, laboratory, image)))
    plan = laboratory.deploy(laboratory.removed())
    assert {change.kind for change in plan.changes} == {ChangeKind.REMOVE}
    after = laboratory.observe()
    assert (after.containers, after.networks) == ((), ())
    assert [volume.name for volume in after.volumes] == [f"{laboratory.project}_data"]
    laboratory.deploy(laboratory.removed(remove_volumes=("data",)))
    assert laboratory.observe().volumes == ()


def test_a_stack_of_somebody_else_with_our_project_name_is_never_touched(laboratory: Laboratory, image: str) -> None:
    label = f"com.docker.compose.project={laboratory.project}"
    laboratory.engine.docker(
        "run", "-d", "--name", f"{laboratory.project}-web-1", "--label", label,
        "--label", "com.docker.compose.service=web", image,
    )  # fmt: skip
    plan = laboratory.plan(laboratory.desired(written(PAIR, laboratory, image)))
    assert any("somebody else" in obstacle.text for obstacle in plan.obstacles)
    assert not [operation for operation in plan.operations if isinstance(operation, RemoveContainer)]
    assert laboratory.plan(laboratory.removed()).empty
