"""Handlers for webhooks and their delivery log."""

from __future__ import annotations

from typing import get_args

from reconciler.localforge import notices
from reconciler.localforge.errors import invalid_field, not_found
from reconciler.localforge.records import Delivery, Hook
from reconciler.localforge.rest.call import Answer, Call
from reconciler.localforge.seed import HookEvent
from reconciler.localforge.shapes.hooks import delivery_item, delivery_shape, hook_shape


def _hook(call: Call) -> Hook:
    found = call.forge.database.find(Hook, id=call.number("hook_id"), repository_id=call.repository.id)
    if found is None:
        raise not_found()
    return found


def list_hooks(call: Call) -> Answer:
    found = call.forge.database.all(Hook, repository_id=call.repository.id)
    return call.listed(found, lambda one: hook_shape(call.forge, call.repository, one))


def create_hook(call: Call) -> Answer:
    config = call.body.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("url"), str):
        raise invalid_field("Hook", "url", "missing_field")
    if not config["url"].startswith(("http://", "https://")):
        raise invalid_field("Hook", "url")
    if config.get("content_type", "json") != "json":
        raise invalid_field("Hook", "content_type", "invalid", "this forge delivers JSON only: content_type json")
    events = call.texts("events", "Hook") or ["push"]
    if any(event not in get_args(HookEvent) for event in events):
        raise invalid_field("Hook", "events")
    now = call.forge.now()
    hook = call.forge.database.add(
        Hook,
        repository_id=call.repository.id,
        url=config["url"],
        secret=str(config.get("secret") or ""),
        content_type="json",
        events=tuple(events),
        active=call.flag("active", default=True),
        created_at=now,
        updated_at=now,
    )
    notices.ping(call.forge, call.repository, call.caller.user, hook)
    return Answer(hook_shape(call.forge, call.repository, hook), status=201)


def get_hook(call: Call) -> Answer:
    return Answer(hook_shape(call.forge, call.repository, _hook(call)))


def delete_hook(call: Call) -> Answer:
    call.forge.database.delete(_hook(call))
    return Answer(status=204)


def ping_hook(call: Call) -> Answer:
    notices.ping(call.forge, call.repository, call.caller.user, _hook(call))
    return Answer(status=204)


def list_deliveries(call: Call) -> Answer:
    hook = _hook(call)
    found = call.forge.database.all(Delivery, hook_id=hook.id)
    return call.listed(found[::-1], lambda one: delivery_item(hook, one))


def _delivery(call: Call, hook: Hook) -> Delivery:
    found = call.forge.database.find(Delivery, id=call.number("delivery_id"), hook_id=hook.id)
    if found is None:
        raise not_found()
    return found


def get_delivery(call: Call) -> Answer:
    hook = _hook(call)
    return Answer(delivery_shape(hook, _delivery(call, hook)))


def redeliver(call: Call) -> Answer:
    hook = _hook(call)
    call.forge.deliveries.redeliver(hook, _delivery(call, hook))
    return Answer({}, status=202)
