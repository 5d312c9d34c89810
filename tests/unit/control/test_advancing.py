"""Where an environment's way along the deploy branch begins. Git and the database are real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.control import advancing, remembering
from reconciler.control.parts import Parts
from reconciler.model.target import EnvironmentName
from reconciler.ports import TrustRecord
from reconciler.storage import Database
from tests.git_remotes import Remote
from tests.unit.control.plane import NOW, REPOSITORY_ID, parts_of
from tests.unit.control.test_nothing_to_do import SHOP

PRODUCTION, NEW = EnvironmentName("shop", "production"), EnvironmentName("shop", "new")
ADDED = {
    "projects/shop/new/compose.yaml": "services: {web: {image: 'demo:1'}}\n",
    "projects/shop/new/environment.yaml": "hosts: [web-1]\ntier: production\ncompose: [compose.yaml]\n",
}


@dataclass(slots=True)
class Line:
    """A deploy branch: what is trusted, a change of the rules, a new environment, something after it."""

    parts: Parts
    trust: TrustRecord
    rules: str
    added: str
    after: str

    def verified(self, name: EnvironmentName, revision: str) -> None:
        remembering.verified(self.parts, name, revision)

    def begins(self, name: EnvironmentName, tip: str | None = None) -> str:
        return advancing.beginning(self.parts, self.trust, name, tip or self.after)


@pytest.fixture
def line(database: Database, tmp_path: Path) -> Line:
    remote = Remote.make(tmp_path / "remote.git")
    first = remote.commit(SHOP)
    rules = remote.commit({"policy.yaml": "rules:\n  - {id: no, effect: deny, actions: [restore]}\n"}, first)
    added = remote.commit(ADDED, rules)
    after = remote.commit({"README.md": "new\n"}, added)
    parts = parts_of(database, remote.mirror(tmp_path / "mirror.git"))
    trust = TrustRecord(repository=REPOSITORY_ID, revision=first, roots=(), created_at=NOW)
    return Line(parts, trust, rules, added, after)


def test_a_new_environment_begins_where_others_have_come_to_without_it(line: Line) -> None:
    assert line.begins(NEW) == line.trust.revision, "nobody has come any further"
    line.verified(PRODUCTION, line.rules)
    assert line.begins(NEW) == line.rules
    line.verified(EnvironmentName("shop", "another"), line.trust.revision)
    assert line.begins(NEW) == line.rules, "the newest counts, in whichever order they are read"


def test_a_landing_that_brings_the_environment_is_never_passed_over(line: Line) -> None:
    for revision in (line.added, line.after):
        line.verified(PRODUCTION, revision)
        assert line.begins(NEW) == line.trust.revision


def test_an_environment_that_root_persons_pinned_begins_there(line: Line) -> None:
    line.verified(NEW, line.rules)
    assert line.begins(PRODUCTION) == line.trust.revision


def test_a_revision_that_the_branch_does_not_hold_counts_for_nothing(line: Line) -> None:
    line.verified(PRODUCTION, line.rules)
    assert line.begins(NEW, tip=line.trust.revision) == line.trust.revision
    line.verified(PRODUCTION, "0" * 39 + "1")
    assert line.begins(NEW) == line.trust.revision
