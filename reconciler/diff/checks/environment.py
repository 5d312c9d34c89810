"""Variables, by keyed fingerprint; what the image brings is subtracted, and only what git shows is shown in clear."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.diff.pair import Difference, Pair
from reconciler.model.change import ABSENT, Value


def check(pair: Pair) -> Iterable[Difference]:
    live = {value.name: value.fingerprint for value in pair.container.environment}
    image = None if pair.inherited is None else {v.name: v.fingerprint for v in pair.inherited.environment}
    for value in pair.service.environment:
        before = live.pop(value.name, None)
        if before != value.fingerprint:
            clear = value.clear if value.clear is not None else pair.known.get(value.fingerprint)
            after = Value(value.fingerprint, _text(value.fingerprint, clear))
            yield Difference(f"environment.{value.name}", _shown(pair, before), after)
    if image is None:
        return  # what is left may all come from the image, which is gone: the image check reports that
    for name, fingerprint in sorted(live.items()):
        inherited = image.get(name)
        if fingerprint != inherited:
            yield Difference(f"environment.{name}", _shown(pair, fingerprint), _shown(pair, inherited))


def _shown(pair: Pair, fingerprint: str | None) -> Value:
    return ABSENT if fingerprint is None else Value(fingerprint, _text(fingerprint, pair.known.get(fingerprint)))


def _text(fingerprint: str, clear: str | None) -> str:
    if clear is None:
        return f"hidden ({fingerprint})"
    return clear or '""'
