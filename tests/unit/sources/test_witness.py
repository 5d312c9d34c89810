"""A witness repository: forward only, each checkpoint once, and what was rewritten there is noticed. Git is real."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pygit2
import pytest

from reconciler.model.checkpoint import Checkpoint, SignedCheckpoint
from reconciler.model.errors import InvalidInput, Retryable, VerificationFailed
from reconciler.sources.witness import GitWitness

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORIGIN = "reconciler/77"


def signed(size: int, root: str = "a", origin: str = ORIGIN) -> SignedCheckpoint:
    text = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
    return SignedCheckpoint(Checkpoint(origin, size, root * 64), text)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    pygit2.init_repository(tmp_path / "remote.git", bare=True, initial_head="main")
    return tmp_path / "remote.git"


def witness(remote: Path, name: str = "ours") -> GitWitness:
    return GitWitness(remote.parent / name, str(remote))


def history(remote: Path) -> list[str]:
    repository = pygit2.Repository(str(remote))
    tip = repository.references["refs/heads/main"].target
    return [commit.message.splitlines()[0] for commit in repository.walk(tip)][::-1]


def test_each_publication_is_a_commit_and_each_checkpoint_a_file(remote: Path) -> None:
    ours = witness(remote)
    assert ours.newest(ORIGIN) is None
    ours.publish([signed(3), signed(5)], NOW)
    ours.publish([signed(12_345)], NOW)
    assert history(remote) == [f"Checkpoint of {size} entries of {ORIGIN}" for size in (5, 12_345)]
    assert ours.newest(ORIGIN) == signed(12_345)
    assert ours.newest("reconciler/7") is None
    assert ours.checkpoints(ORIGIN) == (signed(3), signed(5), signed(12_345))
    repository = pygit2.Repository(str(remote))
    blob = repository.revparse_single(f"main:{ORIGIN}/{12:015d}/{12_345:018d}")
    assert isinstance(blob, pygit2.Blob)
    assert blob.data.decode() == signed(12_345).text


def test_what_is_there_already_is_not_published_again(remote: Path) -> None:
    ours = witness(remote)
    for _ in range(2):
        ours.publish([signed(3)], NOW)
    assert len(history(remote)) == 1


def test_two_installations_share_one_witness(remote: Path) -> None:
    ours, theirs = witness(remote), witness(remote, "theirs")
    ours.publish([signed(3)], NOW)
    theirs.publish([signed(4, origin="reconciler/78")], NOW)
    ours.publish([signed(5)], NOW)
    assert ours.checkpoints(ORIGIN) == (signed(3), signed(5))
    assert len(ours.checkpoints()) == 3


def test_another_checkpoint_of_the_same_size_is_a_fork_and_shows(remote: Path) -> None:
    witness(remote).publish([signed(3)], NOW)
    with pytest.raises(VerificationFailed, match="another checkpoint of 3"):
        witness(remote, "theirs").publish([signed(3, "b")], NOW)
    assert witness(remote).checkpoints(ORIGIN) == (signed(3),)


@pytest.mark.parametrize("how", ["rewritten", "emptied", "shortened"])
def test_a_witness_whose_history_was_rewritten_shows(remote: Path, how: str) -> None:
    ours = witness(remote)
    ours.publish([signed(3)], NOW)
    ours.publish([signed(5)], NOW)
    repository = pygit2.Repository(str(remote))
    tip = repository.references["refs/heads/main"].target
    repository.references.delete("refs/heads/main")
    if how == "shortened":
        parent = repository[tip].peel(pygit2.Commit).parents[0].id
        repository.references.create("refs/heads/main", parent)
    if how == "rewritten":
        witness(remote, "theirs").publish([signed(3, "b")], NOW)
    for attempt in (lambda: ours.checkpoints(ORIGIN), lambda: ours.publish([signed(9)], NOW)):
        with pytest.raises(VerificationFailed, match=r"witness was (emptied|rewritten)"):
            attempt()


def test_a_file_that_is_no_checkpoint_shows(remote: Path) -> None:
    ours = witness(remote)
    ours.publish([signed(3)], NOW)
    repository = pygit2.Repository(str(remote))
    tip = repository.references["refs/heads/main"].target
    index = pygit2.Index()
    index.read_tree(repository[tip].peel(pygit2.Tree))
    blob = repository.create_blob(b"nothing")
    index.add(pygit2.IndexEntry(f"{ORIGIN}/{0:015d}/{3:018d}", blob, pygit2.enums.FileMode.BLOB))
    who = pygit2.Signature("x", "x@example.test", 1, 0)
    repository.create_commit("refs/heads/main", who, who, "x", index.write_tree(repository), [tip])
    with pytest.raises(VerificationFailed, match="the witness's checkpoint 3 is no checkpoint"):
        ours.checkpoints(ORIGIN)


@pytest.mark.parametrize("name", ["9" * 200, "\u0663", "\u00b2", "-3", "3.json"])
def test_a_file_whose_name_is_no_number_is_passed_over(remote: Path, name: str) -> None:
    ours = witness(remote)
    ours.publish([signed(3)], NOW)
    repository = pygit2.Repository(str(remote))
    tip = repository.references["refs/heads/main"].target
    index = pygit2.Index()
    index.read_tree(repository[tip].peel(pygit2.Tree))
    index.add(pygit2.IndexEntry(f"{ORIGIN}/{name}", repository.create_blob(b"x"), pygit2.enums.FileMode.BLOB))
    who = pygit2.Signature("x", "x@example.test", 1, 0)
    repository.create_commit("refs/heads/main", who, who, "x", index.write_tree(repository), [tip])
    assert ours.checkpoints(ORIGIN) == (signed(3),)


def test_a_tree_that_git_cannot_read_shows(remote: Path) -> None:
    ours = witness(remote)
    ours.publish([signed(3)], NOW)
    kept = pygit2.Repository(str(remote.parent / "ours"))
    oid = kept.odb.write(2, b"100644 reconciler\0" + b"\7" * 19)
    person = b"A <a@example.test> 1 +0000"
    commit = kept.odb.write(1, b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (str(oid).encode(), person, person))
    kept.references.create("refs/heads/main", commit, force=True)
    with pytest.raises(VerificationFailed, match="what git cannot read"):
        ours.newest(ORIGIN)


def test_a_witness_that_cannot_be_reached_is_tried_again(remote: Path) -> None:
    ours = witness(remote)
    hidden = remote.rename(remote.with_name("hidden"))
    with pytest.raises(Retryable):
        ours.publish([signed(3)], NOW)
    with pytest.raises(Retryable):
        ours.checkpoints(ORIGIN)
    assert ours.newest(ORIGIN) is None
    hidden.rename(remote)
    ours.publish([signed(3)], NOW)
    assert ours.newest(ORIGIN) == signed(3)


def test_a_push_that_is_refused_is_tried_again_and_is_not_taken_for_done(remote: Path) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    ours = witness(remote)
    with pytest.raises(Retryable, match="did not take"):
        ours.publish([signed(3)], NOW)
    assert ours.newest(ORIGIN) is None


def test_what_is_no_url_is_refused_by_its_name_in_the_settings(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ledger\.witness\.url"):
        GitWitness(tmp_path / "ours", "ext::sh -c id")


def test_the_deploy_key_and_the_known_hosts_are_all_that_ssh_is_told(tmp_path: Path) -> None:
    """The command that git runs is a real one; here it writes down what it was told."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "ssh").write_text(f"#!/bin/sh\necho \"$@\" > '{tmp_path}/told'\nexit 1\n")
    (tools / "ssh").chmod(0o755)
    pygit2.init_repository(tmp_path / "ours", bare=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tools}:/usr/bin:/bin")
        ours = GitWitness(tmp_path / "ours", "git@forge.test:w.git", tmp_path / "a key", tmp_path / "hosts")
        with pytest.raises(Retryable):
            ours.checkpoints(ORIGIN)
    told = (tmp_path / "told").read_text()
    for expected in (f"-i {tmp_path}/a key", f"UserKnownHostsFile={tmp_path}/hosts", "StrictHostKeyChecking=yes"):
        assert expected in told
