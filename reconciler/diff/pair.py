"""What a check looks at and what it answers: one service of git beside one of its containers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model.change import ABSENT, Value
from reconciler.model.desired import DesiredService, DesiredTarget
from reconciler.model.observed import ObservedContainer, ObservedImage, ObservedState

CONFIG_HASH_LABEL = "com.docker.compose.config-hash"


@dataclass(frozen=True, slots=True)
class Difference:
    """One aspect in which a container is not what git says. `why` is "" where the usual sentence does."""

    field: str
    before: Value
    after: Value
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """`wanted` is the service as the engine shall get it (Compose's `$$` undone); `inherited` the image that the
    container was made from, None when the engine no longer has it.

    `redefined` says whether Compose's hash on the container is another one than git's now: true, false, or None where
    that cannot be known. Where an absent key of git means "whatever this engine's default is", a difference counts
    only if it is true.
    """

    desired: DesiredTarget
    service: DesiredService
    wanted: Mapping[str, Any]
    container: ObservedContainer
    inherited: ObservedImage | None
    observed: ObservedState
    known: Mapping[str, str]

    @property
    def redefined(self) -> bool | None:
        label = self.container.labels.get(CONFIG_HASH_LABEL)
        if self.service.config_hash is None or not label:
            return None
        return label != self.service.config_hash

    @property
    def host(self) -> Mapping[str, Any]:
        return self.container.host_config

    @property
    def image_config(self) -> Mapping[str, Any]:
        return {} if self.inherited is None else self.inherited.config

    def from_image(self, key: str) -> Any:
        """A setting of the image that the container inherits, None where the image does not say."""
        return self.image_config.get(key)

    def network_name(self, key: str) -> str:
        """The engine's name of a network of the model."""
        return _engine_name(self.desired, "networks", key)

    def volume_name(self, key: str) -> str:
        """The engine's name of a volume of the model."""
        return _engine_name(self.desired, "volumes", key)

    def owner_of(self, container: str) -> str | None:
        """The service whose live container has this id or name; None where no container of the project has it."""
        for other in self.observed.containers:
            if container in (other.id, other.name.lstrip("/")):
                return other.service
        return None


def undo_dollars(value: Any) -> Any:
    """A rendered value as Compose hands it to the engine: `$$` stands for `$`."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, Mapping):
        return {key: undo_dollars(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [undo_dollars(item) for item in value]
    return value


def shown(value: Any) -> Value:
    """A value that is no secret, as it is in git or on the host; None is absent."""
    if value is None:
        return ABSENT
    if isinstance(value, str):
        return Value(value, value or '""')
    return Value(value, json.dumps(value, sort_keys=True, ensure_ascii=False))


def differ(field: str, before: Any, after: Any, why: str = "") -> tuple[Difference, ...]:
    """One difference where the two sides differ, none where they do not."""
    return () if before == after else (Difference(field, shown(before), shown(after), why),)


def _engine_name(desired: DesiredTarget, family: str, key: str) -> str:
    declared = (desired.execution_model.get(family) or {}).get(key)
    return str(declared["name"]) if declared else f"{desired.compose_project}_{key}"
