"""Docker hosts over warm SSH connections; implements ports.Hosts and ports.Host, joined by bootstrap."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import paramiko

from reconciler.hosts import files, images, locks, observation, records, resources, ssh
from reconciler.hosts.engine_api import EngineApi
from reconciler.hosts.locks import HeldLock
from reconciler.hosts.ssh import Connection, Interrupted
from reconciler.hosts.tunnel import Tunnel
from reconciler.model.desired import Bundle, DesiredNetwork, DesiredVolume, HostSpec
from reconciler.model.errors import HostUnreachable
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.location import Location
from reconciler.model.observed import EngineIdentity, ImageResolution, ObservedState
from reconciler.model.plan import ServiceOperation
from reconciler.model.target import Target
from reconciler.ports import ComposeDriver, ComposeResult, ObservationRequest

_T = TypeVar("_T")


class SshHosts:
    """One warm connection per host, opened when it is first needed and again when it died.

    `key_file` is the private key for every host, `run_directory` where the tunnels' sockets lie, `connect_timeout` in
    seconds for each step of connecting. Safe to share between threads.
    """

    def __init__(
        self,
        key_file: Path,
        fingerprinter: Fingerprinter,
        compose: ComposeDriver,
        run_directory: Path,
        connect_timeout: float = 10,
    ) -> None:
        self._key_file = key_file
        self._fingerprinter = fingerprinter
        self._compose = compose
        self._run_directory = run_directory
        self._connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._hosts: dict[tuple[HostSpec, ...], SshHost] = {}

    def host(self, spec: HostSpec, jumps: tuple[HostSpec, ...]) -> SshHost:
        """`jumps` in the order of connecting: the first one is reached directly."""
        key = tuple(_connecting(one) for one in (spec, *jumps))
        with self._lock:
            if key not in self._hosts:
                self._hosts[key] = SshHost(
                    spec,
                    lambda: ssh.connect(spec, jumps, self._key_file, self._connect_timeout),
                    self._fingerprinter,
                    self._compose,
                    self._run_directory,
                )
            return self._hosts[key]

    def close(self) -> None:
        """End every connection."""
        with self._lock:
            hosts, self._hosts = list(self._hosts.values()), {}
        for host in hosts:
            host.close()


class SshHost:
    """One host. Reads are tried once more when a connection that was idle turns out to be dead; changes never are.

    While a target lock is held whose process there has ended, every change is refused: somebody else may be at work.
    """

    def __init__(
        self,
        spec: HostSpec,
        connect: Callable[[], Connection],
        fingerprinter: Fingerprinter,
        compose: ComposeDriver,
        run_directory: Path,
    ) -> None:
        self._spec = spec
        self._connect = connect
        self._fingerprinter = fingerprinter
        self._compose = compose
        self._run_directory = run_directory
        self._lock = threading.Lock()
        self._current: tuple[Connection, EngineApi] | None = None
        self._failed: tuple[float, HostUnreachable] | None = None
        self._held: list[HeldLock] = []
        self._members: dict[str, observation.Members] = {}  # of each project, when it was last observed

    def close(self) -> None:
        with self._lock:
            self._drop()

    @property
    def engine_way(self) -> str:
        """How the engine is reached: direct-streamlocal or dial-stdio."""
        return self._connected()[0].engine_way

    def identity(self) -> EngineIdentity:
        return self._read(lambda _, api: api.identity())

    def observe(self, request: ObservationRequest) -> ObservedState:
        now = datetime.now(UTC)
        before = self._members.get(request.compose_project)
        state = self._read(
            lambda _, api: observation.observe(api, self._spec.name, request, self._fingerprinter, now, before)
        )
        self._members[request.compose_project] = observation.members(state)
        return state

    def resolve_images(self, references: Sequence[str]) -> Mapping[str, ImageResolution]:
        return self._read(lambda _, api: images.resolve(api, references))

    def pull(self, deploy_as: str) -> None:
        self._change(lambda _, api: images.pull(api, deploy_as))

    def keep_image(self, deploy_as: str, keep_as: str) -> None:
        self._change(lambda _, api: images.keep(api, deploy_as, keep_as))

    def ship(self, bundle: Bundle, contents: Mapping[str, bytes]) -> None:
        self._change(lambda connection, _: files.ship(connection, self._spec.directory, bundle, contents))

    def create_directory(self, path: str) -> None:
        self._change(lambda connection, _: files.create_directory(connection, path))

    def path_exists(self, path: str) -> bool:
        return self._read(lambda connection, _: files.path_exists(connection, path))

    def read_record(self, target: Target) -> bytes | None:
        return self._read(lambda connection, _: records.read(connection, self._spec.directory, target))

    def write_record(self, target: Target, content: bytes) -> None:
        self._change(lambda connection, _: records.write(connection, self._spec.directory, target, content))

    def create_network(self, network: DesiredNetwork, compose_project: str) -> None:
        self._change(lambda _, api: resources.create_network(api, network, compose_project))

    def disconnect_network(self, name: str, container: str) -> None:
        self._change(lambda _, api: resources.disconnect_network(api, name, container))

    def remove_network(self, name: str) -> None:
        self._change(lambda _, api: resources.remove_network(api, name))

    def create_volume(self, volume: DesiredVolume, compose_project: str) -> None:
        self._change(lambda _, api: resources.create_volume(api, volume, compose_project))

    def remove_volume(self, name: str) -> None:
        self._change(lambda _, api: resources.remove_volume(api, name))

    def remove_container(self, name_or_id: str, stop_timeout: int | None) -> None:
        self._change(lambda _, api: resources.remove_container(api, name_or_id, stop_timeout))

    def unpause(self, name_or_id: str) -> None:
        self._change(lambda _, api: resources.unpause(api, name_or_id))

    def run(self, operation: ServiceOperation, compose_project: str, model: bytes, timeout: float) -> ComposeResult:
        """Through a tunnel of its own, so that nothing can reach the engine after the call has ended."""
        return self._change(lambda connection, _: self._run(connection, operation, compose_project, model, timeout))

    def logs(self, container: str, lines: int) -> str:
        return self._read(lambda _, api: resources.logs(api, container, lines))

    @contextlib.contextmanager
    def target_lock(self, target: Target, owner: str) -> Iterator[None]:
        """Raises Retryable when somebody else holds it. Lost with the connection: changes are then refused."""
        connection, _ = self._connected()
        with locks.hold(connection, self._spec.directory, target, owner) as held:
            with self._lock:
                self._held.append(held)
            try:
                yield
            finally:
                with self._lock:
                    self._held.remove(held)

    def _run(
        self, connection: Connection, operation: ServiceOperation, compose_project: str, model: bytes, timeout: float
    ) -> ComposeResult:
        with Tunnel(connection.open_engine, self._run_directory) as tunnel:
            result = self._compose.run(tunnel.socket, operation, compose_project, model, timeout)
        if result.exit_code != 0 and not connection.alive:
            raise Interrupted("the connection ended while Compose worked", where=connection.where)
        if result.exit_code != 0 and tunnel.failure is not None:
            raise tunnel.failure
        return result

    def _read(self, question: Callable[[Connection, EngineApi], _T]) -> _T:
        try:
            return self._ask(question, *self._connected())
        except Interrupted:
            return self._ask(question, *self._connected())

    def _change(self, action: Callable[[Connection, EngineApi], _T]) -> _T:
        connection, api = self._connected()
        with self._lock:
            # On another connection than this one, the lock would not end when the work ends.
            lost = [held for held in self._held if held.connection is not connection or not held.held]
        if lost:
            raise HostUnreachable("the connection was cut, and with it the lock that protects this", where=self._where)
        return self._ask(action, connection, api)

    def _ask(
        self,
        question: Callable[[Connection, EngineApi], _T],
        connection: Connection,
        api: EngineApi,
    ) -> _T:
        try:
            return question(connection, api)
        except HostUnreachable:
            self._doubt(connection)
            raise
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._doubt(connection)
            raise Interrupted(f"the connection failed: {ssh.reason(error)}", where=self._where) from error

    def _connected(self) -> tuple[Connection, EngineApi]:
        """The connection that there is, or a new one. Who waited while another attempt failed shares its answer."""
        asked = time.monotonic()
        with self._lock:
            if self._current is None or not self._current[0].alive:
                self._drop()
                if self._failed is not None and self._failed[0] > asked:
                    error = self._failed[1]
                    raise HostUnreachable(error.text, where=error.where, hint=error.hint)
                try:
                    connection = self._connect()
                except HostUnreachable as error:
                    self._failed = time.monotonic(), error
                    raise
                self._current = connection, EngineApi(connection.open_engine, connection.where)
            return self._current

    def _doubt(self, connection: Connection) -> None:
        """Give up a connection that did not answer, and what was learnt over it, unless a lock still lives on it."""
        with self._lock:
            if self._current is None or self._current[0] is not connection:
                return
            if connection.alive and any(held.held for held in self._held):
                self._current[1].close()
                self._current = connection, EngineApi(connection.open_engine, connection.where)
            else:
                self._drop()

    def _drop(self) -> None:
        if self._current is not None:
            connection, api = self._current
            self._current = None
            api.close()
            connection.close()

    @property
    def _where(self) -> str:
        return ssh.where(self._spec)


def _connecting(spec: HostSpec) -> HostSpec:
    """What matters for connecting, so that a moved line in a file opens no second connection."""
    return dataclasses.replace(spec, labels=(), tiers=(), max_parallel=0, location=Location("hosts"))
