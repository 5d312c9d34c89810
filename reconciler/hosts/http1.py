"""HTTP/1.1 over a channel, pipelined, with bounds on time and size; called by engine_api.

http.client cannot pipeline, and one round trip per container would make an observation as slow as the network is far.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reconciler.hosts.ssh import Interrupted
from reconciler.model.errors import HostUnreachable

LARGEST_BODY = 64 << 20
_LARGEST_HEAD = 64 << 10
_STATUS = re.compile("[1-9][0-9]{2}")
_LENGTH = re.compile("[0-9]{1,18}")
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,16}")


class Stream(Protocol):
    """What a paramiko channel and a socket have in common."""

    def settimeout(self, timeout: float, /) -> None: ...

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """`path` starts with a slash and is already quoted; `body` is JSON or empty."""

    method: str
    path: str
    body: bytes = b""

    def encode(self) -> bytes:
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: reconciler\r\n"
        if self.body or self.method == "POST":
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        return head.encode("ascii") + b"\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is empty where the response was handed on piece by piece."""

    status: int
    body: bytes


class HttpStream:
    """One kept-open connection. Not thread-safe. After any error it must be closed."""

    def __init__(self, stream: Stream, where: str) -> None:
        self._stream = stream
        self._where = where
        self._buffer = bytearray()
        self.reusable = True

    def close(self) -> None:
        self.reusable = False
        self._stream.close()

    def exchange(self, requests: Sequence[Request], timeout: float) -> list[Response]:
        """Send all requests at once and read their responses in order; `timeout` seconds for all of it."""
        deadline = time.monotonic() + timeout
        self._send(b"".join(request.encode() for request in requests), deadline)
        responses = []
        for request in requests:
            if not self.reusable:
                raise Interrupted("the engine closed the connection between two answers", where=self._where)
            responses.append(self._response(request, deadline, None))
        return responses

    def stream(self, request: Request, deadline: float, silence: float, sink: Callable[[bytes], None]) -> Response:
        """One request whose successful body goes to `sink` piece by piece; at most `silence` seconds between two."""
        self._send(request.encode(), deadline)
        return self._response(request, deadline, sink, silence)

    def _send(self, data: bytes, deadline: float) -> None:
        self._stream.settimeout(max(0.05, deadline - time.monotonic()))
        try:
            self._stream.sendall(data)
        except TimeoutError as error:
            raise HostUnreachable("the engine takes no request", where=self._where) from error
        except (OSError, EOFError) as error:
            raise Interrupted("the connection to the engine ended", where=self._where) from error

    def _response(
        self,
        request: Request,
        deadline: float,
        sink: Callable[[bytes], None] | None,
        silence: float | None = None,
    ) -> Response:
        reader = _Reader(self, deadline, silence)
        status, headers = self._head(reader)
        while 100 <= status < 200 and status != 101:
            status, headers = self._head(reader)
        if headers.get("connection", "").lower() == "close":
            self.reusable = False
        if request.method == "HEAD" or status in (101, 204, 304):
            return Response(status, b"")
        kept = bytearray()

        def keep(piece: bytes) -> None:
            if len(kept) + len(piece) > LARGEST_BODY:
                raise HostUnreachable(f"the engine's answer is larger than {LARGEST_BODY} bytes", where=self._where)
            kept.extend(piece)

        take = sink if sink is not None and 200 <= status < 300 else keep
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._chunks(reader, take)
        elif "content-length" in headers:
            self._length(reader, take, headers["content-length"])
        else:
            self.reusable = False
            while piece := reader.some():
                take(piece)
        return Response(status, bytes(kept))

    def _head(self, reader: _Reader) -> tuple[int, dict[str, str]]:
        lines = reader.until(b"\r\n\r\n", _LARGEST_HEAD).decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not _STATUS.fullmatch(words[1]):
            raise HostUnreachable("what answers at the engine's socket does not speak HTTP", where=self._where)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if words[0] == "HTTP/1.0":
            self.reusable = False
        return int(words[1]), headers

    def _chunks(self, reader: _Reader, take: Callable[[bytes], None]) -> None:
        while True:
            text = reader.until(b"\r\n", 1024).split(b";")[0].strip()
            if not _CHUNK.fullmatch(text):
                raise HostUnreachable("the engine's answer is not in chunks as it says", where=self._where)
            size = int(text, 16)
            if size == 0:
                while reader.until(b"\r\n", _LARGEST_HEAD):
                    pass
                return
            reader.exactly(size, take)
            reader.until(b"\r\n", 2)

    def _length(self, reader: _Reader, take: Callable[[bytes], None], text: str) -> None:
        if not _LENGTH.fullmatch(text):
            raise HostUnreachable("the engine's answer has no readable length", where=self._where)
        reader.exactly(int(text), take)

    # For the reader alone.

    def receive(self, timeout: float) -> bytes:
        self._stream.settimeout(timeout)
        try:
            return self._stream.recv(65536)
        except TimeoutError as error:
            raise HostUnreachable("the engine does not answer in time", where=self._where) from error
        except (OSError, EOFError) as error:
            raise Interrupted("the connection to the engine ended", where=self._where) from error

    @property
    def buffer(self) -> bytearray:
        return self._buffer

    @property
    def where(self) -> str:
        return self._where


class _Reader:
    """Reads one response within its deadline."""

    def __init__(self, stream: HttpStream, deadline: float, silence: float | None) -> None:
        self._stream = stream
        self._deadline = deadline
        self._silence = silence

    def until(self, mark: bytes, limit: int) -> bytes:
        """The bytes before `mark`, which is taken too."""
        buffer = self._stream.buffer
        while (at := buffer.find(mark)) < 0:
            if len(buffer) > limit:
                raise HostUnreachable("the engine's answer has a head that does not end", where=self._stream.where)
            self._fill()
        found = bytes(buffer[:at])
        del buffer[: at + len(mark)]
        return found

    def exactly(self, size: int, take: Callable[[bytes], None]) -> None:
        buffer = self._stream.buffer
        while size:
            if not buffer:
                self._fill()
            piece = bytes(buffer[:size])
            del buffer[: len(piece)]
            size -= len(piece)
            take(piece)

    def some(self) -> bytes:
        """The next bytes up to the connection's end; empty there."""
        buffer = self._stream.buffer
        if not buffer:
            return self._stream.receive(self._timeout())
        piece = bytes(buffer)
        buffer.clear()
        return piece

    def _fill(self) -> None:
        data = self._stream.receive(self._timeout())
        if not data:
            raise Interrupted("the engine closed the connection in the middle", where=self._stream.where)
        self._stream.buffer.extend(data)

    def _timeout(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise HostUnreachable("the engine does not answer in time", where=self._stream.where)
        return left if self._silence is None else min(left, self._silence)
