"""The execution model on a real engine: the foretold config hash is the label that Compose writes."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reconciler.compose.arguments import arguments
from reconciler.compose.driving import wheel_binary
from reconciler.compose.rendering import SandboxRenderer
from reconciler.demo.machine import Engine
from reconciler.desired import bundle_contents, image_references, load, render_input, target_model
from reconciler.model.desired import DesiredTarget
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import ResolvedImage
from reconciler.model.plan import CreateService, RecreateService
from reconciler.model.revision import FileKind, Tree, TreeFile

PROJECT = "desired-labels"
ENVIRONMENT = """\
hosts: [host-1]
tier: production
variables: {GREETING: "costs 5 $ & <more>"}
"""
COMPOSE = """\
services:
  web:
    image: IMAGE
    command: [sleep, "3600"]
    environment: {GREETING: "${GREETING}", LITERAL: "$${HOME}"}
    labels: {team: "a & b"}
    volumes: ["./www:/www:ro", "./app.conf:/etc/app.conf:ro", "store:/store"]
    configs: [{source: app, target: /etc/other.conf, mode: 0440}, motd]
    networks: {front: {aliases: [shop, page]}, default: }
    healthcheck: {test: [CMD, "true"], interval: 1m, retries: 2}
    restart: on-failure:3
    stop_grace_period: 1s
    deploy: {replicas: 2}
    extra_hosts: ["db:10.0.0.9"]
    ulimits: {nofile: {soft: 1000, hard: 2000}}
    sysctls: {net.core.somaxconn: 1024}
    tmpfs: [/run]
    depends_on: {plain: {condition: service_started}}
  plain: {image: IMAGE, command: [sleep, "3600"], stop_grace_period: 1s}
  job: {image: IMAGE, command: ["true"], network_mode: none, read_only: true}
networks: {front: {}}
volumes: {store: {}}
configs: {app: {file: ./app.conf}, motd: {content: "hello $$"}}
"""


def repository(image: str, directory: Path) -> Tree:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW"
    host = f"address: 127.0.0.1\nuser: root\nhost_key: {key}\ntiers: [production]\ndirectory: {directory}\n"
    base = f"projects/{PROJECT.partition('-')[0]}/labels"
    files = {
        "reconciler.yaml": "format: 1\n",
        "principals.yaml": "people: {someone: {github: 1}}\n",
        "policy.yaml": "rules: []\n",
        "hosts/host-1.yaml": host,
        f"{base}/environment.yaml": ENVIRONMENT,
        f"{base}/compose.yaml": COMPOSE.replace("IMAGE", image),
        f"{base}/www/index.html": "hello\n",
        f"{base}/app.conf": "a=1\n",
    }
    return Tree("", {path: TreeFile(FileKind.FILE, text.encode()) for path, text in files.items()})


@pytest.fixture
def target(engine: Engine, image: str, tmp_path: Path) -> Iterator[DesiredTarget]:
    """The model with its files shipped and its networks and volumes made, as apply does it before any service."""
    tree = repository(image, tmp_path)
    state = load(tree)
    (environment,) = state.environments
    rendered = SandboxRenderer(None).render(render_input(tree, environment))
    image_id = engine.docker("image", "inspect", "--format", "{{.Id}}", image)
    made = target_model(
        environment=environment,
        target=environment.targets[0],
        host=state.hosts[0],
        rendered=rendered,
        tree=tree,
        images={each: ResolvedImage(each, image_id, image_id, True) for each in image_references(rendered)},
        fingerprinter=Fingerprinter("test", b"key"),
    )
    for service in made.services:
        for bundle in service.bundles:
            for path, content in bundle_contents(tree, bundle).items():
                file = tmp_path / "files" / bundle.digest / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
    for network in made.networks:
        engine.docker("network", "create", network.name)
    for volume in made.volumes:
        engine.docker("volume", "create", volume.name)
    yield made
    ids = engine.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    if ids:
        engine.docker("rm", "-f", "-v", *ids)
    for network in made.networks:
        engine.docker("network", "rm", network.name)
    for volume in made.volumes:
        engine.docker("volume", "rm", volume.name)


def run(engine: Engine, target: DesiredTarget, operation: CreateService | RecreateService) -> None:
    finished = subprocess.run(
        [str(wheel_binary()), *arguments(operation, target.compose_project, "/")],
        input=json.dumps(target.execution_model).encode(),
        env={"DOCKER_HOST": f"unix://{engine.socket}", "COMPOSE_IGNORE_ORPHANS": "1"},
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()


def labels(engine: Engine) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    form = '{{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.config-hash"}}'
    listed = engine.docker("ps", "-a", "--filter", f"label=com.docker.compose.project={PROJECT}", "--format", form)
    for line in listed.splitlines():
        service, _, value = line.partition(" ")
        found.setdefault(service, set()).add(value)
    return found


def containers(engine: Engine) -> list[str]:
    return engine.docker("ps", "-aq", "--no-trunc", "--filter", f"label=com.docker.compose.project={PROJECT}").split()


def test_the_foretold_hash_is_the_label_of_the_container(engine: Engine, target: DesiredTarget) -> None:
    for service in target.services:
        run(engine, target, CreateService(service.name, service.replicas, "test"))
    expected = {service.name: {service.config_hash} for service in target.services}
    assert labels(engine) == expected
    assert len(containers(engine)) == 4
    run(engine, target, RecreateService("web", 2, "test"))
    assert labels(engine) == expected


def test_compose_itself_sees_nothing_to_recreate(engine: Engine, target: DesiredTarget) -> None:
    """A plain `up` of the same model recreates where label and hash differ: here it must leave every container."""
    for service in target.services:
        run(engine, target, CreateService(service.name, service.replicas, "test"))
    before = containers(engine)
    finished = subprocess.run(
        [
            str(wheel_binary()),
            "--env-file",
            "/dev/null",
            "-p",
            PROJECT,
            "--project-directory",
            "/",
            "-f",
            "-",
            "up",
            "-d",
        ],
        input=json.dumps(target.execution_model).encode(),
        env={"DOCKER_HOST": f"unix://{engine.socket}"},
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    assert containers(engine) == before
