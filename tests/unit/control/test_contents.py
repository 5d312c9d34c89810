"""What control hands to the policy about a change's contents. Git and Compose are real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.compose.rendering import SandboxRenderer
from reconciler.control import changes, evidence
from reconciler.control.changes import Kind
from reconciler.control.parts import Parts
from reconciler.control.planning import snapshot
from reconciler.model.deployment import DeploymentKind
from reconciler.model.verdict import Verdict
from reconciler.storage import Database
from tests.git_remotes import Content, Remote
from tests.unit.control.plane import a_pull, a_reading, parts_of
from tests.unit.control.test_nothing_to_do import SHOP

RENDERER = SandboxRenderer(None)
COMPOSE, ENVIRONMENT = "projects/shop/production/compose.yaml", "projects/shop/production/environment.yaml"
SOCKET = "services: {web: {image: 'demo:1', volumes: ['/var/run/docker.sock:/s:ro']}}\n"
BLOG = {
    "projects/blog/production/compose.yaml": "services: {web: {image: 'demo:1'}, db: {image: 'demo:1'}}\n",
    "projects/blog/production/environment.yaml": "hosts: [web-1]\ntier: production\ncompose: [compose.yaml]\n",
}


@dataclass(slots=True)
class Repository:
    """A deploy branch that can be proposed to."""

    parts: Parts
    remote: Remote
    base: str

    def accept(self, files: Mapping[str, Content]) -> None:
        self.base = self.remote.commit(files, self.base)
        self.parts.source.fetch()

    def verdict(self, files: Mapping[str, Content]) -> Verdict:
        """What the rules at the base say of a change that writes these files."""
        head = self.remote.commit(files, self.base, ref="refs/heads/agent/change")
        self.parts.source.fetch()
        before = snapshot(self.parts.source.tree(self.base))
        change = changes.between(self.parts, before, self.parts.source.tree(head))
        kind, reading = Kind(DeploymentKind.CHANGE), a_reading(a_pull(1, head))
        (rules,) = evidence.judge(self.parts, change, (), change.targets, kind, reading, None, {"the base": before})
        return rules.verdict

    def denied(self, files: Mapping[str, Content]) -> list[str]:
        return [finding.rule for finding in self.verdict(files).denied]


@pytest.fixture
def repository(database: Database, tmp_path: Path) -> Repository:
    remote = Remote.make(tmp_path / "remote.git")
    base = remote.commit({**SHOP, **BLOG})
    return Repository(parts_of(database, remote.mirror(tmp_path / "mirror.git"), renderer=RENDERER), remote, base)


def line_of(verdict: Verdict) -> str:
    (finding,) = verdict.denied
    assert finding.digest is not None
    return f'waivers:\n  - {{finding: {finding.digest[:32]}, why: "it reads labels"}}\n'


def test_a_waiver_counts_once_the_base_has_it_and_not_before(repository: Repository) -> None:
    waiver = line_of(repository.verdict({COMPOSE: SOCKET}))
    waived = {ENVIRONMENT: str(SHOP[ENVIRONMENT]) + waiver}
    assert "socket-bind" in repository.denied({COMPOSE: SOCKET, **waived})
    repository.accept(waived)
    assert repository.denied({COMPOSE: SOCKET}) == []
    writing = SOCKET.replace(":ro", "")
    assert repository.denied({COMPOSE: writing}) == ["socket-bind"]


def test_a_new_environment_brings_none(repository: Repository) -> None:
    place = "projects/shop/new/"
    new = {f"{place}compose.yaml": SHOP[COMPOSE], f"{place}environment.yaml": SHOP[ENVIRONMENT]}
    assert repository.denied(new) == []
    waiver = f"waivers: [{{finding: {'ab' * 16}, why: for later}}]\n"
    assert repository.denied({**new, f"{place}environment.yaml": SHOP[ENVIRONMENT] + waiver}) == ["new-waivers"]


def test_the_socket_and_the_directory_that_a_host_file_names_are_the_hosts_own(repository: Repository) -> None:
    def mounts(path: str) -> dict[str, Content]:
        return {COMPOSE: SOCKET.replace("/var/run/docker.sock", path)}

    host = str(SHOP["hosts/web-1.yaml"])
    assert repository.denied(mounts("/srv/engine")) == []
    moved = {"hosts/web-1.yaml": host + "socket: /srv/engine/api\ndirectory: /srv/ours\n"}
    assert "host-path-bind" in repository.denied({**mounts("/srv/engine"), **moved}), "as the change leaves it"
    repository.accept(moved)
    assert repository.denied(mounts("/srv/ours/data/blog")) == ["host-path-bind"]
    assert "host-path-bind" in repository.denied({**mounts("/srv/ours/data"), "hosts/web-1.yaml": host}), "as it was"


def test_a_mount_inside_what_another_environment_writes_to_is_seen_from_both_sides(repository: Repository) -> None:
    inside = {COMPOSE: SOCKET.replace("/var/run/docker.sock", "/srv/data/conf")}
    blog = "projects/blog/production/compose.yaml"
    around: dict[str, Content] = {blog: "services: {web: {image: 'demo:1', volumes: ['/srv/data:/d']}}\n"}
    assert repository.denied(inside) == repository.denied(around) == []
    assert "nested-bind" in repository.denied({**inside, **around})
    before = repository.base
    repository.accept(inside)
    assert repository.denied(around) == ["nested-bind"]
    assert repository.denied({blog: str(around[blog]).replace(":/d", ":/d:ro")}) == []
    repository.base = before
    repository.accept(around)
    assert repository.denied(inside) == ["nested-bind"]


def test_leave_to_lie_inside_what_one_service_writes_to_is_none_for_the_next(repository: Repository) -> None:
    """Who may write around a mount decides where it leads; another one who may is another finding."""
    own = "services: {{web: {{image: 'demo:1', volumes: ['/srv/data/conf:/c:ro']}}, {} }}\n"
    backup = "backup: {image: 'backup:1', volumes: ['/srv/data:/d']}"
    stranger = "stranger: {image: 'stranger:1', volumes: ['/srv/data:/d']}"
    allowed: dict[str, Content] = {COMPOSE: own.format(backup)}
    verdict = repository.verdict(allowed)
    assert [finding.rule for finding in verdict.denied] == ["nested-bind"]
    repository.accept({ENVIRONMENT: str(SHOP[ENVIRONMENT]) + line_of(verdict)})
    assert repository.denied(allowed) == []
    assert repository.denied({COMPOSE: own.format(stranger)}) == ["nested-bind"]
    assert repository.denied({COMPOSE: own.format(f"{backup}, {stranger}")}) == ["nested-bind"]


def test_a_name_of_another_environment_is_taken(repository: Repository) -> None:
    named = "services: {web: {image: 'demo:1', container_name: blog-production-web-1}}\n"
    assert repository.denied({COMPOSE: named}) == ["taken-name"]


def test_most_of_everything_gone_is_counted_over_all_environments(repository: Repository) -> None:
    many = "services: {" + ", ".join(f"s{n}: {{image: 'demo:1'}}" for n in range(6)) + "}\n"
    repository.accept({COMPOSE: many})
    gone: dict[str, Content] = {COMPOSE: None, ENVIRONMENT: None}
    verdict = repository.verdict(gone)
    assert [(finding.rule, finding.gate) for finding in verdict.denied] == [("mass-removal", 84)]
    assert "removes 6 of 8 services of the repository (75 %)" in verdict.denied[0].text
    repository.accept({ENVIRONMENT: str(SHOP[ENVIRONMENT]) + line_of(verdict)})
    assert repository.denied(gone) == []


def test_services_that_are_scaled_to_nothing_are_gone_as_well(repository: Repository) -> None:
    def services(scale: str) -> dict[str, Content]:
        named = ", ".join(f"s{n}: {{image: 'demo:1'{scale}}}" for n in range(6))
        return {COMPOSE: f"services: {{{named}}}\n"}

    repository.accept(services(""))
    assert repository.denied(services(", scale: 0")) == ["mass-removal"]
    assert repository.denied(services(", deploy: {replicas: 0}")) == ["mass-removal"]
    assert repository.denied(services(", deploy: {replicas: 2}")) == []


def test_what_a_diff_does_not_show_is_told(repository: Repository) -> None:
    files: dict[str, Content] = {
        COMPOSE: "services: {web: {image: 'demo:1', volumes: ['../www:/www:ro']}}\n",
        "projects/shop/www/logo.png": b"\x89PNG\r\n\x1a\n\x00",
        "projects/shop/www/app.js": "x" * 5000,
    }
    texts = [finding.text for finding in repository.verdict(files).findings if finding.gate == 77]
    assert texts == [
        "1 changed file of which a diff shows nothing; look at what they hold: projects/shop/www/logo.png",
        "1 changed file with lines of more than 2000 characters, whose end a diff hides: projects/shop/www/app.js",
    ]
