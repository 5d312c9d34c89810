"""Everything that a demo or a scenario runs in: hosts, the embedded forge, a repository, a server's configuration.

Real parts throughout: Docker engines behind real SSH servers where this machine has them, simulated hosts otherwise.
What is started here is stopped here, by process id.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import yaml

from reconciler.demo import machine
from reconciler.demo.image import ImageRecipe
from reconciler.model.errors import Retryable
from reconciler.simulation import SimulatedHost, SimulatedImage

REPOSITORY = "acme/infra"
IMAGES = ("reconciler/sample:1.0", "reconciler/sample:1.1")
HOST_NAMES = ("web-1", "web-2")


@dataclass(frozen=True, slots=True)
class Account:
    """One of the people and programs of the story."""

    login: str
    id: int
    kind: str
    role: str
    branches: tuple[str, ...] | None = None
    token: str = field(default_factory=lambda: f"token-{secrets.token_hex(12)}", repr=False)

    @property
    def email(self) -> str:
        return f"{self.login}@example.test"


def accounts() -> dict[str, Account]:
    """Those that the sample's principals.yaml registers, the engine's own, and the proposer of rollbacks."""
    found = (
        Account("author", 1001, "User", "write"),
        Account("reviewer", 1002, "User", "write"),
        Account("deployer", 1003, "Bot", "write", ("agent/*",)),
        Account("operator", 1005, "User", "maintain"),
        Account("keeper", 1006, "User", "write"),
        Account("reconciler", 1010, "Bot", "write", ()),
        Account("proposer", 1011, "Bot", "write", ("reconciler/*",)),
    )
    return {account.login: account for account in found}


@dataclass(slots=True)
class HostParts:
    """A host of the world: where it is, and its engine as somebody at the machine reaches it."""

    name: str
    address: str
    port: int
    user: str
    host_key: str
    socket: str
    directory: str
    engine: machine.Engine | None = None
    sshd: machine.Sshd | None = None
    simulated: SimulatedHost | None = None

    @property
    def local_socket(self) -> Path:
        """The engine's socket as this machine sees it."""
        if self.engine is not None:
            return self.engine.socket
        if self.simulated is None:
            raise machine.MachineError(f"{self.name} has no engine")
        return self.simulated.local_socket

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Call the engine's API directly, behind the product's back."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.local_socket)), timeout=30) as client:
            answer = client.request(method, f"http://engine{path}", json=body or None)
        if answer.is_error:
            raise machine.MachineError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def containers(self, project: str) -> dict[str, str]:
        """Name and id of every container of a Compose project, running or not."""
        label = json.dumps({"label": [f"com.docker.compose.project={project}"]})
        found = self.ask("GET", f"/containers/json?all=1&filters={quote(label)}")
        return {container["Names"][0].lstrip("/"): container["Id"] for container in found}

    def docker(self, *arguments: str) -> str:
        """The docker command against this host's engine."""
        return machine.Engine(self.local_socket, "", None).docker(*arguments)


@dataclass(frozen=True, slots=True)
class Process:
    """A program of ours that was started and said that it is ready."""

    popen: subprocess.Popen[str]
    url: str
    log: Path

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.popen.kill()
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()


def start_program(arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Start `reconciler …` and wait for its JSON line; Retryable with the end of its log when it does not come."""
    with log.open("ab") as errors:
        popen = subprocess.Popen(
            [sys.executable, "-m", "reconciler", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    line = popen.stdout.readline() if popen.stdout is not None else ""
    try:
        return Process(popen, json.loads(line)["data"]["url"], log)
    except (ValueError, KeyError):
        popen.kill()
        popen.wait()
        text = log.read_text(errors="replace")[-2000:]
        raise Retryable(f"`reconciler {' '.join(arguments[:2])}` did not start: {line}{text}") from None


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class World:
    """The machines, the forge and the repository. Use as a context manager; `root` is a short directory of ours."""

    def __init__(self, root: Path, *, simulated: bool, hosts: tuple[HostParts, ...] | None = None) -> None:
        self.root = root
        self.simulated = simulated
        self.accounts = accounts()
        self.hosts: dict[str, HostParts] = {}
        self.key_file = root / "id_ed25519"
        self.config = root / "server.yaml"
        self.listen = f"127.0.0.1:{free_port()}"
        self.webhook_secret = secrets.token_hex(16)
        self.forge: Process | None = None
        self._given = hosts
        self._stack = ExitStack()

    @property
    def forge_url(self) -> str:
        if self.forge is None:
            raise RuntimeError("the forge is not running")
        return self.forge.url

    @property
    def engine_kind(self) -> str:
        return "simulated" if self.simulated else "docker"

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            self._start_hosts()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- hosts -------------------------------------------------------------------------------------------------------

    def _start_hosts(self) -> None:
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "reconciler", "-f", str(self.key_file)],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        public = self.key_file.with_suffix(".pub").read_text().strip()
        if self._given is not None:
            self.hosts = {host.name: host for host in self._given}
        elif self.simulated:
            self.hosts = {name: self._simulated_host(name, public) for name in HOST_NAMES}
        else:
            two = machine.probe().why_not("second_engine") is None
            names = HOST_NAMES if two else HOST_NAMES[:1]
            with ThreadPoolExecutor(max_workers=2) as pool:
                self.hosts = {host.name: host for host in pool.map(self._docker_host, names)}
        for host in self.hosts.values():
            if host.sshd is not None:
                _authorize(host.sshd, public)

    def _simulated_host(self, name: str, public: str) -> HostParts:
        images = [SimulatedImage(reference) for reference in IMAGES]
        host = SimulatedHost(self.root / name, public, images).start()
        self._stack.callback(host.stop)
        return HostParts(
            name, host.address, host.port, "reconciler", host.host_key, host.socket, str(host.directory / "data"),
            simulated=host,
        )  # fmt: skip

    def _docker_host(self, name: str) -> HostParts:
        engine = self._stack.enter_context(machine.start_engine(self.root))
        sshd = self._stack.enter_context(machine.start_sshd(self.root, engine))
        for number, reference in enumerate(IMAGES):
            machine.build_image(engine, reference, ImageRecipe(labels={"org.example.sample": str(number)}))
        own = engine.own
        return HostParts(
            name=name,
            address=sshd.address,
            port=sshd.port,
            user=sshd.user,
            host_key=sshd.host_key,
            socket="/var/run/docker.sock" if own else str(engine.socket),
            directory="/var/lib/reconciler" if own else str(self.root / name),
            engine=engine,
            sshd=sshd,
        )

    # -- repository and forge ----------------------------------------------------------------------------------------

    def write_repository(self, source: Path, *, consent_delay: str = "0s", stable_for: str = "1s") -> Path:
        """Copy a desired-state repository and make it fit: addresses, keys and ports of these hosts, short delays."""
        directory = self.root / "desired_state"
        shutil.copytree(source, directory)
        for name in HOST_NAMES:
            file = directory / "hosts" / f"{name}.yaml"
            host = self.hosts.get(name)
            if host is None:
                file.unlink()
                continue
            declared = yaml.safe_load(file.read_text())
            declared |= {
                "address": host.address,
                "port": host.port,
                "user": host.user,
                "host_key": host.host_key,
                "socket": host.socket,
                "directory": host.directory,
            }
            if len(self.hosts) == 1:
                declared["tiers"] = ["production", "staging"]
            file.write_text(yaml.safe_dump(declared, sort_keys=False))
        for file in sorted(directory.glob("projects/*/*/environment.yaml")):
            text = file.read_text()
            text = re.sub(r"(?m)^consent_delay: \S+", f"consent_delay: {consent_delay}", text)
            text = re.sub(r"stable_for: \w+", f"stable_for: {stable_for}", text)
            if len(self.hosts) == 1:
                text = text.replace("web-2", "web-1").replace("[web-1, web-1]", "[web-1]")
                text = text.replace("[[web-1], [web-1]]", "[[web-1]]")
            own = all(h.engine is None or h.engine.own for h in self.hosts.values())
            if not own:
                text = re.sub(r'(_PORT: ")\d+"', lambda found: f'{found[1]}{free_port()}"', text)
            file.write_text(text)
        defaults = directory / "reconciler.yaml"
        defaults.write_text(re.sub(r"stable_for: \w+", f"stable_for: {stable_for}", defaults.read_text()))
        return directory

    def seed(self, repository: Path, webhook: bool = True) -> Path:
        """The forge's seed file: accounts, the repository, and the webhook to our server."""
        users = []
        for account in self.accounts.values():
            token: dict[str, Any] = {"value": account.token, "scopes": ["repo"]}
            if account.branches is not None:
                token["branches"] = list(account.branches)
            users.append(
                {
                    "login": account.login,
                    "id": account.id,
                    "type": account.kind,
                    "email": account.email,
                    "tokens": [token],
                }
            )
        content: dict[str, Any] = {
            "users": users,
            "repositories": [
                {
                    "name": REPOSITORY,
                    "default_branch": "main",
                    "from": str(repository),
                    "collaborators": {a.login: a.role for a in self.accounts.values()},
                }
            ],
        }
        if webhook:
            content["webhooks"] = [
                {
                    "repository": REPOSITORY,
                    "url": f"http://{self.listen}/hooks/github",
                    "secret": self.webhook_secret,
                    "events": ["pull_request", "pull_request_review", "push", "issue_comment"],
                }
            ]
        file = self.root / "seed.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        file.chmod(0o600)
        return file

    def start_forge(self, seed: Path) -> Process:
        """Run the embedded forge as its own process."""
        arguments = ["forge", "serve", "--data", str(self.root / "forge"), "--listen", "127.0.0.1:0"]
        self.forge = start_program([*arguments, "--seed", str(seed), "--json"], self.root / "forge.log")
        self._stack.callback(self.forge.stop)
        return self.forge

    def configure(self, *, poll: str = "2s", resync: str = "5s") -> Path:
        """Write the server's configuration and its secret files."""
        for name, value in (
            ("token", self.accounts["reconciler"].token),
            ("proposer-token", self.accounts["proposer"].token),
            ("webhook-secret", self.webhook_secret),
        ):
            file = self.root / name
            file.write_text(value + "\n")
            file.chmod(0o600)
        content = {
            "forge": {
                "kind": "github",
                "api": f"{self.forge_url}/api/v3",
                "repository": REPOSITORY,
                "token_file": "token",
                "webhook_secret_file": "webhook-secret",
                "writes_per_minute": 1000,
            },
            "git": {"url": f"{self.forge_url}/{REPOSITORY}.git"},
            "database": "sqlite:///state/reconciler.db",
            "ssh": {"key_file": self.key_file.name},
            "proposer": {"token_file": "proposer-token"},
            "listen": self.listen,
            "poll": poll,
            "resync": resync,
        }
        self.config.write_text(yaml.safe_dump(content, sort_keys=False))
        return self.config

    def start_server(self) -> Process:
        """Run the control plane as its own process."""
        server = start_program(["serve", "--config", str(self.config), "--json"], self.root / "server.log")
        self._stack.callback(server.stop)
        return server

    def cli(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> Any:
        """Run one command of the product with --json and give its data."""
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *arguments, "--config", str(self.config), "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode not in ok:
            raise Retryable(f"`reconciler {' '.join(arguments)}` exited {done.returncode}: {done.stdout}{done.stderr}")
        answer = json.loads(done.stdout)
        return answer.get("data", answer)


def _authorize(sshd: machine.Sshd, public: str) -> None:
    file = sshd.key_file.with_name("authorized_keys")
    file.write_text(file.read_text() + public + "\n")
