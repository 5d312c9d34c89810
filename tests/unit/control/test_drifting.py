"""Drift: what is only reported, what is healed and when, and what is a person's to decide.

Desired state, rendering, comparison, policy and database are real; the host is one observation that the test changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply.plan_record import encode_plan
from reconciler.compose.rendering import SandboxRenderer
from reconciler.control import actions, drifting, planning, queries, remembering
from reconciler.control.access import CAPABILITIES
from reconciler.control.advancing import UpToDate
from reconciler.control.drifting import Heal, Seen
from reconciler.control.parts import Parts
from reconciler.model.deployment import Authority, Deployment, DeploymentKind, DeploymentState
from reconciler.model.desired import HostSpec
from reconciler.model.errors import HostUnreachable, NotAllowed, NotFound, Retryable
from reconciler.model.observed import EngineIdentity, ImageResolution, ObservedState, ResolvedImage
from reconciler.model.target import EnvironmentName
from reconciler.ports import ObservationRequest
from reconciler.storage import Database
from reconciler.storage.deployments import SqlDeployments
from tests.builders import ENGINE, TARGET, an_image, deployed, empty_host, image_id, with_container, without_containers
from tests.git_remotes import Remote
from tests.unit.control.plane import Events, StoppedClock, parts_of

PRODUCTION = EnvironmentName("shop", "production")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW"
FILES = {
    "reconciler.yaml": "format: 1\ndeploy_branch: main\n",
    "principals.yaml": "people: {author: {github: 1001}}\n",
    "policy.yaml": "rules: []\n",
    "hosts/web-1.yaml": f"address: 192.0.2.1\nuser: r\ntiers: [production]\nhost_key: {KEY}\n",
    "projects/shop/production/compose.yaml": "services: {web: {image: 'demo:1', restart: always}}\n",
}
ENVIRONMENT = "hosts: [web-1]\ntier: production\ncompose: [compose.yaml]\ncompose_project: shop\n"
DENY = "rules:\n  - {id: frozen, effect: deny, actions: [deploy], why: nothing moves}\n"


@dataclass(slots=True)
class OneHost:
    """A host that shows one observation; down when there is none."""

    state: ObservedState | None
    moved: dict[str, str] = field(default_factory=dict)  # tags that name another image by now
    meanwhile: Callable[[], object] | None = None  # what somebody else does while the host is read

    def host(self, spec: HostSpec, jumps: tuple[HostSpec, ...]) -> OneHost:  # the port's signature
        assert (spec.name, jumps) == (TARGET.host, ())
        return self

    def identity(self) -> EngineIdentity:
        return ENGINE

    def observe(self, request: ObservationRequest) -> ObservedState:
        assert request.compose_project == "shop"
        if self.meanwhile is not None:
            self.meanwhile()
        if self.state is None:
            raise HostUnreachable("no route", where="web-1")
        return self.state

    def resolve_images(self, references: Sequence[str]) -> Mapping[str, ImageResolution]:
        if self.state is None:
            raise HostUnreachable("no route", where="web-1")
        found = {r: image_id(self.moved.get(r, r)) for r in references}
        return {r: ResolvedImage(r, found[r], found[r], True) for r in references}


@dataclass(slots=True)
class Watch:
    """An environment that was deployed, and what is found when it is looked at."""

    parts: Parts
    hosts: OneHost
    clock: StoppedClock
    events: Events
    place: UpToDate
    right: ObservedState

    def look(self) -> Seen | Heal:
        now = remembering.record(self.parts, PRODUCTION)
        return drifting.look(self.parts, PRODUCTION, replace(self.place, record=now))

    def seen(self) -> Seen:
        found = self.look()
        assert isinstance(found, Seen), found
        return found

    def approved(self) -> None:
        """The last deployment has its plan on record: all services, with the images that they run now."""
        hosts_now, self.hosts.state = self.hosts.state, without_containers(self.right, "shop-web-1")
        at = self.place.at
        (plan,) = planning.planned(planning.plan_environment(self.parts, at, at, PRODUCTION))
        self.hosts.state = hosts_now
        first = replace(a_deployment("d-approved", DeploymentKind.CHANGE, self.clock), revision=self.place.revision)
        context = {"plans": {str(plan.target): encode_plan(plan.plan)}}
        self.parts.deployments.begin(replace(first, outcome=DeploymentState.QUEUED, finished_at=None), context)
        remembering.concluded(self.parts, first, context)

    def drifts(self) -> None:
        """Somebody changes a container by hand."""
        self.hosts.state = with_container(
            self.right, "shop-web-1", host_config={"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}
        )

    def healed(self, number: int) -> None:
        """A heal that ended just now."""
        record = a_deployment(f"d-heal{number}", DeploymentKind.HEAL, self.clock)
        self.parts.deployments.begin(replace(record, outcome=DeploymentState.QUEUED, finished_at=None), {})
        self.parts.deployments.advance(record)

    def entries(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(e.body)["data"] for e in self.parts.ledger.find(kind, str(PRODUCTION))]


def a_deployment(identity: str, kind: DeploymentKind, clock: StoppedClock) -> Deployment:
    return Deployment(
        id=identity, kind=kind, project="shop", environment="production", hosts=("web-1",), revision="a" * 40,
        plan_digest="f" * 64, authority=Authority("approval", 5, "author", (), "reviewer", "seal"),
        started_at=clock.now(), finished_at=clock.now(), outcome=DeploymentState.SUCCEEDED, reason="", targets=(),
        reverts=None,
    )  # fmt: skip


class Watching:
    """Makes watches; `environment` is more of environment.yaml."""

    def __init__(self, directory: Path, database: Database) -> None:
        self.directory, self.database = directory, database

    def __call__(self, environment: str = "drift: heal\n", **files: str) -> Watch:
        remote = Remote.make(self.directory / "remote.git")
        files = {name.replace("__", "."): text for name, text in files.items()}
        path = "projects/shop/production/environment.yaml"
        revision = remote.commit({**FILES, path: ENVIRONMENT + environment, **files})
        clock, hosts, events = StoppedClock(), OneHost(empty_host(images=(an_image("demo:1"),))), Events()
        parts = parts_of(
            self.database,
            remote.mirror(self.directory / "mirror.git"),
            hosts=hosts,
            renderer=SandboxRenderer(self.directory / "rendered"),
            clock=clock,
            events=events,
        )
        at = planning.snapshot(parts.source.tree(revision))
        (plan,) = planning.planned(planning.plan_environment(parts, at, at, PRODUCTION))
        hosts.state = deployed(plan.prepared.desired)
        first = a_deployment("d-first", DeploymentKind.CHANGE, clock)
        parts.deployments.begin(replace(first, outcome=DeploymentState.QUEUED, finished_at=None), {})
        remembering.concluded(parts, replace(first, revision=revision), {})
        clock.move(hours=2)
        return Watch(
            parts, hosts, clock, events, UpToDate(revision, at, remembering.record(parts, PRODUCTION)), hosts.state
        )


@pytest.fixture
def watching(tmp_path: Path, database: Database) -> Watching:
    return Watching(tmp_path, database)


# -- what is found ---------------------------------------------------------------------------------------------------


def test_a_host_that_is_as_approved_is_synced_and_nothing_is_written_down(watching: Watching) -> None:
    watch = watching()
    record = watch.seen().record
    assert (record.sync, record.health, record.hold) == ("Synced", "Healthy", None)
    assert watch.entries("drift") == []
    assert watch.seen().record == record, "looking again changes nothing"


def test_drift_is_reported_once_and_says_when_it_ended(watching: Watching) -> None:
    watch = watching("drift: report\n")
    watch.drifts()
    for _ in range(3):
        record = watch.seen().record
        watch.clock.move(minutes=1)
    assert (record.sync, record.hold_reason) == ("OutOfSync", "drift is reported, not healed (drift: report)")
    (entry,) = watch.entries("drift")
    assert [change["field"] for change in entry["changes"]] == ["restart"]
    assert len(watch.events.of("drift.found")) == 1
    watch.hosts.state = watch.right
    record = watch.seen().record
    assert (record.sync, record.hold_reason, record.detail["drift"]) == ("Synced", "", None)
    assert watch.entries("drift-ended") == [{"since": entry["since"]}]


def test_another_drift_is_another_entry(watching: Watching) -> None:
    watch = watching("drift: report\n")
    watch.drifts()
    watch.seen()
    watch.hosts.state = without_containers(watch.right, "shop-web-1")
    watch.seen()
    assert len(watch.entries("drift")) == 2


def test_where_drift_is_off_nobody_hears_of_it(watching: Watching) -> None:
    watch = watching("drift: off\n")
    watch.drifts()
    assert watch.seen().record.sync == "Synced"
    assert watch.entries("drift") == []


def test_a_host_that_does_not_answer_is_unknown_and_looked_at_soon(watching: Watching) -> None:
    watch = watching()
    watch.hosts.state = None
    found = watch.seen()
    assert (found.record.sync, found.record.health) == ("Unknown", "Unknown")
    assert "no route" in found.record.hold_reason
    assert found.again is not None
    assert watch.entries("drift") == []


# -- what is healed --------------------------------------------------------------------------------------------------


def test_a_heal_waits_and_then_does_exactly_what_was_found_by_the_consent_to_the_state(watching: Watching) -> None:
    watch = watching()
    watch.drifts()
    found = watch.seen()
    assert found.again == timedelta(seconds=10)
    watch.clock.move(seconds=9)
    assert watch.seen().again == timedelta(seconds=1)
    watch.clock.move(seconds=1)
    heal = watch.look()
    assert isinstance(heal, Heal)
    assert (heal.deploy.kind, heal.deploy.revision) == (DeploymentKind.HEAL, watch.place.revision)
    assert heal.deploy.authority == Authority("heal", 5, "author", (), "reviewer", "seal")
    assert [type(o).__name__ for o in heal.deploy.plans[0].plan.operations] == ["PullImage", "RecreateService"]


def test_each_heal_within_the_hour_waits_longer_and_after_three_a_person_looks(watching: Watching) -> None:
    watch = watching()
    for number, wait in enumerate((timedelta(seconds=10), timedelta(seconds=30), timedelta(minutes=5))):
        watch.hosts.state = watch.right
        watch.seen()
        watch.drifts()
        assert watch.seen().again == wait
        watch.clock.move(seconds=wait.total_seconds())
        assert isinstance(watch.look(), Heal)
        watch.healed(number)
    record = watch.seen().record
    assert record.hold == "Parked"
    assert record.hold_reason.startswith("flapping: healed 3 times")
    watch.clock.move(hours=1, seconds=1)
    assert isinstance(watch.look(), Heal), "an hour later it is tried again"


@pytest.mark.parametrize(("setting", "heals"), [("heal_stopped: false", False), ("heal_stopped: true", True)])
def test_what_a_person_stopped_stays_stopped_unless_the_environment_says_otherwise(
    watching: Watching, setting: str, heals: bool
) -> None:
    watch = watching(f"drift: heal\n{setting}\n")
    stopped = {"status": "exited", "exit_code": 137, "finished_at": "2026-01-01T13:00:00Z"}
    watch.hosts.state = with_container(watch.right, "shop-web-1", state=stopped)
    watch.seen()
    watch.clock.move(seconds=10)
    found = watch.look()
    assert isinstance(found, Heal) is heals
    if isinstance(found, Seen):
        assert "stopped by hand" in found.record.hold_reason


def test_a_heal_does_not_bring_in_what_a_tag_names_since_the_approval(watching: Watching) -> None:
    watch = watching()
    watch.approved()
    watch.hosts.moved["demo:1"] = "demo:1 as somebody pushed it since"
    watch.seen()
    watch.clock.move(hours=1)
    record = watch.seen().record
    assert "was approved; propose it (gate 57)" in record.hold_reason
    watch.hosts.state = without_containers(watch.right, "shop-web-1")
    assert "was approved; propose it (gate 57)" in watch.seen().record.hold_reason
    watch.hosts.moved.clear()
    watch.clock.move(hours=1)
    assert isinstance(watch.look(), Seen), "this drift is new, and waits like any other"
    watch.clock.move(seconds=10)
    assert isinstance(watch.look(), Heal), "the approved image comes back"


def test_a_missing_container_without_an_approval_on_record_is_not_healed(watching: Watching) -> None:
    watch = watching()
    watch.hosts.state = without_containers(watch.right, "shop-web-1")
    watch.seen()
    watch.clock.move(hours=1)
    assert "nothing on record was approved" in watch.seen().record.hold_reason


def test_a_missing_network_is_not_made_by_a_heal(watching: Watching) -> None:
    watch = watching()
    watch.hosts.state = replace(watch.right, networks=())
    watch.seen()
    watch.clock.move(hours=1)
    assert "is not done without a person" in watch.seen().record.hold_reason


def test_a_deny_of_today_holds_for_a_heal_too(watching: Watching) -> None:
    watch = watching(policy__yaml=DENY)
    watch.drifts()
    watch.seen()
    watch.clock.move(hours=1)
    assert watch.seen().record.hold_reason.startswith("policy denies it")


def test_a_window_and_a_suspension_stop_heals(watching: Watching) -> None:
    watch = watching('drift: heal\nwindows: [{deny: {start: "WED 00:00", end: "WED 20:00", timezone: UTC}}]\n')
    watch.drifts()
    watch.seen()
    watch.clock.move(minutes=1)
    assert "frozen from WED 00:00" in watch.seen().record.hold_reason
    watch.clock.move(hours=8)
    assert isinstance(watch.look(), Heal)
    actions.suspend(watch.parts, PRODUCTION, "somebody works on it")
    assert watch.seen().record.hold_reason == "suspended: somebody works on it"
    actions.resume(watch.parts, PRODUCTION)
    assert isinstance(watch.look(), Heal)


# -- what is remembered and asked ------------------------------------------------------------------------------------


def test_a_suspension_needs_an_environment_and_is_written_down_once(watching: Watching) -> None:
    watch = watching()
    with pytest.raises(NotFound):
        actions.suspend(watch.parts, EnvironmentName("shop", "nowhere"), "x")
    for _ in range(2):
        actions.suspend(watch.parts, PRODUCTION, " why ")
    assert watch.entries("suspend") == [{"reason": "why"}]
    for _ in range(2):
        actions.resume(watch.parts, PRODUCTION)
    assert watch.entries("resume") == [{"reason": None}]


def test_nothing_is_believed_before_something_is_trusted(watching: Watching) -> None:
    with pytest.raises(NotAllowed, match="trust init"):
        remembering.trusted(watching().parts)


def test_the_same_hold_is_one_entry_and_another_reason_is_another(watching: Watching) -> None:
    watch = watching()
    for reason in ("a", "a", "b"):
        remembering.stopped(watch.parts, PRODUCTION, "Held", reason, "c" * 40)
    assert [entry["reason"] for entry in watch.entries("hold")] == ["a", "b"]


def test_a_record_that_says_the_same_keeps_its_time(watching: Watching) -> None:
    watch = watching()
    before = remembering.record(watch.parts, PRODUCTION)
    watch.clock.move(hours=1)
    assert remembering.write(watch.parts, PRODUCTION, lambda now: now).updated_at == before.updated_at
    worse = remembering.write(watch.parts, PRODUCTION, lambda now: replace(now, health="Degraded"))
    assert (worse.health, worse.updated_at) == ("Degraded", watch.clock.now())


def test_a_suspension_while_the_host_is_looked_at_is_not_undone(watching: Watching) -> None:
    watch = watching("drift: heal\n")
    watch.drifts()
    watch.hosts.meanwhile = lambda: actions.suspend(watch.parts, PRODUCTION, "maintenance")
    record = watch.seen().record
    assert record.detail["suspended"] == "maintenance"
    assert remembering.record(watch.parts, PRODUCTION).detail["suspended"] == "maintenance"
    assert record.detail["drift"] is not None


class Cut(SqlDeployments):
    """A database that goes away before the record is stored."""

    def advance(self, deployment: Deployment, entry: Mapping[str, Any] | None = None) -> None:
        raise Retryable(f"{deployment.id} is not stored")


def test_a_deployment_that_was_cut_off_while_it_was_written_down_is_written_down_once(watching: Watching) -> None:
    watch = watching()
    change = a_deployment("d-second", DeploymentKind.CHANGE, watch.clock)
    watch.parts.deployments.begin(replace(change, outcome=DeploymentState.QUEUED, finished_at=None), {})
    with pytest.raises(Retryable):
        remembering.concluded(replace(watch.parts, deployments=Cut(watching.database)), change, {})
    remembering.concluded(watch.parts, change, {})
    assert len(watch.parts.ledger.find("deployment-finished", "d-second")) == 1
    (known,) = watch.parts.states.environments()
    assert (known.verified, known.deployment, known.sync) == (change.revision, "d-second", "Synced")
    assert watch.parts.deployments.unfinished() == ()


def test_a_heal_leaves_the_verified_revision_where_it_is(watching: Watching) -> None:
    watch = watching()
    heal = a_deployment("d-heal", DeploymentKind.HEAL, watch.clock)
    watch.parts.deployments.begin(replace(heal, outcome=DeploymentState.QUEUED, finished_at=None), {})
    remembering.concluded(watch.parts, replace(heal, revision="9" * 40), {})
    record = remembering.record(watch.parts, PRODUCTION)
    assert (record.verified, record.deployment) == (watch.place.revision, "d-heal")


def test_what_is_asked_is_json_and_the_same_each_time(watching: Watching) -> None:
    watch = watching("drift: report\n")
    watch.drifts()
    watch.seen()

    def answers() -> str:
        (drift,) = queries.drift(watch.parts, [PRODUCTION])
        (plan,) = planning.planned(planning.plan_environment(watch.parts, watch.place.at, watch.place.at, PRODUCTION))
        return json.dumps(
            [
                queries.status(watch.parts), queries.why(watch.parts, PRODUCTION), drift.data, queries.plan_data(plan),
                queries.deployments(watch.parts, None, 10), queries.ledger_tail(watch.parts, 50),
                queries.verify_ledger(watch.parts),
            ]
        )  # fmt: skip

    first = answers()
    assert first == answers()
    status, why, drift, plan, deployments, ledger, verified = json.loads(first)
    assert set(status[0]) == {
        "environment", "sync", "health", "hold", "reason", "commit", "revision", "deployment", "suspended", "drift",
        "trust_reset", "host_record", "broken_glass", "updated_at",
    }  # fmt: skip
    assert why["environment"] == status[0]["environment"] == drift["environment"] == "shop/production"
    assert (drift["sync"], [change["field"] for change in drift["changes"]]) == ("OutOfSync", ["restart"])
    assert plan["digest"] in drift_digests(status)
    assert deployments[0]["id"] == "d-first"
    assert verified["valid"] is True
    assert verified["size"] == len(ledger)


def drift_digests(status: list[dict[str, Any]]) -> list[str]:
    return list(status[0]["drift"]["plans"].values())


def test_no_value_that_git_does_not_know_is_shown(watching: Watching) -> None:
    watch = watching("drift: report\n")
    watch.hosts.state = with_container(watch.right, "shop-web-1", environment={"PASSWORD": "hunter2"})
    watch.seen()
    (drift,) = queries.drift(watch.parts, [PRODUCTION])
    assert drift.found
    assert "hunter2" not in json.dumps([drift.data, drift.text, queries.ledger_tail(watch.parts, 50)])


def test_every_capability_names_its_scope_once_and_what_changes_is_not_called_reading() -> None:
    assert len({c.command for c in CAPABILITIES}) == len(CAPABILITIES)
    for capability in CAPABILITIES:
        assert capability.scope.count(":") == 1
        assert capability.changes is not capability.scope.endswith(":read")
