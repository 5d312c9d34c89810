"""A revision is a repository and a full commit SHA; a branch is a ref, and moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class FileKind(StrEnum):
    """What a tree entry is; only the first two may stand in a deploy path (gate 70)."""

    FILE = "file"
    EXECUTABLE = "executable"
    SYMLINK = "symlink"
    SUBMODULE = "submodule"
    LFS_POINTER = "lfs pointer"


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of a tree: its kind and its bytes (a symlink's target, nothing for a submodule)."""

    kind: FileKind
    content: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """All files of one tree, by path with forward slashes. `oid` is git's tree id; empty for a working tree."""

    oid: str
    files: Mapping[str, TreeFile]


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit as git has it. Identities are what was typed, and prove nothing (gate 9)."""

    sha: str
    parents: tuple[str, ...]
    tree: str
    author_name: str
    author_email: str
    committer_name: str
    committer_email: str
    committed_at: datetime
    message: str


@dataclass(frozen=True, slots=True)
class CleanMerge:
    """`git merge-tree` of base and head went through; `tree` is the tree id of the result."""

    base: str
    head: str
    tree: str


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """The two do not merge by themselves; `paths` are the files in conflict."""

    base: str
    head: str
    paths: tuple[str, ...]


MergePreview = CleanMerge | MergeConflict
