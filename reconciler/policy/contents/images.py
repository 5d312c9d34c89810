"""What a service runs: an image with a plain name, and nothing that is built (gate 75, 77)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.policy.contents.catalogue import Discovery, discovery, named
from reconciler.policy.request import Surroundings

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


def discoveries(model: Mapping[str, Any], around: Surroundings) -> Iterator[Discovery]:
    """Each service's image, and what Compose would have built."""
    del around
    for name, service in named(model, "services"):
        subject, image = f"service {name}", service.get("image")
        if not image and not service.get("provider"):
            yield discovery("no-image", subject, "image", None, "is missing and")
        elif image and not (isinstance(image, str) and PLAIN.fullmatch(image)):
            yield discovery("odd-image", subject, "image", image)
        if image and service.get("build"):
            yield discovery("build", subject, "build", None, "")
