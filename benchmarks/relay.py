"""Stands between the forge and the control plane and notes when each webhook arrives; used by the stage.

The forge sends as always; what it sends is handed on unchanged, so that signatures stay what they are.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_HANDED_ON = ("content-type", "user-agent", "x-github-event", "x-github-delivery", "x-hub-signature-256")


class Relay:
    """An HTTP server on a loopback port. While `target` (HOST:PORT) is None, deliveries are taken and dropped."""

    def __init__(self) -> None:
        self.target: str | None = None
        self._opened: dict[int, float] = {}
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="relay", daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def opened_at(self, number: int, timeout: float) -> float:
        """When (time.perf_counter) the webhook that pull request `number` was opened came in. TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: number in self._opened, timeout):
                raise TimeoutError(f"no webhook about pull request {number} within {timeout:g} s")
            return self._opened[number]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _note(self, event: str | None, body: bytes, at: float) -> None:
        if event != "pull_request":
            return
        delivery = json.loads(body)
        if delivery["action"] == "opened":
            with self._arrived:
                self._opened[delivery["number"]] = at
                self._arrived.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.perf_counter()
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                relay._note(self.headers.get("x-github-event"), body, at)
                status = 202
                if relay.target is not None:
                    headers = {name: self.headers[name] for name in _HANDED_ON if name in self.headers}
                    connection = http.client.HTTPConnection(relay.target, timeout=30)
                    try:
                        connection.request("POST", self.path, body, headers)
                        status = connection.getresponse().status
                    except (OSError, http.client.HTTPException):
                        status = 502
                    finally:
                        connection.close()
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing: standard error is for what the run has to say."""

        return Handler
