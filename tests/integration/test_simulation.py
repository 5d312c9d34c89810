"""The simulated engine beside a real one: the official Compose drives the same project on both, with the same outcomes,
and what the engines then say of it is the same. The real one is skipped where this machine has none.
"""

import http.client
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from reconciler.demo.machine import Engine, Healthcheck, ImageRecipe, build_image
from reconciler.simulation import SimulatedHost, SimulatedImage

COMPOSE = Path(sys.executable).with_name("docker-compose")
PROJECT = "contract"
RECIPES = {
    "contract/web:1": ImageRecipe(
        labels={"release": "1"}, environment={"FROM_IMAGE": "yes", "MODE": "image"}, exposed_ports=("80/tcp",)
    ),
    "contract/web:2": ImageRecipe(
        labels={"release": "2"}, environment={"FROM_IMAGE": "yes"}, exposed_ports=("80/tcp",)
    ),
    "contract/store:1": ImageRecipe(
        healthcheck=Healthcheck(("CMD", "true"), interval=0.5), user="app", working_directory="/tmp"
    ),
}
DEADLINE = 60.0


@dataclass(frozen=True)
class Driven:
    """An engine behind a Unix socket, as the tests drive it; `compose` runs in `directory`."""

    name: str
    socket: Path
    directory: Path
    seen: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = _Connection(self.socket)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/v1.41{path}", content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read()
            kind = response.headers.get("Content-Type", "")
            one_document = raw and "json" in kind and not path.startswith("/events")
            return response.status, json.loads(raw) if one_document else raw.decode()
        finally:
            connection.close()

    def compose(self, model: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [COMPOSE, "--env-file", "/dev/null", "-p", PROJECT, "--project-directory", self.directory, "-f", "-"]
        return subprocess.run(
            [*map(str, command), *arguments],
            input=json.dumps(model),
            env={
                "DOCKER_HOST": f"unix://{self.socket}",
                "HOME": str(self.directory),
                "PATH": os.defpath,
                "COMPOSE_IGNORE_ORPHANS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def inspect(self, name: str) -> Any:
        status, value = self.request("GET", f"/containers/{name}/json")
        assert status == 200, value
        return value

    def containers(self) -> dict[str, Any]:
        query = "?all=1&filters=" + quote(json.dumps({"label": [f"com.docker.compose.project={PROJECT}"]}))
        status, listed = self.request("GET", f"/containers/json{query}")
        assert status == 200, listed
        return {entry["Names"][0].lstrip("/"): entry for entry in listed}

    def moved(self) -> set[str]:
        """The names of containers that are new, gone or other ones since the last call."""
        now = {name: entry["Id"] for name, entry in self.containers().items()}
        changed = {name for name in {*now, *self.seen} if now.get(name) != self.seen.get(name)}
        self.seen.clear()
        self.seen.update(now)
        return changed

    def eventually(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not what():
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.05)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))


@pytest.fixture(scope="module")
def client_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def simulated(tmp_path: Path, client_key: Path) -> Iterator[SimulatedHost]:
    images = [SimulatedImage(name, _configuration(recipe)) for name, recipe in RECIPES.items()]
    host = SimulatedHost(tmp_path / "simulated", client_key.with_suffix(".pub").read_text(), images)
    with host:
        yield host


@pytest.fixture(params=["simulated", "docker"])
def driven(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driven]:
    yield from _driven(request, request.param, tmp_path)


def _driven(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[Driven]:
    if kind == "simulated":
        socket_path = request.getfixturevalue("simulated").local_socket
    else:
        engine: Engine = request.getfixturevalue("engine")
        for name, recipe in RECIPES.items():
            build_image(engine, name, recipe)
        socket_path = engine.socket
    driven = Driven(kind, socket_path, tmp_path)
    (tmp_path / "files").mkdir(exist_ok=True)
    assert driven.request("POST", "/networks/create", {"Name": "contract_outside", "Labels": {"a": "b"}})[0] == 201
    assert driven.request("POST", "/volumes/create", {"Name": "contract_kept", "Labels": {"a": "b"}})[0] == 201
    try:
        yield driven
    finally:
        for entry in driven.containers().values():
            driven.request("DELETE", f"/containers/{entry['Id']}?force=1&v=1")
        for network in ("contract_outside", "contract_inside"):
            driven.request("DELETE", f"/networks/{network}")
        for volume in ("contract_kept", "contract_own"):
            driven.request("DELETE", f"/volumes/{volume}")


def _configuration(recipe: ImageRecipe) -> dict[str, Any]:
    """The same image configuration as image_archive writes, without the need for a static busybox."""
    configuration: dict[str, Any] = {
        "Env": [f"{key}={value}" for key, value in {"PATH": "/bin", **recipe.environment}.items()],
        "Cmd": list(recipe.command),
        "WorkingDir": recipe.working_directory,
        "StopSignal": recipe.stop_signal,
    }
    if recipe.labels:
        configuration["Labels"] = dict(recipe.labels)
    if recipe.user:
        configuration["User"] = recipe.user
    if recipe.exposed_ports:
        configuration["ExposedPorts"] = {port: {} for port in recipe.exposed_ports}
    if recipe.healthcheck:
        configuration["Healthcheck"] = {k: v for k, v in recipe.healthcheck.configuration().items() if v}
    return configuration


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _model(driven: Driven, port: int, **web: Any) -> dict[str, Any]:
    return {
        "name": PROJECT,
        "services": {
            "store": {
                "image": "contract/store:1",
                "networks": {"inside": None},
                "volumes": ["kept:/data", "own:/own"],
                "healthcheck": {"test": ["CMD", "true"], "interval": "500ms"},
            },
            "web": {
                "image": "contract/web:1",
                "depends_on": {"store": {"condition": "service_healthy"}},
                "environment": {"MODE": "compose", "EMPTY": ""},
                "ports": [f"127.0.0.1:{port}:80"],
                "restart": "unless-stopped",
                "networks": {"inside": {"aliases": ["front"]}, "outside": None},
                "volumes": [
                    {"type": "bind", "source": f"{driven.directory}/files", "target": "/etc/files", "read_only": True}
                    | {"bind": {"create_host_path": False}},
                    {"type": "tmpfs", "target": "/scratch"},
                ],
                "labels": {"tier": "front"},
                "mem_limit": "64m",
                "cpus": 0.5,
                "cap_drop": ["ALL"],
                "read_only": True,
                "tmpfs": ["/run"],
                "stop_grace_period": "2s",
                "user": "1000:1000",
                "command": ["sleep", "3600"],
                **web,
            },
            "job": {
                "image": "contract/web:1",
                "command": ["sh", "-c", "echo $$MODE; echo trouble >&2; exit 3"],
                "networks": {"inside": None},
                "restart": "no",
            },
        },
        "networks": {"inside": {"name": "contract_inside"}, "outside": {"name": "contract_outside", "external": True}},
        "volumes": {"kept": {"name": "contract_kept", "external": True}, "own": {"name": "contract_own"}},
    }


def _states(driven: Driven) -> dict[str, str]:
    return {name: entry["State"] for name, entry in driven.containers().items()}


def test_compose_drives_a_project_through_its_life_with_the_same_outcomes(driven: Driven) -> None:
    port = _free_port()
    model = _model(driven, port)
    web, store, job = "contract-web-1", "contract-store-1", "contract-job-1"

    first = driven.compose(model, "up", "-d")
    assert first.returncode == 0, first.stderr
    driven.eventually(lambda: _states(driven)[job] == "exited")
    assert _states(driven) == {web: "running", store: "running", job: "exited"}
    assert driven.moved() == {web, store, job}
    assert driven.inspect(store)["State"]["Health"]["Status"] == "healthy"
    assert driven.inspect(job)["State"]["ExitCode"] == 3

    listed = driven.compose(model, "ps", "--all", "--format", "json")
    shown = {
        row["Name"]: (row["State"], row["Health"], row["ExitCode"])
        for row in map(json.loads, listed.stdout.splitlines())
    }
    assert shown == {web: ("running", "", 0), store: ("running", "healthy", 0), job: ("exited", "", 3)}
    logs = driven.compose(model, "logs", "--no-log-prefix", "job").stdout.split()
    assert sorted(logs) == ["image", "trouble"]

    again = driven.compose(model, "up", "-d", "web")
    assert again.returncode == 0, again.stderr
    assert "Running" in again.stderr
    assert driven.moved() == set()

    changed = _model(driven, port, environment={"MODE": "other"})
    result = driven.compose(changed, "up", "-d", "--no-deps", "--no-recreate", "--pull", "never", "--no-build", "web")
    assert result.returncode == 0, result.stderr
    assert driven.moved() == set()
    result = driven.compose(changed, "up", "-d", "web")
    assert result.returncode == 0, result.stderr
    assert driven.moved() == {web}
    assert "MODE=other" in driven.inspect(web)["Config"]["Env"]

    result = driven.compose(
        changed, "up", "-d", "--no-deps", "--force-recreate", "--pull", "never", "--no-build", "store"
    )
    assert result.returncode == 0, result.stderr
    assert driven.moved() == {store}

    moved_on = _model(driven, port, image="contract/web:2", environment={"MODE": "other"})
    result = driven.compose(moved_on, "up", "-d", "--no-deps", "web")
    assert result.returncode == 0, result.stderr
    assert driven.moved() == {web}
    assert driven.inspect(web)["Config"]["Labels"]["release"] == "2"

    result = driven.compose(moved_on, "up", "-d", "--no-deps", "--no-recreate", "--scale", "store=3", "store")
    assert result.returncode == 0, result.stderr
    assert driven.moved() == {"contract-store-2", "contract-store-3"}
    result = driven.compose(moved_on, "up", "-d", "--no-deps", "--no-recreate", "--scale", "store=1", "store")
    assert result.returncode == 0, result.stderr
    assert driven.moved() == {"contract-store-2", "contract-store-3"}

    result = driven.compose(moved_on, "stop", "-t", "1", "web")
    assert result.returncode == 0, result.stderr
    assert driven.moved() == set()
    assert _states(driven)[web] == "exited"
    assert driven.inspect(web)["State"]["ExitCode"] == 137
    result = driven.compose(moved_on, "up", "-d", "--no-deps", "--no-recreate", "web")
    assert result.returncode == 0, result.stderr
    assert driven.moved() == set()
    assert _states(driven)[web] == "running"

    before = driven.inspect(web)["State"]["StartedAt"]
    assert driven.compose(moved_on, "restart", "--no-deps", "web").returncode == 0
    assert driven.moved() == set()
    assert driven.inspect(web)["State"]["StartedAt"] != before

    assert driven.compose(moved_on, "rm", "-s", "-f", "job").returncode == 0
    assert driven.moved() == {job}

    down = driven.compose(moved_on, "down", "--volumes")
    assert down.returncode == 0, down.stderr
    assert driven.containers() == {}
    assert driven.request("GET", "/networks/contract_inside")[0] == 404
    assert driven.request("GET", "/volumes/contract_own")[0] == 404
    assert driven.request("GET", "/networks/contract_outside")[0] == 200
    assert driven.request("GET", "/volumes/contract_kept")[0] == 200


def test_compose_refuses_what_a_real_engine_refuses(driven: Driven) -> None:
    port = _free_port()
    model = _model(driven, port)
    assert driven.compose(model, "up", "-d", "--no-deps", "web").returncode == 0
    driven.moved()
    web = "contract-web-1"

    missing = _model(driven, port, image="contract/nowhere:1")
    result = driven.compose(
        missing, "up", "-d", "--no-deps", "--force-recreate", "--pull", "never", "--no-build", "web"
    )
    assert result.returncode != 0
    assert driven.moved() == set()
    assert _states(driven)[web] == "running"

    source = f"{driven.directory}/no-such-file"
    bind = {"type": "bind", "source": source, "target": "/etc/files", "bind": {"create_host_path": False}}
    result = driven.compose(_model(driven, port, volumes=[bind]), "up", "-d", "--no-deps", "--force-recreate", "web")
    assert result.returncode != 0
    assert "bind source path does not exist" in result.stderr
    assert driven.moved() == set()
    assert _states(driven)[web] == "running"

    for published, words in (
        (f"127.0.0.1:{port}:80", "port is already allocated"),
        (f"{port}:80", "bind: address already in use"),
    ):
        other = {"image": "contract/web:1", "ports": [published], "network_mode": "contract_outside"}
        result = driven.compose({"services": {"other": other}}, "up", "-d", "other")
        assert result.returncode != 0
        assert words in result.stderr
        state = driven.inspect("contract-other-1")["State"]
        assert (state["Status"], state["ExitCode"], words in state["Error"]) == ("created", 128, True)

    driven.request("POST", f"/containers/{web}/pause")
    assert driven.compose(model, "up", "-d", "--no-deps", "--force-recreate", "web").returncode == 0
    driven.request("POST", f"/containers/{web}/pause")
    stopped = driven.compose(model, "up", "-d", "--no-deps", "--no-recreate", "web")
    assert stopped.returncode != 0
    assert "paused" in stopped.stderr


REFUSALS: tuple[tuple[str, str, object, int, str], ...] = (
    ("DELETE", "/networks/contract_outside", None, 403, "has active endpoints"),
    ("DELETE", "/networks/none", None, 403, "pre-defined network"),
    ("DELETE", "/volumes/contract_kept", None, 409, "volume is in use"),
    (
        "POST",
        "/containers/create?name=contract-web-1",
        {"Image": "contract/web:1"},
        409,
        "is already in use by container",
    ),
    ("POST", "/containers/create?name=x", {"Image": "contract/web:1"}, 400, "Invalid container name"),
    ("POST", "/containers/create?name=contract-x", {"Image": "contract/none:1"}, 404, "No such image: contract/none:1"),
    ("POST", "/containers/contract-web-1/start", None, 304, ""),
    ("POST", "/containers/contract-web-1/unpause", None, 500, "is not paused"),
    ("POST", "/containers/contract-web-1/update", {"Memory": 1 << 30}, 409, "smaller than already set memoryswap"),
    ("POST", "/containers/contract-web-1/rename?name=contract-store-1", None, 409, "Error when allocating new name"),
    ("DELETE", "/containers/contract-web-1", None, 409, "You cannot remove a running container"),
    ("POST", "/containers/contract-none/start", None, 404, "No such container: contract-none"),
    ("GET", "/containers/contract-none/json", None, 404, "No such container: contract-none"),
    ("GET", "/networks/contract_none", None, 404, "network contract_none not found"),
    ("GET", "/volumes/contract_none", None, 404, "no such volume"),
    ("GET", "/images/contract/none:1/json", None, 404, "No such image: contract/none:1"),
    ("DELETE", "/images/contract/web:1", None, 409, "unable to remove repository reference"),
    ("GET", "/containers/json?filters=%7B%22bogus%22%3A%5B%22x%22%5D%7D", None, 400, "nvalid filter 'bogus'"),
    ("POST", "/networks/contract_outside/disconnect", {"Container": "contract-store-1"}, 500, "is not connected to"),
    ("GET", "/nothing", None, 404, "page not found"),
)


def test_the_api_refuses_with_the_status_and_words_of_the_engine(driven: Driven) -> None:
    assert driven.compose(_model(driven, _free_port()), "up", "-d", "--no-deps", "web", "store").returncode == 0
    for method, path, body, expected, words in REFUSALS:
        status, answer = driven.request(method, path, body)
        message = answer.get("message", "") if isinstance(answer, dict) else ""
        assert (status, words in message) == (expected, True), f"{method} {path}: {status} {answer}"


def test_a_network_made_again_is_another_one_for_a_stopped_container(driven: Driven) -> None:
    body = {"Image": "contract/web:1", "Labels": {"com.docker.compose.project": PROJECT}}
    body |= {"HostConfig": {"NetworkMode": "contract_inside"}}
    driven.request("POST", "/networks/create", {"Name": "contract_inside"})
    driven.request("POST", "/containers/create?name=contract-lone", body)
    assert driven.request("POST", "/containers/contract-lone/start")[0] == 204
    assert driven.request("POST", "/containers/contract-lone/stop?t=0")[0] == 204
    assert driven.request("DELETE", "/networks/contract_inside")[0] == 204
    assert driven.request("POST", "/networks/create", {"Name": "contract_inside"})[0] == 201
    status, answer = driven.request("POST", "/containers/contract-lone/start")
    assert (status, re.sub("[0-9a-f]{64}", "ID", answer["message"])) == (404, "network ID not found")
    assert driven.inspect("contract-lone")["State"]["Error"] == answer["message"]


def test_a_program_that_is_not_there_leaves_a_created_container(driven: Driven) -> None:
    _create(driven, "contract-odd", Entrypoint=["/no/such/program"])
    status, answer = driven.request("POST", "/containers/contract-odd/start")
    words = 'exec: "/no/such/program": stat /no/such/program: no such file or directory'
    assert (status, words in answer["message"]) == (400, True)
    state = driven.inspect("contract-odd")["State"]
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", 127, answer["message"])


def test_a_crash_loop_restarts_and_a_limited_one_gives_up(driven: Driven) -> None:
    def create(name: str, policy: dict[str, Any], script: str) -> None:
        body = {"Image": "contract/web:1", "Labels": {"com.docker.compose.project": PROJECT}}
        body |= {"Cmd": ["sh", "-c", script], "HostConfig": {"NetworkMode": "none", "RestartPolicy": policy}}
        assert driven.request("POST", f"/containers/create?name={name}", body)[0] == 201
        assert driven.request("POST", f"/containers/{name}/start")[0] == 204

    create("contract-loop", {"Name": "always"}, "exit 4")
    create("contract-twice", {"Name": "on-failure", "MaximumRetryCount": 2}, "exit 5")
    driven.eventually(lambda: driven.inspect("contract-loop")["RestartCount"] >= 2)
    driven.eventually(lambda: driven.inspect("contract-loop")["State"]["Status"] == "restarting")
    state = driven.inspect("contract-loop")["State"]
    assert (state["Running"], state["Restarting"], state["ExitCode"]) == (True, True, 4)
    driven.eventually(lambda: driven.inspect("contract-twice")["State"]["Status"] == "exited")
    twice = driven.inspect("contract-twice")
    assert (twice["RestartCount"], twice["State"]["ExitCode"]) == (2, 5)
    assert driven.request("POST", "/containers/contract-loop/stop")[0] == 204
    assert driven.inspect("contract-loop")["State"]["Status"] == "exited"


def _create(driven: Driven, name: str, **body: Any) -> None:
    asked = {"Image": "contract/web:1", "Labels": {"com.docker.compose.project": PROJECT}, **body}
    asked["HostConfig"] = {"NetworkMode": "contract_outside", **body.get("HostConfig", {})}
    status, answer = driven.request("POST", f"/containers/create?name={name}", asked)
    assert status == 201, answer


def _engine_time(driven: Driven) -> float:
    seconds, _, fraction = driven.request("GET", "/info")[1]["SystemTime"].rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")


def test_the_events_of_a_container_tell_its_life_in_the_same_order(driven: Driven) -> None:
    driven.request("POST", "/networks/create", {"Name": "contract_inside"})
    before = _engine_time(driven)
    script = "trap 'exit 6' TERM; while true; do sleep 0.1; done"
    _create(driven, "contract-told", Cmd=["sh", "-c", script], StopSignal="SIGTERM")
    steps: tuple[tuple[str, str, object], ...] = (
        ("POST", "/containers/contract-told/start", None),
        ("POST", "/containers/contract-told/pause", None),
        ("POST", "/containers/contract-told/unpause", None),
        ("POST", "/containers/contract-told/rename?name=contract-retold", None),
        ("POST", "/containers/contract-retold/update", {"CpuShares": 512}),
        ("POST", "/networks/contract_inside/connect", {"Container": "contract-retold"}),
        ("POST", "/networks/contract_inside/disconnect", {"Container": "contract-retold"}),
        ("POST", "/containers/contract-retold/stop?t=30", None),
        ("POST", "/containers/contract-retold/start", None),
        ("DELETE", "/containers/contract-retold?force=1", None),
    )
    for method, path, body in steps:
        time.sleep(0.3)  # the shell there needs a moment to set its trap
        status, answer = driven.request(method, path, body)
        assert status in {200, 204}, f"{path}: {answer}"
    time.sleep(0.3)
    until = _engine_time(driven)
    wanted = quote(json.dumps({"type": ["container", "network"]}))
    raw = driven.request("GET", f"/events?since={before:.6f}&until={until:.6f}&filters={wanted}")[1]
    events = [json.loads(line) for line in raw.splitlines()]
    told = [
        (
            event["Type"],
            event["Action"],
            event["Actor"]["Attributes"].get("exitCode") or event["Actor"]["Attributes"]["name"],
        )
        for event in events
    ]
    # Engine 20.10 tells the disconnection of a running container twice.
    assert [" ".join(entry) for entry, _ in itertools.groupby(told)] == [
        "container create contract-told",
        "network connect contract_outside",
        "container start contract-told",
        "container pause contract-told",
        "container unpause contract-told",
        "container rename contract-retold",
        "container update contract-retold",
        "network connect contract_inside",
        "network disconnect contract_inside",
        "container kill contract-retold",
        "container die 6",
        "network disconnect contract_outside",
        "container stop contract-retold",
        "network connect contract_outside",
        "container start contract-retold",
        "container kill contract-retold",
        "container die 137",
        "network disconnect contract_outside",
        "container destroy contract-retold",
    ]
    assert {"status", "id", "from", "Type", "Action", "Actor", "scope", "time", "timeNano"} == set(events[0])


def test_filters_choose_the_same_objects(driven: Driven) -> None:
    _create(driven, "contract-one", Labels={"com.docker.compose.project": PROJECT, "part": "a"})
    _create(driven, "contract-two", Labels={"com.docker.compose.project": PROJECT, "part": "b"})
    _create(driven, "contract-done", Cmd=["sh", "-c", "exit 9"], HostConfig={"Binds": ["contract_kept:/x"]})
    for name in ("one", "done"):
        assert driven.request("POST", f"/containers/contract-{name}/start")[0] == 204
    driven.eventually(lambda: driven.inspect("contract-done")["State"]["Status"] == "exited")

    def containers(query: str = "", **filters: list[str]) -> set[str]:
        status, found = driven.request("GET", f"/containers/json?{query}&filters={quote(json.dumps(filters))}")
        assert status == 200, found
        return {entry["Names"][0].removeprefix("/contract-") for entry in found}

    ours = [f"com.docker.compose.project={PROJECT}"]
    assert containers(label=ours) == {"one"}
    assert containers("all=1", label=ours) == {"one", "two", "done"}
    assert containers("all=1", label=["part"]) == {"one", "two"}
    assert containers("all=1", label=["part=b"]) == {"two"}
    assert containers("all=1", label=["part=a", "part=b"]) == set()
    assert containers("all=1", name=["contract-t"]) == {"two"}
    assert containers("all=1", name=["^/contract-one$", "two"]) == {"one", "two"}
    assert containers(label=ours, status=["created"]) == {"two"}
    assert containers(label=ours, exited=["9"]) == set()
    assert containers("all=1", label=ours, exited=["9"]) == {"done"}
    assert containers("all=1", volume=["contract_kept"]) == {"done"}
    assert containers("all=1", network=["contract_outside"]) == {"one", "two", "done"}
    assert containers("all=1", ancestor=["contract/web:1"]) == {"one", "two", "done"}
    assert containers("all=1", ancestor=["contract/store:1"]) == set()
    assert containers("all=1", label=ours, id=[driven.inspect("contract-two")["Id"][:20]]) == {"two"}

    def named(path: str, **filters: list[str]) -> set[str]:
        found = driven.request("GET", f"{path}?filters={quote(json.dumps(filters))}")[1]
        found = found["Volumes"] if isinstance(found, dict) else found
        return {entry["Name"] for entry in found}

    assert named("/networks", name=["contract_out"]) == {"contract_outside"}
    assert named("/networks", label=["a=b"]) == {"contract_outside"}
    assert named("/networks", label=["a=c"]) == set()
    assert named("/volumes", name=["contract_k"], dangling=["false"]) == {"contract_kept"}
    assert named("/volumes", label=["a=b"], dangling=["true"]) == set()


def test_output_and_exit_codes_are_given_in_the_same_form(driven: Driven) -> None:
    _create(driven, "contract-says", Cmd=["sh", "-c", "echo one; echo two >&2; sleep 0.3; echo three; exit 11"])
    _create(driven, "contract-terminal", Cmd=["sh", "-c", "echo plain"], Tty=True)
    for name in ("says", "terminal"):
        assert driven.request("POST", f"/containers/contract-{name}/start")[0] == 204
    assert driven.request("POST", "/containers/contract-says/wait")[1] == {"Error": None, "StatusCode": 11}
    assert driven.request("POST", "/containers/contract-terminal/wait")[1] == {"Error": None, "StatusCode": 0}

    def logs(query: str, name: str = "says") -> list[str]:
        return sorted(
            str(driven.request("GET", f"/containers/contract-{name}/logs?{query}")[1]).splitlines(keepends=True)
        )

    frame = "\x00\x00\x00\x00\x00\x00"
    out, err, last = f"\x01{frame}\x04one\n", f"\x02{frame}\x04two\n", f"\x01{frame}\x06three\n"
    # The real engine may write the last lines only after the end.
    driven.eventually(lambda: logs("stdout=1&stderr=1") == [out, last, err])
    driven.eventually(lambda: logs("stdout=1", "terminal") == ["plain\r\n"])
    assert logs("stderr=1") == [err]
    assert logs("stdout=1&tail=1") == [last]
    assert logs("stdout=1&stderr=1&follow=1") == [out, last, err]
    assert driven.request("GET", "/containers/contract-says/logs")[0] == 400


def test_who_attaches_before_the_start_sees_all_output_and_the_end(driven: Driven) -> None:
    _create(driven, "contract-watched", Cmd=["sh", "-c", "echo begun; sleep 1; echo ended"], AttachStdout=True)
    with socket.socket(socket.AF_UNIX) as attached:
        attached.settimeout(60)
        attached.connect(str(driven.socket))
        path = "/v1.41/containers/contract-watched/attach?stream=1&stdout=1&stderr=1"
        attached.sendall(f"POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        said = b""
        while b"\r\n\r\n" not in said:
            said += attached.recv(4096)
        attached.shutdown(socket.SHUT_WR)  # no input, as `docker run` without -i
        assert driven.request("POST", "/containers/contract-watched/start")[0] == 204
        while piece := attached.recv(4096):
            said += piece
    head, _, output = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 UPGRADED")
    assert output == b"\x01\0\0\0\0\0\0\x06begun\n\x01\0\0\0\0\0\0\x06ended\n"


def test_what_the_two_engines_say_of_the_same_project_is_the_same(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    port = _free_port()
    said: dict[str, Any] = {}
    for kind in ("docker", "simulated"):
        steps = _driven(request, kind, tmp_path)
        driven = next(steps)
        try:
            result = driven.compose(_model(driven, port), "up", "-d")
            assert result.returncode == 0, result.stderr
            driven.eventually(lambda d=driven: _states(d)["contract-job-1"] == "exited")  # type: ignore[misc]
            listed = driven.containers()
            said[kind] = _comparable(
                {
                    "inspected": {name: driven.inspect(name) for name in sorted(listed)},
                    "listed": listed,
                    "network": driven.request("GET", "/networks/contract_inside")[1],
                    "volume": driven.request("GET", "/volumes/contract_own")[1],
                    "image": driven.request("GET", "/images/contract/store:1/json")[1],
                },
                driven,
            )
        finally:
            steps.close()  # type: ignore[attr-defined]
    assert _differences(said["simulated"], said["docker"]) == []


BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"Cmd": ["sleep", "60"], "Env": ["MODE=asked", "BARE"], "ExposedPorts": {"90/udp": {}}, "Volumes": {"/vol": {}}},
    {"Entrypoint": ["sleep"], "Cmd": ["60"], "Hostname": "named", "StopSignal": "SIGTERM", "StopTimeout": 1},
    {"Healthcheck": {"Test": ["NONE"]}, "Labels": {"release": "own"}, "User": "app", "WorkingDir": "/etc"},
    {"Entrypoint": [], "Cmd": []},
    {"Entrypoint": [""], "Cmd": ["sleep", "60"]},
    {"HostConfig": {"NetworkMode": "default"}},
    {"HostConfig": {"Privileged": True}},
    {"Entrypoint": ["sleep", "60"], "HostConfig": {"NetworkMode": "none", "Init": True}},
    {"HostConfig": {"NetworkMode": "host", "ReadonlyRootfs": True, "CapDrop": ["ALL"], "ShmSize": 1 << 20}},
    {"HostConfig": {"Binds": ["contract_kept:/a:ro", "contract_own:/b"]}},
    {"HostConfig": {"Mounts": [{"Type": "volume", "Target": "/anonymous"}]}},
    {"HostConfig": {"Tmpfs": {"/t": "size=1m"}, "Dns": ["10.0.0.1"]}},
    {"HostConfig": {"Memory": 1 << 26, "MemorySwap": 1 << 26, "PidsLimit": 100}},
    {"HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}},
    {"HostConfig": {"ExtraHosts": ["a:10.0.0.1"], "Sysctls": {"net.core.somaxconn": "99"}}},
    {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}}},
)
# The default bridge may be missing, and privileges refused, where the tests run: such a container is not started.
_NOT_STARTED = ({"NetworkMode": "default"}, {"Privileged": True})


def test_a_container_reads_the_same_before_it_runs_while_it_runs_and_after(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    said: dict[str, Any] = {}
    for kind in ("docker", "simulated"):
        steps = _driven(request, kind, tmp_path)
        driven = next(steps)
        try:
            host_name = driven.request("GET", "/info")[1]["Name"]
            said[kind] = [_comparable(_life(driven, body)) for body in BODIES]
            said[kind] = json.loads(json.dumps(said[kind]).replace(f'"Hostname": "{host_name}"', '"Hostname": "HOST"'))
        finally:
            steps.close()  # type: ignore[attr-defined]
    assert _differences(dict(enumerate(said["simulated"])), dict(enumerate(said["docker"]))) == []


def _life(driven: Driven, body: dict[str, Any]) -> dict[str, Any]:
    name = "contract-life"
    labels = {"com.docker.compose.project": PROJECT, **body.get("Labels", {})}
    host = body.get("HostConfig", {})
    asked = {"Image": "contract/web:1", **body, "Labels": labels}
    asked["HostConfig"] = {"NetworkMode": "contract_outside", **host}
    created = driven.request("POST", f"/containers/create?name={name}", asked)
    said: dict[str, Any] = {"create": created, "created": driven.inspect(name), "listed": driven.containers()[name]}
    if host not in _NOT_STARTED:
        said |= {"start": driven.request("POST", f"/containers/{name}/start"), "running": driven.inspect(name)}
        said |= {"listed running": driven.containers()[name]}
        said |= {"stop": driven.request("POST", f"/containers/{name}/stop?t=0"), "stopped": driven.inspect(name)}
        said |= {"listed stopped": driven.containers()[name]}
    driven.request("DELETE", f"/containers/{name}?v=1")
    return said


# What is a machine's own, or is not there without a process: storage driver, control groups, process id, layers; and
# the health check that happens to run.
_OF_THE_MACHINE = {
    "AppArmorProfile", "CgroupnsMode", "ContainerConfig", "Driver", "ExecIDs", "GraphDriver", "LastTagTime", "Log",
    "Pid", "RootFS", "Size", "VirtualSize",
}  # fmt: skip
_OF_THE_RUN = (
    (r"\b[0-9a-f]{64}\b", "ID"),
    (r"\b[0-9a-f]{12}\b", "SHORT"),
    (r"\b[1-9]\d{3}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r"\b(172|192)(\.\d+){3}(/\d+)?\b", "ADDRESS"),
    (r"\b02(:[0-9a-f]{2}){5}\b", "MAC"),
    (r"^/.*/(volumes|containers|netns)/", r"/\1/"),
    (r"(Less than a|\d+) seconds?", "TIME"),
)


def _comparable(value: Any, key: str = "") -> Any:
    if key == "Containers" and isinstance(value, dict):
        return sorted((_comparable(entry) for entry in value.values()), key=lambda entry: str(entry["Name"]))
    if isinstance(value, dict):
        return {_of_any_run(k): None if k in _OF_THE_MACHINE else _comparable(v, k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        items = [_comparable(item) for item in value]
        # Compose and the engine keep mounts, variables and ports in maps: their order is not one.
        return sorted(items, key=json.dumps) if key in {"Binds", "Mounts", "Env", "Ports"} else items
    if key in {"Created", "IPPrefixLen"} and isinstance(value, int) and value:
        return "NUMBER"
    return _of_any_run(value) if isinstance(value, str) else value


def _of_any_run(text: str) -> str:
    for pattern, shown in _OF_THE_RUN:
        text = re.sub(pattern, shown, text)
    return text


def _differences(one: Any, other: Any, where: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [d for k in keys for d in _differences(one.get(k, "absent"), other.get(k, "absent"), f"{where}/{k}")]
    return [] if one == other else [f"{where}: {one!r} and {other!r}"]


def test_it_is_labelled_as_simulated_wherever_an_engine_says_who_it_is(
    simulated: SimulatedHost, tmp_path: Path
) -> None:
    driven = Driven("simulated", simulated.local_socket, tmp_path)
    information = driven.request("GET", "/info")[1]
    assert information["Name"] == "simulated"
    assert information["OperatingSystem"] == "reconciler simulated host"
    assert information["ID"].startswith("SIMULATED:")
    assert information["ID"] == simulated.engine_id
    version = driven.request("GET", "/version")[1]
    assert version["Platform"]["Name"] == "reconciler simulated host"
    assert version["Version"].endswith("+simulated")
