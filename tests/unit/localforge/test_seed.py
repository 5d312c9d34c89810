"""Reading and applying the seed file."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.localforge.forge import Forge
from reconciler.localforge.records import Collaborator, Hook, Repository, Token, User
from reconciler.localforge.seed import Seed, apply_seed, load_seed
from reconciler.localforge.server import close_forge, open_forge
from reconciler.model.errors import InvalidInput

SEED = """
users:
  - {login: author, id: 1001, type: User, email: author@example.test, tokens: [{value: token-author, scopes: [repo]}]}
  - {login: deployer, id: 1003, type: Bot, tokens: [{value: token-agent, scopes: [repo], branches: ["agent/*"]}]}
repositories:
  - {name: acme/infra, default_branch: main, from: ./desired_state, collaborators: {author: write, deployer: write}}
webhooks:
  - {repository: acme/infra, url: "http://127.0.0.1:8080/hooks/github", secret: s3cret, events: [pull_request, push]}
"""


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    (tmp_path / "desired_state" / "bin").mkdir(parents=True)
    script = tmp_path / "desired_state" / "bin" / "run"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    file = tmp_path / "seed.yaml"
    file.write_text(SEED)
    return file


def _state(forge: Forge) -> list[object]:
    """All records without their ids, which grow."""
    found: list[object] = []
    for kind in (User, Repository, Collaborator, Hook):
        found += [str(one).split("id=", 1)[1].split(", ", 1)[1] for one in forge.database.all(kind)]
    return found


def test_applying_a_seed_twice_is_harmless(seed_file: Path, tmp_path: Path) -> None:
    forge = open_forge(tmp_path / "data", "http://forge.test")
    seed = load_seed(seed_file)
    apply_seed(forge, seed)
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    before, tip = len(_state(forge)), forge.git(repository).branch("main")
    apply_seed(forge, seed)
    assert (len(_state(forge)), forge.git(repository).branch("main")) == (before, tip)
    assert len(forge.database.all(Token)) == 2
    close_forge(forge)


def test_the_files_of_the_directory_are_the_first_commit(seed_file: Path, tmp_path: Path) -> None:
    forge = open_forge(tmp_path / "data", "http://forge.test")
    apply_seed(forge, load_seed(seed_file))
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    git = forge.git(repository)
    commit = git.resolve("main")
    assert list(commit.parents) == []
    assert int(commit.tree["bin/run"].filemode) == 0o100755
    close_forge(forge)


def test_a_directory_that_is_not_beside_the_seed_is_looked_for_where_one_is(
    seed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "nowhere").mkdir()
    moved = seed_file.rename(tmp_path / "elsewhere/seed.yaml")
    monkeypatch.chdir(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match=r"elsewhere/desired_state, and neither is .* is no directory"):
        load_seed(moved)
    monkeypatch.chdir(tmp_path)
    assert load_seed(moved).repositories[0].source == tmp_path / "desired_state"


def test_what_left_the_seed_is_no_longer_valid(seed_file: Path, tmp_path: Path) -> None:
    forge = open_forge(tmp_path / "data", "http://forge.test")
    apply_seed(forge, load_seed(seed_file))
    seed_file.write_text(SEED.replace("token-agent", "another-token").replace(", deployer: write", ""))
    apply_seed(forge, load_seed(seed_file))
    assert len(forge.database.all(Token)) == 2
    assert len(forge.database.all(Collaborator)) == 1
    close_forge(forge)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("login: author", "logn: author", "logn"),
        ("id: 1001", "id: 1003", "each id may be there only once"),
        ("scopes: [repo]}]", "scopes: [everything]}]", "scopes"),
        ("type: Bot", "type: Robot", "type"),
        ("{author: write", "{somebody: write", "somebody is not among the users"),
        ("repository: acme/infra", "repository: acme/other", "acme/other is not among the repositories"),
        ("from: ./desired_state", "from: ./nothing", "nothing is no directory"),
        ("acme/infra, default", "acme/../infra, default", "name"),
        ("default_branch: main", "default_branch: ../main", "default_branch"),
        ("author: write", "author: king", "collaborators"),
        ('"http://127.0.0.1:8080/hooks/github"', '"file:///etc/passwd"', "url"),
    ],
)
def test_a_mistake_is_named(seed_file: Path, old: str, new: str, message: str) -> None:
    assert old in SEED
    seed_file.write_text(SEED.replace(old, new, 1))
    with pytest.raises(InvalidInput, match=message) as raised:
        load_seed(seed_file)
    assert "token-a" not in str(raised.value)
    assert str(seed_file) in str(raised.value)


@pytest.mark.parametrize("text", ["[", "- a", "users: 5", ""])
def test_what_is_no_seed_at_all_is_refused(seed_file: Path, text: str) -> None:
    seed_file.write_text(text)
    with pytest.raises(InvalidInput):
        load_seed(seed_file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"seed.yaml: the seed cannot be read"):
        load_seed(tmp_path / "seed.yaml")


def test_tokens_do_not_show_in_a_printed_seed(seed_file: Path) -> None:
    seed = load_seed(seed_file)
    assert isinstance(seed, Seed)
    assert "token-author" not in repr(seed)
    assert "s3cret" not in repr(seed)
