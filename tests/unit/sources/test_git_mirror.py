"""What the mirror does beside the contract: limits, and everything that must not change what it does."""

from __future__ import annotations

import random
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import pygit2
import pytest

from reconciler.model.errors import InvalidInput, NotFound, UntrustedHistory
from reconciler.model.revision import CleanMerge, MergeConflict
from reconciler.sources import GitMirror
from reconciler.sources import git as git_module
from reconciler.sources.command import EMPTY_TREE
from reconciler.sources.trees import TreeLimits
from tests.git_remotes import Remote


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote.make(tmp_path / "remote.git")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (TreeLimits(files=2), "more than 2 files"),
        (TreeLimits(file_bytes=4), "deep/er/b: the file has 5 bytes, more than the limit of 4"),
        (TreeLimits(total_bytes=7), "more than 7 bytes together"),
        (TreeLimits(depth=2), "deep/er/: directories are nested too deep"),
    ],
)
def test_a_tree_beyond_a_limit_is_refused_and_says_which(
    remote: Remote, tmp_path: Path, limits: TreeLimits, said: str
) -> None:
    sha = remote.commit({"a": "1", "deep/er/b": "12345", "c": "1234"})
    with pytest.raises(InvalidInput, match=said):
        remote.mirror(tmp_path / "mirror", limits=limits).tree(sha)


def test_a_tree_at_its_limits_is_read(remote: Remote, tmp_path: Path) -> None:
    sha = remote.commit({"a": "1", "deep/er/b": "12345"})
    limits = TreeLimits(files=2, file_bytes=5, total_bytes=6, depth=3)
    assert len(remote.mirror(tmp_path / "mirror", limits=limits).tree(sha).files) == 2


def bomb(remote: Remote, leaf: str, levels: int = 40) -> str:
    """A tree of a few objects that stands for 8 to the power of `levels` directories."""
    oid, mode = leaf, 0o040000 if leaf == EMPTY_TREE else 0o100644
    for _ in range(levels):
        builder = remote.repository.TreeBuilder()
        for name in "abcdefgh":
            builder.insert(name, oid, mode)
        oid, mode = str(builder.write()), 0o040000
    return oid


@pytest.mark.parametrize("leaf", ["files", "nothing"])
def test_a_tree_that_unfolds_without_end_is_refused_and_not_walked(remote: Remote, tmp_path: Path, leaf: str) -> None:
    plain = remote.commit({"a": "1"})
    end = str(remote.repository.TreeBuilder().write()) if leaf == "nothing" else str(remote.repository.create_blob(b""))
    sha = remote.commit_tree(bomb(remote, end), plain, ref="refs/heads/agent")
    alone = remote.commit_tree(bomb(remote, end), ref="refs/heads/unrelated")
    mirror = remote.mirror(tmp_path / "mirror")
    with pytest.raises(InvalidInput, match="more than 20000"):
        mirror.tree(sha)
    with pytest.raises(InvalidInput, match="more than 80000 differing files and directories"):
        mirror.changed_paths(mirror.commit(plain).tree, mirror.commit(sha).tree)
    conflict = mirror.merge_preview(plain, alone)
    assert isinstance(conflict, MergeConflict)
    assert conflict.paths == tuple("abcdefgh")


def test_two_trees_that_are_nested_without_end_are_not_compared(remote: Remote, tmp_path: Path) -> None:
    oid, mode = str(remote.repository.create_blob(b"")), 0o100644
    for _ in range(3000):
        builder = remote.repository.TreeBuilder()
        builder.insert("d", oid, mode)
        oid, mode = str(builder.write()), 0o040000
    plain = remote.commit({"a": "1"})
    sha = remote.commit_tree(oid, plain, ref="refs/heads/agent")
    mirror = remote.mirror(tmp_path / "mirror")
    with pytest.raises(InvalidInput, match="nested too deep"):
        mirror.changed_paths(mirror.commit(plain).tree, mirror.commit(sha).tree)


def test_a_name_that_is_not_utf8_is_refused_and_shown(remote: Remote, tmp_path: Path) -> None:
    blob = remote.repository.create_blob(b"1")
    tree = remote.repository.odb.write(2, b"100644 caf\xe9\0" + blob.raw)
    first = remote.commit({"a": "1"})
    sha = remote.commit_tree(str(tree), first, ref="refs/heads/main")
    mirror = remote.mirror(tmp_path / "mirror")
    with pytest.raises(InvalidInput, match=r"caf.xe9: the file name is not UTF-8"):
        mirror.tree(sha)
    assert mirror.changed_paths(mirror.commit(first).tree, mirror.commit(sha).tree) == ("a", "caf\\xe9")


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"there"])
def test_a_name_that_leads_elsewhere_or_stands_there_twice_is_refused(
    remote: Remote, tmp_path: Path, name: bytes
) -> None:
    """git's checks keep such a tree from being fetched; if it is there all the same, nothing is read of it."""
    remote.commit({"a": "1"})
    mirror = remote.mirror(tmp_path / "mirror")
    repository = pygit2.Repository(str(tmp_path / "mirror"))
    blob = repository.create_blob(b"1")
    whole = repository.odb.write(2, b"100644 there\0" + blob.raw)
    odd = repository.odb.write(2, b"".join(b"100644 %s\0%s" % (each, blob.raw) for each in (b"there", name)))
    with pytest.raises(InvalidInput, match=r"is no name, or stands there twice|git cannot read it"):
        mirror.tree_at(str(odd))
    with pytest.raises(InvalidInput, match=r"is no name, or stands there twice|git cannot read it"):
        mirror.changed_paths(str(whole), str(odd))


def test_an_object_that_is_missing_is_an_error_of_ours(remote: Remote, tmp_path: Path) -> None:
    remote.commit({"a": "1"})
    mirror = remote.mirror(tmp_path / "mirror")
    tree = pygit2.Repository(str(tmp_path / "mirror")).odb.write(2, b"100644 a\0" + b"\7" * 20)
    with pytest.raises(InvalidInput, match="git cannot read it"):
        mirror.tree_at(str(tree))


@pytest.mark.parametrize("seconds", [-(2**62), -1, 253_402_300_800, 2**62])
def test_a_commit_of_a_time_that_no_calendar_has_is_read(remote: Remote, tmp_path: Path, seconds: int) -> None:
    tip = remote.commit({"a": "1"})
    mirror = remote.mirror(tmp_path / "mirror")
    tree = mirror.commit(tip).tree
    person = b"A <a@example.test> %d +0000" % seconds
    raw = b"tree %s\nauthor %s\ncommitter %s\n\nRaise\n" % (tree.encode(), person, person)
    sha = pygit2.Repository(str(tmp_path / "mirror")).odb.write(1, raw)
    assert mirror.commit(str(sha)).message == "Raise\n"


def test_an_object_that_gits_checks_refuse_is_not_fetched(remote: Remote, tmp_path: Path) -> None:
    blob = remote.repository.create_blob(b"[core]\n")
    inner = remote.repository.odb.write(2, b"100644 config\0" + blob.raw)
    tree = remote.repository.odb.write(2, b"40000 .git\0" + inner.raw)
    mirror = GitMirror(tmp_path / "mirror", str(remote.path), "main")
    sha = remote.commit_tree(str(tree), ref="refs/heads/main")
    with pytest.raises(UntrustedHistory, match=r"\.git"):
        mirror.fetch()
    with pytest.raises(NotFound):
        mirror.commit(sha)


def test_a_branch_with_an_object_that_git_refuses_keeps_no_other_from_being_fetched(
    remote: Remote, tmp_path: Path
) -> None:
    first = remote.commit({"a": "1"})
    old = remote.commit({"b": "1"}, first, ref="refs/heads/old")
    mirror = remote.mirror(tmp_path / "mirror")
    blob = remote.repository.create_blob(b"x")
    refused = remote.repository.odb.write(2, b"100644 .git\0" + blob.raw)
    bad = remote.commit_tree(str(refused), first, ref="refs/heads/agent/bad")
    second = remote.commit({"a": "2"}, first)
    honest = remote.commit({"a": "3"}, first, ref="refs/pull/7/head")
    remote.repository.references.delete("refs/heads/old")
    for _ in range(2):
        mirror.fetch()
        assert mirror.branch_head("main") == second
        assert mirror.commit(honest).sha == honest
        with pytest.raises(NotFound):
            mirror.branch_head("agent/bad")
        with pytest.raises(NotFound):
            mirror.commit(bad)
        with pytest.raises(NotFound):
            mirror.branch_head("old")
    assert mirror.commit(old).sha == old, "what was fetched can still be read"
    third = remote.commit({"a": "4"}, second)
    remote.commit({"b": "2"}, first, ref="refs/heads/agent/bad")
    mirror.fetch()
    assert mirror.branch_head("main") == third
    assert mirror.branch_head("agent/bad") == remote.head("refs/heads/agent/bad"), "a good one is taken again"


def test_a_mirror_that_lost_its_refs_is_not_looked_for_above_it(tmp_path: Path) -> None:
    above = Remote(tmp_path, pygit2.init_repository(tmp_path, initial_head="main"))
    above.commit({"a": "somebody else's"})
    remote = Remote.make(tmp_path / "remote.git")
    remote.commit({"a": "1"})
    mirror = remote.mirror(tmp_path / "mirror")
    shutil.rmtree(tmp_path / "mirror/refs")
    with pytest.raises(UntrustedHistory, match="remove the directory; it is fetched again"):
        mirror.branch_head("main")


def test_a_mirror_that_lost_a_file_says_so_and_leaves_nothing_out(remote: Remote, tmp_path: Path) -> None:
    sha = remote.commit({"a": "1", "b": "2"})
    mirror = remote.mirror(tmp_path / "mirror")
    shutil.rmtree(tmp_path / "mirror/objects")
    shutil.copytree(remote.path / "objects", tmp_path / "mirror/objects")
    lost = str(remote.repository.create_blob(b"2"))
    (tmp_path / "mirror/objects" / lost[:2] / lost[2:]).unlink()
    with pytest.raises(InvalidInput, match=f"git cannot read it: '{lost}'"):
        mirror.tree(sha)


def test_a_mirror_that_could_show_another_history_is_refused(remote: Remote, tmp_path: Path) -> None:
    remote.commit({"a": "1"})
    remote.mirror(tmp_path / "mirror")
    for name in ("objects/info/alternates", "info/grafts", "shallow", "refs/replace/x"):
        planted = tmp_path / "mirror" / name
        planted.parent.mkdir(exist_ok=True, parents=True)
        planted.write_text("")
        with pytest.raises(UntrustedHistory, match="another history"):
            GitMirror(tmp_path / "mirror", str(remote.path), "main")
        planted.unlink()


def test_replace_refs_of_the_remote_and_tags_stay_there(remote: Remote, tmp_path: Path) -> None:
    good = remote.commit({"a": "good"})
    evil = remote.commit({"a": "evil"}, ref="refs/heads/other")
    remote.repository.references.create(f"refs/replace/{good}", evil)
    remote.repository.references.create("refs/tags/main", evil)
    mirror = remote.mirror(tmp_path / "mirror")
    assert mirror.tree(good).files["a"].content == b"good"
    assert mirror.branch_head("main") == good
    assert not list((tmp_path / "mirror" / "refs" / "tags").iterdir())
    assert not (tmp_path / "mirror" / "refs" / "replace").exists()


def test_no_hook_runs(remote: Remote, tmp_path: Path) -> None:
    remote.commit({"a": "1"})
    mirror = GitMirror(tmp_path / "mirror", str(remote.path), "main")
    hook = tmp_path / "mirror" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    mirror.fetch()
    assert not (tmp_path / "ran").exists()


def test_no_configuration_of_the_machine_is_read(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.commit({"a": "1"})
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{tmp_path}/nowhere"]\n\tinsteadOf = {remote.path}\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare'='nonsense'")
    mirror = remote.mirror(tmp_path / "mirror")
    assert mirror.branch_head("main")


def test_a_branch_that_was_deleted_is_gone_and_its_commits_can_still_be_read(remote: Remote, tmp_path: Path) -> None:
    first = remote.commit({"a": "1"})
    topic = remote.commit({"a": "2"}, first, ref="refs/heads/topic")
    mirror = remote.mirror(tmp_path / "mirror")
    remote.repository.references.delete("refs/heads/topic")
    remote.commit({"a": "3"}, first, ref="refs/heads/topic/deeper")
    mirror.fetch()
    with pytest.raises(NotFound):
        mirror.branch_head("topic")
    assert mirror.commit(topic).sha == topic


def test_the_mirror_belongs_to_its_owner_alone(remote: Remote, tmp_path: Path) -> None:
    remote.commit({"a": "1"})
    (tmp_path / "mirror").mkdir(mode=0o755)
    remote.mirror(tmp_path / "mirror")
    assert stat.S_IMODE((tmp_path / "mirror").stat().st_mode) == 0o700


def test_a_mirror_is_taken_up_again(remote: Remote, tmp_path: Path) -> None:
    sha = remote.commit({"a": "1"})
    remote.mirror(tmp_path / "mirror")
    assert GitMirror(tmp_path / "mirror", str(remote.path), "main").branch_head("main") == sha


def test_threads_fetch_and_read_at_the_same_time(remote: Remote, tmp_path: Path) -> None:
    sha = remote.commit({"a": "1"})
    mirror = remote.mirror(tmp_path / "mirror")
    another = GitMirror(tmp_path / "mirror", str(remote.path), "main")
    for number in range(6):
        sha = remote.commit({"a": str(number)}, sha, ref=f"refs/heads/topic-{number}")
    remote.repository.references.create("refs/heads/main", sha, force=True)
    failures: list[Exception] = []

    def work(source: GitMirror) -> None:
        try:
            for _ in range(3):
                source.fetch()
                source.tree(source.branch_head("main"))
        except Exception as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=work, args=(source,)) for source in (mirror, another, mirror, another)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert mirror.branch_head("main") == sha


def test_updating_a_branch_with_the_base_adds_nothing(remote: Remote, tmp_path: Path) -> None:
    base = remote.commit({"a": "1\n", "b": "1\n"})
    topic = remote.commit({"a": "2\n"}, base, ref="refs/pull/1/head")
    main = remote.commit({"b": "2\n"}, base)
    clean = remote.commit({"b": "2\n"}, topic, main, ref="refs/heads/clean")
    evil = remote.commit({"b": "2\n", "c": "evil"}, topic, main, ref="refs/heads/evil")
    swapped = remote.commit({"a": "2\n"}, main, topic, ref="refs/heads/swapped")
    other = remote.commit({"c": "1\n"}, base, ref="refs/heads/other")
    foreign = remote.commit({"c": "1\n"}, topic, other, ref="refs/heads/foreign")
    mirror = remote.mirror(tmp_path / "mirror")
    assert mirror.is_clean_update(clean)
    for sha in (evil, swapped, foreign, topic, main, "0" * 40):
        assert not mirror.is_clean_update(sha)


def test_an_update_that_needed_hands_is_no_clean_one(remote: Remote, tmp_path: Path) -> None:
    base = remote.commit({"a": "1\n"})
    topic = remote.commit({"a": "2\n"}, base, ref="refs/pull/1/head")
    main = remote.commit({"a": "3\n"}, base)
    resolved = remote.commit({"a": "2\n"}, topic, main, ref="refs/heads/resolved")
    assert not remote.mirror(tmp_path / "mirror").is_clean_update(resolved)


def test_both_ways_to_merge_give_the_tree_of_git(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)  # noqa: S311 - the same cases every time
    base = remote.commit({f"file-{n}.yaml": "".join(f"key-{n}-{k}: {k}\n" for k in range(30)) for n in range(4)})
    heads = [remote.commit(_edits(remote, base, chance), base, ref=f"refs/heads/h{n}") for n in range(8)]
    mirror = remote.mirror(tmp_path / "mirror")
    pairs = [(one, other) for one in heads for other in heads if one < other]
    by_git = {pair: mirror.merge_preview(*pair) for pair in pairs}
    monkeypatch.setattr(git_module, "merges_in_memory", lambda: False)
    for pair in pairs:  # which name of a renamed file a conflict is filed under may differ
        by_library = mirror.merge_preview(*pair)
        assert by_library == by_git[pair] or not isinstance(by_library, CleanMerge), pair
        assert isinstance(by_library, CleanMerge) == isinstance(by_git[pair], CleanMerge), pair
    clean = [preview for preview in by_git.values() if isinstance(preview, CleanMerge)]
    assert 4 < len(clean) < len(pairs) - 4, "the cases hold both clean merges and conflicts"
    for preview in clean:
        assert preview.tree == _merge_tree(remote.path, preview.base, preview.head)


def _edits(remote: Remote, base: str, chance: random.Random) -> dict[str, str | None]:
    """Two changed lines in one file, sometimes the file renamed, sometimes another one deleted."""
    files = {f"{entry.name}": entry.data.decode() for entry in remote.repository[base].tree}  # type: ignore[attr-defined]
    names = chance.sample(sorted(files), 2)
    lines = files[names[0]].splitlines(keepends=True)
    for place in chance.sample(range(len(lines)), 2):
        lines[place] = f"changed: {chance.random()}\n"
    edits: dict[str, str | None] = {names[0]: "".join(lines)}
    if chance.random() < 0.3:
        edits = {names[0]: None, f"renamed-{chance.randrange(1000)}.yaml": "".join(lines)}
    if chance.random() < 0.2:
        edits[names[1]] = None
    return edits


def _merge_tree(path: Path, base: str, head: str) -> str:
    command = ["git", "-C", str(path), "merge-tree", "--write-tree", base, head]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
