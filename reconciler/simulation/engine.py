"""The simulated Docker engine: containers, networks, volumes and images in memory, with the real engine's rules and
refusals. Called by the HTTP interface (interface.py), on one event loop and so by one caller at a time.

No process runs and no file is mounted: a container's process is simulated (process.py). What it does is checked
against Docker Engine 20.10 (tests/integration/test_simulation.py); what only the simulation has shown is called so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from reconciler.simulation.configuration import (
    MountRequest,
    check_restart_policy,
    merged_config,
    merged_host_config,
    requested_mounts,
)
from reconciler.simulation.errors import EngineRefusal
from reconciler.simulation.events import EventLog
from reconciler.simulation.image import SimulatedImage, StoredImage, load_archive, parse_reference
from reconciler.simulation.process import SIGNAL_NUMBERS, check_exit_code, missing_program, simulated_process
from reconciler.simulation.state import (
    PREDEFINED_NETWORKS,
    Container,
    Endpoint,
    Health,
    LogLine,
    Network,
    Timer,
    Volume,
)

HOST_NAME = "simulated"
OPERATING_SYSTEM = "reconciler simulated host"
ENGINE_ID_PREFIX = "SIMULATED:"
VERSION = "20.10.24+simulated"  # the engine that it was compared with
API_VERSION = "1.41"
MINIMUM_API_VERSION = "1.24"
VOLUME_DIRECTORY = "/var/lib/docker/volumes"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.1, 60.0
_LONG_RUN = timedelta(seconds=10)  # a run of this length resets the backoff, as in the real engine
_DEFAULT_STOP_TIMEOUT = 10.0
_DEFAULT_CHECK_INTERVAL = 30.0
_KEPT_LOG_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the engine takes from outside: the time (UTC), delayed calls (seconds), fresh 64-digit ids, and whether a
    path is on the host's disk or may be created there.
    """

    now: Callable[[], datetime]
    later: Callable[[float, Callable[[], None]], Timer]
    new_id: Callable[[], str]
    path_exists: Callable[[str], bool]
    create_path: Callable[[str], bool]


def surroundings_of_loop(
    loop: asyncio.AbstractEventLoop, now: Callable[[], datetime], new_id: Callable[[], str], directory: Path
) -> Surroundings:
    """The real ones. A missing bind source is made below the host's own directory only: this is somebody's machine."""

    def create(path: str) -> bool:
        wanted = Path(path).resolve()
        if directory.resolve() not in wanted.parents:
            return False
        wanted.mkdir(parents=True, exist_ok=True)
        return True

    return Surroundings(now, loop.call_later, new_id, lambda path: Path(path).exists(), create)


class Engine:
    """One engine. `images` are those that the host or its registry knows; `engine_id` begins with SIMULATED:."""

    def __init__(self, engine_id: str, images: Sequence[SimulatedImage], surroundings: Surroundings) -> None:
        self.id = engine_id
        self.events = EventLog()
        self.containers: dict[str, Container] = {}
        self.networks: dict[str, Network] = {}
        self.volumes: dict[str, Volume] = {}
        self.images: dict[str, StoredImage] = {}
        self._surroundings = surroundings
        self._registry = tuple(image for image in images if image.in_registry)
        self._processes = 1000
        for image in images:
            if image.on_host:
                self._store(image)
        for name in PREDEFINED_NETWORKS:
            driver = {"none": "null"}.get(name, name)
            self._add_network(name, driver, {}, IPv4Network("172.17.0.0/16") if name == "bridge" else None)

    def now(self) -> datetime:
        return self._surroundings.now()

    def close(self) -> None:
        """Forget all timers, so that nothing happens any more."""
        for container in self.containers.values():
            container.cancel_timers()

    # --- finding things -------------------------------------------------------------------------------------------

    def container(self, name_or_id: str) -> Container:
        """By id, name or the beginning of an id; EngineRefusal 404 when there is none."""
        if name_or_id in self.containers:
            return self.containers[name_or_id]
        name = name_or_id.removeprefix("/")
        for container in self.containers.values():
            if container.name == name:
                return container
        found = [container for identifier, container in self.containers.items() if identifier.startswith(name)]
        if len(found) != 1 or not name:
            raise EngineRefusal(404, f"No such container: {name_or_id}")
        return found[0]

    def network(self, name_or_id: str) -> Network:
        """By id, name or the beginning of an id; EngineRefusal 404 when there is none."""
        if name_or_id in self.networks:
            return self.networks[name_or_id]
        named = [network for network in self.networks.values() if network.name == name_or_id]
        found = named or [n for identifier, n in self.networks.items() if identifier.startswith(name_or_id)]
        if not found or not name_or_id:
            raise EngineRefusal(404, f"network {name_or_id} not found")
        return found[0]

    def volume(self, name: str) -> Volume:
        """EngineRefusal 404 when there is none."""
        if name not in self.volumes:
            raise EngineRefusal(404, f"get {name}: no such volume")
        return self.volumes[name]

    def image(self, name_or_id: str) -> StoredImage:
        """By id (with or without `sha256:`, or its beginning), tag or digest; EngineRefusal 404 when there is none."""
        stored = self._find_image(name_or_id)
        if stored is None:
            raise EngineRefusal(404, f"No such image: {name_or_id}")
        return stored

    def endpoints_of(self, network: Network) -> tuple[tuple[Container, Endpoint], ...]:
        """The containers that are in a network now, with their places in it."""
        return tuple(
            (container, endpoint)
            for container in self.containers.values()
            for endpoint in container.endpoints.values()
            if endpoint.network_id == network.id and endpoint.endpoint_id
        )

    def shown_image(self, container: Container) -> str:
        """How a list names a container's image: by its tag while the tag is still that image, by the id afterwards."""
        stored = self._find_image(container.config["Image"])
        return str(container.config["Image"]) if stored and stored.id == container.image_id else container.image_id

    # --- containers -----------------------------------------------------------------------------------------------

    def create_container(self, name: str, body: Mapping[str, Any]) -> Container:
        """`body` as of `POST /containers/create`; an empty name gets one made up."""
        stored = self._find_image(body.get("Image", ""))
        if stored is None:
            raise EngineRefusal(404, f"No such image: {body.get('Image', '')}")
        identifier = self._surroundings.new_id()
        name = self._free_name(name or f"simulated_{identifier[:8]}")
        config = merged_config(body, stored.image.full_config(), identifier[:12], HOST_NAME)
        host = merged_host_config(body.get("HostConfig") or {})
        mounts = [self._make_mount(mount, host) for mount in requested_mounts(config, host)]
        mode = host["NetworkMode"]
        if mode.startswith("container:"):
            host["NetworkMode"] = f"container:{self.container(mode.removeprefix('container:')).id}"
        endpoints = self._requested_endpoints(host["NetworkMode"], body.get("NetworkingConfig") or {})
        container = Container(identifier, name, self.now(), stored.id, config, host, mounts, endpoints)
        self.containers[identifier] = container
        self._tell(container, "create")
        return container

    def start(self, container: Container) -> bool:
        """Start it; False when it runs already. EngineRefusal as the engine gives it when it cannot."""
        if container.state.status == "paused":
            raise EngineRefusal(409, "cannot start a paused container, try unpause instead")
        if container.state.status == "running":
            return False
        container.cancel_timers()
        container.stopped_by_hand = False
        container.restart_count = container.backoff_step = 0
        self._launch(container)
        return True

    async def stop(self, container: Container, timeout: float | None) -> bool:
        """Stop it by its signal, and by SIGKILL after `timeout` seconds (negative: never); False when it is stopped."""
        if not container.state.alive:
            return False
        if timeout is None:
            timeout = float(container.config.get("StopTimeout", _DEFAULT_STOP_TIMEOUT))
        container.stopped_by_hand = True
        if container.state.status == "restarting":
            container.cancel_timers()
            container.state.status = "exited"
        else:
            self._signal(container, container.config.get("StopSignal", "SIGTERM"))
            if container.state.alive and timeout >= 0:
                killer = self._surroundings.later(timeout, lambda: self._signal(container, "KILL"))
                container.timers.append(killer)
            if container.state.alive:
                await self.ended(container, "next-exit")
        self._tell(container, "stop")
        return True

    def kill(self, container: Container, signal: str) -> None:
        """Send a signal to its process."""
        if container.state.status not in {"running", "paused"}:
            raise EngineRefusal(
                409, f"Cannot kill container: {container.name}: Container {container.id} is not running"
            )
        container.stopped_by_hand = container.stopped_by_hand or _signal_number(signal) in {9, 15}
        self._signal(container, signal)

    async def restart(self, container: Container, timeout: float | None) -> None:
        await self.stop(container, timeout)
        self.start(container)
        self._tell(container, "restart")

    def pause(self, container: Container) -> None:
        if container.state.status == "paused":
            raise EngineRefusal(409, f"Container {container.id} is already paused")
        if container.state.status != "running":
            raise EngineRefusal(409, f"Container {container.id} is not running")
        container.state.status = "paused"
        self._tell(container, "pause")

    def unpause(self, container: Container) -> None:
        if container.state.status != "paused":
            raise EngineRefusal(500, f"Container {container.id} is not paused")
        container.state.status = "running"
        self._tell(container, "unpause")

    def rename(self, container: Container, name: str) -> None:
        """Give it another name; EngineRefusal 409 when the name is taken."""
        try:
            new = self._free_name(name)
        except EngineRefusal as refusal:
            if refusal.status == 409:
                raise EngineRefusal(409, f"Error when allocating new name: {refusal.message}") from refusal
            raise
        old, container.name = container.name, new
        self._tell(container, "rename", oldName=f"/{old}")

    def update(self, container: Container, body: Mapping[str, Any]) -> None:
        """Change resources and the restart policy of a container in place, as `docker update` does."""
        host = container.host_config
        memory, swap = body.get("Memory", 0), body.get("MemorySwap", 0)
        if not swap and host["MemorySwap"] != -1 and memory > host["MemorySwap"]:
            raise _cannot_update(container)
        policy = body.get("RestartPolicy") or {}
        if policy.get("Name"):
            check_restart_policy(policy)
            count = policy.get("MaximumRetryCount", 0)
            host["RestartPolicy"] = {"Name": policy["Name"], "MaximumRetryCount": count}
        for key in (
            "Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuShares", "CpuPeriod", "CpuQuota",
            "CpusetCpus", "CpusetMems", "BlkioWeight", "PidsLimit",
        ):  # fmt: skip
            if body.get(key):
                host[key] = body[key]
        self._tell(container, "update")

    def remove(self, container: Container, force: bool, volumes: bool) -> None:
        """Remove it, with its anonymous volumes where `volumes` says so."""
        if container.state.alive and not force:
            what = "running" if container.state.status == "running" else container.state.status
            raise EngineRefusal(
                409,
                f"You cannot remove a {what} container {container.id}. "
                "Stop the container before attempting removal or force remove",
            )
        container.stopped_by_hand = True
        if container.state.status in {"running", "paused"}:
            self._signal(container, "KILL")
        self._discard(container, volumes)

    def ended(self, container: Container, condition: str) -> asyncio.Future[int]:
        """The exit code, once it is `not-running`, at its `next-exit`, or once it is `removed`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if condition == "not-running" and not container.state.alive:
            future.set_result(container.state.exit_code)
            return future

        def listen(what: str) -> None:
            if future.done() or (condition == "removed") != (what == "removed"):
                return
            future.set_result(container.state.exit_code)

        container.end_listeners.append(listen)
        future.add_done_callback(lambda _: _forget(container.end_listeners, listen))
        return future

    def follow_logs(self, container: Container, listener: Callable[[LogLine | None], None]) -> Callable[[], None]:
        """Call `listener` for each new line, and with None when the container ends, until the returned function is
        called.
        """
        container.log_listeners.append(listener)
        return lambda: _forget(container.log_listeners, listener)

    # --- networks -------------------------------------------------------------------------------------------------

    def create_network(self, body: Mapping[str, Any]) -> Network:
        """`body` as of `POST /networks/create`. A name that is taken is always refused, as engines since 25 do."""
        name, driver = str(body.get("Name", "")), body.get("Driver") or "bridge"
        if any(network.name == name for network in self.networks.values()):
            raise EngineRefusal(409, f"network with name {name} already exists")
        if not name.strip():
            raise EngineRefusal(400, "network name cannot be empty")
        if driver not in {"bridge", "macvlan", "ipvlan"}:
            raise EngineRefusal(404, f'plugin "{driver}" not found')
        given = [entry for entry in (body.get("IPAM") or {}).get("Config") or () if entry.get("Subnet")]
        try:
            subnet = IPv4Network(given[0]["Subnet"]) if given else self._free_subnet()
        except ValueError as error:
            raise EngineRefusal(400, f"failed to parse pool request for address space: {error}") from error
        if given and any(other.subnet and other.subnet.overlaps(subnet) for other in self.networks.values()):
            raise EngineRefusal(403, "Pool overlaps with other one on this address space")
        return self._add_network(name, driver, body, subnet)

    def remove_network(self, network: Network) -> None:
        """EngineRefusal 403 while a container is in it, or when it is one of the engine's own."""
        if network.name in PREDEFINED_NETWORKS:
            raise EngineRefusal(403, f"{network.name} is a pre-defined network and cannot be removed")
        if self.endpoints_of(network):
            reason = f"network {network.name} id {network.id} has active endpoints"
            raise EngineRefusal(403, f"error while removing network: {reason}")
        del self.networks[network.id]
        self._tell_network(network, "destroy")

    def connect(self, network: Network, container: Container, settings: Mapping[str, Any]) -> None:
        """Put a container into a network; `settings` as of EndpointConfig."""
        if container.host_config["NetworkMode"] in {"host", "none"}:
            text = "container cannot be disconnected from host network or connected to host network"
            raise EngineRefusal(403, text)
        endpoint = container.endpoints.get(network.name)
        if endpoint is None:
            endpoint = _endpoint(settings)
            _add_own_names(container, network, endpoint)
            container.endpoints[network.name] = endpoint
        elif endpoint.endpoint_id:
            text = f"endpoint with name {container.name} already exists in network {network.name}"
            raise EngineRefusal(403, text)
        if container.state.status in {"running", "paused"}:
            self._attach(container, network, endpoint)

    def disconnect(self, network: Network, container: Container) -> None:
        """Take a container out of a network."""
        endpoint = container.endpoints.pop(network.name, None)
        if endpoint is None:
            text = f"container {container.id} is not connected to the network {network.name}"
            raise EngineRefusal(500, text)
        self._tell_network(network, "disconnect", container=container.id)

    # --- volumes --------------------------------------------------------------------------------------------------

    def create_volume(self, body: Mapping[str, Any]) -> Volume:
        """`body` as of `POST /volumes/create`; the existing one where the name is known."""
        name, driver = body.get("Name") or self._surroundings.new_id(), body.get("Driver") or "local"
        if name in self.volumes:
            return self.volumes[name]
        if not _NAME.fullmatch(name):
            text = f'create {name}: "{name}" includes invalid characters for a local volume name'
            raise EngineRefusal(400, text)
        if driver != "local":
            raise EngineRefusal(
                404, f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
            )
        volume = Volume(name, self.now(), driver, body.get("DriverOpts") or None, body.get("Labels"))
        self.volumes[name] = volume
        self.events.record("volume", "create", name, {"driver": driver}, self.now())
        return volume

    def remove_volume(self, volume: Volume) -> None:
        """EngineRefusal 409 while a container, running or not, has it."""
        users = [c.id for c in self.containers.values() if volume.name in _volume_names(c)]
        if users:
            raise EngineRefusal(409, f"remove {volume.name}: volume is in use - [{', '.join(users)}]")
        del self.volumes[volume.name]
        self.events.record("volume", "destroy", volume.name, {"driver": volume.driver}, self.now())

    # --- images ---------------------------------------------------------------------------------------------------

    def pull(self, reference: str) -> StoredImage:
        """Fetch an image from the registry; EngineRefusal 404 when the registry does not know it."""
        image, wanted = self._in_registry(reference), parse_reference(reference)
        if image is None:
            reason = f"manifest for {wanted.name} not found: manifest unknown: manifest unknown"
            raise EngineRefusal(404, reason)
        stored = self._store(replace(image, reference=wanted.name) if wanted.tag else image, tag=bool(wanted.tag))
        digest = f"{wanted.repository}@{image.manifest_digest}"
        if digest not in stored.digests:
            stored.digests.append(digest)
        self.events.record("image", "pull", reference, self._image_attributes(stored, wanted.repository), self.now())
        return stored

    def registry_image(self, reference: str) -> SimulatedImage:
        """What the registry says of a reference; EngineRefusal 404 when it does not know it."""
        image = self._in_registry(reference)
        if image is None:
            raise EngineRefusal(404, "manifest unknown: manifest unknown")
        return image

    def tag(self, stored: StoredImage, repository: str, tag: str) -> None:
        """Give an image one more name, and take that name from another image."""
        name = parse_reference(f"{repository}:{tag}" if tag else repository).name
        self._take_name(name)
        stored.tags.append(name)
        self.events.record("image", "tag", stored.id, self._image_attributes(stored, name), self.now())

    def load(self, archive: bytes) -> tuple[str, ...]:
        """Take in the images of an archive (`docker load`); their names."""
        images = load_archive(archive)
        for image in images:
            self._store(image)
        return tuple(image.reference for image in images)

    def remove_image(self, name: str, force: bool) -> list[dict[str, str]]:
        """Take a name from an image, and the image away with its last name; what was done, as the engine says it."""
        stored = self.image(name)
        users = [container for container in self.containers.values() if container.image_id == stored.id]
        by_id = name not in stored.tags and name not in stored.digests and f"{name}:latest" not in stored.tags
        names = [n for n in (*stored.tags, *stored.digests) if by_id or n in {name, f"{name}:latest"}]
        last = len(names) == len(stored.tags) + len(stored.digests) or set(names) == set(stored.tags)
        if users and last and (not force or any(user.state.alive for user in users)):
            user = users[0].id[:12]
            raise EngineRefusal(
                409,
                f'conflict: unable to remove repository reference "{name}" (must force) - container {user} '
                f"is using its referenced image {stored.id.removeprefix('sha256:')[:12]}",
            )
        done = []
        for taken in names:
            (stored.tags if taken in stored.tags else stored.digests).remove(taken)
            done.append({"Untagged": taken})
            self.events.record("image", "untag", stored.id, self._image_attributes(stored, stored.id), self.now())
        if not stored.tags and not users:
            del self.images[stored.id]
            done.append({"Deleted": stored.id})
            self.events.record("image", "delete", stored.id, self._image_attributes(stored, stored.id), self.now())
        return done

    # --- the life of a process ------------------------------------------------------------------------------------

    def _launch(self, container: Container) -> None:
        state = container.state
        try:
            self._attach_all(container)
            if (program := missing_program(container.arguments)) is not None:
                raise _cannot_execute(program)
        except EngineRefusal as refusal:
            self._detach_all(container, quietly=True)
            if state.status == "created":
                state.exit_code = 127 if refusal.status == 400 else 128
            elif state.status == "restarting":
                state.status = "exited"
            state.error = refusal.message
            raise
        self._processes += 1
        state.status, state.process_id, state.error, state.exit_code = "running", self._processes, "", 0
        state.started_at = self.now()
        container.sandbox = self._surroundings.new_id()
        self._tell(container, "start")
        process = simulated_process(
            container.arguments,
            container.environment,
            container.config["Labels"],
            bool(container.host_config.get("Init")),
        )
        container.on_terminate = process.on_terminate
        for output in process.outputs:
            self._after(container, output.after, partial(self._write, container, output.stream, output.text))
        if process.ends_after is not None:
            self._after(container, process.ends_after, lambda: self._end(container, process.exit_code))
        self._begin_checks(container)

    def _after(self, container: Container, seconds: float, call: Callable[[], None]) -> None:
        container.timers.append(self._surroundings.later(seconds, call))

    def _write(self, container: Container, stream: str, text: str) -> None:
        if container.config["Tty"]:  # a terminal has one stream and ends its lines so
            stream, text = "stdout", text.replace("\n", "\r\n")
        line = LogLine(self.now(), stream, text)
        container.logs.append(line)
        del container.logs[:-_KEPT_LOG_LINES]
        for listener in tuple(container.log_listeners):
            listener(line)

    def _signal(self, container: Container, signal: str) -> None:
        number = _signal_number(signal)
        if container.state.status not in {"running", "paused"}:
            return
        self._tell(container, "kill", signal=str(number))
        if number == SIGNAL_NUMBERS["KILL"]:
            self._end(container, 137)
        elif number in {1, 2, 3, 15} and container.on_terminate is not None and container.state.status == "running":
            self._end(container, container.on_terminate)

    def _end(self, container: Container, exit_code: int) -> None:
        container.cancel_timers()
        state = container.state
        ran = self.now() - state.started_at
        state.process_id, state.exit_code, state.finished_at = 0, exit_code, self.now()
        again = not container.stopped_by_hand and self._restarts(container, exit_code)
        state.status = "restarting" if again else "exited"
        if state.health is not None:
            state.health.status = "unhealthy"  # what the real engine shows once its monitor has stopped
        self._tell(container, "die", exitCode=str(exit_code))
        self._detach_all(container)
        if again:
            if ran >= _LONG_RUN:
                container.backoff_step = 0
            delay = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2**container.backoff_step)
            container.backoff_step += 1
            self._after(container, delay, lambda: self._launch_again(container))
        for notify in tuple(container.end_listeners):
            notify("exit")
        if not again:
            for listener in tuple(container.log_listeners):
                listener(None)
            if container.host_config["AutoRemove"]:
                self._discard(container, volumes=True)

    def _restarts(self, container: Container, exit_code: int) -> bool:
        policy = container.host_config["RestartPolicy"]
        match policy["Name"]:
            case "always" | "unless-stopped":
                return True
            case "on-failure":
                most = policy["MaximumRetryCount"]
                return exit_code != 0 and (most == 0 or container.restart_count < most)
            case _:
                return False

    def _launch_again(self, container: Container) -> None:
        container.restart_count += 1
        with suppress(EngineRefusal):  # it stays exited, with the reason in its state
            self._launch(container)

    def _discard(self, container: Container, volumes: bool) -> None:
        container.cancel_timers()
        self._detach_all(container, quietly=True)
        self.containers.pop(container.id, None)
        if volumes:
            for mount in container.mounts:
                name = mount.get("Name", "")
                if re.fullmatch("[0-9a-f]{64}", name) and name in self.volumes:
                    with suppress(EngineRefusal):  # somebody else has it too
                        self.remove_volume(self.volumes[name])
        self._tell(container, "destroy")
        for notify in tuple(container.end_listeners):
            notify("removed")

    # --- health ---------------------------------------------------------------------------------------------------

    def _begin_checks(self, container: Container) -> None:
        test = (container.config.get("Healthcheck") or {}).get("Test") or ()
        if not test or test[0] == "NONE":
            container.state.health = None
            return
        container.state.health = Health()
        self._after(container, self._check_interval(container), lambda: self._check(container))

    def _check_interval(self, container: Container) -> float:
        nanoseconds = container.config["Healthcheck"].get("Interval", 0)
        return float(nanoseconds) / 1e9 if nanoseconds else _DEFAULT_CHECK_INTERVAL

    def _check(self, container: Container) -> None:
        health, check = container.state.health, container.config["Healthcheck"]
        if health is None or container.state.status not in {"running", "paused"}:
            return
        if container.state.status == "running":
            code = check_exit_code(check["Test"], container.environment)
            before, at = health.status, self.now()
            health.log = [*health.log[-4:], {"Start": at, "End": at, "ExitCode": code, "Output": ""}]
            starting = at - container.state.started_at < timedelta(microseconds=check.get("StartPeriod", 0) / 1000)
            if code == 0:
                health.status, health.failing_streak = "healthy", 0
            elif not (starting and health.status == "starting"):
                health.failing_streak += 1
                if health.failing_streak >= (check.get("Retries") or 3):
                    health.status = "unhealthy"
            if health.status != before:
                self._tell(container, f"health_status: {health.status}")
        self._after(container, self._check_interval(container), lambda: self._check(container))

    # --- a container's networks and ports ---------------------------------------------------------------------------

    def _requested_endpoints(self, mode: str, networking: Mapping[str, Any]) -> dict[str, Endpoint]:
        if mode.startswith("container:"):
            return {}
        settings = networking.get("EndpointsConfig") or {}
        if len(settings) > 1:
            text = f"Container cannot be connected to network endpoints: {', '.join(sorted(settings))}"
            raise EngineRefusal(400, text)
        name = "bridge" if mode == "default" else mode
        return {name: _endpoint(settings.get(name) or settings.get(mode) or {})}

    def _attach_all(self, container: Container) -> None:
        if container.host_config["NetworkMode"].startswith("container:"):
            parent = self.container(container.host_config["NetworkMode"].removeprefix("container:"))
            if parent.state.status not in {"running", "paused"}:
                text = f"cannot join network of a non running container: {parent.id}"
                raise EngineRefusal(409, text)
            return
        for name, endpoint in container.endpoints.items():
            # A network made again under its old name is another network: only a new container finds it.
            network = self.network(endpoint.network_id or name)
            _add_own_names(container, network, endpoint)
            endpoint.network_id = network.id
            self._attach(container, network, endpoint)
        self._publish(container)

    def _attach(self, container: Container, network: Network, endpoint: Endpoint) -> None:
        endpoint.network_id = network.id
        endpoint.endpoint_id = self._surroundings.new_id()
        if network.subnet is not None:
            wanted = (endpoint.ipam or {}).get("IPv4Address")
            address = self._free_address(network, network.subnet, wanted)
            endpoint.address, endpoint.prefix_length = str(address), network.subnet.prefixlen
            endpoint.gateway = "" if network.internal else network.ipam["Config"][0].get("Gateway", "")
            endpoint.mac = "02:42:" + ":".join(f"{part:02x}" for part in address.packed)
        self._tell_network(network, "connect", container=container.id)

    def _detach_all(self, container: Container, quietly: bool = False) -> None:
        for endpoint in container.endpoints.values():
            was_in = bool(endpoint.endpoint_id)
            endpoint.clear()
            if was_in and not quietly and endpoint.network_id in self.networks:
                self._tell_network(self.networks[endpoint.network_id], "disconnect", container=container.id)
        container.ports = {}

    def _publish(self, container: Container) -> None:
        if container.host_config["NetworkMode"] in {"host", "none"}:
            return
        taken = {
            (binding["HostIp"], binding["HostPort"], port.partition("/")[2])
            for other in self.containers.values()
            for port, bindings in other.ports.items()
            for binding in bindings or ()
        }
        ports: dict[str, Any] = dict.fromkeys(container.config.get("ExposedPorts") or ())
        for port, bindings in (container.host_config["PortBindings"] or {}).items():
            protocol = port.partition("/")[2] or "tcp"
            published = []
            for binding in bindings or [{"HostIp": "", "HostPort": ""}]:
                number = binding["HostPort"] or self._free_port(taken, protocol)
                for address in [binding["HostIp"]] if binding["HostIp"] else ["0.0.0.0", "::"]:  # noqa: S104
                    if (problem := _clash(taken, address, number, protocol)) is not None:
                        where = f"endpoint {container.name} ({self._surroundings.new_id()})"
                        text = f"driver failed programming external connectivity on {where}: {problem}"
                        raise EngineRefusal(500, text)
                    published.append({"HostIp": address, "HostPort": number})
                taken |= {(entry["HostIp"], entry["HostPort"], protocol) for entry in published}
            ports[port] = published
        container.ports = ports

    def _free_port(self, taken: Iterable[tuple[str, str, str]], protocol: str) -> str:
        used = {number for _, number, other in taken if other == protocol}
        return next(str(number) for number in range(49153, 65536) if str(number) not in used)

    def _free_address(self, network: Network, subnet: IPv4Network, wanted: str | None) -> IPv4Address:
        used = {endpoint.address for _, endpoint in self.endpoints_of(network)}
        used.add(network.ipam["Config"][0].get("Gateway", ""))
        if wanted:
            if wanted in used or IPv4Address(wanted) not in subnet:
                raise EngineRefusal(403, "Address already in use")
            return IPv4Address(wanted)
        return next(address for address in subnet.hosts() if str(address) not in used)

    def _free_subnet(self) -> IPv4Network:
        used = [network.subnet for network in self.networks.values() if network.subnet]
        pools = [IPv4Network(f"172.{number}.0.0/16") for number in range(18, 32)]
        pools += IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
        for pool in pools:
            if not any(pool.overlaps(subnet) for subnet in used):
                return pool
        text = (
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
        )
        raise EngineRefusal(404, text)

    def _add_network(self, name: str, driver: str, body: Mapping[str, Any], subnet: IPv4Network | None) -> Network:
        given = body.get("IPAM") or {}
        pool = next((dict(entry) for entry in given.get("Config") or () if entry.get("Subnet")), {})
        config = []
        if subnet is not None:
            config = [{"Subnet": str(subnet), "Gateway": str(subnet.network_address + 1)} | pool]
        network = Network(
            id=self._surroundings.new_id(),
            name=name,
            created=self.now(),
            driver=driver,
            internal=bool(body.get("Internal")),
            attachable=bool(body.get("Attachable")),
            ipv6=bool(body.get("EnableIPv6")),
            ipam={"Driver": given.get("Driver") or "default", "Options": given.get("Options"), "Config": config},
            options=dict(body.get("Options") or {}),
            labels=dict(body.get("Labels") or {}),
            subnet=subnet,
        )
        self.networks[network.id] = network
        self._tell_network(network, "create")
        return network

    # --- mounts, names, images --------------------------------------------------------------------------------------

    def _make_mount(self, mount: MountRequest, host: Mapping[str, Any]) -> dict[str, Any]:
        shown = {"Type": mount.kind, "Source": mount.source, "Destination": mount.destination}
        rest = {"Mode": mount.mode, "RW": mount.read_write, "Propagation": mount.propagation}
        if mount.kind == "bind":
            if not self._surroundings.path_exists(mount.source):
                if mount.strict:
                    text = f'invalid mount config for type "bind": bind source path does not exist: {mount.source}'
                    raise EngineRefusal(400, text)
                if not self._surroundings.create_path(mount.source):
                    reason = f"mkdir {mount.source}: permission denied"
                    text = f"error while creating mount source path '{mount.source}': {reason}"
                    raise EngineRefusal(500, text)
            return shown | rest
        if mount.kind == "tmpfs":
            return shown | rest
        body = {
            "Name": mount.name,
            "Driver": host["VolumeDriver"] or mount.driver,
            "DriverOpts": dict(mount.options),
            "Labels": dict(mount.labels) or None,
        }
        volume = self.create_volume(body)
        named = {"Type": "volume", "Name": volume.name, "Source": mountpoint(volume), "Destination": mount.destination}
        return named | {"Driver": volume.driver} | rest

    def _free_name(self, name: str) -> str:
        name = name.removeprefix("/")
        if not _NAME.fullmatch(name):
            text = f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            raise EngineRefusal(400, text)
        owner = next((container for container in self.containers.values() if container.name == name), None)
        if owner is not None:
            raise EngineRefusal(
                409,
                f'Conflict. The container name "/{name}" is already in use by container "{owner.id}". '
                "You have to remove (or rename) that container to be able to reuse that name.",
            )
        return name

    def _find_image(self, name: str) -> StoredImage | None:
        bare = name.removeprefix("sha256:")
        if re.fullmatch("[0-9a-f]{4,64}", bare):
            found = [stored for stored in self.images.values() if stored.id.removeprefix("sha256:").startswith(bare)]
            if len(found) == 1:
                return found[0]
        if not name or name.startswith("sha256:"):
            return None
        wanted = parse_reference(name)
        for stored in self.images.values():
            if wanted.digest is not None and f"{wanted.repository}@{wanted.digest}" in stored.digests:
                return stored
            if wanted.digest is None and wanted.name in stored.tags:
                return stored
        return None

    def _in_registry(self, reference: str) -> SimulatedImage | None:
        wanted = parse_reference(reference)
        for image in self._registry:
            known = parse_reference(image.reference)
            if known.repository != wanted.repository:
                continue
            if wanted.digest == image.manifest_digest or (wanted.digest is None and wanted.tag == known.tag):
                return image
        return None

    def _store(self, image: SimulatedImage, tag: bool = True) -> StoredImage:
        stored = self.images.setdefault(image.image_id, StoredImage(image, [], []))
        name = parse_reference(image.reference)
        if tag and name.name not in stored.tags:
            self._take_name(name.name)
            stored.tags.append(name.name)
        digest = f"{name.repository}@{image.manifest_digest}"
        if image.in_registry and digest not in stored.digests:
            stored.digests.append(digest)
        return stored

    def _take_name(self, name: str) -> None:
        for other in self.images.values():
            if name in other.tags:
                other.tags.remove(name)

    # --- events -----------------------------------------------------------------------------------------------------

    def _tell(self, container: Container, action: str, **more: str) -> None:
        about = {"image": str(container.config["Image"]), "name": container.name}
        attributes = container.config["Labels"] | about | more
        self.events.record("container", action, container.id, attributes, self.now())

    def _tell_network(self, network: Network, action: str, **more: str) -> None:
        attributes = {"name": network.name, "type": network.driver} | more
        self.events.record("network", action, network.id, attributes, self.now())

    def _image_attributes(self, stored: StoredImage, name: str) -> dict[str, str]:
        return dict(stored.image.config.get("Labels") or {}) | {"name": name}


def mountpoint(volume: Volume) -> str:
    """Where the engine says that a volume lies; there is nothing there."""
    return f"{VOLUME_DIRECTORY}/{volume.name}/_data"


def _cannot_update(container: Container) -> EngineRefusal:
    reason = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
    return EngineRefusal(409, f"Cannot update container {container.id}: {reason}")


def _cannot_execute(program: str) -> EngineRefusal:
    runtime = "failed to create shim task: OCI runtime create failed: runc create failed"
    reason = f'exec: "{program}": stat {program}: no such file or directory: unknown'
    return EngineRefusal(400, f"{runtime}: unable to start container process: {reason}")


def _endpoint(settings: Mapping[str, Any]) -> Endpoint:
    return Endpoint(
        ipam=settings.get("IPAMConfig"),
        aliases=list(settings["Aliases"]) if settings.get("Aliases") else None,
        driver_options=settings.get("DriverOpts"),
        links=settings.get("Links"),
    )


def _add_own_names(container: Container, network: Network, endpoint: Endpoint) -> None:
    """In a network of a user's own a container also answers to its short id and its host name."""
    if network.name not in PREDEFINED_NETWORKS:
        own = dict.fromkeys((container.id[:12], str(container.config["Hostname"])))
        endpoint.aliases = [*(endpoint.aliases or ()), *(name for name in own if name not in (endpoint.aliases or ()))]


def _volume_names(container: Container) -> set[str]:
    return {mount["Name"] for mount in container.mounts if mount["Type"] == "volume"}


def _clash(taken: Iterable[tuple[str, str, str]], address: str, number: str, protocol: str) -> str | None:
    """Why a port cannot be had: the engine's own books know each address for itself, the kernel knows better."""
    same = [a for a, n, p in taken if (n, p) == (number, protocol) and (":" in a) == (":" in address)]
    if address in same:
        return f"Bind for {address}:{number} failed: port is already allocated"
    if any({address, other} & {"0.0.0.0", "::"} for other in same):  # noqa: S104
        listen = f"listen {protocol}4 {address}:{number}"
        return f"Error starting userland proxy: {listen}: bind: address already in use"
    return None


def _signal_number(signal: str) -> int:
    if signal.isdigit():
        return int(signal)
    number = SIGNAL_NUMBERS.get(signal.upper().removeprefix("SIG"))
    if number is None:
        raise EngineRefusal(400, f"Invalid signal: {signal}")
    return number


def _forget(listeners: list[Callable[..., None]], listener: Callable[..., None]) -> None:
    with suppress(ValueError):
        listeners.remove(listener)
