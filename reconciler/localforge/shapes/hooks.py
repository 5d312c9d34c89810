"""Webhooks and their delivery log as JSON."""

from __future__ import annotations

from typing import Any

from reconciler.localforge.forge import Forge
from reconciler.localforge.records import Delivery, Hook, Repository
from reconciler.localforge.shapes.repositories import api_url

JSON = dict[str, Any]


def hook_shape(forge: Forge, repository: Repository, hook: Hook) -> JSON:
    """The secret is shown as stars, as GitHub does."""
    url = f"{api_url(forge, repository)}/hooks/{hook.id}"
    config = {"url": hook.url, "content_type": hook.content_type, "insecure_ssl": "0"}
    if hook.secret:
        config["secret"] = "********"  # noqa: S105 (a mask)
    deliveries = forge.database.all(Delivery, hook_id=hook.id)
    last = deliveries[-1] if deliveries else None
    return {
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": config,
        "updated_at": hook.updated_at,
        "created_at": hook.created_at,
        "url": url,
        "test_url": f"{url}/tests",
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "last_response": {
            "code": last.status_code if last else None,
            "status": ("active" if last.status_code < 400 else "invalid") if last else "unused",
            "message": last.status if last else None,
        },
    }


def delivery_item(hook: Hook, delivery: Delivery) -> JSON:
    return {
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": delivery.delivered_at,
        "redelivery": delivery.redelivery,
        "duration": delivery.duration,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": None,
        "repository_id": hook.repository_id,
        "throttled_at": None,
    }


def delivery_shape(hook: Hook, delivery: Delivery) -> JSON:
    return {
        **delivery_item(hook, delivery),
        "url": hook.url,
        "request": {"headers": delivery.request_headers, "payload": delivery.payload},
        "response": {"headers": delivery.response_headers, "payload": delivery.response_body},
    }
