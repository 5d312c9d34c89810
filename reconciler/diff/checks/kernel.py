"""Kernel parameters and process limits of the container."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.diff.pair import Difference, Pair, differ


def check(pair: Pair) -> Iterable[Difference]:
    sysctls = pair.wanted.get("sysctls") or {}
    if not isinstance(sysctls, Mapping):
        sysctls = {name: value for name, _, value in (str(entry).partition("=") for entry in sysctls)}
    wanted = {str(name): str(value) for name, value in sysctls.items()}
    live = {str(name): str(value) for name, value in (pair.host.get("Sysctls") or {}).items()}
    for name in sorted(wanted.keys() | live.keys()):
        yield from differ(f"sysctls.{name}", live.get(name), wanted.get(name))
    yield from _limits(pair)


def _limits(pair: Pair) -> Iterable[Difference]:
    wanted = {name: _limit(value) for name, value in (pair.wanted.get("ulimits") or {}).items()}
    live = {str(u["Name"]): f"{u.get('Soft')}:{u.get('Hard')}" for u in pair.host.get("Ulimits") or ()}
    for name in sorted(wanted.keys() | live.keys()):
        if name not in wanted and not pair.redefined:
            continue  # the engine may have default limits of its own
        yield from differ(f"ulimits.{name}", live.get(name), wanted.get(name))


def _limit(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('soft')}:{value.get('hard')}" if "soft" in value else f"{value['single']}:{value['single']}"
    return f"{value}:{value}"
