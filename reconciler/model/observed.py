"""What a host says at one moment: the containers, networks, volumes and images of one Compose project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """The Docker engine behind a host. `id` is the engine's own, pinned in every plan (gate 66)."""

    id: str
    version: str
    api_version: str
    rootless: bool = False


@dataclass(frozen=True, slots=True)
class ContainerState:
    """`status` is the engine's word: created, running, paused, restarting, removing, exited, dead.

    `health` is "" without a health check, else starting, healthy or unhealthy.
    """

    status: str
    exit_code: int
    error: str
    oom_killed: bool
    health: str
    started_at: str
    finished_at: str
    restart_count: int


@dataclass(frozen=True, slots=True)
class ObservedEnvironmentValue:
    """A live variable, by fingerprint only; its clear value never leaves the host adapter."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One container of the project.

    `config`, `host_config`, `mounts` and `networks` are the engine's own inspect sections with the environment
    taken out of `config` (it is in `environment`, as fingerprints). `service` and `number` come from Compose's
    labels.
    """

    id: str
    name: str
    service: str
    number: int
    one_off: bool
    image: str
    image_id: str
    state: ContainerState
    labels: Mapping[str, str]
    environment: tuple[ObservedEnvironmentValue, ...]
    config: Mapping[str, Any]
    host_config: Mapping[str, Any]
    mounts: tuple[Mapping[str, Any], ...]
    networks: Mapping[str, Mapping[str, Any]]
    created_at: str = ""

    @property
    def owned(self) -> bool:
        """Whether we created it: it carries our constant label."""
        return self.labels.get(OWNER_LABEL) == OWNER_VALUE


OWNER_LABEL = "dev.reconciler.owner"
OWNER_VALUE = "reconciler"


@dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """A network of the engine; `containers` are the ids of those attached."""

    id: str
    name: str
    driver: str
    options: Mapping[str, str]
    internal: bool
    attachable: bool
    ipv6: bool
    subnets: tuple[tuple[str, str], ...]
    labels: Mapping[str, str]
    containers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ObservedVolume:
    """A volume of the engine."""

    name: str
    driver: str
    options: Mapping[str, str]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ObservedImage:
    """An image on the host; `config` holds what a container inherits from it, its environment as fingerprints."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    environment: tuple[ObservedEnvironmentValue, ...]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ForeignContainer:
    """A container that is not of the project, as far as it can clash: its names, ports and networks."""

    id: str
    name: str
    project: str
    ports: tuple[str, ...]
    networks: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True)
class ObservedState:
    """One consistent observation of one project on one host.

    `networks` and `volumes` hold those of the project and those that were asked for by name.
    `others` are all other containers of the engine, for clashes. `observed_at` is our clock, UTC.
    """

    host: str
    compose_project: str
    engine: EngineIdentity
    containers: tuple[ObservedContainer, ...]
    networks: tuple[ObservedNetwork, ...]
    volumes: tuple[ObservedVolume, ...]
    images: tuple[ObservedImage, ...]
    others: tuple[ForeignContainer, ...]
    observed_at: datetime

    def image(self, image_id: str) -> ObservedImage | None:
        """The image of that id, None when the host has it no longer."""
        return next((i for i in self.images if i.id == image_id), None)


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """An image reference made exact. `deploy_as` is repo@digest where a registry gives a digest, else the image id.

    `on_host` says whether the engine has it already; `image_id` is known then.
    """

    reference: str
    deploy_as: str
    image_id: str | None
    on_host: bool


@dataclass(frozen=True, slots=True)
class MissingImage:
    """Neither the host nor its registry has the image; `reason` is what they answered."""

    reference: str
    reason: str


ImageResolution = ResolvedImage | MissingImage
