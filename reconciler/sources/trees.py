"""Reads and compares the trees of a git repository without a checkout, within limits; the mirror calls it.

No filter, no attribute and no link is followed: what comes back is the bytes that git stores (gate 44, 70).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pygit2
from pygit2.enums import FileMode

from reconciler.model.errors import InvalidInput
from reconciler.model.revision import FileKind, Tree, TreeFile

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: a pointer is under 1024 bytes and starts with its version
LFS_HEADER = b"version https://git-lfs.github.com/spec/"
LFS_LIMIT = 1024
_NO_NAMES = (b"", b".", b"..")

KINDS: dict[int, FileKind] = {
    FileMode.BLOB: FileKind.FILE,
    FileMode.BLOB_EXECUTABLE: FileKind.EXECUTABLE,
    FileMode.LINK: FileKind.SYMLINK,
    FileMode.COMMIT: FileKind.SUBMODULE,
}


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """How much one revision may hold: files, directories (those that hold nothing too: a few objects can stand for more
    of them than anybody could walk), bytes of one file and of all, directories inside each other.
    """

    files: int = 20_000
    directories: int = 20_000
    file_bytes: int = 10 * 2**20
    total_bytes: int = 200 * 2**20
    depth: int = 64


def read_tree(repository: pygit2.Repository, tree: pygit2.Tree, limits: TreeLimits) -> Tree:
    """All files of a tree, by path. InvalidInput names the limit that it exceeds, or the name that is none."""
    with _readable(f"tree {tree.id}"):
        return _read_tree(repository, tree, limits)


def _read_tree(repository: pygit2.Repository, tree: pygit2.Tree, limits: TreeLimits) -> Tree:
    files: dict[str, TreeFile] = {}
    total = 0
    for path, mode, oid in _entries(
        tree, "", limits.depth, _Steps(limits.directories, "directories", f"tree {tree.id}")
    ):
        if len(files) == limits.files:
            raise InvalidInput(f"the revision holds more than {limits.files} files", where=f"tree {tree.id}")
        kind = KINDS.get(mode)
        if kind is None:
            raise InvalidInput(f"git file mode {mode:06o} is unknown", where=path)
        if kind is FileKind.SUBMODULE:
            files[path] = TreeFile(kind, b"")
            continue
        size = repository.odb.read_header(oid)[1]
        total += size
        if size > limits.file_bytes:
            raise InvalidInput(f"the file has {size} bytes, more than the limit of {limits.file_bytes}", where=path)
        if total > limits.total_bytes:
            raise InvalidInput(
                f"the files of the revision have more than {limits.total_bytes} bytes together", where=f"tree {tree.id}"
            )
        content = repository.odb.read(oid)[1]
        if kind is not FileKind.SYMLINK and len(content) < LFS_LIMIT and content.startswith(LFS_HEADER):
            kind = FileKind.LFS_POINTER
        files[path] = TreeFile(kind, content)
    return Tree(str(tree.id), files)


def differing_paths(
    older: pygit2.Tree | None, newer: pygit2.Tree | None, limits: TreeLimits | None = None
) -> Iterator[str]:
    """Paths of files whose mode or content differs; a rename is both its names. InvalidInput where the difference goes
    through more files or directories than two revisions within `limits` could have.

    Compared by us and not by libgit2's diff, which configuration and .gitmodules can tell to leave things out.
    """
    limits = limits or TreeLimits()
    steps = _Steps(2 * (limits.files + limits.directories), "differing files and directories", "the comparison")
    with _readable("the comparison"):
        yield from _differing(older, newer, "", limits.depth, steps)


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """Objects that git's checks should have kept out of the mirror, and that are there all the same."""
    try:
        yield
    except pygit2.GitError as error:
        raise InvalidInput(f"git cannot read it: {error}", where=where) from error


@dataclass(slots=True)
class _Steps:
    """Counts what a walk comes by, and ends it."""

    most: int
    what: str
    where: str
    taken: int = 0

    def take(self) -> None:
        self.taken += 1
        if self.taken > self.most:
            raise InvalidInput(f"there are more than {self.most} {self.what}", where=self.where)


def _differing(
    older: pygit2.Tree | None, newer: pygit2.Tree | None, prefix: str, depth: int, steps: _Steps
) -> Iterator[str]:
    if depth == 0:
        raise InvalidInput("directories are nested too deep", where=prefix)
    before = _by_name(older, prefix) if older is not None else {}
    after = _by_name(newer, prefix) if newer is not None else {}
    for name in before.keys() | after.keys():
        one, other = before.get(name), after.get(name)
        if one is not None and other is not None and one.id == other.id and one.filemode == other.filemode:
            continue
        steps.take()
        path = prefix + _shown(name)
        one_tree = one if isinstance(one, pygit2.Tree) else None
        other_tree = other if isinstance(other, pygit2.Tree) else None
        if one_tree is not None or other_tree is not None:
            yield from _differing(one_tree, other_tree, f"{path}/", depth - 1, steps)
        if (one is not None and one_tree is None) or (other is not None and other_tree is None):
            yield path


def _entries(tree: pygit2.Tree, prefix: str, depth: int, steps: _Steps) -> Iterator[tuple[str, int, pygit2.Oid]]:
    if depth == 0:
        raise InvalidInput("directories are nested too deep", where=prefix)
    for name, entry in _by_name(tree, prefix).items():
        try:
            path = prefix + name.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInput("the file name is not UTF-8", where=prefix + _shown(name)) from None
        if isinstance(entry, pygit2.Tree):
            steps.take()
            yield from _entries(entry, f"{path}/", depth - 1, steps)
        else:
            yield path, int(entry.filemode), entry.id


def _by_name(tree: pygit2.Tree, prefix: str) -> dict[bytes, pygit2.Object]:
    """The entries of a directory. One without a name of its own would be another path, or hide behind another one."""
    entries: dict[bytes, pygit2.Object] = {}
    for entry in tree:
        name = entry.raw_name or b""
        if name in _NO_NAMES or b"/" in name or name in entries:
            raise InvalidInput("is no name, or stands there twice", where=f"{prefix}{_shown(name)}")
        entries[name] = entry
    return entries


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
