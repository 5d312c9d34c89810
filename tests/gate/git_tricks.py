"""The door of cases about git itself (41, 44, 45): a small real repository with a trick in it, mirrored and read.

A trick that has no effect, or is refused, is refused; one that works makes the case open. `disabled` takes the defence
of a number away, here and nowhere else, so that it shows what the defence is worth. Twins are repositories without a
trick in which the same is read.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pygit2
from pygit2.enums import ObjectType

from reconciler.model.errors import ForgeUnavailable, InvalidInput, NotFound, UntrustedHistory
from reconciler.model.revision import CleanMerge
from reconciler.sources import command, git, trees
from reconciler.sources.git import GitMirror
from tests.gate.answer import Answer
from tests.git_remotes import Remote

FILE = "compose.yaml"
GOOD, EVIL = "services: {web: {image: 'demo:1'}}\n", "services: {web: {image: 'demo:evil'}}\n"
LINES = "".join(f"line {number}\n" for number in range(9))


@dataclass(frozen=True, slots=True)
class Bench:
    """A repository that others write to, and the directory of our mirror of it."""

    directory: Path
    remote: Remote
    base: str

    @property
    def mirror_directory(self) -> Path:
        return self.directory / "mirror.git"

    def mirror(self) -> GitMirror:
        return self.remote.mirror(self.mirror_directory)

    def tip(self, mirror: GitMirror) -> bytes:
        """What would be deployed."""
        return mirror.tree(mirror.branch_head("main")).files[FILE].content

    def refer(self, ref: str, sha: str) -> None:
        self.remote.repository.references.create(ref, sha, force=True)


Trick = Callable[[Bench], bool]
"""Plays the trick and says whether it worked."""


def git_tricks(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """`trick` names one of TRICKS, `honest` one of HONEST."""
    with TemporaryDirectory() as directory, ExitStack() as stack:
        remote = Remote.make(Path(directory) / "remote.git")
        bench = Bench(Path(directory), remote, remote.commit({FILE: GOOD}))
        if "honest" in given:
            return Answer("open", ()) if HONEST[given["honest"]](bench) else Answer("refused", (0,))
        played = TRICKS[given["trick"]]
        if played.number in disabled:
            stack.enter_context(played.weakened())
        try:
            worked = played.trick(bench)
        except (UntrustedHistory, NotFound, ForgeUnavailable, InvalidInput):
            worked = False
        return Answer("open", ()) if worked else Answer("refused", (played.number,))


# -- taking a defence away -----------------------------------------------------------------------------------------


@contextmanager
def looser_git(*without: str, **environment: str) -> Iterator[None]:
    """Our git commands without some settings and words, and with some of the environment as it might have been."""
    start = subprocess.Popen

    def looser(arguments: list[str], env: Mapping[str, str], **rest: Any) -> Any:
        kept: list[str] = []
        for word in arguments:
            if any(word.startswith(gone) for gone in without):
                if kept[-1:] == ["-c"]:
                    kept.pop()
                continue
            kept.append(word)
        told = {name: value for name, value in {**env, **environment}.items() if value}
        return start(kept, env=told, **rest)

    with patch.object(command.subprocess, "Popen", looser):
        yield


@contextmanager
def fetching(*refspecs: str) -> Iterator[None]:
    """Fetch more than branches and the heads of pull requests."""
    with patch.object(git, "REFSPECS", (*git.REFSPECS, *refspecs)):
        yield


@contextmanager
def unchecked_directory() -> Iterator[None]:
    """Take a mirror's directory as it is."""

    def prepare(mirror: GitMirror) -> None:
        mirror._directory.mkdir(parents=True, exist_ok=True)
        if not (mirror._directory / "HEAD").exists():
            pygit2.init_repository(mirror._directory, bare=True, initial_head="main")

    with patch.object(GitMirror, "_prepare", prepare):
        yield


@contextmanager
def any_name() -> Iterator[None]:
    """Resolve names as a person at a terminal does: whatever git makes of the word."""

    def loosely(repository: pygit2.Repository, word: str) -> object | None:
        with contextlib.suppress(KeyError, ValueError):
            return repository.revparse_single(word).peel(pygit2.Commit)
        return None

    def head(mirror: GitMirror, repository: pygit2.Repository, branch: str) -> str:
        found = loosely(repository, branch)
        assert isinstance(found, pygit2.Commit)
        return str(found.id)

    with (
        patch.object(GitMirror, "_object", staticmethod(loosely)),
        patch.object(GitMirror, "_head_of", head),
        fetching("+refs/tags/*:refs/tags/*"),
    ):
        yield


@contextmanager
def ends_of_names() -> Iterator[None]:
    """Take what ls-remote answers for what was asked."""

    def heads(mirror: GitMirror, refs: tuple[str, ...]) -> Mapping[str, str]:
        finished = mirror._network("ls-remote", "--quiet", mirror._url, *refs)
        pairs = [line.partition("\t") for line in finished.output.decode().splitlines()]
        longest = max(pairs, key=lambda pair: len(pair[2]))
        return {refs[0]: longest[0]}

    with patch.object(GitMirror, "remote_heads", heads):
        yield


@contextmanager
def exported_trees() -> Iterator[None]:
    """Read trees as `git archive` gives them out, attributes and all."""
    read = git.read_tree

    def export(repository: pygit2.Repository, tree: pygit2.Tree, limits: Any) -> Any:
        found = read(repository, tree, limits)
        hidden = [
            line.split()[0] for line in found.files[".gitattributes"].content.decode().splitlines() if "ignore" in line
        ]
        return type(found)(found.oid, {path: file for path, file in found.files.items() if path not in hidden})

    with patch.object(git, "read_tree", export):
        yield


@contextmanager
def whatever_lies_above() -> Iterator[None]:
    """Open the repository that a git at a terminal would find from there."""

    @contextmanager
    def discovered(mirror: GitMirror) -> Iterator[pygit2.Repository]:
        yield pygit2.Repository(pygit2.discover_repository(str(mirror._directory)))

    with patch.object(GitMirror, "_repository", discovered):
        yield


@contextmanager
def what_can_be_read() -> Iterator[None]:
    """Leave out of a tree what cannot be read."""
    entries = trees._entries

    def readable(tree: pygit2.Tree, *rest: Any) -> Iterator[Any]:
        there = {str(entry.id) for entry in tree if entry.name != FILE}
        return (found for found in entries(tree, *rest) if str(found[2]) in there)

    with patch.object(trees, "_entries", readable):
        yield


# -- 41: refs that are taken for each other ------------------------------------------------------------------------


def tag_named_like_the_branch(bench: Bench) -> bool:
    bench.refer("refs/tags/main", bench.remote.commit({FILE: EVIL}, bench.base, ref=None))
    return bench.tip(bench.mirror()) == EVIL.encode()


def branch_named_like_a_short_commit(bench: Bench) -> bool:
    """Whoever asks for the abbreviation of an approved commit gets what the branch holds."""
    evil = bench.remote.commit({FILE: EVIL}, bench.base, ref=None)
    bench.refer(f"refs/heads/{bench.base[:12]}", evil)
    mirror = bench.mirror()
    return mirror.tree(bench.base[:12]).files[FILE].content == EVIL.encode()


def branch_named_like_a_whole_commit(bench: Bench) -> bool:
    """A name of forty digits that is no commit of ours: a branch must not stand in for it."""
    word = "0123456789abcdef0123456789abcdef01234567"
    bench.refer(f"refs/heads/{word}", bench.remote.commit({FILE: EVIL}, bench.base, ref=None))
    return bench.mirror().tree(word).files[FILE].content == EVIL.encode()


def branch_named_like_a_pull_request(bench: Bench) -> bool:
    """refs/heads/refs/pull/7/head ends like the head of pull request 7."""
    head = bench.remote.commit({FILE: GOOD}, bench.base, ref="refs/pull/7/head")
    evil = bench.remote.commit({FILE: EVIL}, bench.base, ref="refs/heads/refs/pull/7/head")
    assert head != evil
    return bench.mirror().remote_heads(("refs/pull/7/head",)) == {"refs/pull/7/head": evil}


def branch_gone_and_a_tag_of_its_name(bench: Bench) -> bool:
    """The branch is not there, and what a short name would find instead is."""
    bench.refer("refs/tags/main", bench.remote.commit({FILE: EVIL}, bench.base, ref=None))
    bench.remote.repository.references.delete("refs/heads/main")
    return bench.tip(bench.mirror()) == EVIL.encode()


# -- 44: tricks of a local git -------------------------------------------------------------------------------------


def replaced_commit(bench: Bench) -> bool:
    """The approved head is replaced by another one wherever git looks at it."""
    head = bench.remote.commit({"other.txt": "1\n"}, bench.base, ref="refs/pull/1/head")
    evil = bench.remote.commit({FILE: EVIL}, bench.base, ref=None)
    bench.refer(f"refs/replace/{head}", evil)
    mirror = bench.mirror()
    preview = mirror.merge_preview(bench.base, head)
    assert isinstance(preview, CleanMerge)
    return mirror.tree_at(preview.tree).files[FILE].content == EVIL.encode()


def grafted_line(bench: Bench) -> bool:
    """A line of commits that leaves out the one that nobody approved."""
    pushed = bench.remote.commit({FILE: EVIL}, bench.base)
    tip = bench.remote.commit({"other.txt": "1\n"}, pushed)
    bench.mirror()
    (bench.mirror_directory / "info").mkdir(exist_ok=True)
    (bench.mirror_directory / "info/grafts").write_text(f"{tip} {bench.base}\n")
    mirror = GitMirror(bench.mirror_directory, str(bench.remote.path), "main")
    return pushed not in {commit.sha for commit in mirror.first_parents(bench.base, tip)}


def borrowed_objects(bench: Bench) -> bool:
    """Objects that the repository never had, from a directory of somebody else's."""
    bench.mirror()
    other = Remote.make(bench.directory / "other.git")
    evil = other.commit({FILE: EVIL})
    alternates = bench.mirror_directory / "objects/info/alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{other.path / 'objects'}\n")
    mirror = GitMirror(bench.mirror_directory, str(bench.remote.path), "main")
    return mirror.tree(evil).files[FILE].content == EVIL.encode()


def hook_of_the_mirror(bench: Bench) -> bool:
    """A program that git would run when a ref of the mirror moves."""
    mirror = bench.mirror()
    ran = bench.directory / "ran"
    hook = bench.mirror_directory / "hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    bench.remote.commit({FILE: GOOD, "other.txt": "1\n"}, bench.base)
    mirror.fetch()
    return ran.exists()


def attributes_that_hide_a_file(bench: Bench) -> bool:
    """.gitattributes leave a file out of whatever is exported."""
    bench.remote.commit({".gitattributes": f"{FILE} export-ignore\n"}, bench.base)
    mirror = bench.mirror()
    return FILE not in mirror.tree(mirror.branch_head("main")).files


def union_of_a_conflict(bench: Bench) -> bool:
    """.gitattributes choose a merge driver under which a conflict that nobody looked at is none."""
    attributes = {".gitattributes": f"{FILE} merge=union\n", FILE: LINES}
    start = bench.remote.commit(attributes, bench.base)
    ours = bench.remote.commit({FILE: LINES.replace("line 4", "ours")}, start)
    theirs = bench.remote.commit({FILE: LINES.replace("line 4", "theirs")}, start, ref="refs/pull/1/head")
    mirror = bench.mirror()
    return isinstance(mirror.merge_preview(ours, theirs), CleanMerge)


def refs_of_the_mirror_gone(bench: Bench) -> bool:
    """The mirror has lost its refs, so that a reader finds the repository above it, which is somebody else's."""
    bench.mirror()
    shutil.rmtree(bench.mirror_directory / "refs")
    above = pygit2.init_repository(bench.directory, initial_head="main")
    Remote(bench.directory, above).commit({FILE: EVIL})
    return bench.tip(GitMirror(bench.mirror_directory, str(bench.remote.path), "main")) == EVIL.encode()


# -- 45: objects whose hash lies -----------------------------------------------------------------------------------


def raw_tree(bench: Bench, entries: bytes) -> str:
    """A commit with a tree of exactly these bytes, as no git would write it, on the deploy branch."""
    tree = bench.remote.repository.write(ObjectType.TREE, entries)
    who = b"A <a@example.test> 1700000000 +0000"
    body = b"tree " + str(tree).encode() + b"\nparent " + bench.base.encode() + b"\n"
    body += b"author " + who + b"\ncommitter " + who + b"\n\nChange\n"
    sha = str(bench.remote.repository.write(ObjectType.COMMIT, body))
    (bench.remote.path / "refs/heads/main").write_text(sha + "\n")
    return sha


def _entry(bench: Bench, mode: bytes, name: bytes, text: str) -> bytes:
    blob = bench.remote.repository.create_blob(text.encode())
    return mode + b" " + name + b"\0" + bytes.fromhex(str(blob))


def file_twice(bench: Bench) -> bool:
    """One name twice in a tree: which one a reader takes is its own affair."""
    sha = raw_tree(bench, _entry(bench, b"100644", FILE.encode(), GOOD) + _entry(bench, b"100644", FILE.encode(), EVIL))
    return bench.mirror().branch_head("main") == sha


def directory_of_git(bench: Bench) -> bool:
    """A file in a directory called .git, which a checkout would take for its own configuration."""
    inner = bench.remote.repository.write(ObjectType.TREE, _entry(bench, b"100644", b"config", EVIL))
    sha = raw_tree(bench, b"40000 .git\0" + bytes.fromhex(str(inner)) + _entry(bench, b"100644", FILE.encode(), GOOD))
    return bench.mirror().branch_head("main") == sha


def modes_with_zeros(bench: Bench) -> bool:
    """The same tree with another id, because its modes are written otherwise."""
    sha = raw_tree(bench, _entry(bench, b"0100644", FILE.encode(), GOOD))
    return bench.mirror().branch_head("main") == sha


def content_under_another_id(bench: Bench) -> bool:
    """A stored file that does not hash to its name; git itself finds it, whatever we set."""
    blob = str(bench.remote.repository.create_blob(GOOD.encode()))
    stored = bench.remote.path / "objects" / blob[:2] / blob[2:]
    stored.chmod(0o644)
    stored.write_bytes(zlib.compress(b"blob " + str(len(EVIL)).encode() + b"\0" + EVIL.encode()))
    return bench.tip(bench.mirror()) == EVIL.encode()


def file_gone_from_the_mirror(bench: Bench) -> bool:
    """A tree names a file whose content the mirror lost: a reader that leaves it out deploys something else."""
    bench.remote.commit({"other.txt": "1\n"}, bench.base)
    bench.mirror()
    shutil.rmtree(bench.mirror_directory / "objects")
    shutil.copytree(bench.remote.path / "objects", bench.mirror_directory / "objects")
    lost = str(bench.remote.repository.create_blob(GOOD.encode()))
    (bench.mirror_directory / "objects" / lost[:2] / lost[2:]).unlink()
    mirror = GitMirror(bench.mirror_directory, str(bench.remote.path), "main")
    return set(mirror.tree(mirror.branch_head("main")).files) == {"other.txt"}


# -- what there is -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Played:
    """A trick, the number of its way around, and how that number's defence is taken away."""

    number: int
    trick: Trick
    weakened: Callable[[], contextlib.AbstractContextManager[Any]] = field(default=ExitStack)


def _unchecked_objects() -> contextlib.AbstractContextManager[Any]:
    return looser_git("fetch.fsckObjects", "transfer.fsckObjects")


@contextmanager
def _replacing() -> Iterator[None]:
    with fetching("+refs/replace/*:refs/replace/*"), looser_git("--no-replace-objects", GIT_NO_REPLACE_OBJECTS=""):
        yield


@contextmanager
def _attributes() -> Iterator[None]:
    """Attributes as a git with a working tree reads them; ours has none, and a newer git is told to look at none."""

    def union(mirror: GitMirror, base: str, head: str) -> CleanMerge:
        with mirror._repository() as repository:
            index = repository.merge_commits(base, head, favor=pygit2.enums.MergeFavor.UNION)
            return CleanMerge(base, head, str(index.write_tree(repository)))

    with patch.object(GitMirror, "merge_preview", union):
        yield


TRICKS: Mapping[str, Played] = {
    "a tag named like the branch": Played(41, tag_named_like_the_branch, any_name),
    "a branch named like a short commit": Played(41, branch_named_like_a_short_commit, any_name),
    "a branch named like a commit": Played(41, branch_named_like_a_whole_commit, any_name),
    "a branch that is gone, and a tag of its name": Played(41, branch_gone_and_a_tag_of_its_name, any_name),
    "a branch named like a pull request": Played(41, branch_named_like_a_pull_request, ends_of_names),
    "a replaced commit": Played(44, replaced_commit, _replacing),
    "a grafted line": Played(44, grafted_line, unchecked_directory),
    "borrowed objects": Played(44, borrowed_objects, unchecked_directory),
    "a hook of the mirror": Played(44, hook_of_the_mirror, lambda: looser_git("core.hooksPath")),
    "attributes that hide a file": Played(44, attributes_that_hide_a_file, exported_trees),
    "a merge driver of the repository": Played(44, union_of_a_conflict, _attributes),
    "a mirror whose refs are gone": Played(44, refs_of_the_mirror_gone, whatever_lies_above),
    "one name twice in a tree": Played(45, file_twice, _unchecked_objects),
    "a directory called .git": Played(45, directory_of_git, _unchecked_objects),
    "modes with zeros before them": Played(45, modes_with_zeros, _unchecked_objects),
    "content under another id": Played(45, content_under_another_id),
    "a file gone from the mirror": Played(45, file_gone_from_the_mirror, what_can_be_read),
}


def other_refs(bench: Bench) -> bool:
    """Tags, and branches with ordinary names, beside the branch."""
    evil = bench.remote.commit({FILE: EVIL}, bench.base, ref="refs/heads/feature/main")
    bench.refer("refs/tags/v1", evil)
    bench.remote.commit({FILE: EVIL}, bench.base, ref="refs/pull/7/head")
    mirror = bench.mirror()
    heads = mirror.remote_heads(("refs/heads/main", "refs/pull/7/head"))
    return bench.tip(mirror) == GOOD.encode() and set(heads) == {"refs/heads/main", "refs/pull/7/head"}


def clean_merge(bench: Bench) -> bool:
    """Two changes in different places, one of .gitattributes that say nothing of merging."""
    start = bench.remote.commit({FILE: LINES, ".gitattributes": "* text=auto\n"}, bench.base)
    ours = bench.remote.commit({FILE: LINES.replace("line 1", "ours")}, start)
    theirs = bench.remote.commit({FILE: LINES.replace("line 7", "theirs")}, start, ref="refs/pull/1/head")
    mirror = bench.mirror()
    preview = mirror.merge_preview(ours, theirs)
    assert isinstance(preview, CleanMerge)
    merged = LINES.replace("line 1", "ours").replace("line 7", "theirs")
    return mirror.tree_at(preview.tree).files[FILE].content == merged.encode()


def taken_up_again(bench: Bench) -> bool:
    """A mirror that is opened a second time, with a new commit to fetch."""
    bench.mirror()
    tip = bench.remote.commit({"other.txt": "1\n"}, bench.base)
    return bench.mirror().branch_head("main") == tip


def whole_objects(bench: Bench) -> bool:
    """Directories, an executable and names in another script."""
    tip = bench.remote.commit({"a/b/c.txt": "1\n", "größe.txt": "2\n"}, bench.base)
    return set(bench.mirror().tree(tip).files) == {FILE, "a/b/c.txt", "größe.txt"}


HONEST: Mapping[str, Trick] = {
    "other refs": other_refs,
    "a clean merge": clean_merge,
    "a mirror that is taken up again": taken_up_again,
    "whole objects": whole_objects,
}
