"""One fact in the append-only hash chain."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """`body` is the stored canonical JSON, byte for byte; it contains sequence, previous, at, kind, subject and data.

    `hash` is SHA-256 of `body`; `previous` is the hash of the entry before (GENESIS for the first). `sequence`
    counts from 1.
    """

    sequence: int
    previous: str
    hash: str
    at: datetime
    kind: str
    subject: str
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The fact itself."""
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data
