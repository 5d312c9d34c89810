"""The doors to hosts: what an engine answers, as JSON and as HTTP, what commands print, and the records kept there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

from reconciler import diff
from reconciler.approvals import host_record
from reconciler.approvals.host_record import Expected, Order, Refuse, SignedBy, Standing
from reconciler.control import host_records
from reconciler.control.parts import Parts
from reconciler.hosts import engine_output, files, images, locks, observation, records, resources
from reconciler.hosts.engine_api import EngineApi
from reconciler.hosts.ssh import Connection, Executed
from reconciler.model.canonical import digest_bytes
from reconciler.model.desired import Bundle, DesiredTarget, ShippedFile
from reconciler.model.errors import ReconcilerError, Terminal
from reconciler.model.host_record import NAMESPACE, HostRecord, SignedRecord, file_of, payload_of
from reconciler.model.observed import ObservedState, ResolvedImage
from reconciler.model.plan import RecreateNetwork, RemoveContainer, RemoveNetwork, RemoveVolume
from reconciler.ports import Host, ObservationRequest, TrustRecord
from tests.builders import FINGERPRINTER, NOON, TARGET, a_bundle, a_network, a_service, a_target, a_volume, resolutions
from tests.fuzz.door import Door
from tests.fuzz.mutation import Mutator
from tests.fuzz.signing import Key, signatures

RECORDED = Path(__file__).parents[1] / "unit" / "hosts" / "recorded"
PROJECT = "shop"
SECRET = "swordfish-in-the-environment"
ID = "sha256:" + "ab" * 32


# -- the engine ----------------------------------------------------------------------------------------------------


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


@cache
def engine() -> Mapping[str, Any]:
    """What the engine answers on each path, in shape as it was recorded; ours are the containers, but for one."""
    listing = recorded("containers")
    ids = {entry["Names"][0]: entry["Id"] for entry in listing}
    web, job = recorded("container_web"), recorded("container_job")
    for container in (web, job):
        container["Config"]["Labels"]["dev.reconciler.owner"] = "reconciler"
        container["Config"]["Env"] = [*(container["Config"]["Env"] or ()), f"PASSWORD={SECRET}"]
    theirs = {**recorded("container_job")["Config"]["Labels"], "com.docker.compose.service": "strange"}
    strange = {**job, "Id": "9" * 64, "Name": "/shop-strange-1", "Config": {**job["Config"], "Labels": theirs}}
    entry = next(each for each in listing if each["Id"] == ids["/shop-job-1"])
    listing.append({**entry, "Id": "9" * 64, "Names": ["/shop-strange-1"]})
    image = recorded("image")
    return {
        "/version": recorded("version"),
        "/info": recorded("info"),
        "/containers/json": listing,
        "/networks": recorded("networks"),
        "/volumes": recorded("volumes"),
        f"/containers/{ids['/shop-web-1']}/json": web,
        f"/containers/{ids['/shop-job-1']}/json": job,
        f"/containers/{'9' * 64}/json": strange,
        "/containers/shop-web-1/json": web,
        f"/networks/{recorded('network_back')['Id']}": recorded("network_back"),
        "/images/shop%2Fweb%3A1/json": image,
        f"/images/{image['Id'].replace(':', '%3A')}/json": image,
        "/volumes/shop_data": recorded("volumes")["Volumes"][0],
        "/distribution/registry.test/web:2/json": {"Descriptor": {"digest": ID, "size": 1}},
        "/images/create": {"status": "Pulling"},
    }


HEAD = re.compile(rb"(GET|POST|DELETE|HEAD) (?:/v[0-9.]+)?(\S+) HTTP/1.1\r\n(.*?)\r\n\r\n", re.DOTALL)


@dataclass(slots=True)
class OddEngine:
    """A connection on which one path is answered oddly. `raw` is given the bytes of that answer, too."""

    odd: str
    value: Any
    raw: Callable[[bytes], bytes]
    status: int
    pending: bytearray = field(default_factory=bytearray)

    def settimeout(self, timeout: float, /) -> None: ...

    def close(self) -> None: ...

    def sendall(self, data: bytes, /) -> None:
        for found in HEAD.finditer(data):
            self.pending += self.answer(found[1].decode(), found[2].decode())

    def recv(self, size: int, /) -> bytes:
        piece = bytes(self.pending[:size])
        del self.pending[:size]
        return piece

    def answer(self, method: str, path: str) -> bytes:
        name, _, query = path.partition("?")
        if name.endswith("/logs"):
            body, status = b"\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\3err", 200
        elif method != "GET" and name not in engine():
            body, status = b"{}", 204 if method == "DELETE" else 201
        else:
            value = self.value if name == self.odd else engine().get(name)
            if name == "/containers/json" and "filters" in query and isinstance(value, list):
                value = [e for e in value if isinstance(e, dict) and ours(e, unquote(query))]
            body, status = json.dumps(value).encode(), 200 if value is not None else 404
        if name != self.odd:
            return http(status, body)
        return self.raw(http(self.status if self.status else status, body))


def ours(entry: Mapping[str, Any], query: str) -> bool:
    labels = entry.get("Labels")
    return isinstance(labels, dict) and labels.get(engine_output.PROJECT_LABEL) == PROJECT and PROJECT in query


def http(status: int, body: bytes) -> bytes:
    if status == 204:
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


REQUEST = ObservationRequest(PROJECT, "shop/production", images=("shop/web:1", "gone:1", "../odd"))


@cache
def goal() -> DesiredTarget:
    """What git wants there: other than what is, so that every check has something to say."""
    check = {"test": ["CMD", "x"], "interval": "5s"}
    limits = {"mem_limit": "64m", "ulimits": {"nofile": 5}, "restart": "always"}
    web = a_service("web", {"image": "shop/web:2", "healthcheck": check, "extra_hosts": ["a=1.2.3.4"], **limits})
    job = a_service("job", {"image": "shop/web:1", "networks": {"back": None}, "sysctls": {"net.core.somaxconn": "1"}})
    return a_target((job, web), networks=(a_network("back"), a_network("default")), volumes=(a_volume("data"),))


def observed(stream: OddEngine) -> ObservedState:
    return observation.observe(EngineApi(lambda: stream, "host web-1"), "web-1", REQUEST, FINGERPRINTER, NOON)


def looked(api: EngineApi) -> None:
    """Everything that a look at a target makes of the answers."""
    state = observation.observe(api, "web-1", REQUEST, FINGERPRINTER, NOON)
    hidden(state)
    for target in (goal(), a_target({})):
        plan = diff.plan(target, state, diff.compare(target, state, {}, FINGERPRINTER), resolutions(target))
        if plan.engine_id != state.engine.id:
            raise AssertionError("the plan is of another engine")
        spares_strangers(plan.operations, state)
        diff.health(target, state)


def hidden(state: ObservedState) -> None:
    """No value of a container's environment is kept where it belongs into the environment."""
    for container in state.containers:
        if "Env" in container.config or SECRET in repr((container.environment, container.labels)):
            raise AssertionError(f"{container.name} shows what is in its environment")


def spares_strangers(operations: Sequence[object], state: ObservedState) -> None:
    """What we did not create is never removed, nor a network or volume without our project's label."""
    ours = "dev.reconciler.owner", "reconciler"
    containers = {c.name.lstrip("/") for c in state.containers if ours in c.labels.items()}
    networks = {n.name for n in state.networks if n.labels.get(engine_output.PROJECT_LABEL) == state.compose_project}
    volumes = {v.name for v in state.volumes if v.labels.get(engine_output.PROJECT_LABEL) == state.compose_project}
    for operation in operations:
        match operation:
            case RemoveContainer(container=name) if name not in containers:
                raise AssertionError(f"the container {name} is not ours, and would be removed")
            case RecreateNetwork(disconnects=names) if not containers.issuperset(names):
                raise AssertionError(f"of {names} some are not ours, and would be disconnected")
            case RemoveNetwork(name=name) if name not in networks:
                raise AssertionError(f"the network {name} is not ours, and would be removed")
            case RemoveVolume(name=name) if name not in volumes:
                raise AssertionError(f"the volume {name} is not ours, and would be removed")


EXACT = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._/:-]*@)?sha256:[0-9a-f]{64}")


def resolved(api: EngineApi) -> None:
    """What is deployed is an id or a digest, whatever the engine and the registry say."""
    found = images.resolve(api, ("shop/web:1", "registry.test/web:2", ID, "../odd"))
    for each in found.values():
        if isinstance(each, ResolvedImage) and not EXACT.fullmatch(each.deploy_as):
            raise AssertionError(f"{each.reference} would be deployed as {each.deploy_as!r}")


def read_logs(api: EngineApi) -> None:
    """The last lines, and nothing of the environment in them."""
    if SECRET in resources.logs(api, "shop-web-1", 10):
        raise AssertionError("the log shows what is in the environment")


ASKED: tuple[tuple[float, Callable[[EngineApi], object]], ...] = (
    (6, looked),
    (2, resolved),
    (1, read_logs),
    (1, lambda api: images.pull(api, "registry.test/web:2")),
    (1, lambda api: images.keep(api, "shop/web:1", "keep/web:1")),
    (1, lambda api: resources.create_network(api, a_network("back"), PROJECT)),
    (1, lambda api: resources.create_volume(api, a_volume("data"), PROJECT)),
    (1, lambda api: resources.remove_container(api, "shop-web-1", None)),
    (1, lambda api: resources.disconnect_network(api, "shop_back", "shop-web-1")),
)


def engine_answer(mutator: Mutator) -> None:
    """An engine of which one answer is odd, in what it says or in its bytes: read as it is, or refused."""
    chance = mutator.chance
    odd = chance.choice(list(engine()))
    value, raw, status = engine()[odd], bytes, 0
    match chance.randrange(10):
        case 0:
            status = chance.choice((200, 204, 301, 400, 404, 409, 500, 503, 101, 100, 999))
        case 1 | 2:
            raw = mutator.data  # type: ignore[assignment]
        case _:
            value = mutator.value(value)
    ask = chance.choices([ask for _, ask in ASKED], [weight for weight, _ in ASKED])[0]
    stream = OddEngine(odd, value, raw, status)
    try:
        ask(EngineApi(lambda: stream, "host web-1"))
    except ReconcilerError:
        return


# -- commands on a host --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class OddChannel:
    data: bytes
    closed: bool = False

    def settimeout(self, timeout: float) -> None: ...

    def recv(self, size: int) -> bytes:
        piece, self.data = self.data[:7], self.data[7:]
        return piece


@dataclass(slots=True)
class OddShell:
    """A connection over which every command prints the same."""

    done: Executed
    where: str = "host web-1"
    alive: bool = True
    spec: Any = field(default_factory=lambda: SimpleNamespace(user="u"))

    def execute(self, command: Sequence[str], stdin: bytes = b"", timeout: float | None = None) -> Executed:
        return self.done

    @contextmanager
    def session(self, command: Sequence[str], deadline: float) -> Iterator[OddChannel]:
        yield OddChannel(self.done.stdout)


FILE = b"one\n"
BUNDLE = replace(a_bundle(), files=(ShippedFile("site/a", digest_bytes(FILE), False, len(FILE)),))
ENTRIES = b"755 directory .\n755 directory ./site\n444 regular file ./site/a\n"
LISTED = b"%s\n%s  ./site/a\n" % (ENTRIES, digest_bytes(FILE).encode())
PRINTED = (b"held 7 4242\n", b"busy 7 4242 owner\n", b"no flock\n", LISTED, b"")


def shipped(connection: Connection) -> None:
    files.ship(connection, "/var/lib/reconciler", cast(Bundle, BUNDLE), {"site/a": FILE})


def held(connection: Connection) -> None:
    with locks.hold(connection, "/var/lib/reconciler", TARGET, "us") as lock:
        if lock.generation < 1:
            raise AssertionError(f"the lock has generation {lock.generation}")


def command(mutator: Mutator) -> None:
    """What a command on a host prints: the files are there when it lists exactly them, the lock is held when it says
    so, and everything else is refused.
    """
    chance = mutator.chance
    seed = chance.choice(PRINTED)
    said = mutator.data(seed, PRINTED) if chance.random() < 0.9 else seed
    done = Executed(chance.choice((0, 0, 0, 1, 6, 8, 9, -1, 255)), said, mutator.data(b"sh: not found\n"))
    shell = cast(Connection, OddShell(done))
    ask = chance.choice((shipped, held, read_there))
    try:
        ask(shell)
    except ReconcilerError:
        return
    lines = {line.strip() for line in said.replace(b"empty ", b"").splitlines()} - {b""}
    if ask is shipped and lines != {line.strip() for line in LISTED.splitlines()} - {b""}:
        raise AssertionError(f"the files are taken for shipped where {said!r} is listed")
    if ask is held and not said.startswith(b"held "):
        raise AssertionError(f"the lock is taken for held where {said!r} is said")


def read_there(connection: Connection) -> None:
    found = records.read(connection, "/var/lib/reconciler", TARGET)
    if found is not None and not isinstance(found, bytes):
        raise AssertionError("a record is bytes")


# -- the record of a target ----------------------------------------------------------------------------------------

US, FORMER, THEM = Key("this installation"), Key("the one before"), Key("another installation")
RECORD = HostRecord(TARGET, 7, "ENGINE-1", PROJECT, "a" * 40, "b" * 64, "d-1", 3, 40, "c" * 64, NOON)
EXPECTED = Expected(TARGET, 7, "ENGINE-1")
STANDING = Standing(on_branch=True, trusted=Order.AFTER, verified=Order.AFTER, same_inputs=False)
OTHER_RECORDS = (
    replace(RECORD, revision="e" * 40), replace(RECORD, repository=8), replace(RECORD, engine_id="ENGINE-2"),
    replace(RECORD, target=replace(TARGET, host="web-2")), replace(RECORD, generation=2**53 - 1), RECORD,
)  # fmt: skip


@cache
def kept(key: Key, record: HostRecord, namespace: str = NAMESPACE, named: Key | None = None) -> bytes:
    """A file as a host keeps it, signed by a key, naming that key or another one."""
    payload = payload_of(record)
    return file_of(SignedRecord(payload, (named or key).public_key, key.sign(payload, namespace)))


@dataclass(frozen=True, slots=True)
class Keeping:
    """A host that keeps one record."""

    data: bytes | None

    def read_record(self, _target: object) -> bytes | None:
        if self.data is None:
            raise Terminal("is not a plain file")
        return self.data


PARTS = cast(Parts, SimpleNamespace(signer=US, signatures=signatures()))
TRUST = TrustRecord(7, "a" * 40, (), NOON, takes_over=(FORMER.public_key,))


def record(mutator: Mutator) -> None:
    """A record on a host: believed where we signed exactly it, of this target on this engine, and never otherwise."""
    chance = mutator.chance
    if chance.random() < 0.25:
        key, named = chance.choice((US, FORMER, THEM)), chance.choice((US, FORMER, THEM, None))
        namespace = chance.choice((NAMESPACE, NAMESPACE, "reconciler-checkpoint", "git"))
        data = kept(key, chance.choice(OTHER_RECORDS), namespace, named)
    else:
        seed = json.loads(kept(chance.choice((US, THEM)), chance.choice((RECORD, *OTHER_RECORDS))))
        if chance.random() < 0.5:
            seed["payload"] = mutator.json(json.loads(seed["payload"])).decode(errors="replace")
        if chance.random() < 0.3:
            seed["payload"] = mutator.chance.choice((seed["payload"] + " ", " " + seed["payload"], seed["payload"] * 2))
        data = mutator.json(seed) if chance.random() < 0.5 else json.dumps(seed).encode()
    found = host_records._read(PARTS, TRUST, cast(Host, Keeping(data if chance.random() < 0.99 else None)), TARGET)
    if found is None:
        raise AssertionError("there is a file, and no record is found")
    ours = {payload_of(each) for each in OTHER_RECORDS}
    if found.signed_by in (SignedBy.US, SignedBy.FORMER):
        said = json.loads(data)["payload"].encode()
        if said not in ours or found.content is None:
            raise AssertionError(f"{data[:300]!r} is taken for one that we signed")
    meaning = host_record.meaning(found, EXPECTED, STANDING if found.content is not None else None)
    true = found.signed_by in (SignedBy.US, SignedBy.FORMER) and found.content is not None
    here = found.content is not None and (found.content.target, found.content.repository, found.content.engine_id)
    if not isinstance(meaning, Refuse) and (not true or here != (TARGET, 7, "ENGINE-1")):
        raise AssertionError(f"{data[:300]!r} refuses nothing")


DOORS = (
    Door("engine", 0.1, engine_answer),
    Door("commands", 0.1, command),
    Door("host records", 0.05, record),
)
