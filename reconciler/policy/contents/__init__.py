"""What a rendered model reaches for beside its own containers (gate 75, 77, 78, 79, 80): one module per family.

`discoveries` is called by evaluation.py for every target, and by the rule family host_access.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.policy.contents import beside, images, mounts, others, privilege
from reconciler.policy.contents.catalogue import Discovery
from reconciler.policy.request import Surroundings

FAMILIES: tuple[Callable[[Mapping[str, Any], Surroundings], Iterator[Discovery]], ...] = (
    images.discoveries,
    privilege.discoveries,
    mounts.discoveries,
    beside.discoveries,
    others.discoveries,
)


def discoveries(model: Mapping[str, Any], around: Surroundings) -> Iterator[Discovery]:
    """Everything that any family has to say of a rendered model, in the order of the families."""
    for family in FAMILIES:
        yield from family(model, around)


__all__ = ["FAMILIES", "Discovery", "discoveries"]
