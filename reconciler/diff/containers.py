"""Which containers of a project count for what; used by comparison, planning and health."""

from __future__ import annotations

import re

from reconciler.model.observed import ObservedContainer, ObservedNetwork, ObservedState

PROJECT_LABEL = "com.docker.compose.project"
_REPLACE_LABEL = "com.docker.compose.replace"
_KEPT = "reconciler-keep/"  # our own tags, which only keep images from being pruned
_TEMPORARY = re.compile(r"^[0-9a-f]{12}_")


def name_of(container: ObservedContainer) -> str:
    """The container's name without the engine's slash."""
    return container.name.lstrip("/")


def is_temporary(container: ObservedContainer) -> bool:
    """What an interrupted recreate leaves behind: all three signs, because the label alone stays on good ones."""
    return (
        container.state.status == "created"
        and _REPLACE_LABEL in container.labels
        and _TEMPORARY.match(name_of(container)) is not None
    )


def is_temporary_name(name: str) -> bool:
    """Whether a name is one that an interrupted recreate leaves."""
    return _TEMPORARY.match(name) is not None


def containers_of(observed: ObservedState, service: str) -> tuple[ObservedContainer, ...]:
    """Our containers of a service, by number: no one-offs, no temporaries, nobody else's."""
    found = [c for c in observed.containers if c.service == service and c.owned and not c.one_off]
    return tuple(sorted((c for c in found if not is_temporary(c)), key=lambda c: (c.number, c.name)))


def strangers(observed: ObservedState) -> tuple[ObservedContainer, ...]:
    """Containers under our project name that we did not create; they are never touched."""
    return tuple(sorted((c for c in observed.containers if not c.owned and not c.one_off), key=lambda c: c.name))


def attached(observed: ObservedState, network: str) -> tuple[ObservedContainer, ...]:
    """Our containers on a network, running or not, by name."""
    found = (c for c in observed.containers if c.owned and network in c.networks)
    return tuple(sorted(found, key=lambda c: c.name))


def others_attached(observed: ObservedState, network: ObservedNetwork) -> tuple[str, ...]:
    """Names (or short ids) of containers on a network that are not ours, running or not."""
    ours = {c.id for c in observed.containers if c.owned}
    names = {o.name.lstrip("/") for o in observed.others if o.id in network.containers or network.name in o.networks}
    names |= {name_of(c) for c in observed.containers if not c.owned and network.name in c.networks}
    known = ours | {o.id for o in observed.others} | {c.id for c in observed.containers}
    return tuple(sorted(names | {c[:12] for c in network.containers if c not in known}))


def image_text(observed: ObservedState, container: ObservedContainer) -> str:
    """The image that a container runs, for people: a name where there is one, and the beginning of its id."""
    name = container.image
    if name.startswith("sha256:"):
        image = observed.image(container.image_id)
        tags = () if image is None else image.tags
        name = next(iter(sorted(tag for tag in tags if not tag.startswith(_KEPT))), "")
    exact = short_image(container.image_id)
    return f"{short_image(name)} ({exact})" if name else exact


def short_image(exact: str) -> str:
    """A digest reference or an image id with 12 of its 64 digits."""
    name, colon, digits = exact.rpartition("sha256:")
    return f"{name}{colon}{digits[:12]}" if colon else exact


def is_of_project(labels: object, project: str) -> bool:
    """Whether a network or volume carries Compose's label of this project."""
    return isinstance(labels, dict) and labels.get(PROJECT_LABEL) == project
