"""Lengths of time as people write them into files."""

from __future__ import annotations

import re
from datetime import timedelta

DURATION = r"([0-9]+(ms|s|m|h|d))+"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def read_duration(text: str) -> timedelta:
    """The length of "30s", "5m", "1h30m" or "72h"; ValueError for anything else."""
    if not re.fullmatch(DURATION, text):
        raise ValueError("should be a duration like 30s, 5m or 72h")
    parts = re.findall(r"([0-9]+)(ms|s|m|h|d)", text)
    try:
        return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError("is too long a duration") from None
