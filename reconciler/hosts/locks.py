"""An exclusive lock on the host that lives exactly as long as our connection; called by host.

A process of ours holds a flock there and reads its standard input. When the connection ends, sshd closes that input,
the process ends, and the kernel frees the lock: nothing is left to clean up.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from urllib.parse import quote

import paramiko

from reconciler.hosts.ssh import Connection, Interrupted
from reconciler.model.errors import Retryable, Terminal
from reconciler.model.redaction import printable
from reconciler.model.target import Target

_SECONDS = 20.0
_HELD = re.compile("held ([1-9][0-9]{0,17}) [0-9]+")

# $1 <directory>, $2 the lock's file name, $3 owner. The file keeps "generation pid owner" of the last holder.
_HOLD = r"""
umask 077
mkdir -p "$1/locks" || exit 8
command -v flock >/dev/null || { echo "no flock"; exit 7; }
file=$1/locks/$2
exec 9>>"$file" || exit 8
flock -n 9 || { echo "busy $(cat "$file")"; exit 6; }
read generation rest <"$file" || generation=0
case $generation in ''|*[!0-9]*) generation=0;; esac
echo "$((generation + 1)) $$ $3" >"$file"
echo "held $((generation + 1)) $$"
exec cat >/dev/null
"""


class HeldLock:
    """One lock while it is held. `generation` grows by one with each holder."""

    def __init__(self, channel: paramiko.Channel, connection: Connection, generation: int) -> None:
        self._channel = channel
        self.connection = connection
        self.generation = generation

    @property
    def held(self) -> bool:
        """False once the process there ended: what it protected must stop."""
        return self.connection.alive and not self._channel.closed and not self._channel.exit_status_ready()


@contextlib.contextmanager
def hold(connection: Connection, directory: str, target: Target, owner: str) -> Iterator[HeldLock]:
    """Raises Retryable at once when somebody else holds it."""
    name = quote(str(target), safe="")
    command = ("sh", "-c", _HOLD, "sh", directory, name, owner)
    deadline = time.monotonic() + _SECONDS
    with connection.session(command, deadline) as channel:
        line = _first_line(channel, connection, deadline)
        held = _HELD.fullmatch(line)
        if held is not None:
            yield HeldLock(channel, connection, int(held[1]))
            return
        if line.startswith("busy"):
            holder = printable(line.removeprefix("busy").strip())[:200] or "unknown"
            raise Retryable(f"{target} is being worked on: lock held by {holder}", where=connection.where)
        if line == "no flock":
            raise Terminal("has no flock command, which locks need", where=connection.where, hint="install util-linux")
        raise Terminal(
            f"the lock file under {directory}/locks cannot be written",
            where=connection.where,
            hint=f"user {connection.spec.user} needs to write {directory}",
        )


def _first_line(channel: paramiko.Channel, connection: Connection, deadline: float) -> str:
    data = b""
    while b"\n" not in data:
        channel.settimeout(max(0.05, deadline - time.monotonic()))
        try:
            piece = channel.recv(4096)
        except (OSError, EOFError) as error:
            raise Interrupted("the lock was not answered in time", where=connection.where) from error
        if not piece:
            break
        data += piece
    return data.split(b"\n")[0].decode("utf-8", "replace")
