"""Breaking the glass, from what somebody asks to what runs and what the environment is marked with.

Git, signatures, rendering, policy, decision, execution and database are real; the host is in memory, and the forge says
whose token it is and writes down what it is told.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.apply import execution as execution_module
from reconciler.approvals import emergency
from reconciler.compose.rendering import SandboxRenderer
from reconciler.control import (
    actions,
    breaking_glass,
    changes,
    drifting,
    execution,
    marks,
    pipeline,
    planning,
    queries,
    remembering,
)
from reconciler.control.advancing import UpToDate
from reconciler.control.breaking_glass import Asked, Credentials
from reconciler.control.drifting import Seen
from reconciler.control.parts import Parts
from reconciler.control.planning import Snapshot
from reconciler.model.approval import Approval
from reconciler.model.deployment import Authority, Deployment, DeploymentKind, DeploymentState
from reconciler.model.desired import HostSpec
from reconciler.model.errors import ForgeUnavailable, NotAllowed, NotFound, ReconcilerError, Retryable
from reconciler.model.observed import ImageResolution, ResolvedImage
from reconciler.model.pull_request import PullRequest
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import StatusReport, TrustRecord
from reconciler.reports.deployment import deployment_text
from reconciler.signatures import PersonalKey
from reconciler.storage import Database
from reconciler.workflows.in_process import InProcessEngine
from tests.builders import an_image, deployed, empty_host, image_id, without_containers
from tests.git_remotes import Remote
from tests.unit.apply.surroundings import Cut, HostInMemory
from tests.unit.control.plane import REPOSITORY_ID, Events, StoppedClock, ToldForge, a_pull, a_reading, parts_of

PRODUCTION = EnvironmentName("shop", "production")
TOKENS = {"keeper": 1006, "operator": 1005, "developer": 1001, "deployer": 1003}
TOKEN = "keeper"
COMPOSE = "projects/shop/production/compose.yaml"
ENVIRONMENT = "projects/shop/production/environment.yaml"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW"
BROKEN = "services: {web: {image: 'demo:1', environment: {MODE: broken}, restart: always}}\n"
FIXED = BROKEN.replace("broken", "fixed")
DEFAULT = (
    "hosts: [web-1]\ntier: production\ncompose: [compose.yaml]\ncompose_project: shop\ndrift: heal\n"
    "health: {timeout: 20s, stable_for: 0s}\n"
)
TWO = "  - {id: emergencies, effect: require, actions: [break_glass], need: {approvals: 2, from_group: sre}}\n"
ONE = TWO.replace("approvals: 2", "approvals: 1")


@dataclass
class Machine(HostInMemory):
    """A host that becomes what is wanted; it is also the port that gives it."""

    meanwhile: Callable[[], None] = lambda: None

    def host(self, spec: HostSpec, jumps: tuple[HostSpec, ...]) -> Machine:
        return self

    def resolve_images(self, references: Sequence[str]) -> Mapping[str, ImageResolution]:
        return {r: ResolvedImage(r, image_id(r), image_id(r), True) for r in references}

    def read_record(self, target: Target) -> bytes | None:
        return None

    def write_record(self, target: Target, content: bytes) -> None:
        raise AssertionError("an emergency moves no last verified revision")


@dataclass(slots=True)
class Forge(ToldForge):
    """Says whose token it is, and writes down what it is told; `down` refuses a kind of call."""

    down: set[str] = field(default_factory=set)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    pull: PullRequest | None = None

    def asked(self, what: str) -> None:
        if what in self.down:
            raise ForgeUnavailable("no answer")

    def repository_id(self) -> int:
        self.asked("reads")
        return REPOSITORY_ID

    def who(self, token: str | None = None) -> tuple[int, str]:
        self.asked("reads")
        return TOKENS[str(token)], str(token)

    def write_status(self, sha: str, status: StatusReport) -> None:
        self.asked("writes")
        self.told.append((sha, status.state, status.description))

    def pull_requests_of(self, sha: str) -> tuple[PullRequest, ...]:
        return (self.pull,) if self.pull is not None and self.pull.head_sha == sha else ()

    def write_comment(self, number: int, comment: int | None, body: str) -> None:
        assert comment is None, "nothing that was said before is changed"
        self.told.append((str(number), "comment", body))


@dataclass(slots=True)
class Room:
    """A production that is broken, and a fix on a branch that nobody had time to review."""

    parts: Parts
    remote: Remote
    machine: Machine
    forge: Forge
    clock: StoppedClock
    events: Events
    keys: dict[str, Path]
    base: str
    fix: str

    def snapshot(self, revision: str) -> Snapshot:
        return planning.snapshot(self.parts.source.tree(revision))

    def want(self, revision: str) -> None:
        """The host becomes what this revision says where Compose is called."""
        at = self.snapshot(revision)
        (plan,) = planning.planned(planning.plan_environment(self.parts, at, at, PRODUCTION))
        self.machine.wanted = plan.prepared.desired

    def commit(self, files: Mapping[str, str | None], ref: str = "refs/heads/hotfix", on: str = "") -> str:
        sha = self.remote.commit(files, on or self.base, ref=ref)
        self.parts.source.fetch()
        return sha

    def asked(self, revision: str = "", **changes: Any) -> Asked:
        asked = Asked(PRODUCTION, revision or self.fix, "the shop answers 500", "OPS-1")
        return replace(asked, **changes)

    def read(self, revision: str = "", **changes: Any) -> Asked:
        """What somebody asks who has looked at the plan."""
        asked = self.asked(revision, **changes)
        shown = breaking_glass.show(self.parts, asked)
        return replace(asked, plans=tuple(digest for _, digest in shown.statement.plans), issued=shown.statement.issued)

    def sign(self, who: str, asked: Asked, namespace: str = emergency.NAMESPACE) -> str:
        text = breaking_glass.show(self.parts, asked).text
        return PersonalKey(self.keys[who]).sign(text.encode(), namespace)

    def shown(self, asked: Asked, *who: str, token: str = TOKEN, forge_is_down: bool = False) -> Credentials:
        return Credentials(token, None, tuple(self.sign(each, asked) for each in who), forge_is_down)

    def broken(self, asked: Asked | None = None, *who: str, **more: Any) -> Deployment:
        asked = asked or self.read()
        self.want(asked.revision)
        return breaking_glass.break_glass(
            self.parts, asked, self.shown(asked, *(who or ("keeper", "operator")), **more)
        )

    def refused(self, asked: Asked | None = None, *who: str, **more: Any) -> str:
        """Why it is not; nothing was done, and it is on record."""
        before = (list(self.machine.done), len(self.entries("break-glass-refused")), self.opened())
        with pytest.raises(NotAllowed) as caught:
            self.broken(asked, *who, **more)
        after = (list(self.machine.done), len(self.entries("break-glass-refused")) - 1, self.opened())
        assert after == before
        return str(caught.value)

    def opened(self) -> int:
        return sum(entry.kind == "break-glass-opened" for entry in self.parts.ledger.entries())

    def entries(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(e.body)["data"] for e in self.parts.ledger.find(kind, str(PRODUCTION))]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.parts.ledger.entries()]

    def record(self) -> dict[str, Any]:
        return queries.environment_data(remembering.record(self.parts, PRODUCTION))

    def mode(self) -> str:
        """Which of the two production runs: broken, or fixed."""
        running = {(c.name, c.environment) for c in self.machine.state.containers}
        found = []
        for mode, revision in (("broken", self.base), ("fixed", self.fix)):
            at = self.snapshot(revision)
            (plan,) = planning.planned(planning.plan_environment(self.parts, at, at, PRODUCTION))
            same = {(c.name, c.environment) for c in deployed(plan.prepared.desired).containers}
            found += [mode] if same == running else []
        return " and ".join(found) or "neither"

    def look(self, revision: str = "") -> Seen:
        place = UpToDate(
            revision or self.base, self.snapshot(revision or self.base), remembering.record(self.parts, PRODUCTION)
        )
        found = drifting.look(self.parts, PRODUCTION, place)
        assert isinstance(found, Seen), "what broke the glass is not healed away"
        return found

    def landed(self, revision: str, *approvers: str) -> None:
        """A deployment of a landing through the gate has ended well."""
        given = tuple(Approval(who, TOKENS[who], 1, revision, self.clock.now(), ()) for who in approvers)
        done = Deployment(
            id=f"d-{revision[:8]}", kind=DeploymentKind.CHANGE, project="shop", environment="production",
            hosts=("web-1",), revision=revision, plan_digest="f" * 64,
            authority=Authority("approval", 5, "deployer", given, "keeper", "seal"),
            started_at=self.clock.now(), finished_at=self.clock.now(), outcome=DeploymentState.SUCCEEDED, reason="",
            targets=(),
        )  # fmt: skip
        self.parts.deployments.begin(replace(done, outcome=DeploymentState.QUEUED, finished_at=None), {})
        remembering.concluded(self.parts, done, {})


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("keys")
    names = ("keeper", "keeper-2", "operator", "developer", "thief")
    for name in names:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    return {name: directory / name for name in names}


def principals(keys: Mapping[str, Path]) -> str:
    public = {name: " ".join(file.with_suffix(".pub").read_text().split()[:2]) for name, file in keys.items()}
    return f"""\
people:
  keeper: {{github: 1006, groups: [operators, sre], signing_keys: ["{public["keeper"]}", "{public["keeper-2"]}"]}}
  operator: {{github: 1005, groups: [operators, sre], signing_keys: ["{public["operator"]}"]}}
  developer: {{github: 1001, groups: [developers], signing_keys: ["{public["developer"]}"]}}
agents:
  deployer: {{github: 1003, owner: keeper}}
"""


Opening = Callable[..., Room]


@pytest.fixture
def opening(tmp_path: Path, database: Database, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Opening:
    def make(policy: str = TWO, environment: str = DEFAULT, **files: str) -> Room:
        remote = Remote.make(tmp_path / "remote.git")
        base = remote.commit(
            {
                "reconciler.yaml": "format: 1\ndeploy_branch: main\n",
                "principals.yaml": principals(keys),
                "policy.yaml": f"rules:\n{policy}",
                "hosts/web-1.yaml": f"address: 192.0.2.1\nuser: r\ntiers: [production]\nhost_key: {HOST_KEY}\n",
                COMPOSE: BROKEN,
                ENVIRONMENT: environment,
                **files,
            }
        )
        fix = remote.commit({COMPOSE: FIXED}, base, ref="refs/heads/hotfix")
        clock, events, forge = StoppedClock(), Events(), Forge()
        machine = Machine(wanted=None, state=empty_host(images=(an_image("demo:1"),)))  # type: ignore[arg-type]
        engine = InProcessEngine()
        parts = parts_of(
            database,
            remote.mirror(tmp_path / "mirror.git"),
            forge=forge,
            hosts=machine,
            renderer=SandboxRenderer(tmp_path / "rendered"),
            engine=engine,
            clock=clock,
            events=events,
            keys=tmp_path,
        )
        engine.work = lambda deployment: pipeline.execute(parts, deployment)
        waiting = SimpleNamespace(sleep=lambda seconds: clock.move(seconds=max(seconds, 1)))
        monkeypatch.setattr(execution_module, "time", waiting)
        parts.states.set_trust(TrustRecord(REPOSITORY_ID, base, (), clock.now()))
        room = Room(parts, remote, machine, forge, clock, events, dict(keys), base, fix)
        room.want(base)
        machine.state = deployed(machine.wanted)
        room.landed(base, "operator")
        clock.move(hours=2)
        return room

    return make


# -- two persons, and what runs then ---------------------------------------------------------------------------------


def test_two_persons_deploy_the_fix_and_everything_says_so(opening: Opening) -> None:
    room = opening()
    room.forge.pull = a_pull(9, room.fix)
    done = room.broken()
    assert (done.outcome, done.kind, done.authority.kind) == (DeploymentState.SUCCEEDED, "break-glass", "break-glass")
    assert [given.person for given in done.authority.approvals] == ["keeper", "operator"]
    assert room.mode() == "fixed"
    record = room.record()
    assert (record["hold"], record["sync"], record["revision"]) == ("BrokenGlass", "OutOfSync", room.base)
    assert record["deployment"] != done.id, "what was approved last is still what was approved last"
    (mark,) = record["broken_glass"]
    assert (mark["deployment"], mark["by"], mark["ticket"], mark["review_by"]) == (
        done.id, ["keeper", "operator"], "OPS-1", None,
    )  # fmt: skip
    assert "the shop answers 500" in record["reason"]
    assert "past the gate" in deployment_text(done)
    assert queries.verify_ledger(room.parts)["valid"]


def test_it_is_announced_before_anything_is_done(opening: Opening) -> None:
    room = opening()
    room.forge.pull = a_pull(9, room.fix)
    at_the_first = list[tuple[list[str], list[tuple[str, str, str]], Any]]()

    def seen(machine: HostInMemory) -> None:
        at_the_first.append((room.kinds(), list(room.forge.told), room.record()["hold"]))

    room.machine.after_each = seen
    room.broken()
    kinds, told, hold = at_the_first[0]
    order = [kinds.index(kind) for kind in ("break-glass-announced", "break-glass-opened")]
    assert order == sorted(order)
    assert kinds[-2:] == ["deployment-started", "operation-started"]
    assert [(to, how) for to, how, _ in told] == [(room.fix, "error"), ("9", "comment")]
    assert "keeper and operator" in told[0][2]
    assert hold == "BrokenGlass"
    assert room.forge.told[-1][:2] == (room.fix, "error"), "and no success is ever shown for it"


def test_what_was_done_is_not_healed_away(opening: Opening) -> None:
    room = opening()
    room.broken()
    for _ in range(3):
        record = room.look().record
        assert (record.hold, record.sync) == ("BrokenGlass", "OutOfSync")
        room.clock.move(hours=1)
    assert room.mode() == "fixed"
    (drift,) = room.entries("drift")
    assert [change["field"] for change in drift["changes"]] == ["environment.MODE"]


def test_what_ran_past_the_gate_is_nothing_that_was_approved(opening: Opening) -> None:
    room = opening()
    done = room.broken()
    assert drifting._approved_images(room.parts, PRODUCTION, "shop/production@web-1", {"demo:1"}) == {}
    room.landed(room.commit({COMPOSE: FIXED}, "refs/heads/main"), "operator")
    later = room.commit({COMPOSE: BROKEN, "x": "y"}, "refs/heads/main")
    room.landed(later, "operator")
    claimed = a_reading(a_pull(7, room.fix, head_ref=f"reconciler/rollback-d-{later[:8]}"))
    change = changes.between(room.parts, room.snapshot(later), room.parts.source.tree(room.fix))
    assert changes.kind_of(room.parts, claimed, change).kind is DeploymentKind.CHANGE, done.id


def test_a_look_shows_who_may_and_changes_nothing(opening: Opening) -> None:
    room = opening()
    before = (room.kinds(), room.record(), room.forge.told)
    shown = breaking_glass.show(room.parts, room.asked())
    assert (shown.may, shown.against) == (("keeper", "operator"), ())
    assert shown.needs == ("2 persons sign of group sre (rule emergencies)",)
    assert [plan.plan.digest in shown.text for plan in shown.plans] == [True]
    assert (room.kinds(), room.record(), room.forge.told) == before
    room.clock.move(minutes=1)
    assert breaking_glass.show(room.parts, room.asked()).text != shown.text


# -- who may not, and what may not be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "token", "why"),
    [
        (("keeper", "operator"), "deployer", "agents break no glass"),
        ((), "keeper", "nobody signed"),
        (("keeper", "thief"), "keeper", "not over this statement by a key"),
        (("keeper", "keeper-2"), "keeper", "one more person of group sre"),
        (("keeper", "operator"), "developer", "who did not sign"),
        (("keeper", "developer"), "keeper", "one more person of group sre"),
    ],
)
def test_nobody_else_breaks_it(opening: Opening, who: tuple[str, ...], token: str, why: str) -> None:
    room = opening()
    asked = room.read()
    room.want(room.fix)
    before = list(room.machine.done)
    with pytest.raises(NotAllowed, match=why) as caught:
        breaking_glass.break_glass(room.parts, asked, room.shown(asked, *who, token=token))
    assert "(gate 56)" in str(caught.value)
    assert (room.machine.done, room.record()["hold"], room.forge.told) == (before, None, [])
    (entry,) = room.entries("break-glass-refused")
    assert {reason["rule"] for reason in entry["reasons"]} == {56}
    assert entry["account"] == TOKENS[token]


def test_where_the_policy_is_silent_nobody_may(opening: Opening) -> None:
    room = opening("  - {id: one, effect: require, actions: [deploy], need: {approvals: 1}}\n")
    assert "the policy says nothing of break_glass" in room.refused()
    shown = breaking_glass.show(room.parts, room.asked())
    assert shown.may == ()
    assert "says nothing of break_glass" in shown.against[0].text


def test_what_the_policy_denies_on_any_day_stays_denied(opening: Opening) -> None:
    room = opening(TWO + "  - {id: no-reach, effect: deny, actions: [deploy], when: {privileged: true}, why: never}\n")
    reaching = room.commit({COMPOSE: FIXED.replace("restart", "privileged: true, restart")}, "refs/heads/other")
    assert "policy denies it (no-reach): never" in room.refused(room.read(reaching))
    assert room.broken(room.read()).outcome is DeploymentState.SUCCEEDED


def test_a_signature_for_another_environment_or_moment_is_none(opening: Opening) -> None:
    room = opening()
    asked = room.read()
    text = breaking_glass.show(room.parts, asked).text
    for other in (text.replace("shop/production", "shop/staging"), text.replace("OPS-1", "OPS-2")):
        stolen = tuple(
            PersonalKey(room.keys[who]).sign(other.encode(), emergency.NAMESPACE) for who in ("keeper", "operator")
        )
        with pytest.raises(NotAllowed, match="not over this statement"):
            breaking_glass.break_glass(room.parts, asked, Credentials("keeper", None, stolen))
    wrong = tuple(room.sign(who, asked, "reconciler-approval") for who in ("keeper", "operator"))
    with pytest.raises(NotAllowed, match="not over this statement"):
        breaking_glass.break_glass(room.parts, asked, Credentials("keeper", None, wrong))
    assert room.mode() == "broken"


def test_a_statement_lives_for_minutes_and_works_once(opening: Opening) -> None:
    room = opening()
    asked = room.read()
    room.clock.move(minutes=15, seconds=1)
    assert "lives 15 minutes" in room.refused(asked)
    fresh = room.read()
    shown = room.shown(fresh, "keeper", "operator")
    room.want(room.fix)
    breaking_glass.break_glass(room.parts, fresh, shown)
    room.machine.state = replace(deployed(room.machine.wanted), containers=())  # whatever happened to the host since
    with pytest.raises(NotAllowed, match="was used already"):
        breaking_glass.break_glass(room.parts, fresh, shown)
    assert room.opened() == 1


def test_another_plan_than_was_shown_is_not_carried_out(opening: Opening) -> None:
    room = opening()
    asked = room.read()
    room.machine.become(containers=())
    assert "signed is" in room.refused(asked)


def test_a_host_that_changes_in_the_last_moment_stops_it_and_leaves_no_mark(opening: Opening) -> None:
    room = opening()
    asked = room.read()
    room.want(room.fix)
    shown = room.shown(asked, "keeper", "operator")
    told = room.forge.write_status

    def status(sha: str, report: StatusReport) -> None:
        told(sha, report)
        room.machine.become(containers=())

    room.forge.__class__ = type("Sly", (Forge,), {"__slots__": (), "write_status": lambda _, *given: status(*given)})
    done = breaking_glass.break_glass(room.parts, asked, shown)
    assert (done.outcome, room.machine.done) == (DeploymentState.CANCELLED, [])
    assert (room.record()["broken_glass"], room.record()["hold"]) == (None, None)
    assert "nothing was done" in room.entries("break-glass-ended")[0]["how"]


def test_a_commit_of_a_fork_is_in_the_mirror_and_is_not_deployed(opening: Opening) -> None:
    room = opening()
    theirs = room.commit({COMPOSE: FIXED, "x": "theirs"}, "refs/pull/9/head")
    assert "no branch of the repository contains" in room.refused(room.read(theirs))
    with pytest.raises(NotFound):
        breaking_glass.show(room.parts, room.asked("f" * 40))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("policy.yaml", f"rules:\n{ONE}"),
        ("principals.yaml", "  thief: {github: 666, groups: [operators, sre]}\n"),
        ("hosts/web-1.yaml", f"address: 192.0.2.66\nuser: r\ntiers: [production]\nhost_key: {HOST_KEY}\n"),
        (ENVIRONMENT, DEFAULT.replace("tier: production", "tier: production\nconsent: quoted")),
        (ENVIRONMENT, DEFAULT.replace("drift: heal", "drift: off")),
        (".gitattributes", "* text\n"),
    ],
)
def test_it_deploys_an_environment_and_never_rules(opening: Opening, file: str, text: str) -> None:
    room = opening()
    text = principals(room.keys).replace("agents:", f"{text}agents:") if file == "principals.yaml" else text
    rules = room.commit({COMPOSE: FIXED, file: text})
    assert "other rules than those accepted last" in room.refused(room.read(rules))


def test_rules_that_nobody_accepted_let_nobody_break_it(opening: Opening) -> None:
    """A push of a policy to the deploy branch itself gives no right, and takes the fix that stands on it along."""
    room = opening("  - {id: one, effect: require, actions: [deploy], need: {approvals: 1}}\n")
    pushed = room.commit({"policy.yaml": f"rules:\n{ONE}"}, "refs/heads/main")
    on_it = room.commit({COMPOSE: FIXED}, on=pushed)
    text = room.refused(room.read(on_it))
    assert "says nothing of break_glass" in text
    assert "other rules" in text


def test_who_was_removed_at_the_tip_breaks_nothing_any_more(opening: Opening) -> None:
    room = opening(ONE)
    less = principals(room.keys).splitlines(keepends=True)
    room.commit({"principals.yaml": "".join(line for line in less if "operator:" not in line)}, "refs/heads/main")
    assert "nobody has any more (the tip)" in room.refused(room.read())


def test_a_tip_that_cannot_be_read_keeps_nobody_from_mending_it(opening: Opening) -> None:
    room = opening()
    room.commit({"policy.yaml": "rules: nonsense\n"}, "refs/heads/main")
    assert room.broken(room.read()).outcome is DeploymentState.SUCCEEDED


def test_an_environment_that_was_never_deployed_has_no_glass(opening: Opening) -> None:
    room = opening()
    remembering.write(room.parts, PRODUCTION, lambda now: replace(now, verified=None))
    assert "was never deployed through the gate" in room.refused()
    with pytest.raises(NotFound):
        breaking_glass.show(room.parts, room.asked(environment=EnvironmentName("shop", "other")))


def test_where_there_is_nothing_to_do_nothing_is_broken(opening: Opening) -> None:
    room = opening()
    assert "there is nothing to do" in room.refused(room.read(room.base))


# -- what it passes, and what stops it -------------------------------------------------------------------------------


def test_a_window_does_not_stop_it_and_a_suspension_does(opening: Opening) -> None:
    room = opening(
        environment=DEFAULT + 'windows: [{deny: {start: "MON 00:00", end: "SUN 23:59", timezone: UTC}}]\n',
    )
    environment = room.snapshot(room.base).state.environment(PRODUCTION)
    assert execution.hold(room.parts, PRODUCTION, environment) is not None
    actions.suspend(room.parts, PRODUCTION, "the database moves")
    assert "suspended: the database moves" in room.refused(room.read())
    done = room.broken(room.read(despite_suspension=True))
    assert done.outcome is DeploymentState.SUCCEEDED
    assert json.loads(room.parts.ledger.latest("suspend", str(PRODUCTION)).body)  # type: ignore[union-attr]
    assert room.record()["suspended"] == "the database moves", "and it stays suspended for everybody else"


def test_a_suspension_that_comes_after_the_signatures_stops_it(opening: Opening) -> None:
    room = opening()
    asked = room.read()
    queue = execution.queue(room.parts, PRODUCTION, a_deploy(room, asked))
    actions.suspend(room.parts, PRODUCTION, "stop")
    done = room.parts.engine.execute(queue)
    assert (done.outcome, done.reason) == (DeploymentState.CANCELLED, "suspended: stop")


def a_deploy(room: Room, asked: Asked) -> execution.Deploy:
    at = room.snapshot(asked.revision)
    environment = at.state.environment(PRODUCTION)
    assert environment is not None
    plans = planning.planned(planning.plan_environment(room.parts, at, at, PRODUCTION))
    authority = Authority("break-glass", None, "keeper", (), "", "")
    return execution.Deploy(room.fix, room.base, None, plans, environment, authority, DeploymentKind.BREAK_GLASS)


def test_it_waits_for_a_deployment_that_runs(opening: Opening) -> None:
    room = opening()
    execution.queue(room.parts, PRODUCTION, replace(a_deploy(room, room.read()), kind=DeploymentKind.CHANGE))
    assert "is under way" in room.refused()


def test_two_at_once_take_turns(opening: Opening) -> None:
    room = opening()
    asked = room.read()
    shown = room.shown(asked, "keeper", "operator")
    room.parts.leases.acquire(f"break-glass {PRODUCTION}", "another process", 60, room.clock.now())
    with pytest.raises(Retryable):
        breaking_glass.break_glass(room.parts, asked, shown)
    assert room.opened() == 0


def test_a_forge_that_is_down_stops_it_unless_that_was_said(opening: Opening) -> None:
    room = opening()
    asked = room.read()
    room.forge.down = {"writes"}
    assert "the forge could not be told" in room.refused(asked)
    assert len(room.entries("break-glass-announced")) == 1, "the ledger has it all the same"
    assert len(room.events.of("break_glass.untold")) == 1
    done = room.broken(asked, forge_is_down=True)
    assert done.outcome is DeploymentState.SUCCEEDED, "and the statement was not used up by the refusal"
    assert len(room.entries("break-glass-untold")) == 2


def test_while_the_forge_cannot_say_whose_token_it_is_one_person_is_not_enough(opening: Opening) -> None:
    room = opening(ONE)
    room.forge.down = {"reads", "writes"}
    asked = room.read()
    with pytest.raises(ReconcilerError):
        room.broken(asked, "keeper")
    assert "two persons must sign" in room.refused(asked, "keeper", forge_is_down=True)
    done = room.broken(asked, "keeper", "operator", forge_is_down=True)
    assert done.outcome is DeploymentState.SUCCEEDED
    assert (
        json.loads(room.parts.ledger.latest("break-glass-announced", str(PRODUCTION)).body)["data"]["account"] is None
    )  # type: ignore[union-attr]


def test_one_that_was_cut_off_goes_on_and_is_not_done_twice(opening: Opening) -> None:
    room = opening()
    asked = room.read()
    shown = room.shown(asked, "keeper", "operator")
    room.want(room.fix)
    room.machine.cut_after = 2  # the image is there and kept, and the service is recreated
    with pytest.raises(Cut):
        breaking_glass.break_glass(room.parts, asked, shown)
    room.machine.cut_after = None
    assert room.record()["hold"] == "BrokenGlass", "marked before it began"
    with pytest.raises(NotAllowed, match="was used already"):
        breaking_glass.break_glass(room.parts, asked, shown)
    room.clock.move(hours=1)  # the statement is long over; what was begun goes on
    done = list(room.machine.done)
    (cut_off,) = room.parts.deployments.unfinished()
    finished = pipeline.resume(room.parts, cut_off.id)
    assert finished.outcome is DeploymentState.SUCCEEDED
    assert room.machine.done == done, "what was done before is not done again"
    assert (room.mode(), len(room.record()["broken_glass"])) == ("fixed", 1)


def test_one_that_fails_leaves_the_mark(opening: Opening) -> None:
    room = opening()
    room.machine.refusals[("RecreateService", "web")] = NotAllowed("the engine refuses")
    done = room.broken()
    assert done.outcome is DeploymentState.FAILED
    record = room.record()
    assert record["hold"] == "BrokenGlass"
    assert "the engine refuses" in record["reason"]
    room.look()
    assert room.record()["broken_glass"] is None, "the hosts are what was approved, so nothing was broken after all"


# -- the review afterwards -------------------------------------------------------------------------------------------


def reviewed(room: Room, who: str, token: str | None = None, namespace: str = emergency.REVIEW_NAMESPACE) -> None:
    due = breaking_glass.due(room.parts, PRODUCTION)
    signature = PersonalKey(room.keys[who]).sign(due.statement.encode(), namespace)
    breaking_glass.review(room.parts, PRODUCTION, Credentials(token or who, None, (signature,)))


def test_one_person_now_and_a_review_within_a_day(opening: Opening) -> None:
    room = opening(ONE)
    room.broken(None, "keeper")
    (mark,) = room.record()["broken_glass"]
    assert mark["review_by"] == (room.clock.now() + timedelta(hours=24)).isoformat(timespec="seconds")
    for who, token, namespace in (
        ("keeper", "keeper", emergency.REVIEW_NAMESPACE),
        ("developer", "developer", emergency.REVIEW_NAMESPACE),
        ("operator", "deployer", emergency.REVIEW_NAMESPACE),
        ("operator", "operator", emergency.NAMESPACE),
    ):
        with pytest.raises(NotAllowed):
            reviewed(room, who, token, namespace)
    reviewed(room, "operator")
    (mark,) = room.record()["broken_glass"]
    assert (mark["review_by"], room.record()["hold"]) == (None, "BrokenGlass"), "git has still to catch up"
    assert room.entries("break-glass-reviewed")[0]["by"] == "operator"
    with pytest.raises(NotFound):
        breaking_glass.due(room.parts, PRODUCTION)


def test_without_the_review_it_is_overdue_and_nobody_breaks_it_again(opening: Opening) -> None:
    room = opening(ONE)
    room.broken(None, "keeper")
    seen = room.look()
    assert seen.again is not None
    again = room.commit({COMPOSE: FIXED.replace("fixed", "better")}, on=room.fix)
    room.clock.move(seconds=seen.again.total_seconds())
    assert room.look().record.hold_reason.startswith("overdue: ")
    assert "overdue" in room.refused(room.read(again), "operator", token="operator")
    assert "overdue" in room.refused(room.read(again))
    reviewed(room, "operator")
    assert not room.look().record.hold_reason.startswith("overdue: ")
    assert room.broken(room.read(again)).outcome is DeploymentState.SUCCEEDED
    assert len(room.record()["broken_glass"]) == 2


# -- the end of the mark ---------------------------------------------------------------------------------------------


def test_a_landing_that_reproduces_it_ends_the_mark(opening: Opening) -> None:
    room = opening()
    done = room.broken()
    merged = room.commit({COMPOSE: FIXED}, "refs/heads/main")
    room.landed(merged, "operator")
    record = room.record()
    assert (record["hold"], record["broken_glass"], record["revision"]) == (None, None, merged)
    (ended,) = room.entries("break-glass-ended")
    assert (ended["glass"], ended["pull_request"], ended["revision"]) == (done.id, 5, merged)
    assert room.look(merged).record.sync == "Synced"


@pytest.mark.parametrize(("approver", "over"), [("operator", True), ("keeper", False)])
def test_who_approved_the_landing_has_reviewed_it_unless_they_broke_the_glass(
    opening: Opening, approver: str, over: bool
) -> None:
    room = opening(ONE)
    room.broken(None, "keeper")
    merged = room.commit({COMPOSE: FIXED}, "refs/heads/main")
    room.landed(merged, approver)
    record = room.look(merged).record
    assert (record.hold is None, record.sync) == (over, "Synced")
    assert (not room.entries("break-glass-reproduced")) is over
    if not over:
        assert not marks.live(record.detail), "and nothing else waits for that review"
        reviewed(room, "operator")
        assert room.record()["hold"] is None


def test_a_review_that_is_due_keeps_nothing_from_being_healed(opening: Opening) -> None:
    room = opening(ONE)
    room.broken(None, "keeper")
    merged = room.commit({COMPOSE: FIXED}, "refs/heads/main")
    room.landed(merged, "keeper")
    room.want(merged)
    room.machine.state = without_containers(deployed(room.machine.wanted), "shop-web-1")
    seen = room.look(merged)
    assert "nothing on record was approved" in seen.record.hold_reason, "it is judged like any other drift"
    assert room.record()["broken_glass"] is not None


def test_undone_by_hand_it_ends_too(opening: Opening) -> None:
    room = opening()
    room.broken()
    room.want(room.base)
    room.machine.state = deployed(room.machine.wanted)
    assert room.look().record.hold is None
    assert room.entries("break-glass-ended")[0]["how"] == "reproduced"


def test_a_look_from_before_does_not_end_it(opening: Opening) -> None:
    """What the hosts showed before the first operation says nothing about what is done since."""
    room = opening()
    asked = room.read()
    room.want(room.fix)
    shown = room.shown(asked, "keeper", "operator")
    before = remembering.record(room.parts, PRODUCTION)
    observe = room.machine.observe

    def slow(request: Any) -> Any:
        found = observe(request)
        room.machine.observe = observe  # type: ignore[method-assign]
        breaking_glass.break_glass(room.parts, asked, shown)
        return found

    room.machine.observe = slow  # type: ignore[method-assign]
    drifting.look(room.parts, PRODUCTION, UpToDate(room.base, room.snapshot(room.base), before))
    assert (room.mode(), room.record()["hold"]) == ("fixed", "BrokenGlass")
    assert room.look().record.hold == "BrokenGlass"


def test_a_host_that_is_away_does_not_take_the_mark_along(opening: Opening) -> None:
    room = opening()
    room.broken()
    remembering.write(room.parts, PRODUCTION, lambda now: drifting._unreachable(now, "no route"))
    assert room.record()["hold"] == "BrokenGlass"
