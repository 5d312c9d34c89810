"""The repository that is measured: one project of ten services in one environment on one host; written by the stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.model.target import EnvironmentName

ENVIRONMENT = EnvironmentName("benchmark", "production")
COMPOSE_PROJECT = "reconciler-benchmark"
PEER_PROJECT = "reconciler-benchmark-peer"
SERVICES = 10
# Where no host is needed: a well-formed key that no machine has.
PLACEHOLDER_HOST = {
    "address": "127.0.0.1",
    "user": "reconciler",
    "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW",
}

_RULES = {
    "reconciler.yaml": {"format": 1, "deploy_branch": "main"},
    "principals.yaml": {
        "people": {
            "author": {"github": 1001, "groups": ["developers"]},
            "reviewer": {"github": 1002, "groups": ["operators"]},
        },
        "agents": {
            "deployer": {"github": 1003, "owner": "author", "scopes": ["change:propose"], "targets": ["benchmark/*"]}
        },
    },
    "policy.yaml": {
        "rules": [
            {
                "id": "production-needs-one",
                "effect": "require",
                "actions": ["deploy", "rollback"],
                "need": {"approvals": 1, "from_group": "operators"},
            }
        ]
    },
}


def write_repository(directory: Path, host: Mapping[str, Any] = PLACEHOLDER_HOST) -> None:
    """A whole desired-state repository in a new directory; `host` is the content of its one host file."""
    project = f"projects/{ENVIRONMENT.project}"
    environment = {
        "hosts": ["web-1"],
        "tier": "production",
        "compose_project": COMPOSE_PROJECT,
        "compose": ["../compose.yaml"],
        "variables": {"GREETING": "first"},
        "consent_delay": "0s",
        # `docker-compose up -d` does not wait to see whether a service stays up, so neither do we here.
        "health": {"timeout": "60s", "stable_for": "0s"},
    }
    written = {
        **_RULES,
        "hosts/web-1.yaml": {**host, "tiers": ["production"]},
        f"{project}/{ENVIRONMENT.environment}/environment.yaml": environment,
    }
    for name, content in written.items():
        _write(directory / name, json.dumps(content, indent=2) + "\n")  # JSON is YAML
    write_compose(directory / project)


def write_compose(directory: Path) -> None:
    """The ten services as an ordinary Compose project, which takes GREETING from its surroundings."""
    services: dict[str, Any] = {
        "web": _service(["httpd", "-f", "-p", "8080", "-h", "/www"], {"GREETING": "${GREETING}"})
        | {"volumes": ["./www:/www:ro"]}
    }
    for number in range(1, SERVICES):
        services[f"worker-{number}"] = _service(["sleep", "1000000"], {"QUEUE": f"queue-{number}", "LEVEL": "info"})
    _write(directory / "compose.yaml", json.dumps({"services": services, "networks": {"front": {}}}, indent=2) + "\n")
    _write(directory / "www/index.html", "hello\n")


def greet(text: str, clone: Path) -> None:
    """The change of one service: another value of GREETING in the environment."""
    file = clone / f"projects/{ENVIRONMENT.project}/{ENVIRONMENT.environment}/environment.yaml"
    environment = json.loads(file.read_text())
    environment["variables"]["GREETING"] = text
    file.write_text(json.dumps(environment, indent=2) + "\n")


def _service(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        "image": "reconciler/sample:1.0",
        "command": command,
        "environment": dict(environment),
        "labels": {"org.example.team": "benchmark"},
        "restart": "unless-stopped",
        "networks": ["front"],
    }


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
