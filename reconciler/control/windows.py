"""Deny windows: whether a moment lies in one, correct over daylight-saving changes; asked before each target."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from reconciler.model.desired import Window

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MINUTES_PER_DAY = 24 * 60


def closed(windows: tuple[Window, ...], now: datetime) -> str | None:
    """The sentence that says which window denies now, None when none does. `now` is aware."""
    for window in windows:
        zone = ZoneInfo(window.timezone)
        if any(_inside(window, local) for local in _moments(now.astimezone(UTC), zone)):
            return f"frozen from {window.start} to {window.end} ({window.timezone})"
    return None


def _moments(now: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """What the clocks say. In the hour that they show twice, the last minute before they were put back counts too: a
    window that began in the first of the two does not open again in the second.
    """
    local = now.astimezone(zone)
    before = now
    while before.astimezone(zone).fold:
        before -= timedelta(minutes=1)
    return (local,) if before == now else (local, before.astimezone(zone))


def _inside(window: Window, local: datetime) -> bool:
    minute = local.weekday() * MINUTES_PER_DAY + local.hour * 60 + local.minute
    start, end = _minute(window.start), _minute(window.end)
    return start <= minute < end if start <= end else minute >= start or minute < end


def _minute(text: str) -> int:
    """Minutes since Monday 00:00, local time, of "FRI 16:00"."""
    day, _, time = text.partition(" ")
    hours, _, minutes = time.partition(":")
    return DAYS.index(day) * MINUTES_PER_DAY + int(hours) * 60 + int(minutes)
