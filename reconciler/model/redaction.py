"""Takes values out of text, whatever spelling they come in (gate 81); used by adapters that catch what programs say."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

MASK = "•••"
SHORTEST = 4  # below that, masking destroys more text than it protects
# Everyday settings: masking them would hide what a log says and protect nothing.
_EVERYDAY = re.compile(
    r"true|false|null|none|auto|info|debug|warn|warning|error|trace|prod|production|development|[0-9]{1,5}", re.I
)
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]|[\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """The text without terminal sequences, control characters and direction marks; newlines and tabs stay."""
    return _CONTROL.sub("", text)


def mask(text: str, values: Iterable[str]) -> str:
    """`text` with every value of four or more characters masked: plain, base64, URL and JSON form.

    Only everyday words and numbers like true, info or 8080 stay.
    """
    hidden = {value for value in values if len(value) >= SHORTEST and not _EVERYDAY.fullmatch(value)}
    spellings = {spelling for value in hidden for spelling in _spellings(value)}
    for spelling in sorted(spellings, key=lambda s: (-len(s), s)):
        text = text.replace(spelling, MASK)
    return text


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="", errors="replace")
    yield json.dumps(value)[1:-1]
    encoded = base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()
    yield encoded
    yield encoded.rstrip("=")
