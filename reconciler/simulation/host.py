"""A simulated host: an SSH server and an engine in one thread. Called by the demo, by tests, and by `python -m
reconciler.simulation`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import asyncssh

from reconciler.simulation.engine import ENGINE_ID_PREFIX, Engine, surroundings_of_loop
from reconciler.simulation.image import SimulatedImage
from reconciler.simulation.interface import Interface
from reconciler.simulation.server import SimulatedSshServer

_LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes; asyncio and clients need a little room
_START_LIMIT = 30.0


class SimulatedHost:
    """A host without Docker: a real SSH server whose engine is in memory. Nothing of it outlives `stop`, except for
    the files in `directory` (the host key among them, so that a host that comes back is the same one).

    `directory` is the root for what is shipped: name a path below it as the host's `directory` in the desired state.
    `authorized_key` is an OpenSSH public key line, the only one that gets in. `address` must be of loopback: commands
    really run, as this user. `socket` is the path by which SSH clients ask for the engine; `local_socket` is the same
    engine on a Unix socket of this machine (mode 0600), for Compose, curl and the docker CLI.
    """

    def __init__(
        self,
        directory: Path,
        authorized_key: str,
        images: Sequence[SimulatedImage] = (),
        port: int = 0,
        *,
        address: str = "127.0.0.1",
        socket: str = "/var/run/docker.sock",
        streamlocal: bool = True,
    ) -> None:
        if not ipaddress.ip_address(address).is_loopback:
            raise ValueError(f"a simulated host executes real commands and listens on loopback only, not on {address}")
        self.directory = directory.resolve()
        self.address = address
        self.port = port
        self.socket = socket
        self.host_key = ""
        self.engine_id = ENGINE_ID_PREFIX + ":".join(secrets.token_hex(2).upper() for _ in range(6))
        self._authorized_key = authorized_key
        self._images = tuple(images)
        self._streamlocal = streamlocal
        self._socket_directory: Path | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None

    @property
    def local_socket(self) -> Path:
        """Where the engine listens on this machine, while the host runs."""
        if self._socket_directory is None:
            raise RuntimeError("the simulated host is not running")
        return self._socket_directory / "engine.sock"

    def start(self) -> SimulatedHost:
        """Listen, and return when it does. OSError when the port is taken or the directory cannot be written."""
        if self._thread is not None:
            raise RuntimeError("the simulated host is running already")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = _host_key(self.directory)
        self.host_key = " ".join(key.export_public_key().decode().split()[:2])
        short = len(os.fsencode(self.directory)) < _LONGEST_SOCKET_PATH - 20
        self._socket_directory = Path(tempfile.mkdtemp(prefix="engine-", dir=self.directory if short else None))
        ready: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(key, ready), name="simulated-host", daemon=True)
        self._thread.start()
        try:
            self.port = ready.result(_START_LIMIT)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server, its connections and what they started; harmless when it does not run."""
        loop, ending, thread = self._loop, self._ending, self._thread
        if loop is not None and ending is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(ending.set)
        if thread is not None:
            thread.join()
        if self._socket_directory is not None:
            shutil.rmtree(self._socket_directory, ignore_errors=True)
        self._thread = self._loop = self._ending = self._socket_directory = None

    def __enter__(self) -> SimulatedHost:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, key: asyncssh.SSHKey, ready: Future[int]) -> None:
        try:
            asyncio.run(self._serve(key, ready))
        except Exception as error:  # handed to the thread that called start
            if not ready.done():
                ready.set_exception(error)
            else:
                raise

    async def _serve(self, key: asyncssh.SSHKey, ready: Future[int]) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        surroundings = surroundings_of_loop(
            self._loop, lambda: datetime.now(UTC), lambda: secrets.token_hex(32), self.directory
        )
        engine = Engine(self.engine_id, self._images, surroundings)
        interface = Interface(engine)
        server = SimulatedSshServer(self.directory, self.socket, interface.serve, self._streamlocal, self.local_socket)
        local: asyncio.Server | None = None
        clients: set[asyncio.Task[None]] = set()

        async def serve_local(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                clients.add(task)
                task.add_done_callback(clients.discard)
            try:
                with suppress(OSError, asyncio.CancelledError):
                    await interface.serve(reader, writer)
            finally:
                writer.close()

        try:
            local = await asyncio.start_unix_server(serve_local, self.local_socket)
            self.local_socket.chmod(0o600)
            ready.set_result(await server.listen(self.address, self.port, key, self._authorized_key))
            await self._ending.wait()
        finally:
            engine.close()
            await server.close()
            if local is not None:
                local.close()
            for task in tuple(clients):
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


def _host_key(directory: Path) -> asyncssh.SSHKey:
    path = directory / "ssh_host_ed25519_key"
    if path.exists():
        return asyncssh.read_private_key(path)
    key = asyncssh.generate_private_key("ssh-ed25519", comment="simulated host")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.export_private_key())
    return key
