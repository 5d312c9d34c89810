"""Puts repository files onto a host under their digest, and makes directories there; called by host.

Over an exec of sh and tar rather than SFTP: one round trip however many files, and the host hashes them itself. What is
there already is verified by content, modes and names, and replaced as a whole when it differs; nothing is edited in
place, so a container that mounts an old one keeps it. <directory>/files (0700) keeps others out; the directories of a
bundle are 0755 and its files 0444 or 0555, because a container's user has to read them through the mount.
"""

from __future__ import annotations

import io
import posixpath
import re
import secrets
import tarfile
from collections.abc import Mapping

from reconciler.hosts.ssh import Connection, Executed
from reconciler.model.canonical import digest_bytes
from reconciler.model.desired import Bundle
from reconciler.model.errors import Terminal
from reconciler.model.redaction import printable

_SECONDS = 300.0
_DIGEST = re.compile(r"^[0-9a-f]{64}\Z")
_ODD = 9  # exit code of our scripts for "not there, or not as it should be"

# $1 the bundle's directory. One line per entry: mode, kind and name; then one hash per file.
_LIST = r"""
export LC_ALL=C
[ -d "$1" ] && [ ! -L "$1" ] && cd "$1" || exit 9
find . -exec stat -c '%a %F %n' {} +
echo
find . -type f -exec sha256sum {} +
"""

# $1 <directory>, $2 digest, $3 a random name. Leaves the old one in place until the new one is complete on disk.
_PUT = r"""
set -eu
umask 077
mkdir -p "$1/files"
new=$1/files/.new-$3 old=$1/files/.old-$3 final=$1/files/$2
trap 'rm -rf "$new" "$old"' EXIT
mkdir "$new"
tar -xpof - -C "$new"
sync -f "$new" 2>/dev/null || sync
chmod 0755 "$new"
if [ -e "$final" ] || [ -L "$final" ]; then mv "$final" "$old"; fi
mv -T "$new" "$final"
sync -f "$1/files" 2>/dev/null || sync
"""


def ship(connection: Connection, directory: str, bundle: Bundle, contents: Mapping[str, bytes]) -> None:
    """See ports.Host.ship. Raises Terminal when contents and digests differ, before anything is sent."""
    files = _checked(bundle, contents)
    target = f"{directory}/files/{bundle.digest}"
    expected = _expected(files)
    if _present(connection, target) == expected:
        return
    archive = _archive(files)
    done = _shell(connection, _PUT, (directory, bundle.digest, secrets.token_hex(8)), archive)
    present = _present(connection, target)
    if present != expected:  # somebody else may have shipped the same meanwhile; what counts is what is there
        said = printable(done.stderr.decode("utf-8", "replace")).strip()[:300]
        raise Terminal(
            f"files of {bundle.source} did not arrive whole: {said or 'the host lists other content'}",
            where=connection.where,
            hint=f"user {connection.spec.user} needs to write {directory}, which must be on a disk with room",
        )


def create_directory(connection: Connection, path: str) -> None:
    """Create it with its parents; one that is there stays as it is."""
    _absolute(path)
    done = _shell(connection, '[ -d "$1" ] || { umask 022; mkdir -p "$1"; }', (path,))
    if done.exit_code != 0:
        said = printable(done.stderr.decode("utf-8", "replace")).strip()[:300]
        raise Terminal(f"cannot create {path}: {said}", where=connection.where)


def path_exists(connection: Connection, path: str) -> bool:
    """Whether anything is there, a dangling link too."""
    _absolute(path)
    done = _shell(connection, '[ -e "$1" ] || [ -L "$1" ] || exit 9', (path,))
    if done.exit_code not in (0, _ODD):
        raise Terminal(f"cannot look for {path}: exit code {done.exit_code}", where=connection.where)
    return done.exit_code == 0


def _checked(bundle: Bundle, contents: Mapping[str, bytes]) -> dict[str, tuple[bytes, bool]]:
    """Content and executable bit by path inside the bundle."""
    if not _DIGEST.match(bundle.digest):
        raise Terminal(f"bundle {bundle.source} has no digest that can name a directory")
    files: dict[str, tuple[bytes, bool]] = {}
    for file in bundle.files:
        content = contents.get(file.path)
        if content is None or digest_bytes(content) != file.digest or len(content) != file.size:
            raise Terminal(f"{file.path} is not the file that was planned", where=f"bundle {bundle.source}")
        inside = file.path  # relative to the bundle's source; a single file's is its base name
        plain = posixpath.normpath(inside) == inside and inside.isprintable() and "\\" not in inside
        if not plain or inside.startswith(("../", "/")) or inside in ("", ".", ".."):
            raise Terminal(f"{file.path} cannot be shipped under that name", where=f"bundle {bundle.source}")
        files[inside] = (content, file.executable)
    if not files:
        raise Terminal("holds no file", where=f"bundle {bundle.source}")
    return files


def _directories(files: Mapping[str, tuple[bytes, bool]]) -> list[str]:
    found = set()
    for path in files:
        parent = posixpath.dirname(path)
        while parent:
            found.add(parent)
            parent = posixpath.dirname(parent)
    return sorted(found)


def _expected(files: Mapping[str, tuple[bytes, bool]]) -> tuple[frozenset[str], frozenset[str]]:
    entries = {"755 directory ."}
    entries.update(f"755 directory ./{path}" for path in _directories(files))
    hashes = set()
    for path, (content, executable) in files.items():
        entries.add(f"{'555' if executable else '444'} regular file ./{path}")
        hashes.add(f"{digest_bytes(content)}  ./{path}")
    return frozenset(entries), frozenset(hashes)


def _present(connection: Connection, target: str) -> tuple[frozenset[str], frozenset[str]] | None:
    done = _shell(connection, _LIST, (target,))
    if done.exit_code != 0:
        return None
    entries, _, hashes = done.stdout.decode("utf-8", "replace").partition("\n\n")
    entries = entries.replace(" regular empty file ./", " regular file ./")  # GNU stat tells these apart
    return (
        frozenset(line for line in entries.splitlines() if line),
        frozenset(line for line in hashes.splitlines() if line),
    )


def _archive(files: Mapping[str, tuple[bytes, bool]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in _directories(files):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, (content, executable) in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o555 if executable else 0o444
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _absolute(path: str) -> None:
    if not path.startswith("/") or posixpath.normpath(path) != path or not path.isprintable() or path == "/":
        raise Terminal(f"'{path}' is not an absolute path in its plain form")


def _shell(connection: Connection, script: str, arguments: tuple[str, ...], stdin: bytes = b"") -> Executed:
    return connection.execute(("sh", "-c", script, "sh", *arguments), stdin, _SECONDS)
