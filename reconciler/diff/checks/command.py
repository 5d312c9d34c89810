"""Command and entrypoint; where git says nothing, the image's own."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.diff.pair import Difference, Pair, differ


def check(pair: Pair) -> Iterable[Difference]:
    config = pair.container.config
    entrypoint, command = pair.wanted.get("entrypoint"), pair.wanted.get("command")
    image_known = pair.inherited is not None
    if entrypoint is not None or image_known:
        wanted = entrypoint if entrypoint is not None else pair.from_image("Entrypoint")
        yield from differ("entrypoint", _words(config.get("Entrypoint")), _words(wanted))
    # The engine drops the image's command where an entrypoint is given, and takes it where the given one is empty.
    if command:
        yield from differ("command", _words(config.get("Cmd")), _words(command))
    elif entrypoint:
        yield from differ("command", _words(config.get("Cmd")), None)
    elif image_known:
        yield from differ("command", _words(config.get("Cmd")), _words(pair.from_image("Cmd")))


def _words(value: object) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    return [str(word) for word in value] if isinstance(value, list | tuple) and value else None
