"""Whether the container runs the image that git names, by digest or by id; a tag alone says nothing."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.diff.containers import image_text, short_image
from reconciler.diff.pair import Difference, Pair
from reconciler.model.change import Value


def check(pair: Pair) -> Iterable[Difference]:
    deploy_as = dict(pair.desired.images).get(pair.service.image, str(pair.wanted.get("image", "")))
    if _is(pair, deploy_as):
        return
    container = pair.container
    why = ""
    if pair.inherited is None:
        why = f"the engine has no longer the image that {container.name.lstrip('/')} was made from"
    elif "@" in deploy_as and container.image.endswith(deploy_as.partition("@")[2]):
        why = "the image that runs is no longer known under its digest here (it was untagged)"
    yield Difference(
        "image",
        Value(container.image_id, image_text(pair.observed, container)),
        Value(deploy_as, f"{pair.service.image} ({short_image(deploy_as)})"),
        why,
    )


def _is(pair: Pair, deploy_as: str) -> bool:
    if deploy_as.startswith("sha256:"):
        return pair.container.image_id == deploy_as
    digest = deploy_as.partition("@")[2]
    if not digest or pair.inherited is None:
        return False
    return any(known.partition("@")[2] == digest for known in pair.inherited.digests)
