"""The health check; each part that git does not set comes from the image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.diff.pair import Difference, Pair, differ
from reconciler.diff.units import duration_in_nanoseconds

_DURATIONS = (
    ("interval", "Interval"),
    ("timeout", "Timeout"),
    ("start_period", "StartPeriod"),
    ("start_interval", "StartInterval"),
)


def check(pair: Pair) -> Iterable[Difference]:
    live = pair.container.config.get("Healthcheck") or {}
    wanted = pair.wanted.get("healthcheck") or {}
    image = pair.from_image("Healthcheck") or {}
    live_test = list(live.get("Test") or ())
    if wanted.get("disable") or list(wanted.get("test") or ()) == ["NONE"]:
        yield from differ("healthcheck.test", live_test or None, ["NONE"])
        return
    if not wanted.get("test") and pair.inherited is None:
        return
    test = _test(wanted.get("test")) or list(image.get("Test") or ())
    yield from differ("healthcheck.test", live_test or None, test or None)
    for key, name in _DURATIONS:
        after = duration_in_nanoseconds(wanted.get(key)) or int(image.get(name) or 0)
        yield from differ(f"healthcheck.{key}", _seconds(int(live.get(name) or 0)), _seconds(after))
    retries = int(wanted.get("retries") or image.get("Retries") or 0)
    yield from differ("healthcheck.retries", int(live.get("Retries") or 0), retries)


def _test(value: Any) -> list[str]:
    if isinstance(value, str):
        return ["CMD-SHELL", value]
    return [str(word) for word in value or ()]


def _seconds(nanoseconds: int) -> str | None:
    return f"{nanoseconds / 1_000_000_000:g}s" if nanoseconds else None
