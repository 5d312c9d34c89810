"""Delivers events to webhooks from a background thread, signed, each attempt logged; no request ever waits for it.

`notices` builds the payloads and calls `Deliveries.send`; the hooks API calls `redeliver`.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import queue
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reconciler.localforge.database import Database
from reconciler.localforge.records import Delivery, Hook

TIMEOUT = 5.0  # seconds for one delivery; GitHub gives ten
KEPT_RESPONSE = 10_000  # bytes of a response that the log keeps


@dataclass(frozen=True, slots=True)
class _Job:
    hook: Hook
    guid: str
    event: str
    payload: dict[str, Any]
    redelivery: bool


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A hook's answer never sends the payload and its signature to another address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Deliveries:
    """The queue of outgoing events. `close` ends the thread; what is still queued then is dropped."""

    def __init__(self, database: Database, now: Callable[[], str]) -> None:
        self._database = database
        self._now = now
        self._queue: queue.Queue[_Job | None] = queue.Queue()
        # no proxies: hooks of a local forge are local, and the environment is not ours to trust
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="webhook deliveries", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout=TIMEOUT + 1)

    def send(self, hook: Hook, event: str, payload: dict[str, Any]) -> str:
        """Queues one event for one hook and returns the delivery's guid."""
        guid = str(uuid.uuid4())
        self._queue.put(_Job(hook, guid, event, payload, redelivery=False))
        return guid

    def redeliver(self, hook: Hook, delivery: Delivery) -> None:
        self._queue.put(_Job(hook, delivery.guid, delivery.event, delivery.payload, redelivery=True))

    def _work(self) -> None:
        while (job := self._queue.get()) is not None and not self._closing.is_set():
            self._deliver(job)

    def _deliver(self, job: _Job) -> None:
        body = json.dumps(job.payload, ensure_ascii=False, separators=(",", ":")).encode()
        headers = signed_headers(job.hook, job.guid, job.event, body)
        request = urllib.request.Request(job.hook.url, data=body, headers=headers, method="POST")  # noqa: S310 (http by seed)
        started = time.monotonic()
        response_headers: dict[str, str] = {}
        text = ""
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                code, status = response.status, "OK"
                response_headers = dict(response.headers.items())
                text = response.read(KEPT_RESPONSE).decode(errors="replace")
        except urllib.error.HTTPError as error:
            code, status = error.code, f"Invalid HTTP Response: {error.code}"
            response_headers = dict(error.headers.items())
            text = error.read(KEPT_RESPONSE).decode(errors="replace")
            error.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            code, status = 0, f"failed to connect to host: {type(error).__name__}"
        if self._closing.is_set():
            return  # the database may be closed by now
        self._database.add(
            Delivery,
            hook_id=job.hook.id,
            guid=job.guid,
            event=job.event,
            action=job.payload.get("action"),
            redelivery=job.redelivery,
            delivered_at=self._now(),
            duration=round(time.monotonic() - started, 2),
            status=status,
            status_code=code,
            request_headers=headers,
            payload=job.payload,
            response_headers=response_headers,
            response_body=text,
        )


def signed_headers(hook: Hook, guid: str, event: str, body: bytes) -> dict[str, str]:
    """GitHub's headers; the signature is HMAC-SHA256 of the raw body with the hook's secret."""
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/localforge",
        "X-GitHub-Delivery": guid,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(hook.repository_id),
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if hook.secret:
        signature = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Hub-Signature-256"] = f"sha256={signature}"
    return headers
