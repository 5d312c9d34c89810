"""Builds the forge's web application and serves it. `reconciler forge serve`, the demo and the tests start here."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from reconciler.listening import listen, url
from reconciler.localforge import git_http, pushes
from reconciler.localforge.database import Database
from reconciler.localforge.forge import Forge, system_clock
from reconciler.localforge.git_data import WEB_FLOW_ID
from reconciler.localforge.graphql.endpoint import graphql_endpoint
from reconciler.localforge.pages.views import page_routes
from reconciler.localforge.records import Repository, User
from reconciler.localforge.rest.call import endpoint
from reconciler.localforge.rest.repositories import root
from reconciler.localforge.rest.routes import rest_routes
from reconciler.localforge.seed import Seed, apply_seed, load_seed
from reconciler.localforge.webhooks import Deliveries


def open_forge(data: Path, base_url: str, clock: Callable[[], datetime] = system_clock) -> Forge:
    """The forge whose state lies in `data`, created where it is missing. `close_forge` ends it."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    repositories = (data / "repositories").resolve()
    repositories.mkdir(exist_ok=True)
    database = Database(data / "forge.db")

    def now() -> str:
        return clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    forge = Forge(database, repositories, base_url.rstrip("/"), Deliveries(database, now), clock)
    if forge.user(WEB_FLOW_ID) is None:
        # who commits what is merged through the API
        database.add(
            User, id=WEB_FLOW_ID, login="web-flow", type="User", name="GitHub", email=None, created_at=forge.now()
        )
    for repository in database.all(Repository):
        pushes.catch_up(forge, repository)
    return forge


def close_forge(forge: Forge) -> None:
    forge.deliveries.close()
    forge.database.close()


def build_app(data: Path, seed: Seed | None, base_url: str) -> Starlette:
    """The application over the state in `data`, the seed applied. `app.state.forge` is the state, for tests."""
    forge = open_forge(data, base_url)
    if seed is not None:
        apply_seed(forge, seed)
    return app_of(forge)


def app_of(forge: Forge) -> Starlette:
    async def git(request: Request) -> Response:
        return await git_http.git_endpoint(forge, request)

    async def query(request: Request) -> Response:
        return await graphql_endpoint(forge, request)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        close_forge(forge)

    app = Starlette(
        routes=[
            Route("/api/graphql", query, methods=["POST"]),
            Route("/api/v3", endpoint(forge, root, ())),
            Mount("/api/v3", app=Router(rest_routes(forge))),
            *page_routes(forge),
            Route("/{owner}/{repository}/{path:path}", git, methods=["GET", "POST"]),
        ],
        lifespan=lifespan,
    )
    app.state.forge = forge
    return app


def serve(
    data: Path,
    host: str,
    port: int,
    seed_path: Path | None,
    on_ready: Callable[[str], None],
    unix_socket: Path | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT. Port 0 takes a free one; `on_ready` gets the base URL once requests are taken.

    With `unix_socket` it listens there as well, for clients such as gh that speak plain HTTP only that way.
    Raises InvalidInput for a bad seed, OSError when the address is taken.
    """
    seed = load_seed(seed_path) if seed_path is not None else None
    with _listening(host, port, unix_socket) as (base_url, sockets):
        server = _Server(build_app(data, seed, base_url), lambda: on_ready(base_url))
        server.run(sockets=sockets)


@contextlib.contextmanager
def running(
    data: Path, seed: Seed | None, *, host: str = "127.0.0.1", port: int = 0, unix_socket: Path | None = None
) -> Iterator[Forge]:
    """A forge served from a thread of this process for the length of a `with`; its address is `forge.base_url`."""
    ready = threading.Event()
    with _listening(host, port, unix_socket) as (base_url, sockets):
        app = build_app(data, seed, base_url)
        server = _Server(app, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, name="forge", daemon=True)
        thread.start()
        try:
            if not ready.wait(timeout=30):
                raise RuntimeError(f"the forge did not start at {base_url}")
            yield app.state.forge
        finally:
            server.should_exit = True
            thread.join(timeout=30)


class _Server(uvicorn.Server):
    """Tells when it has started, and returns on SIGTERM instead of dying by it."""

    def __init__(self, app: Starlette, started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5)
        )
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        self.should_exit = True


@contextlib.contextmanager
def _listening(host: str, port: int, unix_socket: Path | None) -> Iterator[tuple[str, list[socket.socket]]]:
    """The bound sockets and the base URL that clients use; they are closed at the end."""
    host = host.strip("[]")
    sockets = [listen(host, port)]
    try:
        if unix_socket is not None:
            sockets.append(_listen_unix(unix_socket))
        yield url(sockets[0], host), sockets
    finally:
        for one in sockets:
            one.close()
        if unix_socket is not None:
            unix_socket.unlink(missing_ok=True)


def _listen_unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener
