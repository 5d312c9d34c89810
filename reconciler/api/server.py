"""The control plane's HTTP server: GET /healthz and /readyz, POST /hooks/github. A webhook is only a hint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.control.requests import Request as DueRequest

MOST_BYTES = 5 * 1024 * 1024
BODY_WITHIN = 30.0
"""Seconds; a delivery that is still coming then is given up, so that slow senders do not pile up."""


class Webhook(Protocol):
    """How deliveries of one forge are checked and read."""

    def genuine(self, body: bytes, signature: str | None) -> bool: ...

    def requests(self, event: str, body: bytes) -> tuple[DueRequest, ...]: ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the webhook route needs: how a delivery is checked and read, which came before, where requests go."""

    webhook: Webhook | None
    seen: Callable[[str, datetime], bool]
    now: Callable[[], datetime]
    put: Callable[[DueRequest], None]


def build_app(hooks: Hooks, ready: Callable[[], tuple[bool, str]], body_within: float = BODY_WITHIN) -> Starlette:
    """The application; `ready` says whether the control plane can work, and why not. `body_within` is in seconds."""

    def healthz(_request: Request) -> Response:
        return JSONResponse({"ok": True})

    def readyz(_request: Request) -> Response:
        is_ready, reason = ready()
        return JSONResponse({"ok": is_ready, "reason": reason}, status_code=200 if is_ready else 503)

    async def github(request: Request) -> Response:
        try:
            async with asyncio.timeout(body_within):
                body = await _body(request)
        except TimeoutError:
            return _refused(408, f"the body did not arrive within {body_within:g} seconds")
        if body is None:
            return _refused(413, "the body is too large")
        if hooks.webhook is None:
            return _refused(404, "no webhook secret is configured; set forge.webhook_secret_file")
        if not hooks.webhook.genuine(body, request.headers.get("x-hub-signature-256")):
            return _refused(401, "the signature does not match (gate 60)")
        delivery = request.headers.get("x-github-delivery", "")
        if not delivery or len(delivery) > 100:
            return _refused(400, "X-GitHub-Delivery is missing or too long")
        if await run_in_threadpool(hooks.seen, delivery, hooks.now()):  # the database may keep us waiting
            return JSONResponse({"ok": True, "data": {"duplicate": True}})
        due = hooks.webhook.requests(request.headers.get("x-github-event", ""), body)
        for found in due:
            hooks.put(found)
        return JSONResponse({"ok": True, "data": {"due": [str(found) for found in due]}}, status_code=202)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/hooks/github", github, methods=["POST"]),
        ]
    )


async def _body(request: Request) -> bytes | None:
    """The raw body, None as soon as it is larger than any webhook."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MOST_BYTES:
                return None
            chunks.append(chunk)
    except ClientDisconnect:
        return None
    return b"".join(chunks)


def _refused(status: int, text: str) -> Response:
    return JSONResponse({"ok": False, "error": text}, status_code=status)
