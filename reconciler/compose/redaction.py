"""Takes the values of an execution model out of what Compose says; pure, called by driving."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

MASK = "•••"
_SHORTEST = 4  # below that, masking destroys more text than it protects
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]|[\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """The text without terminal sequences and control characters; newlines and tabs stay."""
    return _CONTROL.sub("", text)


def redact(text: str, model: Mapping[str, Any]) -> str:
    """`text` with every environment value and inline content of `model` masked, in plain, base64, URL and JSON form.

    A value that also stands elsewhere in the model (a port, an image, a name) is public there and stays readable.
    """
    public = set(_words(_without_values(model)))
    spellings: set[str] = set()
    for value in _values(model):
        if len(value) >= _SHORTEST and value not in public:
            spellings.update(_spellings(value))
    for spelling in sorted(spellings, key=lambda s: (-len(s), s)):
        text = text.replace(spelling, MASK)
    return text


def _spellings(value: str) -> Iterator[str]:
    yield value
    unescaped = value.replace("$$", "$")
    for form in {value, unescaped}:
        yield form
        yield quote(form, safe="")
        yield json.dumps(form)[1:-1]
        encoded = base64.b64encode(form.encode("utf-8", "surrogateescape")).decode()
        yield encoded
        yield encoded.rstrip("=")


def _values(model: Mapping[str, Any]) -> Iterator[str]:
    for service in _mapping(model.get("services")).values():
        yield from _strings(_mapping(service).get("environment"))
    for kind in ("configs", "secrets"):
        for entry in _mapping(model.get(kind)).values():
            yield from _strings(_mapping(entry).get("content"))


def _without_values(model: Mapping[str, Any]) -> list[Any]:
    services = [
        {key: value for key, value in _mapping(service).items() if key != "environment"}
        for service in _mapping(model.get("services")).values()
    ]
    return [
        services,
        list(_mapping(model.get("services"))),
        {k: v for k, v in model.items() if k not in ("services", "configs", "secrets")},
    ]


def _words(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case bool() | None:
            return
        case int() | float():
            yield str(value)
        case Mapping():
            for key, item in value.items():
                yield str(key)
                yield from _words(item)
        case list() | tuple():
            for item in value:
                yield from _words(item)


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case bool() | None:
            return
        case int() | float():
            yield str(value)
        case Mapping():
            for item in value.values():
                yield from _strings(item)
        case list() | tuple():
            for item in value:
                text = str(item)
                yield text.partition("=")[2] if "=" in text else text


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
