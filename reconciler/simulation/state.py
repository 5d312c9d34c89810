"""What the simulated engine holds in memory: containers, networks and volumes. Owned and changed by the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any, Protocol

NEVER = datetime(1, 1, 1, tzinfo=UTC)
PREDEFINED_NETWORKS = ("bridge", "host", "none")


class Timer(Protocol):
    """What a scheduled call can be asked."""

    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a container's output; `stream` is stdout or stderr."""

    at: datetime
    stream: str
    text: str


@dataclass(slots=True)
class Endpoint:
    """A container's place in a network; without an address while the container does not run."""

    ipam: dict[str, Any] | None
    aliases: list[str] | None
    driver_options: dict[str, str] | None
    links: list[str] | None = None
    network_id: str = ""
    endpoint_id: str = ""
    address: str = ""
    prefix_length: int = 0
    gateway: str = ""
    mac: str = ""

    def clear(self) -> None:
        self.endpoint_id = self.address = self.gateway = self.mac = ""
        self.prefix_length = 0


@dataclass(slots=True)
class Health:
    """The health of a container that has a check: starting, healthy, unhealthy, and the last five results."""

    status: str = "starting"
    failing_streak: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """`status` is the engine's word: created, running, paused, restarting, exited."""

    status: str = "created"
    process_id: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: datetime = NEVER
    finished_at: datetime = NEVER
    health: Health | None = None

    @property
    def alive(self) -> bool:
        """Whether there is a process, or will be one again by itself."""
        return self.status in {"running", "paused", "restarting"}


@dataclass(slots=True)
class Container:
    """A simulated container. `name` without its slash; `image_name` is the tag it was created from."""

    id: str
    name: str
    created: datetime
    image_id: str
    config: dict[str, Any]
    host_config: dict[str, Any]
    mounts: list[dict[str, Any]]
    endpoints: dict[str, Endpoint]
    state: State = field(default_factory=State)
    restart_count: int = 0
    backoff_step: int = 0
    ports: dict[str, Any] = field(default_factory=dict)
    sandbox: str = ""
    logs: list[LogLine] = field(default_factory=list)
    stopped_by_hand: bool = False
    on_terminate: int | None = 0
    timers: list[Timer] = field(default_factory=list)
    log_listeners: list[Callable[[LogLine | None], None]] = field(default_factory=list)
    end_listeners: list[Callable[[str], None]] = field(default_factory=list)

    @property
    def arguments(self) -> list[str]:
        return [*(self.config["Entrypoint"] or ()), *(self.config["Cmd"] or ())]

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.config["Env"])

    def cancel_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


@dataclass(slots=True)
class Network:
    """A network; `subnet` is None for host and none."""

    id: str
    name: str
    created: datetime
    driver: str
    internal: bool
    attachable: bool
    ipv6: bool
    ipam: dict[str, Any]
    options: dict[str, str]
    labels: dict[str, str]
    subnet: IPv4Network | None


@dataclass(slots=True)
class Volume:
    """A volume; nothing of it lies on a disk."""

    name: str
    created: datetime
    driver: str
    options: dict[str, str] | None
    labels: dict[str, str] | None
