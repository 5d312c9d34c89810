"""What people really write: sample and examples meet no denial, and well-known stacks only what they ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired import load, render_input
from reconciler.model.verdict import Severity
from reconciler.policy.contents import discoveries
from reconciler.policy.request import Surroundings
from tests.unit.desired.repositories import RENDERER, ROOT, one_environment, rendered, tree_of

REPOSITORIES = [ROOT / "desired_state", *sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir())]

STACKS = {
    "a database with an application": (
        """
        services:
          app:
            image: wordpress:6.8
            ports: ["8080:80"]
            environment: {WORDPRESS_DB_HOST: db}
            volumes: ["content:/var/www/html"]
            depends_on: {db: {condition: service_healthy}}
            restart: unless-stopped
          db:
            image: mariadb:11
            volumes: ["db:/var/lib/mysql"]
            healthcheck: {test: [CMD, healthcheck.sh, --connect], interval: 5s}
            deploy: {resources: {limits: {memory: 512M}}}
        volumes: {content: {}, db: {}}
        """,
        [],
    ),
    "a hardened service": (
        """
        services:
          web:
            image: nginx:1.29
            read_only: true
            user: "101:101"
            cap_drop: [ALL]
            cap_add: [NET_BIND_SERVICE]
            security_opt: [no-new-privileges:true]
            tmpfs: [/tmp, /var/cache/nginx]
            logging: {driver: local, options: {max-size: 10m}}
            ulimits: {nofile: 65536}
            sysctls: {net.core.somaxconn: 1024}
            init: true
        """,
        [],
    ),
    "a proxy that reads labels": (
        """
        services:
          traefik:
            image: traefik:3.5
            command: [--providers.docker]
            ports: ["80:80", "443:443"]
            volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro", "letsencrypt:/letsencrypt"]
            networks: [proxy]
            labels: {traefik.enable: "true"}
        networks: {proxy: {name: proxy, external: true}}
        volumes: {letsencrypt: {}}
        """,
        ["socket-bind: service traefik"],
    ),
    "a node exporter": (
        """
        services:
          exporter:
            image: prom/node-exporter:v1.9.1
            pid: host
            network_mode: host
            volumes: ["/:/host:ro,rslave"]
        """,
        [
            "host-namespace: service exporter",
            "host-namespace: service exporter",
            "host-path-bind: service exporter",
            "mount-propagation: service exporter",
        ],
    ),
    "a media server with data of the host": (
        """
        services:
          media:
            image: jellyfin/jellyfin:10.10
            user: "1000:1000"
            devices: ["/dev/dri:/dev/dri"]
            volumes: ["/srv/jellyfin:/config", "/mnt/media:/media:ro", "/etc/localtime:/etc/localtime:ro"]
        """,
        ["devices: service media"],
    ),
    "a tunnel": (
        """
        services:
          wireguard:
            image: linuxserver/wireguard:1.0
            cap_add: [NET_ADMIN]
            sysctls: {net.ipv4.conf.all.src_valid_mark: 1}
            volumes: ["./config:/config"]
          app: {image: nginx, network_mode: "service:wireguard"}
        """,
        ["cap-add: service wireguard", "sysctl: service wireguard"],
    ),
}


@pytest.mark.parametrize("repository", REPOSITORIES, ids=lambda path: path.name)
def test_the_sample_and_the_examples_need_no_waiver(repository: Path) -> None:
    tree = tree_of(repository)
    state = load(tree)
    assert state.environments
    for environment in state.environments:
        model = RENDERER.render(render_input(tree, environment)).model
        others = tuple(e.compose_project for e in state.environments if e is not environment)
        found = discoveries(model, Surroundings(environment.compose_project, others, ("/var/run/docker.sock",)))
        assert [each.text for each in found if each.check.severity is Severity.DENY] == []


@pytest.mark.parametrize("name", STACKS)
def test_a_well_known_stack_is_denied_only_what_reaches_out(name: str) -> None:
    compose, expected = STACKS[name]
    environment, model = rendered(one_environment(compose))
    found = discoveries(model.model, Surroundings(environment.compose_project))
    denied = sorted(f"{each.check.name}: {each.subject}" for each in found if each.check.severity is Severity.DENY)
    assert denied == expected
