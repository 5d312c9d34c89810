"""`reconciler serve` as a process on a loopback port: ready line, health, refusals, the end; and no Nagle's delay."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.api.server import Hooks, build_app
from reconciler.listening import listen
from reconciler.model.errors import Terminal

pytestmark = pytest.mark.integration


class Recording(H11Protocol):
    """Notes of each connection that it takes whether Nagle's delay is off."""

    options: ClassVar[list[int]] = []

    def connection_made(self, transport: Any) -> None:
        taken = transport.get_extra_info("socket")
        self.options.append(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        super().connection_made(transport)


def nodelay_of(listening: socket.socket) -> int:
    """What a connection has that the control plane's application takes on this socket."""
    Recording.options.clear()
    app = build_app(Hooks(None, lambda _d, _n: False, lambda: None, lambda _: None), lambda: (True, ""))  # type: ignore[arg-type, return-value]
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", http=Recording))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        answer = httpx.get(f"http://127.0.0.1:{listening.getsockname()[1]}/healthz", trust_env=False, timeout=20)
        assert answer.json() == {"ok": True}
    finally:
        server.should_exit = True
        thread.join(20)
    return Recording.options[0]


def test_answers_do_not_wait_for_nagle() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert nodelay_of(listening) == 1


def test_the_socket_that_python_makes_by_itself_would_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert nodelay_of(listening) == 0


def test_an_address_that_is_taken_is_said_so() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(Terminal, match=r"cannot listen on 127\.0\.0\.1"):
        listen("127.0.0.1", taken.getsockname()[1])


# -- the process -----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose forge is down."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    (tmp_path / "token").write_text("token-engine\n")
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "id").write_text("key\n")
    file = tmp_path / "server.yaml"
    file.write_text(
        f"""
        forge: {{kind: github, api: "http://127.0.0.1:{nobody}/api/v3", repository: acme/infra, token_file: token,
                webhook_secret_file: secret}}
        git: {{url: "http://127.0.0.1:{nobody}/acme/infra.git"}}
        database: "sqlite:///state/reconciler.db"
        ssh: {{key_file: id}}
        listen: 127.0.0.1:0
        """
    )
    return file


@pytest.fixture
def serving(config: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "serve", "--config", str(config), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["data"]["url"]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_with_its_forge_down_it_serves_says_so_and_ends_when_it_is_told_to(
    serving: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = serving
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "mirror" in ready.json()["reason"]
        body = json.dumps({"repository": {"id": 1}, "ref": "refs/heads/main"}).encode()
        headers = {"x-github-event": "push", "x-github-delivery": "one"}
        assert client.post("/hooks/github", content=body, headers=headers).status_code == 401
        signature = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        taken = client.post("/hooks/github", content=body, headers={**headers, "x-hub-signature-256": signature})
        assert taken.status_code == 202
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == "", "one line when it is ready, and nothing more"
    events = [json.loads(line) for line in errors.splitlines()]
    assert any(event["event"] == "request.retry" and event["again_after"] > 0 for event in events)
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", [["serve"], ["forge", "serve", "--data", "data"]])
def test_a_port_that_is_taken_is_an_error_without_a_traceback(config: Path, command: list[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config.write_text(config.read_text().replace("listen: 127.0.0.1:0", f"listen: {address}"))
        more = ["--config", str(config)] if command == ["serve"] else ["--listen", address]
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *command, *more],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=config.parent,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
