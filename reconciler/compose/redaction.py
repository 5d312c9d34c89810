"""Takes the values of an execution model out of what Compose says (gate 81); pure, called by driving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model.redaction import mask


def redact(text: str, model: Mapping[str, Any]) -> str:
    """`text` with every environment value and inline content of `model` masked.

    A value that also stands elsewhere in the model (a port, an image, a name) is public there and stays readable.
    """
    public = set(_words(_without_values(model)))
    values = {value for value in _values(model) if value not in public}
    return mask(text, values | {value.replace("$$", "$") for value in values})


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
