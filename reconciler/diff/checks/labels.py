"""Labels of git; Compose's own and the image's are subtracted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.diff.pair import Difference, Pair, shown

_COMPOSE = "com.docker.compose."


def check(pair: Pair) -> Iterable[Difference]:
    declared = pair.wanted.get("labels") or {}
    if not isinstance(declared, Mapping):
        declared = {name: value for name, _, value in (str(entry).partition("=") for entry in declared)}
    wanted = {str(name): str(value) for name, value in declared.items() if not name.startswith(_COMPOSE)}
    image = pair.from_image("Labels") or {}
    for name in sorted(wanted.keys() | pair.container.labels.keys()):
        if name.startswith(_COMPOSE):
            continue
        before, after = pair.container.labels.get(name), wanted.get(name)
        if after is None:
            if pair.inherited is None:
                continue  # it may come from the image, which is gone
            after = image.get(name)
        if before != after:
            yield Difference(f"labels.{name}", shown(before), shown(after))
