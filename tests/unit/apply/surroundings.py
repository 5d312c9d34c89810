"""A host in memory that does what it is told and writes it down, and a clock that only moves when somebody sleeps.

The host becomes what the target wants, one operation at a time, as the real ones do; it can refuse, go away, or be cut
off before or after it has done something.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from reconciler import diff
from reconciler.apply import PreparedTarget
from reconciler.model.desired import Bundle, DesiredNetwork, DesiredService, DesiredTarget, DesiredVolume, HealthPolicy
from reconciler.model.errors import Retryable
from reconciler.model.observed import EngineIdentity, ImageResolution, ObservedState
from reconciler.model.plan import Plan, ServiceOperation
from reconciler.model.target import Target
from reconciler.ports import ComposeResult, ObservationRequest
from tests.builders import FINGERPRINTER, NOON, PROJECT, a_target, deployed, resolutions

AT_ONCE = HealthPolicy(timeout=timedelta(seconds=60), stable_for=timedelta(0))


class Cut(BaseException):
    """The process is gone: no handler of the program sees this one."""


class Clock:
    """Moves when somebody sleeps, and remembers for how long they did."""

    def __init__(self) -> None:
        self.time = NOON
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=max(seconds, 1))


@dataclass
class HostInMemory:
    """Implements ports.Host. `calls` are what was asked of it, `done` what it has really done.

    `refusals` are errors or failed Compose calls by call; `cut_before` and `cut_after` count what changes the host
    from 0.
    """

    wanted: DesiredTarget
    state: ObservedState
    calls: list[tuple[str, ...]] = field(default_factory=list)
    done: list[tuple[str, ...]] = field(default_factory=list)
    refusals: dict[tuple[str, ...], Exception | ComposeResult] = field(default_factory=dict)
    cut_before: int | None = None
    cut_after: int | None = None
    after_each: Callable[[HostInMemory], None] = lambda _: None
    said: str = ""
    locked_by: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def do(self, call: tuple[str, ...], effect: Callable[[], None]) -> None:
        with self.turn:  # operations of one stage come from several threads
            self.calls.append(call)
            assert self.locked_by, f"{call} without the lock"
            if len(self.done) == self.cut_before:
                raise Cut
            refusal = self.refusals.get(call)
            if isinstance(refusal, Exception):
                raise refusal
            effect()
            self.done.append(call)
            self.after_each(self)
            if len(self.done) - 1 == self.cut_after:
                raise Cut

    def identity(self) -> EngineIdentity:
        return self.state.engine

    def observe(self, request: ObservationRequest) -> ObservedState:
        refusal = self.refusals.get(("observe",))
        if isinstance(refusal, Exception):
            raise refusal
        return self.state

    def resolve_images(self, references: Sequence[str]) -> Mapping[str, ImageResolution]:
        raise AssertionError("images are resolved when it is planned")

    def path_exists(self, path: str) -> bool:
        raise AssertionError("paths are looked at when it is planned")

    def pull(self, deploy_as: str) -> None:
        new = [i for i in deployed(self.wanted).images if i.id == deploy_as and self.state.image(deploy_as) is None]
        self.do(("pull", deploy_as), lambda: self.become(images=(*self.state.images, *new)))

    def keep_image(self, deploy_as: str, keep_as: str) -> None:
        self.do(("keep", deploy_as, keep_as), lambda: None)

    def ship(self, bundle: Bundle, contents: Mapping[str, bytes]) -> None:
        self.do(("ship", bundle.source, *sorted(contents)), lambda: None)

    def create_directory(self, path: str) -> None:
        self.do(("create directory", path), lambda: None)

    def read_record(self, target: Target) -> bytes | None:
        raise AssertionError("what is kept of a target is asked for by whoever executes")

    def write_record(self, target: Target, content: bytes) -> None:
        raise AssertionError("what is kept of a target is written by whoever executes")

    def create_network(self, network: DesiredNetwork, compose_project: str) -> None:
        new = [n for n in deployed(self.wanted).networks if n.name == network.name]
        self.do(("create network", network.name), lambda: self.become(networks=(*self.state.networks, *new)))

    def disconnect_network(self, name: str, container: str) -> None:
        def effect() -> None:
            gone = {c.id for c in self.state.containers if c.name == container}
            self.become(
                networks=tuple(
                    replace(n, containers=tuple(c for c in n.containers if c not in gone)) if n.name == name else n
                    for n in self.state.networks
                )
            )

        self.do(("disconnect", name, container), effect)

    def remove_network(self, name: str) -> None:
        self.do(
            ("remove network", name),
            lambda: self.become(networks=tuple(n for n in self.state.networks if n.name != name)),
        )

    def create_volume(self, volume: DesiredVolume, compose_project: str) -> None:
        new = [v for v in deployed(self.wanted).volumes if v.name == volume.name]
        self.do(("create volume", volume.name), lambda: self.become(volumes=(*self.state.volumes, *new)))

    def remove_volume(self, name: str) -> None:
        self.do(
            ("remove volume", name),
            lambda: self.become(volumes=tuple(v for v in self.state.volumes if v.name != name)),
        )

    def remove_container(self, name_or_id: str, stop_timeout: int | None) -> None:
        self.do(
            ("remove container", name_or_id),
            lambda: self.become(containers=tuple(c for c in self.state.containers if c.name != name_or_id)),
        )

    def unpause(self, name_or_id: str) -> None:
        def effect() -> None:
            self.become(
                containers=tuple(
                    replace(c, state=replace(c.state, status="running")) if c.name == name_or_id else c
                    for c in self.state.containers
                )
            )

        self.do(("unpause", name_or_id), effect)

    def run(self, operation: ServiceOperation, compose_project: str, model: bytes, timeout: float) -> ComposeResult:
        call = (type(operation).__name__, operation.service)
        refusal = self.refusals.get(call)
        if isinstance(refusal, ComposeResult):
            self.calls.append(call)
            return refusal
        self.do(call, lambda: self.arrive(operation.service))
        return ComposeResult(0, "")

    def arrive(self, service: str) -> None:
        """The service's containers are as git wants them."""
        kept = [c for c in self.state.containers if c.service != service]
        new = [c for c in deployed(self.wanted).containers if c.service == service]
        containers = (*kept, *new)
        networks = tuple(
            replace(n, containers=tuple(c.id for c in containers if n.name in c.networks)) for n in self.state.networks
        )
        self.become(containers=containers, networks=networks)

    def become(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def logs(self, container: str, lines: int) -> str:
        return self.said

    @contextmanager
    def target_lock(self, target: Target, owner: str) -> Iterator[None]:
        if self.locked_by:
            raise Retryable(f"{target} is locked by {self.locked_by[0]}")
        self.locked_by.append(owner)
        self.locks.append(f"{owner} locks {target}")
        try:
            yield
        finally:
            self.locked_by.clear()

    @property
    def changed(self) -> list[tuple[str, ...]]:
        """What it did to services, networks, volumes and containers; to look and to prepare is harmless."""
        return [call for call in self.done if call[0] not in ("pull", "keep", "ship", "create directory")]


def wanted(
    services: Mapping[str, Mapping[str, Any]] | tuple[DesiredService, ...],
    host: str = "web-1",
    health: HealthPolicy = AT_ONCE,
    **changes: Any,
) -> DesiredTarget:
    return a_target(services, target=Target("shop", "production", host), health=health, **changes)


def plan_of(target: DesiredTarget, observed: ObservedState) -> Plan:
    changes = diff.compare(target, observed, {}, FINGERPRINTER)
    return diff.plan(target, observed, changes, resolutions(target))


def prepared(target: DesiredTarget, before: ObservedState) -> tuple[PreparedTarget, HostInMemory]:
    """The target with the plan that was approved for it, and its host."""
    host = HostInMemory(target, before)
    return (
        PreparedTarget(
            desired=target,
            plan=plan_of(target, before),
            host=host,
            request=ObservationRequest(PROJECT, "shop/production"),
            images=resolutions(target),
            known={},
            contents=lambda bundle: {f"{bundle.source}/index.html": b"hello"},
        ),
        host,
    )
