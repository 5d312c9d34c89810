"""Docker's Engine API over channels of one SSH connection, kept open and pipelined; called by this package.

EngineRefused          the engine understood and said no, in its own words
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from reconciler.hosts import engine_output
from reconciler.hosts.http1 import HttpStream, Request, Response, Stream
from reconciler.model.errors import HostUnreachable, Terminal
from reconciler.model.observed import EngineIdentity
from reconciler.model.redaction import printable

_TIMEOUT = 30.0
_IDLE = 2  # streams kept open
_BATCH = 64  # requests sent before the first answer is read: few enough to fit into the buffers on the way


class EngineRefused(Terminal):
    """An error answer; `status` is HTTP's."""

    code = "ENGINE_REFUSED"

    def __init__(self, text: str, status: int, *, where: str) -> None:
        super().__init__(text, where=where)
        self.status = status


class EngineApi:
    """The engine behind one connection. Safe to use from several threads."""

    def __init__(self, open_stream: Callable[[], Stream], where: str) -> None:
        self._open_stream = open_stream
        self._where = where
        self._lock = threading.Lock()
        self._idle: list[HttpStream] = []
        self._identity: EngineIdentity | None = None

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for stream in idle:
            stream.close()

    def identity(self) -> EngineIdentity:
        """Asked once per connection."""
        if self._identity is None:
            version, info = self._json(self._exchange((Request("GET", "/version"), Request("GET", "/info"))))
            self._identity = engine_output.identity(version, info)
        return self._identity

    def get(self, paths: Sequence[str]) -> list[Any]:
        """The JSON answers to GET on these paths, pipelined, in their order; None where nothing is there (404)."""
        prefix = f"/v{self.identity().api_version}"
        answers: list[Any] = []
        for start in range(0, len(paths), _BATCH):
            batch = tuple(Request("GET", prefix + path) for path in paths[start : start + _BATCH])
            answers.extend(self._json(self._exchange(batch)))
        return answers

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        fine: Collection[int] = (),
        timeout: float = _TIMEOUT,
    ) -> Response:
        """Change something, on a fresh stream so that nothing is ever sent into one that has died unnoticed.

        A status below 400 or in `fine` is returned; any other raises EngineRefused.
        """
        request = Request(method, f"/v{self.identity().api_version}{path}", _body(body))
        stream = HttpStream(self._open_stream(), self._where)
        try:
            (response,) = stream.exchange((request,), timeout)
        finally:
            stream.close()
        if response.status >= 400 and response.status not in fine:
            raise self._refusal(response)
        return response

    def stream(self, method: str, path: str, sink: Callable[[bytes], None], *, timeout: float, silence: float) -> None:
        """A long answer, piece by piece; at most `silence` seconds between two pieces, `timeout` in all."""
        request = Request(method, f"/v{self.identity().api_version}{path}")
        stream = HttpStream(self._open_stream(), self._where)
        try:
            response = stream.stream(request, time.monotonic() + timeout, silence, sink)
        finally:
            stream.close()
        if response.status >= 400:
            raise self._refusal(response)

    def _exchange(self, requests: Sequence[Request]) -> list[Response]:
        with self._borrow() as stream:
            return stream.exchange(requests, _TIMEOUT)

    @contextmanager
    def _borrow(self) -> Iterator[HttpStream]:
        with self._lock:
            stream = self._idle.pop() if self._idle else None
        if stream is None:
            stream = HttpStream(self._open_stream(), self._where)
        try:
            yield stream
        except BaseException:
            stream.close()
            raise
        with self._lock:
            if stream.reusable and len(self._idle) < _IDLE:
                self._idle.append(stream)
                return
        stream.close()

    def _json(self, responses: Sequence[Response]) -> list[Any]:
        answers: list[Any] = []
        for response in responses:
            if response.status == 404:
                answers.append(None)
                continue
            if response.status != 200:
                raise self._refusal(response)
            try:
                answers.append(engine_output.parsed(response.body))
            except ValueError as error:
                raise HostUnreachable("the engine's answer is not JSON", where=self._where) from error
        return answers

    def _refusal(self, response: Response) -> EngineRefused | HostUnreachable:
        text = printable(engine_output.message(response.body)).strip()[:500]
        if response.status == 503:
            return HostUnreachable(f"the engine is not ready: {text}", where=self._where)
        return EngineRefused(f"the engine refused ({response.status}): {text}", response.status, where=self._where)


def _body(body: Mapping[str, Any] | None) -> bytes:
    return b"" if body is None else json.dumps(body).encode()
