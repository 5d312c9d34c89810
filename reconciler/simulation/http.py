"""HTTP/1.1 as the Docker Engine API needs it, over any pair of byte streams (a Unix socket, an SSH channel, a process's
standard streams): keep-alive, pipelining, chunked bodies both ways, streamed answers and hijacked connections.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

_HEAD_LIMIT = 65_536
_BODY_LIMIT = 512 * 1024 * 1024
_CHUNK = 65_536


class Reader(Protocol):
    async def read(self, n: int = -1, /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> Any: ...

    async def drain(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is decoded and without the query; of a repeated query key the last counts; header names in small
    letters.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object; ValueError when it is none."""
        value = json.loads(self.body) if self.body.strip() else {}
        if not isinstance(value, dict):
            raise ValueError("the request body must be a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; `body` None is no content type at all (204, 304)."""

    status: int = 200
    body: bytes | None = b""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose parts come over time; `hijacked` takes the connection over (attach), else it is chunked."""

    parts: AsyncGenerator[bytes, None]
    content_type: str = "application/json"
    status: int = 200
    hijacked: bool = False


@dataclass(slots=True)
class _Connection:
    reader: Reader
    writer: Writer
    buffer: bytearray = field(default_factory=bytearray)
    ended: bool = False

    async def more(self) -> bool:
        """Read on; False at the end."""
        if not self.ended:
            data = await self.reader.read(_CHUNK)
            self.ended = not data
            self.buffer += data
        return not self.ended

    async def until(self, mark: bytes, limit: int) -> bytes | None:
        while (at := self.buffer.find(mark)) < 0:
            if len(self.buffer) > limit:
                raise ValueError("the request's head is too long")
            if not await self.more():
                return None
        if at > limit:
            raise ValueError("the request's head is too long")
        return self.take(at + len(mark))

    async def exactly(self, count: int) -> bytes:
        if count > _BODY_LIMIT:
            raise ValueError("the request's body is too long")
        while len(self.buffer) < count:
            if not await self.more():
                raise ValueError("the request ends in the middle")
        return self.take(count)

    def take(self, count: int) -> bytes:
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


async def serve_connection(
    reader: Reader, writer: Writer, handle: Callable[[Request], Awaitable[Answer | Stream]], headers: Mapping[str, str]
) -> None:
    """Answer requests one after the other until the other side ends; `headers` go with each answer."""
    connection = _Connection(reader, writer)
    while True:
        try:
            request = await _request(connection)
        except (ValueError, IndexError) as error:
            body = json.dumps({"message": str(error)}).encode()
            await connection.send(_head(400, headers, {"Content-Length": str(len(body)), "Connection": "close"}) + body)
            return
        if request is None:
            return
        answer = await handle(request)
        if isinstance(answer, Stream):
            await _stream(connection, answer, request, headers)
            if answer.hijacked or connection.ended:
                return
        else:
            await _answer(connection, answer, request, headers)
        if request.headers.get("connection", "").lower() == "close":
            return


async def _request(connection: _Connection) -> Request | None:
    head = await connection.until(b"\r\n\r\n", _HEAD_LIMIT)
    if head is None:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("expect", "").lower() == "100-continue":
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunked_body(connection)
    else:
        body = await connection.exactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Request(method, unquote(url.path), query, headers, body)


async def _chunked_body(connection: _Connection) -> bytes:
    body = bytearray()
    while True:
        line = await connection.until(b"\r\n", _HEAD_LIMIT)
        if line is None:
            raise ValueError("the request ends in the middle")
        size = int(line.split(b";")[0], 16)
        if len(body) + size > _BODY_LIMIT:
            raise ValueError("the request's body is too long")
        body += (await connection.exactly(size + 2))[:size]
        if size == 0:
            return bytes(body)


async def _answer(connection: _Connection, answer: Answer, request: Request, headers: Mapping[str, str]) -> None:
    own: dict[str, str] = {}
    body = answer.body or b""
    if answer.body is not None:
        own = {"Content-Type": answer.content_type, "Content-Length": str(len(body))}
    await connection.send(_head(answer.status, headers, own) + (b"" if request.method == "HEAD" else body))


async def _stream(connection: _Connection, answer: Stream, request: Request, headers: Mapping[str, str]) -> None:
    own = {"Content-Type": answer.content_type}
    status = answer.status
    if answer.hijacked:
        if "upgrade" in request.headers:
            own |= {"Connection": "Upgrade", "Upgrade": "tcp"}
            status = 101
    else:
        own["Transfer-Encoding"] = "chunked"
    await connection.send(_head(status, headers, own))
    sending = asyncio.ensure_future(_send_parts(connection, answer))
    watching = asyncio.ensure_future(_until_end(connection))
    try:
        # Whoever asked may go away while nothing happens; without the watch the stream would never end. A hijacked
        # connection may be closed in one direction only: who attaches without an input does that at once.
        await asyncio.wait({sending} if answer.hijacked else {sending, watching}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in (sending, watching):
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task


async def _send_parts(connection: _Connection, answer: Stream) -> None:
    async with aclosing(answer.parts) as parts:
        async for part in parts:
            await connection.send(part if answer.hijacked else b"%x\r\n%s\r\n" % (len(part), part))
    if not answer.hijacked:
        await connection.send(b"0\r\n\r\n")


async def _until_end(connection: _Connection) -> None:
    while await connection.more():
        if len(connection.buffer) > _HEAD_LIMIT:
            await asyncio.sleep(0.1)


def _head(status: int, headers: Mapping[str, str], own: Mapping[str, str]) -> bytes:
    reason = "UPGRADED" if status == 101 else HTTPStatus(status).phrase
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in {**headers, **own}.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
