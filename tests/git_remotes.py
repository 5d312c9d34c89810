"""A small repository to read from, made with pygit2 alone; the tests of the mirror fetch it by its path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import FileMode

from reconciler.sources import GitMirror

Content = str | bytes | tuple[FileMode, bytes] | None


@dataclass(slots=True)
class Remote:
    """A bare repository. `commit` changes some files (None deletes one) on top of the first parent."""

    path: Path
    repository: pygit2.Repository
    seconds: int = 1_700_000_000

    @classmethod
    def make(cls, path: Path) -> Remote:
        return cls(path, pygit2.init_repository(path, bare=True, initial_head="main"))

    def commit(
        self,
        files: Mapping[str, Content],
        *parents: str,
        ref: str | None = "refs/heads/main",
        message: str = "Change\n",
        email: str = "a@example.test",
    ) -> str:
        index = pygit2.Index()
        if parents:
            index.read_tree(self.repository[parents[0]].tree)
        for path, content in files.items():
            if content is None:
                index.remove(path)
                continue
            mode, data = content if isinstance(content, tuple) else (FileMode.BLOB, content)
            data = data.encode() if isinstance(data, str) else data
            oid = pygit2.Oid(hex=data.decode()) if mode == FileMode.COMMIT else self.repository.create_blob(data)
            index.add(pygit2.IndexEntry(path, oid, mode))
        return self.commit_tree(str(index.write_tree(self.repository)), *parents, ref=ref, message=message, email=email)

    def commit_tree(
        self, tree: str, *parents: str, ref: str | None, message: str = "Change\n", email: str = "a@example.test"
    ) -> str:
        self.seconds += 1
        who = pygit2.Signature("A", email, self.seconds, 0)
        sha = self.repository.create_commit(None, who, who, message, tree, list(parents))
        if ref:
            self.repository.references.create(ref, sha, force=True)
        return str(sha)

    def head(self, ref: str) -> str | None:
        found = self.repository.references.get(ref)
        return str(found.target) if found else None

    def mirror(self, directory: Path, **options: object) -> GitMirror:
        mirror = GitMirror(directory, str(self.path), "main", **options)  # type: ignore[arg-type]
        mirror.fetch()
        return mirror
