"""The real parts that a measurement runs on: one engine, sshd, the forge, the control plane, and the peer's project.

Opened by the command when the first case needs it. What is started here is stopped here, by process id.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog

from benchmarks import sample
from benchmarks.relay import Relay
from reconciler.bootstrap import open_parts
from reconciler.compose.driving import wheel_binary
from reconciler.control import controller, once, queries, trusting
from reconciler.control.parts import Parts
from reconciler.control.requests import ReconcileRequest, Resync
from reconciler.demo import machine
from reconciler.demo.actor import Actor
from reconciler.demo.image import ImageRecipe
from reconciler.demo.world import REPOSITORY, HostParts, World, free_port
from reconciler.model.approval import Open
from reconciler.model.deployment import DeploymentState
from reconciler.model.health import Sync

STATUSES = frozenset({"reconciler/plan", "reconciler/policy", "reconciler/approval"})
PATIENCE_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.01  # how often the forge is asked for statuses, and so how exact the answer is


class Failed(Exception):
    """A side did not do what is measured, so that its time says nothing; the text says what it did instead."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything runs and the ten services are deployed twice: once by us, once by the peer on the same engine."""

    world: World
    parts: Parts
    people: dict[str, Actor]
    relay: Relay
    host: HostParts
    peer: Path

    # -- ours --------------------------------------------------------------------------------------------------------

    def resync(self) -> float:
        """What `serve` does on a tick of its resync, in one thread; the seconds."""
        seen = controller.Seen()
        begin = time.perf_counter()
        _, due = controller.handle(self.parts, Resync(), seen)
        for request in due:
            controller.handle(self.parts, request, seen)
        seconds = time.perf_counter() - begin
        if due != (ReconcileRequest(sample.ENVIRONMENT),):
            raise Failed(f"a resync was to reconcile {sample.ENVIRONMENT} and asked for {due}")
        self.check_synced()
        return seconds

    def once(self) -> float:
        """`reconciler reconcile --once` as a process of its own; the seconds."""
        return timed([program(), "reconcile", "--once", "--config", str(self.world.config), "--json"])

    def approved(self, text: str) -> int:
        """A change of one service, proposed, planned and approved; the pull request."""
        number: int = self.propose(text)["number"]
        self.run_everything()
        time.sleep(1.1)  # forges count in whole seconds, and a review counts only after the plan
        self.people["reviewer"].review(number)
        return number

    def decide(self, number: int) -> float:
        """Read the forge, plan on the host, judge and decide, telling nobody; the seconds."""
        begin = time.perf_counter()
        preview = queries.plan_pull_request(self.parts, number)
        seconds = time.perf_counter() - begin
        if not isinstance(preview.gate, Open):
            raise Failed(f"the gate was to be open on pull request {number}, and is {preview.gate}")
        return seconds

    def land(self, text: str) -> str:
        """A change of one service, proposed, planned, approved and merged; the merge commit."""
        number = self.approved(text)
        merge = self.people["reviewer"].merge(number)
        self.parts.source.fetch()
        return merge

    def deploy(self, merge: str) -> float:
        """Judge the landing again, apply, verify, record; the seconds."""
        seen = controller.Seen()
        begin = time.perf_counter()
        controller.handle(self.parts, ReconcileRequest(sample.ENVIRONMENT), seen)
        seconds = time.perf_counter() - begin
        self.check_synced()
        self._one_service_recreated(merge)
        return seconds

    def propose(self, text: str) -> dict[str, Any]:
        """A pull request of the agent that changes one service."""
        branch = f"agent/{text.replace(' ', '-')}"
        return self.people["deployer"].propose(branch, f"Greet with {text}", lambda clone: sample.greet(text, clone))

    def statuses_after(self, text: str) -> float:
        """From the webhook's arrival until the three statuses are on the head; the seconds."""
        opened = self.propose(text)
        actor, head, number = self.people["author"], opened["head"]["sha"], opened["number"]
        headers = {"authorization": f"Bearer {actor.account.token}"}
        path = f"/api/v3/repos/{REPOSITORY}/commits/{head}/status"
        with httpx.Client(base_url=self.world.forge_url, headers=headers) as client:
            until = time.perf_counter() + PATIENCE_SECONDS
            while not {s["context"] for s in client.get(path).raise_for_status().json()["statuses"]} >= STATUSES:
                if time.perf_counter() > until:
                    raise Failed(f"no statuses on pull request {number} within {PATIENCE_SECONDS:g} s")
                time.sleep(LOOK_AGAIN_SECONDS)
            seconds = time.perf_counter() - self.relay.opened_at(number, PATIENCE_SECONDS)
        self.people["deployer"].api("PATCH", f"/pulls/{number}", state="closed")
        time.sleep(0.5)  # let what the closing sets off come to rest
        return seconds

    @contextmanager
    def serving(self) -> Iterator[None]:
        """`reconciler serve` as a process of its own, told by webhooks only."""
        server = self.world.start_server()
        self.relay.target = self.world.listen
        try:
            yield
        finally:
            self.relay.target = None
            server.stop()

    # -- the peer ----------------------------------------------------------------------------------------------------

    def up(self, text: str | None = None) -> float:
        """`docker-compose up -d` on the host, after GREETING became `text`; the seconds."""
        if text is not None:
            (self.peer / ".env").write_text(f"GREETING={text}\n")
        command = [str(wheel_binary()), "-p", sample.PEER_PROJECT, "up", "-d"]
        return timed(command, self.peer, {"DOCKER_HOST": f"unix://{self.host.local_socket}"})

    def peer_containers(self) -> dict[str, str]:
        """Names and ids of what the peer runs."""
        return self.host.containers(sample.PEER_PROJECT)

    # ----------------------------------------------------------------------------------------------------------------

    def run_everything(self) -> None:
        """All that is due, once; Failed when something could not be done."""
        report = once.everything(self.parts)
        if report["failures"]:
            raise Failed(f"the control plane could not do everything: {report['failures']}")

    def check_synced(self) -> None:
        """Failed unless the last reconciliation found the environment equal to git."""
        record = self.parts.states.environment(sample.ENVIRONMENT)
        if record is None or record.sync != Sync.SYNCED.value or record.hold is not None:
            raise Failed(f"{sample.ENVIRONMENT} was to be synced, and is {record}")

    def _one_service_recreated(self, merge: str) -> None:
        last = self.parts.deployments.of_environment(sample.ENVIRONMENT)[0]
        done = [f"{result.operation} {result.subject}" for target in last.targets for result in target.operations]
        on_services = [text for text in done if not text.startswith(("ShipFiles ", "PullImage "))]
        if (last.revision, last.outcome) != (merge, DeploymentState.SUCCEEDED) or on_services != [
            "RecreateService web"
        ]:
            raise Failed(
                f"web alone was to be recreated at {merge[:12]}; {last.id} of {last.revision[:12]} "
                f"{last.outcome.value} ({last.reason}): {', '.join(done)}"
            )


@contextmanager
def open_stage(root: Path) -> Iterator[Stage]:
    """Start all of it in `root` (a new, short directory) and deploy. MachineError where a part does not start."""
    with ExitStack() as stack:
        log = stack.enter_context((root / "plane.log").open("w"))
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))  # standard output is for the figures
        stack.callback(structlog.reset_defaults)
        host = _start_host(root, stack)
        relay = stack.enter_context(Relay())
        world = stack.enter_context(World(root / "world", simulated=False, hosts=(host,)))
        repository = root / "repository"
        sample.write_repository(repository, _host_file(host))
        world.listen = relay.address  # where the forge sends its webhooks
        seed = world.seed(repository)
        world.listen = f"127.0.0.1:{free_port()}"  # where the control plane takes them
        world.start_forge(seed)
        world.configure(poll="1h", resync="1h")  # a measurement is never disturbed by a tick
        people = {name: Actor(one, world.forge_url, root / "clones") for name, one in world.accounts.items()}
        people["author"].checkout()
        parts = stack.enter_context(open_parts(world.config))
        trusting.init_trust(parts, people["author"].git("rev-parse", "HEAD"), ())
        peer = root / "peer"
        sample.write_compose(peer)
        stage = Stage(world, parts, people, relay, host, peer)
        stage.run_everything()
        stage.check_synced()
        stage.up("first")
        for project in (sample.COMPOSE_PROJECT, sample.PEER_PROJECT):
            if (found := len(host.containers(project))) != sample.SERVICES:
                raise Failed(f"{project} was to have {sample.SERVICES} containers and has {found}")
        yield stage


def program() -> str:
    """The installed command `reconciler` of this environment."""
    return str(Path(sys.executable).with_name("reconciler"))


def timed(command: Sequence[str], directory: Path | None = None, more: dict[str, str] | None = None) -> float:
    """Run a program to its end; the seconds. Failed when it fails."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/"), **(more or {})}
    begin = time.perf_counter()
    done = subprocess.run(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")[-2000:]
        raise Failed(f"{' '.join(command)} exited with {done.returncode}: {said}")
    return seconds


def _start_host(root: Path, stack: ExitStack) -> HostParts:
    engine = stack.enter_context(machine.start_engine(root))
    if not engine.own:
        stack.callback(_remove_ours, engine)
    sshd = stack.enter_context(machine.start_sshd(root, engine))
    machine.build_image(engine, "reconciler/sample:1.0", ImageRecipe(labels={"org.example.sample": "0"}))
    return HostParts(
        name="web-1",
        address=sshd.address,
        port=sshd.port,
        user=sshd.user,
        host_key=sshd.host_key,
        socket="/var/run/docker.sock" if engine.own else str(engine.socket),
        directory="/var/lib/reconciler" if engine.own else str(root / "web-1"),
        engine=engine,
        sshd=sshd,
    )


def _host_file(host: HostParts) -> dict[str, Any]:
    names = ("address", "port", "user", "host_key", "socket", "directory")
    return {name: getattr(host, name) for name in names}


def _remove_ours(engine: machine.Engine) -> None:
    """From an engine that is not ours: the two projects that this run made there, and nothing else."""
    for project in (sample.COMPOSE_PROJECT, sample.PEER_PROJECT):
        label = f"label=com.docker.compose.project={project}"
        for kind, arguments in (("container", ["ls", "--all"]), ("network", ["ls"])):
            found = engine.docker(kind, *arguments, "--quiet", "--filter", label).split()
            with contextlib.suppress(machine.MachineError):
                if found:
                    engine.docker(kind, "rm", *(["--force"] if kind == "container" else []), *found)
