"""Ordered work with a digest: what will be done to one target, each operation with its cause."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.change import Change
from reconciler.model.desired import Bundle, DesiredNetwork, DesiredVolume
from reconciler.model.target import Target


@dataclass(frozen=True, slots=True)
class ShipFiles:
    """Put repository files under their digest on the host."""

    bundle: Bundle
    why: str


@dataclass(frozen=True, slots=True)
class PullImage:
    """Make sure that the engine has the image; `deploy_as` is a digest reference or an image id."""

    reference: str
    deploy_as: str
    why: str


@dataclass(frozen=True, slots=True)
class CreateDirectory:
    """Create a data directory of the target; never deleted unasked."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """Create a network through the Engine API, labelled as Compose would."""

    network: DesiredNetwork
    why: str


@dataclass(frozen=True, slots=True)
class RecreateNetwork:
    """Replace a network: disconnect `disconnects` (containers by name), remove, create. Their services are
    recreated after.
    """

    network: DesiredNetwork
    disconnects: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove a network that git no longer has."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class CreateVolume:
    """Create a named volume through the Engine API, labelled as Compose would."""

    volume: DesiredVolume
    why: str


@dataclass(frozen=True, slots=True)
class RemoveVolume:
    """Delete a volume and its data; only where `remove_volumes` names it."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class CreateService:
    """Create and start what is missing of a service (`up --no-recreate`)."""

    service: str
    replicas: int
    why: str


@dataclass(frozen=True, slots=True)
class RecreateService:
    """Replace every container of a service (`up --force-recreate`)."""

    service: str
    replicas: int
    why: str


@dataclass(frozen=True, slots=True)
class StartService:
    """Start containers that exist and do not run (`up --no-recreate`); unpauses first where `unpause` names
    containers.
    """

    service: str
    replicas: int
    unpause: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class ScaleService:
    """Bring a service to so many replicas without touching those that stay."""

    service: str
    replicas: int
    why: str


@dataclass(frozen=True, slots=True)
class RunJob:
    """Run a one-shot service to its end by recreating it; it must end with exit code 0."""

    service: str
    why: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Stop and remove one container (by name) that no service of git claims."""

    container: str
    why: str


ServiceOperation = CreateService | RecreateService | StartService | ScaleService | RunJob

Operation = (
    ShipFiles
    | PullImage
    | CreateDirectory
    | CreateNetwork
    | RecreateNetwork
    | RemoveNetwork
    | CreateVolume
    | RemoveVolume
    | CreateService
    | RecreateService
    | StartService
    | ScaleService
    | RunJob
    | RemoveContainer
)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a plan cannot be carried out as it is, found while planning: a missing image, a clash, a source that is
    nowhere.
    """

    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done to one target. `operations` are in order; those of one `stage` may run side by side.

    `digest` is SHA-256 over the canonical form of target, engine id, changes (before and after, fingerprints for
    values), operations, image digests and digests of the files of touched services. It holds no SHA, no pull-request
    number, no container id, no time and no untouched service: the same work has the same digest.
    `stages` are tuples of indexes into `operations`. `definitions` maps each touched service to the digest of its whole
    definition; the plan's digest covers them.
    """

    target: Target
    engine_id: str
    changes: tuple[Change, ...]
    operations: tuple[Operation, ...]
    stages: tuple[tuple[int, ...], ...]
    images: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    obstacles: tuple[Obstacle, ...]
    digest: str
    definitions: tuple[tuple[str, str], ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to do."""
        return not self.operations

    @property
    def destroys(self) -> tuple[Change, ...]:
        """The changes that take something away for good."""
        return tuple(change for change in self.changes if change.destroys)
