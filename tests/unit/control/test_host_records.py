"""What the hosts' records say against the database, and what is written. Git, database, rendering and signatures are
real; the hosts keep records and do nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.apply import PreparedTarget
from reconciler.compose.rendering import SandboxRenderer
from reconciler.control import advancing, host_records, pinning, remembering
from reconciler.control.host_records import Keeper, Refused
from reconciler.control.parts import Parts
from reconciler.model.chain import StoredEntry, walk
from reconciler.model.deployment import Authority, Deployment, DeploymentKind, DeploymentState
from reconciler.model.desired import HostSpec
from reconciler.model.errors import HostUnreachable, Terminal
from reconciler.model.host_record import (
    NAMESPACE,
    HostRecord,
    SignedRecord,
    file_of,
    payload_of,
    read_file,
    read_payload,
)
from reconciler.model.observed import EngineIdentity
from reconciler.model.plan import Plan
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import EnvironmentRecord, TrustRecord
from reconciler.signatures import InstallationKey
from reconciler.storage import Database
from tests.builders import ENGINE, a_target
from tests.git_remotes import Remote
from tests.unit.control.plane import NOW, REPOSITORY_ID, Events, ToldForge, parts_of
from tests.unit.control.test_nothing_to_do import SHOP

PRODUCTION = EnvironmentName("shop", "production")
WEB_1, WEB_2 = (Target("shop", "production", name) for name in ("web-1", "web-2"))
ENVIRONMENT = "projects/shop/production/environment.yaml"
ANOTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPK6+lk5nKxPxqWhLaQYsnUuMDlPtT7UIlM6z0kUrtUB"


def environment(text: str) -> dict[str, str]:
    return {
        ENVIRONMENT: "hosts: [web-1, web-2]\ntier: production\ncompose: [compose.yaml]\n"
        f'variables: {{TEXT: "{text}"}}\n'
    }


FILES: dict[str, Any] = {
    **SHOP,
    "hosts/web-2.yaml": SHOP["hosts/web-1.yaml"].replace("192.0.2.1", "192.0.2.2"),
    "projects/shop/production/compose.yaml": "services: {web: {image: 'demo:1', environment: {TEXT: '${TEXT}'}}}\n",
    **environment("zero"),
}


@dataclass(slots=True)
class RecordingHost:
    """A host that has an engine and a place for records."""

    name: str
    records: dict[Target, bytes] = field(default_factory=dict)
    away: bool = False
    full: bool = False
    reads: int = 0

    def identity(self) -> EngineIdentity:
        return ENGINE

    def read_record(self, target: Target) -> bytes | None:
        if self.away:
            raise HostUnreachable("no route", where=self.name)
        self.reads += 1
        return self.records.get(target)

    def write_record(self, target: Target, content: bytes) -> None:
        if self.full:
            raise Terminal("no room", where=self.name)
        self.records[target] = content


@dataclass(slots=True)
class RecordingHosts:
    """Implements ports.Hosts."""

    by_name: dict[str, RecordingHost]

    def host(self, spec: HostSpec, jumps: tuple[HostSpec, ...]) -> RecordingHost:
        return self.by_name[spec.name]


@dataclass(slots=True)
class Place:
    """A deploy branch of four commits: the first is trusted, the next two change the environment, the last one does
    not. `side` is on no branch.
    """

    parts: Parts
    hosts: RecordingHosts
    events: Events
    line: tuple[str, str, str, str]
    side: str
    trust: TrustRecord

    def revision(self, what: object) -> str:
        return self.side if what == "side" else self.line[cast(int, what)]

    def has(self, where: Target, what: object, **changed: Any) -> HostRecord:
        """The host has a record of this revision, signed by us."""
        made = HostRecord(
            target=where,
            repository=REPOSITORY_ID,
            engine_id=ENGINE.id,
            compose_project="shop-production",
            revision=self.revision(what),
            plan_digest="0" * 64,
            deployment=f"d-{what}",
            generation=5,
            ledger_size=1,
            ledger_head="0" * 64,
            at=NOW,
        )
        made = replace(made, **changed)
        payload = payload_of(made)
        signed = SignedRecord(payload, self.parts.signer.public_key, self.parts.signer.sign(payload, NAMESPACE))
        self.hosts.by_name[where.host].records[where] = file_of(signed)
        return made

    def knows(self, what: object) -> None:
        if what is not None:
            remembering.verified(self.parts, PRODUCTION, self.revision(what))

    def look(self) -> EnvironmentRecord | Refused:
        known = remembering.record(self.parts, PRODUCTION)
        return host_records.look(self.parts, self.trust, known, self.line[-1])

    def reads(self) -> int:
        return sum(host.reads for host in self.hosts.by_name.values())


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> SandboxRenderer:
    return SandboxRenderer(tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture
def place(database: Database, tmp_path: Path, renderer: SandboxRenderer, keys: Path) -> Place:
    remote = Remote.make(tmp_path / "remote.git")
    line = [remote.commit(FILES)]
    for files in (environment("one"), environment("two"), {"README.md": "more\n"}):
        line.append(remote.commit(files, line[-1]))
    side = remote.commit({"README.md": "aside\n"}, line[0], ref="refs/heads/side")
    mirror = remote.mirror(tmp_path / "mirror.git")
    hosts = RecordingHosts({name: RecordingHost(name) for name in ("web-1", "web-2")})
    events = Events()
    parts = parts_of(database, mirror, hosts=hosts, renderer=renderer, events=events, keys=keys, forge=ToldForge())
    trust = TrustRecord(repository=REPOSITORY_ID, revision=line[0], roots=(("operator", 1, ()),), created_at=NOW)
    parts.states.set_trust(trust)
    return Place(parts, hosts, events, (line[0], line[1], line[2], line[3]), side, trust)


NONE = None
AWAY = "away"
CASES = [
    # the database, web-1, web-2: what is verified then, and whether all has been said
    ("nothing is known anywhere", NONE, NONE, NONE, NONE, False),
    ("the database is lost", NONE, 1, 1, 1, True),
    ("the database is lost, and one host is behind", NONE, 2, 1, 2, True),
    ("the database is lost, and the first host is behind", NONE, 1, 2, 2, True),
    ("the database is lost, and one host has no record", NONE, 2, NONE, 2, True),
    ("the database is lost, and one host is down", NONE, AWAY, 1, 1, False),
    ("all agree", 1, 1, 1, 1, True),
    ("no host has a record, as before there were any", 1, NONE, NONE, 1, True),
    ("a host is down", 1, AWAY, 1, 1, False),
    ("the database is from an old backup", 1, 2, 2, 2, True),
    ("the database is from an old backup, and one host is behind", 1, 2, 1, 2, True),
    ("the database is from an old backup, and one host from an older one", 1, 2, 0, 2, True),
    ("the database says more than any host", 2, 1, 1, 1, True),
    ("the database says more than any host, and they differ", 2, 1, 0, 1, True),
    ("one host was restored from a snapshot", 2, 2, 1, 2, True),
    ("what landed since did not touch it", 3, 2, 2, 3, True),
    ("what landed since did not touch it, and one host was restored", 3, 1, 2, 3, True),
]


@pytest.mark.parametrize(
    ("known", "one", "two", "verified", "settled"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_is_verified(
    place: Place, known: int | None, one: object, two: object, verified: int | None, settled: bool
) -> None:
    place.knows(known)
    for target, what in ((WEB_1, one), (WEB_2, two)):
        if what == AWAY:
            place.hosts.by_name[target.host].away = True
        elif what is not None:
            place.has(target, what)
    found = place.look()
    assert isinstance(found, EnvironmentRecord)
    assert found.verified == (None if verified is None else place.revision(verified))
    assert remembering.record(place.parts, PRODUCTION) == found
    assert host_records.settled(place.parts, place.trust, found) is settled
    moved = verified != known
    lagging = not moved and one not in (NONE, AWAY) and two not in (NONE, AWAY) and one != two
    assert len(place.parts.ledger.find("host-record", str(PRODUCTION))) == (1 if moved or lagging else 0)
    assert bool(found.detail.get("host_record")) is (moved or lagging)
    if moved:
        assert found.deployment == f"d-{verified}"


def test_once_all_have_agreed_no_host_is_asked_again_until_the_trust_is_another(place: Place) -> None:
    place.knows(1)
    place.has(WEB_1, 1)
    place.look()
    asked = place.reads()
    assert asked == 2
    place.look()
    assert place.reads() == asked
    place.knows(0)
    place.look()
    assert remembering.record(place.parts, PRODUCTION).verified == place.revision(1), "somebody moved the database"
    assert place.reads() == 2 * asked
    place.trust = replace(place.trust, takes_over=(ANOTHER_KEY,))
    place.look()
    assert place.reads() == 3 * asked


def test_what_is_said_of_a_host_that_lags_behind_is_said_once(place: Place) -> None:
    place.knows(2)
    place.has(WEB_1, 2)
    place.has(WEB_2, 1)
    for _ in range(3):
        place.parts.looked.clear()
        place.look()
    assert len(place.parts.ledger.find("host-record", str(PRODUCTION))) == 1
    assert "older than the database" in remembering.record(place.parts, PRODUCTION).detail["host_record"]


@pytest.mark.parametrize(
    ("targets", "verified"),
    [((WEB_1,), 1), ((WEB_1, WEB_2), 2)],
    ids=["it failed on the other host", "it was cut off before it was concluded"],
)
def test_a_deployment_that_the_database_knows_is_verified_when_all_hosts_have_it(
    place: Place, targets: tuple[Target, ...], verified: int
) -> None:
    place.knows(1)
    begun = a_deployment("d-2", place.revision(2))
    place.parts.deployments.begin(replace(begun, outcome=DeploymentState.QUEUED, finished_at=None), {})
    place.parts.deployments.advance(begun)
    for target in (WEB_1, WEB_2):
        place.has(target, 2 if target in targets else 1)
    found = place.look()
    assert isinstance(found, EnvironmentRecord)
    assert found.verified == place.revision(verified)


def put(place: Place, content: dict[str, Any] | bytes) -> None:
    """Somebody with root on web-1 changes what lies there."""
    import json

    host = place.hosts.by_name["web-1"]
    if isinstance(content, dict):
        content = json.dumps(json.loads(host.records[WEB_1]) | content).encode()
    host.records[WEB_1] = content


def test_a_record_that_is_not_as_we_signed_it_is_refused(place: Place) -> None:
    record = place.has(WEB_1, 1)
    place.knows(1)
    attacks: list[dict[str, Any] | bytes] = [
        b"", b"{}", b"\x00" * 100,
        {"payload": payload_of(replace(record, revision=place.revision(2))).decode()},
        {"payload": "{}"},
        {"signature": ""},
        {"key": ANOTHER_KEY},
        {"key": f"{ANOTHER_KEY}\n0 {ANOTHER_KEY}"},
    ]  # fmt: skip
    good = place.hosts.by_name["web-1"].records[WEB_1]
    for attack in attacks:
        put(place, good)
        put(place, attack)
        found = place.look()
        if isinstance(attack, dict) and attack.get("key") == ANOTHER_KEY:
            assert isinstance(found, EnvironmentRecord), "our signature is ours, whatever key stands beside it"
            place.parts.looked.clear()
            continue
        assert isinstance(found, Refused), attack
        assert "gate 68" in found.reason
    assert remembering.record(place.parts, PRODUCTION).verified == place.revision(1)


@pytest.mark.parametrize(
    ("changed", "number"),
    [
        ({"repository": REPOSITORY_ID + 1}, 43),
        ({"engine_id": "another"}, 66),
        ({"target": WEB_2}, 66),
        ({"target": Target("shop", "staging", "web-1")}, 66),
        ({"revision": "f" * 40}, 39),
    ],
)
def test_a_record_of_something_else_is_refused_though_we_signed_it(
    place: Place, changed: dict[str, Any], number: int
) -> None:
    place.has(WEB_1, 1, **changed)
    place.has(WEB_2, 1)
    place.knows(1)
    step = advancing.next_step(place.parts, place.trust, PRODUCTION)
    assert isinstance(step, advancing.Stopped)
    assert (step.hold, f"gate {number}" in step.reason, "docs/how-to/trust.md" in step.reason) == ("Held", True, True)


def test_a_revision_that_the_branch_does_not_hold_is_refused(place: Place) -> None:
    place.has(WEB_1, "side")
    found = place.look()
    assert isinstance(found, Refused)
    assert "the deploy branch does not hold (gate 39)" in found.reason


def test_another_installation_is_named_and_its_word_counts_when_root_persons_take_it_over(
    place: Place, tmp_path: Path
) -> None:
    ours = place.parts.signer
    theirs = InstallationKey(tmp_path / "theirs.key")
    place.parts = replace(place.parts, signer=theirs)
    place.has(WEB_1, 1)
    place.parts = replace(place.parts, signer=ours)
    found = place.look()
    assert isinstance(found, Refused)
    assert f"another installation: its record on the host is signed by {theirs.public_key} (gate 67)" in found.reason
    place.trust = replace(place.trust, takes_over=(theirs.public_key,))
    found = place.look()
    assert isinstance(found, Refused), "what they had verified comes after what is pinned"
    assert "gate 39" in found.reason
    place.trust = replace(place.trust, revision=place.line[1])
    found = place.look()
    assert isinstance(found, EnvironmentRecord)
    assert found.verified is None, "it is deployed by the word of root persons, not by a key that was given up"


@pytest.mark.parametrize("known", [None, 0], ids=["nothing is known", "it is verified before that"])
def test_nothing_is_deployed_by_a_word_that_only_the_database_holds(place: Place, known: int | None) -> None:
    """Who can write the database pins a commit of their own; without our key it counts for nothing (68)."""
    place.knows(known)
    pinned = pinning.signed(place.parts, place.trust)
    assert pinning.genuine(place.parts, pinned)
    for forged in (
        replace(pinned, revision=place.revision(2)),
        replace(pinned, revision=place.revision(2), signature=""),
    ):
        step = advancing.next_step(place.parts, forged, PRODUCTION)
        assert isinstance(step, advancing.Stopped)
        assert (step.hold, "gate 68" in step.reason) == ("Held", True)
        assert remembering.record(place.parts, PRODUCTION).verified == (place.revision(0) if known == 0 else None)


def test_a_forged_word_does_not_even_move_what_would_stay_the_same(place: Place) -> None:
    """The rules at the commit that somebody wrote into the database would be believed from then on (68)."""
    place.knows(2)
    forged = replace(pinning.signed(place.parts, place.trust), revision=place.revision(3))
    step = advancing.next_step(place.parts, forged, PRODUCTION)
    assert isinstance(step, advancing.Stopped)
    assert remembering.record(place.parts, PRODUCTION).verified == place.revision(2)
    genuine = pinning.signed(place.parts, forged)
    assert isinstance(advancing.next_step(place.parts, genuine, PRODUCTION), advancing.UpToDate)
    assert remembering.record(place.parts, PRODUCTION).verified == place.revision(3)


def test_what_changes_nothing_is_passed_over_without_asking_a_host_again(place: Place) -> None:
    place.knows(2)
    place.has(WEB_1, 2)
    place.look()
    asked = place.reads()
    host_records.passed_over(place.parts, place.trust, PRODUCTION, place.revision(3))
    place.knows(3)
    place.look()
    assert place.reads() == asked


# -- what is written ------------------------------------------------------------------------------------------------


def a_deployment(identity: str, revision: str, kind: DeploymentKind = DeploymentKind.CHANGE) -> Deployment:
    return Deployment(
        id=identity,
        kind=kind,
        project="shop",
        environment="production",
        hosts=("web-1",),
        revision=revision,
        plan_digest="e" * 64,
        authority=Authority("approval", 1, "author", (), "operator", ""),
        started_at=NOW,
        finished_at=NOW,
        outcome=DeploymentState.FAILED,
        reason="",
        targets=(),
    )


def a_prepared(place: Place, engine: str = ENGINE.id) -> PreparedTarget:
    desired = a_target({"web": {"image": "web:1"}}, target=WEB_1)
    plan = Plan(WEB_1, engine, (), (), (), (), (), (), "0" * 64)
    return PreparedTarget(desired, plan, cast(Any, place.hosts.by_name["web-1"]), cast(Any, None), {}, {}, lambda _: {})


def keeper(place: Place, identity: str, what: int, kind: DeploymentKind = DeploymentKind.CHANGE) -> Keeper:
    place.parts.ledger.append("deployment-started", identity, {}, NOW)
    return Keeper(place.parts, place.trust, a_deployment(identity, place.revision(what), kind))


def written(place: Place) -> HostRecord:
    return read_payload(read_file(place.hosts.by_name["web-1"].records[WEB_1]).payload)


def test_a_record_says_what_was_verified_and_how_long_the_ledger_was_and_grows_by_one(place: Place) -> None:
    target = a_prepared(place)
    first = keeper(place, "d-a", 0)
    place.parts.ledger.append("more", "here", {}, NOW)
    assert first.may_begin(target) is None
    first.keep(target)
    record = written(place)
    assert (record.target, record.repository, record.engine_id) == (WEB_1, REPOSITORY_ID, ENGINE.id)
    assert (record.compose_project, record.revision) == (target.desired.compose_project, place.revision(0))
    assert (record.plan_digest, record.deployment, record.generation) == (target.plan.digest, "d-a", 1)
    whole = walk(StoredEntry(entry.body) for entry in place.parts.ledger.entries())
    assert (record.ledger_size, record.ledger_head) == (getattr(whole, "size", 0), getattr(whole, "head", ""))
    second = keeper(place, "d-b", 1)
    assert second.may_begin(target) is None
    second.keep(target)
    assert (written(place).deployment, written(place).generation) == ("d-b", 2)


def test_what_stands_there_already_is_not_written_again_and_only_a_landing_moves_it(place: Place) -> None:
    target = a_prepared(place)
    for one in (
        keeper(place, "d-a", 1),
        keeper(place, "d-a", 1),
        keeper(place, "d-heal", 2, DeploymentKind.HEAL),
        keeper(place, "d-glass", 0, DeploymentKind.BREAK_GLASS),
    ):
        assert one.may_begin(target) is None
        one.keep(target)
        assert (written(place).deployment, written(place).generation) == ("d-a", 1)


def test_nothing_older_is_deployed_than_the_host_has_and_the_hosts_are_heard_again(place: Place) -> None:
    place.has(WEB_1, 2)
    place.parts.looked[PRODUCTION] = (place.trust, place.revision(0))
    refusal = keeper(place, "d-old", 1).may_begin(a_prepared(place))
    assert refusal is not None
    assert "which comes after" in refusal
    assert "gate 39" in refusal
    assert PRODUCTION not in place.parts.looked
    assert keeper(place, "d-same", 2).may_begin(a_prepared(place)) is None
    assert keeper(place, "d-later", 3).may_begin(a_prepared(place)) is None


def test_under_the_lock_the_engine_of_the_plan_counts(place: Place) -> None:
    place.has(WEB_1, 1)
    refusal = keeper(place, "d-new", 2).may_begin(a_prepared(place, "another"))
    assert refusal is not None
    assert "gate 66" in refusal


def test_a_host_that_is_down_or_full_is_no_success(place: Place) -> None:
    target, one = a_prepared(place), keeper(place, "d-a", 1)
    place.hosts.by_name["web-1"].full = True
    with pytest.raises(Terminal, match="no room"):
        one.keep(target)
    place.hosts.by_name["web-1"].away = True
    with pytest.raises(HostUnreachable):
        one.may_begin(target)
