"""A reconciliation with nothing new: what it asks nobody, and what it reads once. Git and the database are real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.control import pipeline, planning, remembering
from reconciler.control.parts import Parts
from reconciler.model.errors import InvalidInput, NotAllowed, UntrustedHistory
from reconciler.model.revision import FileKind, Tree, TreeFile
from reconciler.model.target import EnvironmentName
from reconciler.ports import TrustRecord
from reconciler.storage import Database
from tests.git_remotes import Remote
from tests.unit.control.plane import NOW, REPOSITORY_ID, ToldForge, parts_of

SHOP = {
    "reconciler.yaml": "format: 1\ndeploy_branch: main\n",
    "principals.yaml": "people: {author: {github: 1001}}\n",
    "policy.yaml": "rules: []\n",
    "hosts/web-1.yaml": "address: 192.0.2.1\nuser: r\ntiers: [production]\nhost_key: ssh-ed25519 "
    "AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW\n",
    "projects/shop/production/compose.yaml": "services: {web: {image: 'demo:1'}}\n",
    "projects/shop/production/environment.yaml": "hosts: [web-1]\ntier: production\ncompose: [compose.yaml]\n",
}
GONE = EnvironmentName("shop", "gone")


@dataclass(slots=True)
class AnotherForge(ToldForge):
    """Shows another repository under the name."""

    def repository_id(self) -> int:
        return REPOSITORY_ID + 1


@dataclass(slots=True)
class DownForge(ToldForge):
    """Must not be asked."""

    def repository_id(self) -> int:
        raise AssertionError("the forge was asked")


def verified_at_the_tip(database: Database, remote: Remote, tmp_path: Path, forge: ToldForge) -> Parts:
    mirror = remote.mirror(tmp_path / "mirror.git")
    parts = parts_of(database, mirror, forge=forge)
    tip = mirror.branch_head("main")
    parts.states.set_trust(TrustRecord(repository=REPOSITORY_ID, revision=tip, roots=(), created_at=NOW))
    remembering.verified(parts, GONE, tip)
    return parts


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    made = Remote.make(tmp_path / "remote.git")
    made.commit(SHOP)
    return made


def test_at_the_tip_a_forge_that_is_down_is_not_missed(database: Database, remote: Remote, tmp_path: Path) -> None:
    parts = verified_at_the_tip(database, remote, tmp_path, DownForge())
    assert pipeline.reconcile(parts, GONE).record.hold is None


def test_what_landed_is_looked_at_only_in_the_repository_that_is_trusted(
    database: Database, remote: Remote, tmp_path: Path
) -> None:
    parts = verified_at_the_tip(database, remote, tmp_path, AnotherForge())
    remote.commit({"README.md": "new\n"})
    parts.source.fetch()
    for _ in range(2):
        with pytest.raises(UntrustedHistory, match=r"gate 43"):
            pipeline.reconcile(parts, GONE)
    assert len(parts.ledger.find("untrusted", f"repository/{REPOSITORY_ID}")) == 1


def test_nothing_is_reconciled_before_something_is_trusted(database: Database, remote: Remote, tmp_path: Path) -> None:
    parts = parts_of(database, remote.mirror(tmp_path / "mirror.git"), forge=DownForge())
    with pytest.raises(NotAllowed, match="nothing is trusted yet"):
        pipeline.reconcile(parts, GONE)


def tree(oid: str, **changed: str) -> Tree:
    files = SHOP | {name.replace("__", "/") + ".yaml": text for name, text in changed.items()}
    return Tree(oid, {path: TreeFile(FileKind.FILE, text.encode()) for path, text in files.items()})


def test_the_same_tree_is_loaded_once() -> None:
    assert planning.snapshot(tree("1" * 40)) is planning.snapshot(tree("1" * 40))


def test_another_tree_is_never_taken_for_one_that_was_loaded() -> None:
    planning.snapshot(tree("2" * 40))
    with pytest.raises(InvalidInput):
        planning.snapshot(tree("2" * 40, policy="rulse: []\n"))


def test_a_working_tree_is_loaded_each_time() -> None:
    assert planning.snapshot(tree("")) is not planning.snapshot(tree(""))
