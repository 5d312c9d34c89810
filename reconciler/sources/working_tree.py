"""The files of a directory as a Tree: for `validate` and `plan --working-tree`, where there is no commit yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from reconciler.model.errors import InvalidInput
from reconciler.model.revision import FileKind, Tree, TreeFile
from reconciler.sources.trees import LFS_HEADER, LFS_LIMIT, TreeLimits


def read_working_tree(directory: Path, limits: TreeLimits | None = None) -> Tree:
    """Every file below a directory but `.git`; InvalidInput when it is more than a repository may hold."""
    bounds = limits or TreeLimits()
    files: dict[str, TreeFile] = {}
    total = 0
    for path in _paths(directory):
        if len(files) == bounds.files:
            raise InvalidInput(f"holds more than {bounds.files} files", where=str(directory))
        found = _read(directory / path, bounds)
        total += len(found.content)
        if total > bounds.total_bytes:
            raise InvalidInput(f"holds more than {bounds.total_bytes} bytes", where=str(directory))
        files[path.as_posix()] = found
    return Tree("", files)


def _paths(directory: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(directory):
        here = Path(root)
        folders[:] = sorted(name for name in folders if name != ".git")
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*names, *links]):
            yield (here / name).relative_to(directory)


def _read(file: Path, limits: TreeLimits) -> TreeFile:
    if file.is_symlink():
        return TreeFile(FileKind.SYMLINK, os.fsencode(file.readlink()))
    if not file.is_file():
        raise InvalidInput("is neither a file nor a directory", where=str(file))
    status = file.stat()
    if status.st_size > limits.file_bytes:
        raise InvalidInput(f"has {status.st_size} bytes, more than the limit of {limits.file_bytes}", where=str(file))
    content = file.read_bytes()
    if len(content) < LFS_LIMIT and content.startswith(LFS_HEADER):
        return TreeFile(FileKind.LFS_POINTER, content)
    return TreeFile(FileKind.EXECUTABLE if status.st_mode & 0o100 else FileKind.FILE, content)
