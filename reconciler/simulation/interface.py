"""The Docker Engine API 1.41 of the simulated engine: routes, filters, streams. Called by whatever carries a
connection: the local socket (host.py) or an SSH channel (server.py).

What it does not have (exec, build, stats, archives to read, swarm) is answered with 501 and says so.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from reconciler.simulation.engine import API_VERSION, MINIMUM_API_VERSION, VERSION, Engine
from reconciler.simulation.errors import EngineRefusal
from reconciler.simulation.events import Event, event_matches
from reconciler.simulation.http import Answer, Reader, Request, Stream, Writer, serve_connection
from reconciler.simulation.image import parse_reference
from reconciler.simulation.state import Container, LogLine
from reconciler.simulation.views import (
    container_matches,
    information,
    inspected_container,
    inspected_image,
    label_matches,
    listed_container,
    listed_image,
    shown_network,
    shown_volume,
    timestamp,
    version,
)

_HEADERS = {
    "Api-Version": API_VERSION,
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Docker/{VERSION} (linux)",
}
_RAW_STREAM = "application/vnd.docker.raw-stream"
_Reply = Answer | Stream
_CONTAINER_FILTERS = frozenset({"ancestor", "exited", "health", "id", "label", "name", "network", "status", "volume"})
_NETWORK_FILTERS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
_VOLUME_FILTERS = frozenset({"dangling", "driver", "label", "name"})
_IMAGE_FILTERS = frozenset({"dangling", "label", "reference"})
_EVENT_FILTERS = frozenset({"container", "event", "image", "label", "network", "scope", "type", "volume"})
_MINIMUM = tuple(int(part) for part in MINIMUM_API_VERSION.split("."))
_MAXIMUM = tuple(int(part) for part in API_VERSION.split("."))


class Interface:
    """Serves one engine; `serve` is called for each connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Answer one connection until it ends."""
        await serve_connection(reader, writer, self.handle, _HEADERS)

    async def handle(self, request: Request) -> _Reply:
        """The answer to one request; a refusal becomes its status and message."""
        try:
            return await self._dispatch(request)
        except EngineRefusal as refusal:
            return _message(refusal.status, refusal.message)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # A body of the wrong shape; the real engine answers 400 with the decoder's words.
            return _message(400, f"{type(error).__name__}: {error}")

    async def _dispatch(self, request: Request) -> _Reply:
        path = request.path
        if found := re.match(r"/v(\d+)\.(\d+)(/.*)", path):
            asked, path = (int(found.group(1)), int(found.group(2))), found.group(3)
            shown = f"{asked[0]}.{asked[1]}"
            if asked > _MAXIMUM:
                text = f"client version {shown} is too new. Maximum supported API version is {API_VERSION}"
                raise EngineRefusal(400, text)
            if asked < _MINIMUM:
                text = f"client version {shown} is too old. Minimum supported API version is {MINIMUM_API_VERSION}"
                raise EngineRefusal(400, f"{text}, please upgrade your client to a newer version")
        for method, pattern, handler in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and request.method == method:
                answer = handler(self, request, *match.groups())
                return answer if isinstance(answer, Answer | Stream) else await answer
        if any(re.fullmatch(pattern, path) for pattern in _NOT_SIMULATED):
            raise EngineRefusal(501, f"the simulated engine has no {request.method} {path}")
        raise EngineRefusal(404, "page not found")

    # --- the engine -------------------------------------------------------------------------------------------------

    def ping(self, _: Request) -> Answer:
        return Answer(200, b"OK", "text/plain; charset=utf-8")

    def version(self, _: Request) -> Answer:
        return _json(version())

    def information(self, _: Request) -> Answer:
        return _json(information(self._engine))

    def events(self, request: Request) -> Stream:
        filters = _filters(request, _EVENT_FILTERS)
        since, until = _nanoseconds(request.query.get("since")), _nanoseconds(request.query.get("until"))
        now = int(self._engine.now().timestamp() * 1e9)
        remaining = max(0.0, (until - now) / 1e9) if until is not None else None
        return Stream(_events(self._engine, filters, since, until, remaining))

    # --- containers -------------------------------------------------------------------------------------------------

    def list_containers(self, request: Request) -> Answer:
        filters = _filters(request, _CONTAINER_FILTERS)
        everything = _flag(request, "all") or "status" in filters
        found = [
            listed_container(self._engine, container)
            for container in reversed(self._engine.containers.values())
            if (everything or container.state.alive) and container_matches(self._engine, container, filters)
        ]
        limit = int(request.query.get("limit") or 0)
        return _json(found[:limit] if limit > 0 else found)

    def create_container(self, request: Request) -> Answer:
        container = self._engine.create_container(request.query.get("name", ""), request.json())
        return _json({"Id": container.id, "Warnings": []}, 201)

    def inspect_container(self, _: Request, name: str) -> Answer:
        return _json(inspected_container(self._engine.container(name)))

    def start_container(self, _: Request, name: str) -> Answer:
        return _done(204 if self._engine.start(self._engine.container(name)) else 304)

    async def stop_container(self, request: Request, name: str) -> Answer:
        stopped = await self._engine.stop(self._engine.container(name), _timeout(request))
        return _done(204 if stopped else 304)

    async def restart_container(self, request: Request, name: str) -> Answer:
        await self._engine.restart(self._engine.container(name), _timeout(request))
        return _done(204)

    def kill_container(self, request: Request, name: str) -> Answer:
        self._engine.kill(self._engine.container(name), request.query.get("signal") or "KILL")
        return _done(204)

    def pause_container(self, _: Request, name: str) -> Answer:
        self._engine.pause(self._engine.container(name))
        return _done(204)

    def unpause_container(self, _: Request, name: str) -> Answer:
        self._engine.unpause(self._engine.container(name))
        return _done(204)

    def rename_container(self, request: Request, name: str) -> Answer:
        self._engine.rename(self._engine.container(name), request.query.get("name", ""))
        return _done(204)

    def update_container(self, request: Request, name: str) -> Answer:
        self._engine.update(self._engine.container(name), request.json())
        return _json({"Warnings": None})

    def remove_container(self, request: Request, name: str) -> Answer:
        self._engine.remove(self._engine.container(name), _flag(request, "force"), _flag(request, "v"))
        return _done(204)

    def wait_container(self, request: Request, name: str) -> Stream:
        condition = request.query.get("condition") or "not-running"
        ended = self._engine.ended(self._engine.container(name), condition)
        return Stream(_exit_status(ended))

    def logs(self, request: Request, name: str) -> Stream:
        container = self._engine.container(name)
        if not (_flag(request, "stdout") or _flag(request, "stderr")):
            raise EngineRefusal(400, "Bad parameters: you must choose at least one stream")
        return Stream(_log(self._engine, container, request, _flag(request, "follow"), past=True), _RAW_STREAM)

    def attach(self, request: Request, name: str) -> Stream:
        container = self._engine.container(name)
        parts = _log(self._engine, container, request, _flag(request, "stream"), past=_flag(request, "logs"))
        return Stream(parts, _RAW_STREAM, hijacked=True)

    def resize(self, _: Request, name: str) -> Answer:
        self._engine.container(name)
        return Answer(200, b"", "text/plain; charset=utf-8")

    def changes(self, _: Request, name: str) -> Answer:
        self._engine.container(name)
        return _json(None)  # a simulated process changes no file

    def put_archive(self, _: Request, name: str) -> Answer:
        if self._engine.container(name).host_config["ReadonlyRootfs"]:
            raise EngineRefusal(400, "container rootfs is marked read-only")
        return Answer(200, b"", "text/plain; charset=utf-8")

    # --- networks ---------------------------------------------------------------------------------------------------

    def list_networks(self, request: Request) -> Answer:
        filters = _filters(request, _NETWORK_FILTERS)
        found = []
        for network in self._engine.networks.values():
            builtin = network.name in {"bridge", "host", "none"}
            values = {
                "driver": {network.driver},
                "scope": {"local"},
                "type": {"builtin" if builtin else "custom"},
                "dangling": {_truth(not builtin and not self._engine.endpoints_of(network))},
            }
            facts = {"id": network.id, "name": network.name}
            if _matches(filters, network.labels, values, facts):
                found.append(shown_network(self._engine, network, with_containers=False))
        return _json(found)

    def inspect_network(self, _: Request, name: str) -> Answer:
        return _json(shown_network(self._engine, self._engine.network(name), with_containers=True))

    def create_network(self, request: Request) -> Answer:
        return _json({"Id": self._engine.create_network(request.json()).id, "Warning": ""}, 201)

    def remove_network(self, _: Request, name: str) -> Answer:
        self._engine.remove_network(self._engine.network(name))
        return _done(204)

    def connect_network(self, request: Request, name: str) -> Answer:
        body = request.json()
        container = self._engine.container(body["Container"])
        self._engine.connect(self._engine.network(name), container, body.get("EndpointConfig") or {})
        return _json_empty()

    def disconnect_network(self, request: Request, name: str) -> Answer:
        network = self._engine.network(name)
        self._engine.disconnect(network, self._engine.container(request.json()["Container"]))
        return _json_empty()

    # --- volumes ----------------------------------------------------------------------------------------------------

    def list_volumes(self, request: Request) -> Answer:
        filters = _filters(request, _VOLUME_FILTERS)
        used = {mount.get("Name") for container in self._engine.containers.values() for mount in container.mounts}
        found = [
            shown_volume(volume)
            for volume in self._engine.volumes.values()
            if _matches(
                filters,
                volume.labels or {},
                {"driver": {volume.driver}, "dangling": {_truth(volume.name not in used)}},
                {"name": volume.name},
            )
        ]
        return _json({"Volumes": found, "Warnings": None})

    def inspect_volume(self, _: Request, name: str) -> Answer:
        return _json(shown_volume(self._engine.volume(name)))

    def create_volume(self, request: Request) -> Answer:
        return _json(shown_volume(self._engine.create_volume(request.json())), 201)

    def remove_volume(self, _: Request, name: str) -> Answer:
        self._engine.remove_volume(self._engine.volume(name))
        return _done(204)

    # --- images -----------------------------------------------------------------------------------------------------

    def list_images(self, request: Request) -> Answer:
        filters = _filters(request, _IMAGE_FILTERS)
        found = []
        for stored in self._engine.images.values():
            references = {*stored.tags, *(tag.rpartition(":")[0] for tag in stored.tags), *stored.digests}
            values = {"reference": references, "dangling": {_truth(not stored.tags)}}
            if _matches(filters, stored.image.config.get("Labels") or {}, values, {}):
                found.append(listed_image(stored))
        return _json(found)

    def inspect_image(self, _: Request, name: str) -> Answer:
        return _json(inspected_image(self._engine.image(name)))

    def pull_image(self, request: Request) -> Answer:
        if "fromImage" not in request.query:
            raise EngineRefusal(501, "the simulated engine imports no files; pull an image or load an archive")
        name, tag = request.query["fromImage"], request.query.get("tag", "")
        if tag:
            name += f"@{tag}" if tag.startswith("sha256:") else f":{tag}"
        stored = self._engine.pull(name)
        wanted, digest = parse_reference(name), stored.image.manifest_digest
        lines: list[dict[str, str]] = [
            {"status": f"Pulling from {wanted.repository}", "id": wanted.tag or str(wanted.digest)},
            {"status": f"Digest: {digest}"},
            {"status": f"Status: Downloaded newer image for {wanted.name}"},
        ]
        return Answer(200, "".join(json.dumps(line) + "\r\n" for line in lines).encode())

    def load_images(self, request: Request) -> Answer:
        names = self._engine.load(request.body)
        return Answer(200, "".join(json.dumps({"stream": f"Loaded image: {n}\n"}) + "\r\n" for n in names).encode())

    def tag_image(self, request: Request, name: str) -> Answer:
        stored = self._engine.image(name)
        self._engine.tag(stored, request.query.get("repo", ""), request.query.get("tag", ""))
        return Answer(201, b"", "text/plain; charset=utf-8")

    def remove_image(self, request: Request, name: str) -> Answer:
        return _json(self._engine.remove_image(name, _flag(request, "force")))

    def distribution(self, _: Request, name: str) -> Answer:
        image = self._engine.registry_image(name)
        descriptor = {
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "digest": image.manifest_digest,
            "size": 528,
        }
        platforms = [{"architecture": image.architecture, "os": "linux"}]
        return _json({"Descriptor": descriptor, "Platforms": platforms})


_Handler = Callable[..., _Reply | Awaitable[_Reply]]
_ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("GET", "/_ping", Interface.ping),
    ("HEAD", "/_ping", Interface.ping),
    ("GET", "/version", Interface.version),
    ("GET", "/info", Interface.information),
    ("GET", "/events", Interface.events),
    ("GET", "/containers/json", Interface.list_containers),
    ("POST", "/containers/create", Interface.create_container),
    ("GET", "/containers/([^/]+)/json", Interface.inspect_container),
    ("GET", "/containers/([^/]+)/logs", Interface.logs),
    ("GET", "/containers/([^/]+)/changes", Interface.changes),
    ("POST", "/containers/([^/]+)/start", Interface.start_container),
    ("POST", "/containers/([^/]+)/stop", Interface.stop_container),
    ("POST", "/containers/([^/]+)/restart", Interface.restart_container),
    ("POST", "/containers/([^/]+)/kill", Interface.kill_container),
    ("POST", "/containers/([^/]+)/pause", Interface.pause_container),
    ("POST", "/containers/([^/]+)/unpause", Interface.unpause_container),
    ("POST", "/containers/([^/]+)/rename", Interface.rename_container),
    ("POST", "/containers/([^/]+)/update", Interface.update_container),
    ("POST", "/containers/([^/]+)/wait", Interface.wait_container),
    ("POST", "/containers/([^/]+)/attach", Interface.attach),
    ("POST", "/containers/([^/]+)/resize", Interface.resize),
    ("PUT", "/containers/([^/]+)/archive", Interface.put_archive),
    ("DELETE", "/containers/([^/]+)", Interface.remove_container),
    ("GET", "/networks", Interface.list_networks),
    ("POST", "/networks/create", Interface.create_network),
    ("GET", "/networks/([^/]+)", Interface.inspect_network),
    ("DELETE", "/networks/([^/]+)", Interface.remove_network),
    ("POST", "/networks/([^/]+)/connect", Interface.connect_network),
    ("POST", "/networks/([^/]+)/disconnect", Interface.disconnect_network),
    ("GET", "/volumes", Interface.list_volumes),
    ("POST", "/volumes/create", Interface.create_volume),
    ("GET", "/volumes/([^/]+)", Interface.inspect_volume),
    ("DELETE", "/volumes/([^/]+)", Interface.remove_volume),
    ("GET", "/images/json", Interface.list_images),
    ("POST", "/images/create", Interface.pull_image),
    ("POST", "/images/load", Interface.load_images),
    ("GET", "/images/(.+)/json", Interface.inspect_image),
    ("POST", "/images/(.+)/tag", Interface.tag_image),
    ("DELETE", "/images/(.+)", Interface.remove_image),
    ("GET", "/distribution/(.+)/json", Interface.distribution),
)
_NOT_SIMULATED = (
    "/containers/[^/]+/(exec|stats|top|export|archive|attach/ws)",
    "/exec/.*",
    "/(build|commit|session|grpc|auth|swarm.*|services.*|nodes.*|tasks.*|secrets.*|configs.*|plugins.*)",
    "/(images|containers|networks|volumes|build)/(prune|search|get)",
    "/images/.+/(history|push|get)",
    "/system/df",
)


async def _events(
    engine: Engine,
    filters: Mapping[str, tuple[str, ...]],
    since: int | None,
    until: int | None,
    remaining: float | None,
) -> AsyncGenerator[bytes, None]:
    queue: asyncio.Queue[Event] = asyncio.Queue()
    stop = engine.events.listen(queue.put_nowait)
    try:
        for event in engine.events.since(since) if since is not None else ():
            if event_matches(event, filters) and (until is None or event["timeNano"] <= until):
                yield _line(event)
        try:
            async with asyncio.timeout(remaining):
                while True:
                    event = await queue.get()
                    if event_matches(event, filters):
                        yield _line(event)
        except TimeoutError:
            return
    finally:
        stop()


async def _exit_status(ended: asyncio.Future[int]) -> AsyncGenerator[bytes, None]:
    try:
        yield _line({"Error": None, "StatusCode": await ended})
    finally:
        ended.cancel()


async def _log(
    engine: Engine, container: Container, request: Request, follow: bool, past: bool
) -> AsyncGenerator[bytes, None]:
    streams = {stream for stream in ("stdout", "stderr") if _flag(request, stream)}
    since, until = _nanoseconds(request.query.get("since")), _nanoseconds(request.query.get("until"))
    queue: asyncio.Queue[LogLine | None] = asyncio.Queue()
    stop = engine.follow_logs(container, queue.put_nowait) if follow else lambda: None

    def shown(line: LogLine) -> bytes:
        text = f"{timestamp(line.at)} {line.text}" if _flag(request, "timestamps") else line.text
        raw = text.encode()
        if container.config["Tty"]:
            return raw
        return bytes([1 if line.stream == "stdout" else 2, 0, 0, 0]) + len(raw).to_bytes(4, "big") + raw

    try:
        if past:
            tail = request.query.get("tail") or "all"
            kept = [
                line
                for line in container.logs
                if line.stream in streams
                and (not since or line.at.timestamp() * 1e9 >= since)
                and (not until or line.at.timestamp() * 1e9 <= until)
            ]
            for line in kept[max(0, len(kept) - int(tail)) :] if tail.isdigit() else kept:
                yield shown(line)
        # Attaching before the start, as `docker run` does, waits for the process that is to come.
        while follow and container.state.status in {"created", "running", "paused", "restarting"}:
            line_or_end = await queue.get()
            if line_or_end is None:
                return
            if line_or_end.stream in streams:
                yield shown(line_or_end)
    finally:
        stop()


def _filters(request: Request, known: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Both forms that clients send: {"label": {"a=b": true}} and {"label": ["a=b"]}."""
    raw = json.loads(request.query.get("filters") or "{}")
    if not isinstance(raw, dict):
        raise EngineRefusal(400, "invalid filter")
    for name in raw:
        if name not in known:
            raise EngineRefusal(400, f"Invalid filter '{name}'")
    return {name: tuple(value for value in values if _wanted(values, value)) for name, values in raw.items() if values}


def _wanted(values: Any, value: str) -> bool:
    return bool(values[value]) if isinstance(values, dict) else True


def _matches(
    filters: Mapping[str, tuple[str, ...]],
    labels: Mapping[str, str],
    values: Mapping[str, set[str]],
    parts: Mapping[str, str],
) -> bool:
    """Labels all of them; `values` one of them exactly; `parts` (names, ids) one of them somewhere in the text."""
    for name, wanted in filters.items():
        if name == "label":
            passed = all(label_matches(labels, value) for value in wanted)
        elif name in parts:
            passed = any(re.search(value, parts[name]) for value in wanted)
        else:
            passed = any(_boolean(value) in values.get(name, set()) for value in wanted)
        if not passed:
            return False
    return True


def _boolean(value: str) -> str:
    return {"1": "true", "0": "false"}.get(value, value)


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _flag(request: Request, name: str) -> bool:
    return request.query.get(name, "").lower() not in {"", "0", "no", "false", "none"}


def _timeout(request: Request) -> float | None:
    text = request.query.get("t", "")
    return float(text) if text else None


def _nanoseconds(text: str | None) -> int | None:
    """A Unix time, with or without a fraction."""
    if not text or text == "0":
        return None
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 1_000_000_000 + int((fraction + "000000000")[:9])


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, _line(value))


def _json_empty() -> Answer:
    return Answer(200, b"", "text/plain; charset=utf-8")


def _done(status: int) -> Answer:
    return Answer(status, None)


def _message(status: int, message: str) -> Answer:
    return Answer(status, _line({"message": message}))
