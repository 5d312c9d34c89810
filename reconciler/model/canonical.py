"""One byte form and one digest for a JSON value (RFC 8785), used wherever something is digested or compared."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value (str, int, float, bool, None, list, tuple, dict with str keys)."""
    return rfc8785.dumps(value)


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, as 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes as they are, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()
