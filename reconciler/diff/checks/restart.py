"""The restart policy, which `docker update` can change unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.diff.pair import Difference, Pair, differ

_CONDITIONS = {"none": "no", "any": "always"}


def check(pair: Pair) -> Iterable[Difference]:
    live = pair.host.get("RestartPolicy") or {}
    before = _text(str(live.get("Name") or "no"), int(live.get("MaximumRetryCount") or 0))
    yield from differ("restart", before, wanted_policy(pair.wanted))


def wanted_policy(service: Mapping[str, Any]) -> str:
    """`no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N` of a rendered service."""
    if service.get("restart"):
        name, _, retries = str(service["restart"]).partition(":")
        return _text(name, int(retries or 0))
    policy = (service.get("deploy") or {}).get("restart_policy")
    if not policy:
        return "no"
    condition = str(policy.get("condition") or "")
    return _text(_CONDITIONS.get(condition, condition) or "no", int(policy.get("max_attempts") or 0))


def _text(name: str, retries: int) -> str:
    return f"{name}:{retries}" if name == "on-failure" and retries else name
