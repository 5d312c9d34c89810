"""Keyed fingerprints: they say changed or unchanged, and nothing else about a value (gate 81)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fingerprinter:
    """HMAC-SHA-256 under the installation's key, over scope, name and value, cut to 16 hex digits.

    `scope` (the environment) keeps equal values in two environments from showing as equal. Never a bare hash and
    never a length: both can be guessed from.
    """

    key_id: str
    key: bytes = field(repr=False)

    def of(self, scope: str, name: str, value: str) -> str:
        """`hmac:<key id>:<16 hex>`."""
        message = b"\x00".join(part.encode("utf-8", "surrogateescape") for part in (scope, name, value))
        return f"hmac:{self.key_id}:{hmac.new(self.key, message, hashlib.sha256).hexdigest()[:16]}"
