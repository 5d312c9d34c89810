"""What git says: the repository's own files as values, and one environment rendered by Compose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from reconciler.model.location import Location
from reconciler.model.policy import Policy, Waiver
from reconciler.model.principal import Principals
from reconciler.model.target import EnvironmentName, Target


class Consent(StrEnum):
    """How a person's yes is given (design: what a click consents to); later ones are stricter."""

    REVIEW = "review"
    QUOTED = "quoted"
    SIGNED = "signed"


class DriftMode(StrEnum):
    """What happens when a host differs from its last approved state."""

    OFF = "off"
    REPORT = "report"
    HEAL = "heal"


@dataclass(frozen=True, slots=True)
class HostSpec:
    """hosts/<name>.yaml. `host_key` is "type base64"; `socket` and `directory` are paths on the host."""

    name: str
    address: str
    port: int
    user: str
    host_key: str | None
    host_ca: str | None = None
    via: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    tiers: tuple[str, ...] = ()
    max_parallel: int = 2
    socket: str = "/var/run/docker.sock"
    directory: str = "/var/lib/reconciler"
    location: Location = Location("hosts")


@dataclass(frozen=True, slots=True)
class Window:
    """A time in the week in which nothing is deployed; `start` and `end` like "FRI 16:00", `timezone` an IANA
    name.
    """

    start: str
    end: str
    timezone: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """Hosts in waves (each a tuple of host names), the pause between them, and how many hosts may fail."""

    waves: tuple[tuple[str, ...], ...] = ()
    pause: timedelta = timedelta(0)
    max_failed_hosts: int = 0


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How long a service may take to arrive, and how long it must then stay as it is."""

    timeout: timedelta = timedelta(seconds=120)
    stable_for: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """projects/<project>/<environment>/environment.yaml, with defaults filled in and hosts resolved by name.

    `compose` and `env_files` are repository paths; `directory` is the environment's own directory there.
    """

    name: EnvironmentName
    directory: str
    hosts: tuple[str, ...]
    tier: str
    compose_project: str
    compose: tuple[str, ...]
    env_files: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    registry: str | None = None
    consent: Consent = Consent.REVIEW
    consent_delay: timedelta = timedelta(seconds=30)
    agent_owner_may_approve: bool = False
    bind: str = "plan"
    drift: DriftMode = DriftMode.REPORT
    heal_stopped: bool = False
    when_unreachable: str = "wait"
    rollout: Rollout = Rollout()
    health: HealthPolicy = HealthPolicy()
    jobs: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    on_failure: str = "stop"
    remove_volumes: tuple[str, ...] = ()
    renamed_from: str | None = None
    waivers: tuple[Waiver, ...] = ()
    location: Location = Location("environment.yaml")

    @property
    def targets(self) -> tuple[Target, ...]:
        """One target per host, in the order of the hosts."""
        return tuple(Target(self.name.project, self.name.environment, host) for host in self.hosts)


@dataclass(frozen=True, slots=True)
class Adoption:
    """`operations/adopt-<commit>.yaml`: a commit that nobody approved is taken over as it is, for some environments or
    (none named) for all that it holds.
    """

    commit: str
    why: str
    environments: tuple[EnvironmentName, ...] = ()
    location: Location = Location("operations")


@dataclass(frozen=True, slots=True)
class DesiredState:
    """A whole desired-state repository at one tree."""

    deploy_branch: str
    hosts: tuple[HostSpec, ...]
    principals: Principals
    policy: Policy
    environments: tuple[EnvironmentSpec, ...]
    adoptions: tuple[Adoption, ...] = ()

    def adoption(self, path: str) -> Adoption | None:
        """What the file at this path adopts, None where there is none."""
        return next((a for a in self.adoptions if a.location.file == path), None)

    def environment(self, name: EnvironmentName) -> EnvironmentSpec | None:
        """The environment of that name, None where git does not have it."""
        return next((e for e in self.environments if e.name == name), None)

    def host(self, name: str) -> HostSpec | None:
        """The host of that name, None where git does not have it."""
        return next((h for h in self.hosts if h.name == name), None)

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every target of every environment, sorted."""
        return tuple(sorted(t for e in self.environments for t in e.targets))


@dataclass(frozen=True, slots=True)
class RenderInput:
    """Everything a renderer may see of one environment; its digest keys the cache.

    `files`: the files of the tree that Compose may read, by repository path, and nothing else.
    """

    compose_project: str
    working_directory: str
    compose: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Rendered:
    """`docker-compose config --format json --no-path-resolution`, parsed; paths are as in the repository.

    `inputs_digest` is SHA-256 over the RenderInput, `renderer` names the program and its version.
    """

    model: Mapping[str, Any]
    inputs_digest: str
    renderer: str


@dataclass(frozen=True, slots=True)
class ShippedFile:
    """A file of a bundle; `path` is relative to the bundle's source, `digest` SHA-256 of its bytes."""

    path: str
    digest: str
    executable: bool
    size: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """One mounted repository file or directory, shipped as a unit under its digest.

    `digest` covers paths, bytes and executable bits. `source` is the repository path that the mount names, and
    `is_directory` says which it was. On the host: <directory>/files/<digest>/ holds `files`
    by their path relative to `source` (a single file keeps its base name).
    """

    source: str
    digest: str
    is_directory: bool
    files: tuple[ShippedFile, ...]


@dataclass(frozen=True, slots=True)
class EnvironmentValue:
    """A variable of a service. `clear` is None for a secret; `fingerprint` is keyed (see Fingerprinter)."""

    name: str
    fingerprint: str
    clear: str | None = None


@dataclass(frozen=True, slots=True)
class DesiredService:
    """One service as it shall run. `definition` is the rendered service; the rest is what the diff needs beside it.

    `image` is the reference as git has it. `environment` is sorted by name. `config_hash` is what Compose v5 will
    write into the label com.docker.compose.config-hash when it creates the container from `execution`,
    None where it cannot be known before (network_mode, ipc, pid or volumes_from of another service).
    `execution` is the service exactly as Compose gets it: resolved image, shipped paths, digested config keys.
    """

    name: str
    definition: Mapping[str, Any]
    execution: Mapping[str, Any]
    image: str
    environment: tuple[EnvironmentValue, ...]
    replicas: int
    is_job: bool
    depends_on: tuple[str, ...]
    namespace_parents: tuple[str, ...]
    bundles: tuple[Bundle, ...]
    config_hash: str | None
    location: Location


@dataclass(frozen=True, slots=True)
class DesiredNetwork:
    """A network of the project. `key` is its name in the model, `name` the one on the engine."""

    key: str
    name: str
    external: bool
    driver: str
    driver_options: tuple[tuple[str, str], ...] = ()
    internal: bool = False
    attachable: bool = False
    ipv6: bool = False
    subnets: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    location: Location = Location("compose.yaml")


@dataclass(frozen=True, slots=True)
class DesiredVolume:
    """A named volume of the project. `key` is its name in the model, `name` the one on the engine."""

    key: str
    name: str
    external: bool
    driver: str
    driver_options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    location: Location = Location("compose.yaml")


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A relative bind source that is not in the repository: data of the target, created once, never deleted
    unasked.
    """

    source: str
    path: str
    location: Location


@dataclass(frozen=True, slots=True)
class DesiredTarget:
    """One target as it shall be: the unit that the diff compares.

    `execution_model` is what Compose gets on standard input: every network and volume external, images resolved,
    sources shipped. An environment that git no longer has is the same with no services (`removed` is then true).
    `images` maps each reference in git to the resolved form that is deployed.
    """

    target: Target
    compose_project: str
    services: tuple[DesiredService, ...]
    networks: tuple[DesiredNetwork, ...]
    volumes: tuple[DesiredVolume, ...]
    data_directories: tuple[DataDirectory, ...]
    execution_model: Mapping[str, Any]
    images: tuple[tuple[str, str], ...]
    health: HealthPolicy
    before: tuple[str, ...] = ()
    remove_volumes: tuple[str, ...] = ()
    removed: bool = False
    sources: Mapping[str, Location] = field(default_factory=dict)

    def service(self, name: str) -> DesiredService | None:
        """The service of that name, None where git does not have it."""
        return next((s for s in self.services if s.name == name), None)
