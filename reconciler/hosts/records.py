"""Reads and writes the record of a target on its host, <directory>/targets/<target>.json; called by host.

The directory is 0700 and the file 0600. A new record is complete and on disk under another name before it takes the
old one's place, so that there is always one of the two, whole.
"""

from __future__ import annotations

import secrets
from urllib.parse import quote

from reconciler.hosts.ssh import Connection, Executed
from reconciler.model.canonical import digest_bytes
from reconciler.model.errors import Terminal
from reconciler.model.host_record import LONGEST
from reconciler.model.redaction import printable
from reconciler.model.target import Target

_SECONDS = 60.0
_NONE, _ODD = 9, 8  # exit codes of our script for "nothing there" and "not a plain file"

# $1 the file, $2 how many bytes of it at most. A pipe or a link of somebody else's is not read.
_READ = r"""
[ -e "$1" ] || [ -L "$1" ] || exit 9
[ -f "$1" ] && [ ! -L "$1" ] || exit 8
exec head -c "$2" "$1"
"""

# $1 <directory>/targets, $2 the file's name, $3 a random name, $4 the digest of what comes: when the connection ends
# in the middle, what has come so far is not the record.
_WRITE = r"""
set -eu
umask 077
mkdir -p "$1"
chmod 0700 "$1"
new=$1/.new-$3
trap 'rm -f "$new"' EXIT
cat >"$new"
[ "$(sha256sum <"$new" | cut -c 1-64)" = "$4" ]
sync "$new" 2>/dev/null || sync
mv -fT "$new" "$1/$2"
sync "$1" 2>/dev/null || sync
"""


def read(connection: Connection, directory: str, target: Target) -> bytes | None:
    """See ports.Host.read_record. Terminal where what lies there is no plain file, or may not be read."""
    file = f"{directory}/targets/{_name(target)}"
    done = connection.execute(("sh", "-c", _READ, "sh", file, str(LONGEST + 1)), timeout=_SECONDS)
    if done.exit_code == _NONE:
        return None
    if done.exit_code == _ODD:
        raise Terminal(f"{file} is not a plain file", where=connection.where)
    if done.exit_code != 0:
        raise Terminal(f"cannot read {file}: {_said(done)}", where=connection.where)
    return done.stdout


def write(connection: Connection, directory: str, target: Target, content: bytes) -> None:
    """See ports.Host.write_record. Terminal where it cannot be written."""
    arguments = (f"{directory}/targets", _name(target), secrets.token_hex(8), digest_bytes(content))
    done = connection.execute(("sh", "-c", _WRITE, "sh", *arguments), content, _SECONDS)
    if done.exit_code != 0:
        raise Terminal(
            f"cannot write the record of {target}: {_said(done)}",
            where=connection.where,
            hint=f"user {connection.spec.user} needs to write {directory}, which must be on a disk with room",
        )


def _name(target: Target) -> str:
    return quote(str(target), safe="") + ".json"


def _said(done: Executed) -> str:
    return printable(done.stderr.decode("utf-8", "replace")).strip()[:300] or f"exit code {done.exit_code}"
