"""Where images come from (registries and repositories), and whether a digest pins them (gate 74)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model.policy import Rule
from reconciler.policy.facts import Facts, all_of, any_of, matches

PINNED = re.compile(r"@sha256:[0-9a-f]{64}\Z")


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether some image of the rendered model fits none of `image_outside`, and some (or, for false, none) is without
    a digest.
    """
    globs, unpinned = rule.when.image_outside, rule.when.image_unpinned
    if not globs and unpinned is None:
        return True
    if facts.subject is None or facts.subject.model is None:
        return None
    images = tuple(images_in(facts.subject.model))
    outside = any_of(None if image is None else not any(matches(n, globs) for n in names(image)) for image in images)
    bare = any_of(None if image is None else not PINNED.search(image) for image in images)
    return all_of(
        (
            not globs or outside,
            True if unpinned is None else None if bare is None else bare is unpinned,
        )
    )


def images_in(model: Mapping[str, Any]) -> Iterator[str | None]:
    """The image of each service, None for one that names none (a build: nobody knows what it holds)."""
    for service in (model.get("services") or {}).values():
        image = service.get("image") if isinstance(service, Mapping) else None
        yield image if isinstance(image, str) and image else None


def names(image: str) -> tuple[str, ...]:
    """An image reference as written and in full, each with and without tag and digest."""
    whole = image.partition("@")[0]
    head, _, last = whole.rpartition("/")
    bare = f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
    registry, slash, _ = bare.partition("/")
    if slash and ("." in registry or ":" in registry or registry == "localhost"):
        return (image, bare)
    prefix = "docker.io/" if slash else "docker.io/library/"
    return (image, bare, prefix + image, prefix + bare)
