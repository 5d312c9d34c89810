"""Whether the container runs the image that git names, by digest or by id; a tag alone says nothing."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.diff.pair import Difference, Pair
from reconciler.model.change import Value


def check(pair: Pair) -> Iterable[Difference]:
    deploy_as = dict(pair.desired.images).get(pair.service.image, str(pair.wanted.get("image", "")))
    if _is(pair, deploy_as):
        return
    container = pair.container
    tags = pair.inherited.tags if pair.inherited is not None else ()
    name = container.image if not container.image.startswith("sha256:") else next(iter(sorted(tags)), "")
    why = ""
    if pair.inherited is None:
        why = f"the engine has no longer the image that {container.name.lstrip('/')} was made from"
    elif "@" in deploy_as and container.image.endswith(deploy_as.partition("@")[2]):
        why = "the image that runs is no longer known under its digest here (it was untagged)"
    yield Difference(
        "image",
        Value(container.image_id, f"{name} ({_short(container.image_id)})".strip()),
        Value(deploy_as, f"{pair.service.image} ({_short(deploy_as)})"),
        why,
    )


def _is(pair: Pair, deploy_as: str) -> bool:
    if deploy_as.startswith("sha256:"):
        return pair.container.image_id == deploy_as
    digest = deploy_as.partition("@")[2]
    if not digest or pair.inherited is None:
        return False
    return any(known.partition("@")[2] == digest for known in pair.inherited.digests)


def _short(exact: str) -> str:
    name, colon, digits = exact.rpartition("sha256:")
    return f"sha256:{digits[:12]}" if colon else name or exact
