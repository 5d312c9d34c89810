"""A private Unix socket on our side that leads to the engine on the host, for as long as one Compose call runs.

Called by host. The socket (mode 0600) lies in a directory of its own (0700); each connection to it is one channel over
the warm SSH connection. When the tunnel closes, its connections end with it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from reconciler.model.errors import ReconcilerError, Terminal

_LONGEST = 107  # bytes of path that a Unix socket address holds
_CHUNK = 65536


class Channel(Protocol):
    """What the tunnel needs of a paramiko channel."""

    def settimeout(self, timeout: float | None, /) -> None: ...

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, size: int, /) -> bytes: ...

    def shutdown_write(self) -> None: ...

    def close(self) -> None: ...


class Tunnel:
    """A context: inside it, `socket` is the path to connect to. `failure` keeps why a channel could not be opened."""

    def __init__(self, open_channel: Callable[[], Channel], run_directory: Path) -> None:
        self._open_channel = open_channel
        self._directory = _private_directory(run_directory)
        self.socket = self._directory / "e"
        self.failure: ReconcilerError | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = threading.Lock()
        self._ends: set[Channel | socket.socket] = set()
        self._closed = False
        try:
            self._listener.bind(str(self.socket))
            self.socket.chmod(0o600)  # nobody else can enter the directory meanwhile
            self._listener.listen(64)
        except OSError as error:
            self._listener.close()
            shutil.rmtree(self._directory, ignore_errors=True)
            raise Terminal(f"no socket can be opened there: {error}", where=str(self._directory)) from error
        threading.Thread(target=self._accept, name="tunnel", daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            ends = list(self._ends)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        for end in ends:
            _end(end)
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), name="tunnel connection", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far: Channel | None = None
        try:
            if not self._adopt(near):
                return
            try:
                far = self._open_channel()
            except ReconcilerError as error:
                self.failure = error
                return
            far.settimeout(None)
            if not self._adopt(far):
                return
            back = threading.Thread(target=_pump_back, args=(far, near), name="tunnel answers", daemon=True)
            back.start()
            _pump_out(near, far)
            back.join()  # the answer may go on long after the question ended
        finally:
            with self._lock:
                self._ends.discard(near)
                if far is not None:
                    self._ends.discard(far)
            near.close()
            if far is not None:
                far.close()

    def _adopt(self, end: Channel | socket.socket) -> bool:
        with self._lock:
            if not self._closed:
                self._ends.add(end)
            return not self._closed


def _pump_out(near: socket.socket, far: Channel) -> None:
    try:
        while data := near.recv(_CHUNK):
            far.sendall(data)
        far.shutdown_write()  # half-closed: the engine still has to answer
    except (OSError, EOFError):
        _end(far)


def _pump_back(far: Channel, near: socket.socket) -> None:
    try:
        while data := far.recv(_CHUNK):
            near.sendall(data)
        near.shutdown(socket.SHUT_WR)
    except (OSError, EOFError):
        pass
    # The engine has said its last word; a client that still writes would wait for nothing.
    with contextlib.suppress(OSError):
        near.shutdown(socket.SHUT_RDWR)


def _end(end: Channel | socket.socket) -> None:
    with contextlib.suppress(OSError, EOFError):
        if isinstance(end, socket.socket):
            end.shutdown(socket.SHUT_RDWR)
        else:
            end.close()


def _private_directory(run_directory: Path) -> Path:
    run_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory = Path(tempfile.mkdtemp(prefix="t", dir=run_directory))
    if len(str(directory / "e").encode()) > _LONGEST:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="reconciler-"))
    return directory
