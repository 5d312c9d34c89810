"""The SSH server of a simulated host, over asyncssh. Called by host.py.

It is a real SSH server, and what it executes is real: `sh -c`, as the user who runs the simulation, with the
simulated host's directory as home and working directory and a clean environment. That is no sandbox. It is safe for
two reasons only: the server listens on loopback alone, and only the holder of the one authorised key gets in. SFTP
stays below the host's directory; forwarding of ports and of any socket but the engine's is refused, and `docker`
never means the machine's own.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh

from reconciler.simulation.engine import API_VERSION, VERSION
from reconciler.simulation.http import Reader, Writer

Serve = Callable[[Reader, Writer], Awaitable[None]]
# What `docker` says when a command nested in a shell calls it: the machine's own engine must not be reached from here.
_NO_DOCKER = (
    "#!/bin/sh\necho 'the simulated host has no docker command but version and system dial-stdio' >&2\nexit 127\n"
)
_SIGNALS = {name: getattr(signal, f"SIG{name}") for name in ("HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2")}


class SimulatedSshServer:
    """One SSH server. `serve_engine` answers a connection to the engine's socket, whose path clients call `socket`;
    with `streamlocal` False it refuses to forward it, as sshd does with DisableForwarding.
    """

    def __init__(
        self, directory: Path, socket: str, serve_engine: Serve, streamlocal: bool, local_socket: Path
    ) -> None:
        self._directory = directory
        self._local_socket = local_socket
        self._socket = socket
        self._serve_engine = serve_engine
        self._streamlocal = streamlocal
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._processes: set[asyncio.subprocess.Process] = set()

    async def listen(self, address: str, port: int, host_key: asyncssh.SSHKey, authorized_key: str) -> int:
        """Listen; the port. OSError when the port is taken."""
        (self._directory / "bin").mkdir(exist_ok=True)
        docker = self._directory / "bin" / "docker"
        docker.write_text(_NO_DOCKER, encoding="utf-8")
        docker.chmod(0o755)
        self._acceptor = await asyncssh.listen(
            address,
            port,
            server_factory=lambda: _Connection(self),
            server_host_keys=[host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(authorized_key),
            public_key_auth=True,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_pty=False,
            allow_scp=False,
            process_factory=self._execute,
            sftp_factory=lambda channel: _Files(channel, self._directory),
            encoding=None,
            line_editor=False,
            compression_algs=None,
            server_version="Simulated",
            keepalive_interval=0,
        )
        return int(self._acceptor.get_port())

    async def close(self) -> None:
        """End listening, connections and what was started for them."""
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        for connection in tuple(self._connections):
            connection.abort()
        for process in tuple(self._processes):
            _end_group(process)
        for process in tuple(self._processes):
            await process.wait()

    def connected(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connections.add(connection)

    def disconnected(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connections.discard(connection)

    def engine_channel(self, path: str) -> Callable[[Any, Any], Awaitable[None]]:
        """What serves a channel to a socket; asyncssh.ChannelOpenError when that socket is not to be had."""
        if not self._streamlocal:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "forwarding is disabled")
        if path != self._socket:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, f"no socket {path} on the simulated host")
        return self._serve_channel

    async def _serve_channel(self, reader: Any, writer: Any) -> None:
        try:
            with suppress(asyncssh.Error, OSError):  # the client went away
                await self._serve_engine(reader, writer)
        finally:
            writer.close()

    async def _execute(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command
        if command is None:
            process.stderr.write(b"This is a simulated host: it executes commands and has no login shell.\n")
            process.exit(1)
            return
        if (docker := _docker_arguments(command)) is not None:
            await self._docker(process, docker)
            return
        try:
            process.exit(await self._run(process, command))
        except (asyncssh.Error, OSError):  # the connection ended before the command did
            process.close()

    async def _docker(self, process: asyncssh.SSHServerProcess[bytes], arguments: list[str]) -> None:
        """The two docker commands that a simulated host has; `--host` may name the engine's socket."""
        if arguments[:1] == ["--host"]:
            if arguments[1:2] != [f"unix://{self._socket}"]:
                process.stderr.write(b"Cannot connect to the Docker daemon on a simulated host by that address\n")
                process.exit(1)
                return
            arguments = arguments[2:]
        match arguments:
            case ["system", "dial-stdio"]:
                with suppress(asyncssh.Error, OSError):
                    await self._serve_engine(process.stdin, process.stdout)
                process.exit(0)
            case ["version", "--format", template]:
                shown = template.replace("{{.Server.APIVersion}}", API_VERSION)
                process.stdout.write(shown.replace("{{.Server.Version}}", VERSION).encode() + b"\n")
                process.exit(0)
            case _:
                process.stderr.write(_NO_DOCKER.split("'")[1].encode() + b"\n")
                process.exit(127)

    async def _run(self, process: asyncssh.SSHServerProcess[bytes], command: str) -> int:
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command,
            cwd=self._directory,
            env=self._environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._processes.add(child)
        try:
            # As sshd does without a terminal: when the channel ends, the command's input ends, and no more.
            feeding = asyncio.ensure_future(_feed(process, child))
            await asyncio.gather(_copy(child.stdout, process.stdout), _copy(child.stderr, process.stderr))
            code = await child.wait()
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding
            return code if code >= 0 else 128 - code
        finally:
            if child.returncode is None:
                await child.wait()
            self._processes.discard(child)

    def _environment(self) -> dict[str, str]:
        path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        return {
            "PATH": f"{self._directory}/bin:{path}",
            "HOME": str(self._directory),
            "SHELL": "/bin/sh",
            "DOCKER_HOST": f"unix://{self._local_socket}",
            "LANG": "C.UTF-8",
        }


class _Connection(asyncssh.SSHServer):
    def __init__(self, server: SimulatedSshServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.connected(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._connection is not None:
            self._server.disconnected(self._connection)

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 — any name; the key decides
        return True

    def unix_connection_requested(self, dest_path: str) -> Any:
        return self._server.engine_channel(dest_path)


class _Files(asyncssh.SFTPServer):
    """SFTP with real paths, so that it sees what commands see; nothing outside of the host's directory."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], directory: Path) -> None:
        super().__init__(channel)
        self._directory = directory.resolve()

    def map_path(self, path: bytes) -> bytes:
        wanted = (self._directory / os.fsdecode(path)).resolve()
        if wanted != self._directory and self._directory not in wanted.parents:
            raise asyncssh.SFTPPermissionDenied(f"{wanted} is outside of the simulated host's directory")
        return os.fsencode(wanted)

    def reverse_map_path(self, path: bytes) -> bytes:
        return path


def _docker_arguments(command: str) -> list[str] | None:
    """What follows `docker` where the command is just that; None for any other."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    return words[1:] if words[:1] == ["docker"] else None


async def _feed(process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process) -> None:
    if child.stdin is None:
        return
    try:
        while True:
            try:
                data = await process.stdin.read(65_536)
            except asyncssh.SignalReceived as received:
                _send_signal(child, received.signal)
                continue
            except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
                continue
            if not data:
                return
            child.stdin.write(data)
            await child.stdin.drain()
    except (asyncssh.Error, OSError):
        return
    finally:
        child.stdin.close()


async def _copy(source: asyncio.StreamReader | None, target: asyncssh.SSHWriter[bytes]) -> None:
    while source is not None and (data := await source.read(65_536)):
        with suppress(asyncssh.Error, OSError):  # nobody reads any more; the command still runs to its end
            target.write(data)
            await target.drain()


def _send_signal(child: asyncio.subprocess.Process, name: str) -> None:
    if (number := _SIGNALS.get(name)) is not None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)


def _end_group(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
