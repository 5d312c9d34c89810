"""Repository files that containers mount, as units under a digest. Called by execution.py and apply."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from reconciler.model.canonical import digest, digest_bytes
from reconciler.model.desired import Bundle, HostSpec, ShippedFile
from reconciler.model.revision import FileKind, Tree


def bundle_of(tree: Tree, source: str) -> Bundle | None:
    """The bundle of a repository file or directory (a normalised path), None where the tree has neither.

    Its digest covers paths below the source, bytes and executable bits, not where in the repository it stands.
    """
    entry = tree.files.get(source)
    if entry is not None:
        files = {posixpath.basename(source): entry}
    else:
        prefix = f"{source}/"
        files = {path.removeprefix(prefix): each for path, each in tree.files.items() if path.startswith(prefix)}
    if not files:
        return None
    shipped = tuple(
        ShippedFile(path, digest_bytes(each.content), each.kind is FileKind.EXECUTABLE, len(each.content))
        for path, each in sorted(files.items())
    )
    covered = [[file.path, file.digest, file.executable] for file in shipped]
    identity = digest({"directory": entry is None, "files": covered})
    return Bundle(source, identity, entry is None, shipped)


def bundle_path(host: HostSpec, bundle: Bundle) -> str:
    """Where the mounted file or directory lies on the host."""
    root = f"{host.directory}/files/{bundle.digest}"
    return root if bundle.is_directory else f"{root}/{bundle.files[0].path}"


def bundle_contents(tree: Tree, bundle: Bundle) -> Mapping[str, bytes]:
    """The bytes to ship, by the paths that `bundle.files` names."""
    if not bundle.is_directory:
        return {bundle.files[0].path: tree.files[bundle.source].content}
    return {file.path: tree.files[f"{bundle.source}/{file.path}"].content for file in bundle.files}
