"""What the forge knows about the bare repositories: commits, comparisons, merges, refs. Handlers open one per use.

Objects are read and written with pygit2. Two things are left to the `git` command: clean merges, because GitHub makes
them with merge-ort (`git merge-tree --write-tree`) and the trees must be equal to what others compute that way, and
moving refs, because `git update-ref` is a compare-and-swap.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import DeltaStatus, DiffOption, FileMode, ObjectType, SortMode

from reconciler.localforge.errors import ForgeError, conflict, not_found

NO_COMMIT = "0" * 40
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

GIT_TIMEOUT = 120.0  # seconds for one local git command

CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "gc.auto": "0",  # commits that were approved and pushed over must stay readable
    "receive.autogc": "false",
    "receive.hideRefs": "refs/pull",  # the forge's own refs: readable, never pushed to
    "transfer.fsckObjects": "true",
    "uploadpack.allowAnySHA1InWant": "true",  # as GitHub: a pull request's old head can be fetched by its SHA
    "uploadpack.allowFilter": "true",
    "merge.renames": "true",
    "http.receivepack": "true",
}


def git_environment() -> dict[str, str]:
    """A clean environment for git: nothing of the caller's configuration, no prompt, no replace objects."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def run_git(repository: Path, *arguments: str, accept: tuple[int, ...] = (0,)) -> tuple[int, str]:
    """Runs git in a bare repository; returns (exit status, standard output). Other exits raise RuntimeError."""
    done = subprocess.run(
        ["git", "--git-dir", str(repository), *arguments],
        env=git_environment(),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GIT_TIMEOUT,
        check=False,
    )
    if done.returncode not in accept:
        raise RuntimeError(f"git {arguments[0]} in {repository}: {done.stderr.decode(errors='replace').strip()}")
    return done.returncode, done.stdout.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Person:
    """The name and e-mail of a commit's author or committer."""

    name: str
    email: str

    def signature(self) -> pygit2.Signature:
        return pygit2.Signature(self.name, self.email, int(time.time()), 0)


def message_of(commit: pygit2.Commit) -> str:
    """The message of a commit; git allows any bytes in it, what is no UTF-8 becomes a replacement character."""
    return commit.raw_message.decode("utf-8", errors="replace")


def person_of(signature: pygit2.Signature) -> Person:
    """The author or committer of a commit, whose bytes are as free as those of the message."""
    return Person(
        signature.raw_name.decode("utf-8", errors="replace"), signature.raw_email.decode("utf-8", errors="replace")
    )


WEB_FLOW = Person("GitHub", "noreply@github.com")
WEB_FLOW_ID = 19864447


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of a diff, as GitHub's `diff-entry` describes it."""

    filename: str
    previous_filename: str | None
    status: str  # added, removed, modified, renamed, changed
    additions: int
    deletions: int
    sha: str
    patch: str | None  # hunks only; None for binary files


STATUS_OF_DELTA = {
    DeltaStatus.ADDED: "added",
    DeltaStatus.DELETED: "removed",
    DeltaStatus.MODIFIED: "modified",
    DeltaStatus.RENAMED: "renamed",
    DeltaStatus.COPIED: "copied",
    DeltaStatus.TYPECHANGE: "changed",
}


class GitData:
    """One bare repository, opened for the length of one request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repository = pygit2.Repository(str(path))

    # refs

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """Full ref names with the SHA they point at, sorted by name."""
        _, text = run_git(self.path, "for-each-ref", "--format=%(objectname) %(refname)", prefix)
        found = (line.split(" ", 1) for line in text.splitlines())
        return {name: sha for sha, name in found}

    def tip(self, ref: str) -> str | None:
        """The SHA a full ref name points at, or None."""
        try:
            return str(self.repository.references[ref].target)
        except (KeyError, pygit2.InvalidSpecError):
            return None

    def branch(self, name: str) -> str | None:
        return self.tip(f"refs/heads/{name}")

    def move(self, ref: str, new: str, old: str) -> None:
        """Compare-and-swap of a ref; `NO_COMMIT` as `old` creates it, as `new` deletes it. 409 when it has moved."""
        arguments = ("update-ref", "-d", ref, old) if new == NO_COMMIT else ("update-ref", ref, new, old)
        status, _ = run_git(self.path, *arguments, accept=(0, 1, 128))
        if status != 0:
            raise conflict(f"{ref} was modified. Review and try the operation again.")

    def set_own_ref(self, ref: str, new: str) -> None:
        """Points one of the forge's refs (refs/pull/…) somewhere, whatever it was before."""
        run_git(self.path, "update-ref", ref, new)

    # commits

    def commit(self, sha: str) -> pygit2.Commit:
        """The commit with this full SHA; 404 when there is none."""
        found = self.commit_or_none(sha)
        if found is None:
            raise not_found()
        return found

    def commit_or_none(self, sha: str) -> pygit2.Commit | None:
        if len(sha) != 40:
            return None
        try:
            found = self.repository.get(sha)
        except ValueError:
            return None
        return found if isinstance(found, pygit2.Commit) else None

    def resolve(self, name: str) -> pygit2.Commit:
        """A branch, a tag, a full ref (`heads/x`, `refs/pull/1/head`) or a full SHA; 422 as GitHub when unknown."""
        candidates = (f"refs/heads/{name}", f"refs/tags/{name}", f"refs/{name}")
        for ref in (name,) if name.startswith("refs/") else candidates:
            sha = self.tip(ref)
            if sha is not None:
                return self.repository[sha].peel(pygit2.Commit)
        found = self.commit_or_none(name)
        if found is None:
            raise ForgeError(422, f"No commit found for SHA: {name}")
        return found

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """True also when both are the same commit."""
        return ancestor == descendant or self.repository.descendant_of(descendant, ancestor)

    def merge_base(self, one: str, other: str) -> str | None:
        found = self.repository.merge_base(one, other)
        return str(found) if found is not None else None

    def commits_between(self, base: str, head: str) -> list[pygit2.Commit]:
        """The commits of `head` that `base` does not have, oldest first."""
        walker = self.repository.walk(head, SortMode.TOPOLOGICAL | SortMode.REVERSE)
        walker.hide(base)
        return list(walker)

    def history(self, start: str) -> Iterable[pygit2.Commit]:
        return self.repository.walk(start, SortMode.TOPOLOGICAL | SortMode.TIME)

    def first_parents(self, start: str, stop: str) -> list[pygit2.Commit]:
        """The first-parent line from `start` back to (without) what `stop` already contains, newest first."""
        found: list[pygit2.Commit] = []
        commit: pygit2.Commit | None = self.commit(start)
        while commit is not None and (stop == NO_COMMIT or not self.is_ancestor(str(commit.id), stop)):
            found.append(commit)
            commit = commit.parents[0] if commit.parents else None
        return found

    # differences

    def changes(self, base: str | None, head: str) -> list[FileChange]:
        """The files that differ between two commits (None: the empty tree)."""
        diff = self._diff(base, head)
        found = []
        for patch in diff:
            if patch is None:
                continue
            delta = patch.delta
            _, additions, deletions = patch.line_stats
            text = patch.data.decode(errors="replace")
            start = text.find("\n@@")
            renamed = delta.status in (DeltaStatus.RENAMED, DeltaStatus.COPIED)
            removed = delta.status == DeltaStatus.DELETED
            found.append(
                FileChange(
                    filename=_path(delta.old_file if removed else delta.new_file),
                    previous_filename=_path(delta.old_file) if renamed else None,
                    status=STATUS_OF_DELTA.get(delta.status, "changed"),
                    additions=additions,
                    deletions=deletions,
                    sha=str(delta.old_file.id if removed else delta.new_file.id),
                    patch=text[start + 1 :].removesuffix("\n") if start >= 0 and not delta.is_binary else None,
                )
            )
        return found

    def diff_text(self, base: str | None, head: str) -> str:
        return self._diff(base, head).patch or ""

    def patch_text(self, base: str, head: str) -> str:
        _, text = run_git(self.path, "format-patch", "--stdout", f"{base}..{head}")
        return text

    def _diff(self, base: str | None, head: str) -> pygit2.Diff:
        new = self.commit(head).tree
        if base is None:
            diff = new.diff_to_tree(swap=True, flags=DiffOption.INCLUDE_TYPECHANGE)
        else:
            diff = self.commit(base).tree.diff_to_tree(new, flags=DiffOption.INCLUDE_TYPECHANGE)
        diff.find_similar()
        return diff

    # merges

    def merged_tree(self, base: str, head: str) -> str | None:
        """The tree of a clean merge of two commits, or None when they conflict."""
        status, text = run_git(self.path, "merge-tree", "--write-tree", "--no-messages", base, head, accept=(0, 1))
        return text.split("\n", 1)[0].strip() if status == 0 else None

    def create_commit(
        self, tree: str, parents: list[str], message: str, author: Person, committer: Person = WEB_FLOW
    ) -> str:
        created = self.repository.create_commit(
            None, author.signature(), committer.signature(), message, pygit2.Oid(hex=tree), list(parents)
        )
        return str(created)

    def rebased(self, base: str, head: str) -> str | None:
        """Copies the commits of `head` one by one onto `base`, committed by web-flow; None when one conflicts.

        Merge commits are left out, as GitHub does.
        """
        onto = base
        for commit in self.commits_between(base, head):
            if len(commit.parents) != 1:
                continue
            index = self.repository.merge_trees(commit.parents[0].tree, self.commit(onto).tree, commit.tree)
            if index.conflicts is not None:
                return None
            created = self.repository.create_commit(
                None,
                commit.author,
                WEB_FLOW.signature(),
                message_of(commit),
                index.write_tree(self.repository),
                [pygit2.Oid(hex=onto)],
            )
            onto = str(created)
        return onto


def create_repository(path: Path, default_branch: str) -> None:
    """An empty bare repository with the forge's configuration."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pygit2.init_repository(str(path), bare=True, initial_head=default_branch)
    configuration = pygit2.Repository(str(path)).config
    for key, value in CONFIGURATION.items():
        configuration[key] = value


def import_files(path: Path, source: Path, branch: str, author: Person) -> str:
    """Makes the files of a directory the first commit of `branch`; returns its SHA."""
    repository = pygit2.Repository(str(path))
    tree = _write_tree(repository, source)
    signature = author.signature()
    created = repository.create_commit(f"refs/heads/{branch}", signature, signature, "Initial commit\n", tree, [])
    return str(created)


def import_branch(path: Path, source: Path, branch: str) -> str:
    """Copies `branch` of an existing repository with its history; returns its tip."""
    run_git(path, "fetch", "--quiet", str(source.resolve()), f"+refs/heads/{branch}:refs/heads/{branch}")
    tip = GitData(path).branch(branch)
    if tip is None:
        raise RuntimeError(f"{source} has no branch {branch}")
    return tip


def _write_tree(repository: pygit2.Repository, directory: Path) -> pygit2.Oid:
    builder = repository.TreeBuilder()
    for entry in sorted(directory.iterdir()):
        if entry.name == ".git":
            continue
        if entry.is_symlink():
            target = repository.create_blob(os.fsencode(entry.readlink()))
            builder.insert(entry.name, target, FileMode.LINK)
        elif entry.is_dir():
            subtree = _write_tree(repository, entry)
            if str(subtree) != EMPTY_TREE:
                builder.insert(entry.name, subtree, FileMode.TREE)
        else:
            mode = FileMode.BLOB_EXECUTABLE if os.access(entry, os.X_OK) else FileMode.BLOB
            builder.insert(entry.name, repository.create_blob(entry.read_bytes()), mode)
    return builder.write()


def _path(file: pygit2.DiffFile) -> str:
    return file.raw_path.decode("utf-8", errors="replace")


def is_blob(kind: int) -> bool:
    return kind == ObjectType.BLOB
