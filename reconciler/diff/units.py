"""Compose's spellings of sizes, durations and processor shares as the integers of the engine; used by the checks."""

from __future__ import annotations

import re
from typing import Any

_SIZE = re.compile(r"^\s*(-?\d+(?:\.\d+)?)\s*([kmgtp]?)(i?b)?\s*$", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h|d|w)")
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}


def size_in_bytes(value: Any) -> int:
    """Bytes of "64m", "67108864" or 67108864; 0 for None. ValueError for anything else."""
    if value is None:
        return 0
    match = _SIZE.match(str(value))
    if match is None:
        raise ValueError(f"'{value}' is not a size")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()]) if "." in match[1] or match[2] else int(match[1])


def duration_in_nanoseconds(value: Any) -> int:
    """Nanoseconds of Go's "1m30s" or "1.5s"; 0 for None or "0". ValueError for anything else."""
    text = "" if value is None else str(value).strip()
    if text in ("", "0"):
        return 0
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"'{value}' is not a duration")
    return sum(round(float(number) * _NANOSECONDS[unit]) for number, unit in parts)


def cpus_in_nano(value: Any) -> int:
    """The engine's NanoCpus of "0.5" or 0.5; 0 for None."""
    return 0 if value is None else round(float(value) * 1_000_000_000)
