"""A whole product on real parts for one scenario: hosts, forge, control plane in this process, people and agents."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.bootstrap import open_parts
from reconciler.control import once, queries
from reconciler.control.parts import Parts
from reconciler.demo.actor import Actor
from reconciler.demo.world import HostParts, World
from reconciler.model.target import EnvironmentName

PRODUCTION = EnvironmentName("app", "production")
SPARE = EnvironmentName("app", "spare")

FILES = {
    "reconciler.yaml": """\
        format: 1
        deploy_branch: main
        defaults:
          drift: report
          health: {timeout: 20s, stable_for: 1s}
        """,
    "principals.yaml": """\
        people:
          author: {github: 1001, groups: [developers]}
          reviewer: {github: 1002, groups: [operators]}
          operator: {github: 1005, groups: [operators, sre]}
          keeper: {github: 1006, groups: [sre]}
        agents:
          deployer: {github: 1003, owner: author, scopes: [status:read, change:propose], targets: ["app/*"]}
        """,
    "policy.yaml": """\
        rules:
          - id: production-needs-one
            effect: require
            actions: [deploy, rollback]
            need: {approvals: 1, from_group: operators}
          - id: rules-need-one
            effect: require
            actions: [change_policy, change_host]
            need: {approvals: 1, from_group: operators}
        """,
    "hosts/web-1.yaml": """\
        address: 127.0.0.1
        user: reconciler
        host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW
        tiers: [production]
        """,
    "hosts/web-2.yaml": """\
        address: 127.0.0.1
        user: reconciler
        host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW
        tiers: [production]
        """,
    "projects/app/compose.yaml": """\
        services:
          web:
            image: reconciler/sample:1.0
            command: [httpd, -f, -p, "8080", -h, /www]
            environment: {GREETING: "${GREETING}"}
            restart: unless-stopped
            stop_grace_period: 1s
            volumes: ["./www:/www:ro"]
            networks: [front]
          worker:
            image: reconciler/sample:1.0
            command: [sleep, "100000"]
            stop_grace_period: 1s
            networks: [front]
        networks:
          front: {}
        """,
    "projects/app/www/index.html": """\
        hello
        """,
    "projects/app/production/environment.yaml": """\
        hosts: [web-1]
        tier: production
        compose: [../compose.yaml]
        variables: {GREETING: "first"}
        consent_delay: 0s
        """,
    "projects/app/spare/environment.yaml": """\
        hosts: [web-2]
        tier: production
        compose: [../compose.yaml]
        variables: {GREETING: "spare"}
        consent_delay: 0s
        """,
}


def write_files(directory: Path, files: dict[str, str]) -> None:
    """Write files given as indented text."""
    for path, text in files.items():
        lines = text.rstrip().split("\n")
        indent = len(lines[0]) - len(lines[0].lstrip())
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(line[indent:] for line in lines) + "\n")


def greet(text: str, environment: str = "production") -> Callable[[Path], None]:
    """An edit: another greeting in one environment."""

    def edit(clone: Path) -> None:
        file = clone / f"projects/app/{environment}/environment.yaml"
        lines = [
            f'variables: {{GREETING: "{text}"}}' if line.startswith("variables:") else line
            for line in file.read_text().splitlines()
        ]
        file.write_text("\n".join(lines) + "\n")

    return edit


def replace(path: str, before: str, after: str) -> Callable[[Path], None]:
    """An edit: one text for another in one file; the text must be there."""

    def edit(clone: Path) -> None:
        text = (clone / path).read_text()
        assert before in text, f"{path} does not hold {before!r}"
        (clone / path).write_text(text.replace(before, after))

    return edit


@dataclass
class Stage:
    """The control plane of a scenario. `run` does everything that is due, once, and gives the report."""

    world: World
    parts: Parts
    baseline: str
    people: dict[str, Actor]
    stack: ExitStack

    def __getattr__(self, name: str) -> Actor:
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None

    def run(self) -> dict[str, Any]:
        return once.everything(self.parts)

    def restart(self) -> None:
        """End the control plane and open it again, as after a crash: only database, hosts and forge remain."""
        self.stack.close()
        self.parts = self.stack.enter_context(open_parts(self.world.config))

    def status(self, name: EnvironmentName = PRODUCTION) -> dict[str, Any]:
        record = self.parts.states.environment(name)
        assert record is not None, f"nothing is known of {name}"
        return queries.environment_data(record)

    def deployments(self, name: EnvironmentName = PRODUCTION) -> list[dict[str, Any]]:
        """Newest first."""
        return queries.deployments(self.parts, name, 100)

    def gate(self, number: int) -> dict[str, Any]:
        """The gate's answer on an open pull request, made now; {"outcome": "open"} when it is open."""
        answer: dict[str, Any] = queries.plan_pull_request(self.parts, number).data["gate"]
        return answer

    def plan_digest(self, number: int) -> str:
        """The digest of production's plan as it was posted last on a pull request."""
        entry = self.parts.ledger.latest("plan-posted", f"pull-request/{number}")
        assert entry is not None, f"no plan was posted on {number}"
        return str(json.loads(entry.body)["data"]["digests"]["app/production@web-1"])

    def rules(self, number: int) -> list[int]:
        """The numbers with which the gate refuses a pull request now."""
        return [reason["rule"] for reason in self.gate(number).get("reasons", [])]

    def host(self, name: str = "web-1") -> HostParts:
        return self.world.hosts[name]

    def containers(self, name: EnvironmentName = PRODUCTION) -> dict[str, str]:
        """Container name to id, of one environment of one host."""
        host = "web-1" if name == PRODUCTION else "web-2"
        return self.host(host).containers(f"{name.project}-{name.environment}")

    def greeting(self, name: EnvironmentName = PRODUCTION) -> str:
        """What the running web container of an environment has in its environment."""
        host = "web-1" if name == PRODUCTION else "web-2"
        inspected = self.host(host).ask("GET", f"/containers/{name.project}-{name.environment}-web-1/json")
        values = dict(value.split("=", 1) for value in inspected["Config"]["Env"])
        return str(values["GREETING"])

    def later(self) -> None:
        """The forge's clock has moved on: forges count in whole seconds."""
        time.sleep(1.1)

    def approve(self, number: int, who: str = "reviewer") -> dict[str, Any]:
        """An approving review, a second after the plan."""
        self.later()
        return self.people[who].review(number)

    def propose_and_approve(self, edit: Callable[[Path], None], branch: str = "agent/change") -> int:
        """A pull request of the agent, planned, approved by the reviewer, open in the gate; not merged."""
        number: int = self.deployer.propose(branch, f"Change by {branch}", edit)["number"]
        self.run()
        self.approve(number)
        self.run()
        assert self.gate(number) == {"outcome": "open"}
        return number

    def land(self, edit: Callable[[Path], None], branch: str = "agent/change", method: str = "merge") -> str:
        """Propose, approve, merge; the merge commit. Nothing is deployed yet."""
        return self.reviewer.merge(self.propose_and_approve(edit, branch), method)
