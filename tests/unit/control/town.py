"""A whole control plane without engines: real git, database, rendering, comparison, policy and gate; the forge keeps
what people do to it, and a host becomes what a deployment says. Used by the tests of holds, adoptions and merge queues.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pygit2

from reconciler.compose.rendering import SandboxRenderer
from reconciler.control import once, pinning, pipeline, planning, publishing, queries, remembering
from reconciler.control.parts import Parts
from reconciler.model.deployment import Deployment, DeploymentState
from reconciler.model.desired import HostSpec
from reconciler.model.errors import ForgeUnavailable, HostUnreachable, NotFound, ReconcilerError
from reconciler.model.observed import EngineIdentity, ImageResolution, ObservedState, ResolvedImage
from reconciler.model.pull_request import (
    Account,
    Comment,
    Permission,
    PullRequest,
    PullRequestCommit,
    PullRequestReading,
    Push,
    Review,
    ReviewState,
)
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import NewPullRequest, ObservationRequest, StatusReport, TrustRecord
from reconciler.storage import Database
from tests.builders import ENGINE, an_image, deployed, empty_host, image_id, with_container
from tests.git_remotes import Remote
from tests.unit.control.plane import REPOSITORY_ID, Events, StoppedClock, a_pull, parts_of

PRODUCTION, SPARE = EnvironmentName("shop", "production"), EnvironmentName("shop", "spare")
IMAGES = ("demo:1", "demo:2", "demo:3", "demo:evil")
PEOPLE = {
    "author": Account(1001, "author", "User"),
    "reviewer": Account(1002, "reviewer", "User"),
    "operator": Account(1003, "operator", "User"),
    "keeper": Account(1004, "keeper", "User"),
    "deployer": Account(1009, "deployer", "User"),
    "reconciler": Account(1010, "reconciler", "Bot"),
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDN4+PzX+rFd9xUUG0WjT33S6qCX7yzNv20URWFAPOOs"
COMPOSE = "services: {{web: {{image: 'demo:{0}', restart: always}}}}\n"
PRODUCTION_COMPOSE = "projects/shop/production/compose.yaml"
SPARE_COMPOSE = "projects/shop/spare/compose.yaml"
POLICY = (
    "rules:\n"
    "  - {id: one, effect: require, actions: [deploy, rollback], need: {approvals: 1, from_group: operators}}\n"
    "  - {id: two, effect: require, actions: [change_policy, change_host], "
    "need: {approvals: 2, from_group: operators}}\n"
)
LOOSE = POLICY.replace("approvals: 2", "approvals: 1")


def image(version: str) -> str:
    """compose.yaml with the one service at a version."""
    return COMPOSE.format(version)


def environment(host: str, more: str = "") -> str:
    return (
        f"hosts: [{host}]\ntier: production\ncompose: [compose.yaml]\ncompose_project: shop\nconsent_delay: 0s\n{more}"
    )


FILES = {
    "reconciler.yaml": "format: 1\ndeploy_branch: main\n",
    "principals.yaml": (
        "people:\n"
        "  author: {github: 1001}\n"
        "  reviewer: {github: 1002, groups: [operators]}\n"
        "  operator: {github: 1003, groups: [operators]}\n"
        "  keeper: {github: 1004, groups: [operators]}\n"
        "agents: {deployer: {github: 1009, owner: author}}\n"
    ),
    "policy.yaml": POLICY,
    "hosts/web-1.yaml": f"address: 192.0.2.1\nuser: r\ntiers: [production]\nhost_key: {KEY}\n",
    "hosts/web-2.yaml": f"address: 192.0.2.2\nuser: r\ntiers: [production]\nhost_key: {OTHER_KEY}\n",
    PRODUCTION_COMPOSE: image("1"),
    "projects/shop/production/environment.yaml": environment("web-1"),
    SPARE_COMPOSE: image("1"),
    "projects/shop/spare/environment.yaml": environment("web-2"),
}


@dataclass(slots=True)
class Machines:
    """Hosts that each show one observation; a host without one does not answer, or has its own way of failing."""

    states: dict[str, ObservedState | None] = field(default_factory=dict)
    failing: dict[str, ReconcilerError] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)  # of what was verified on a host, by its own word

    def host(self, spec: HostSpec, jumps: tuple[HostSpec, ...]) -> Machine:
        return Machine(self, spec.name)


@dataclass(frozen=True, slots=True)
class Machine:
    machines: Machines
    name: str

    def identity(self) -> EngineIdentity:
        return ENGINE

    def observe(self, request: ObservationRequest) -> ObservedState:
        state = self.machines.states.get(self.name)
        if self.name in self.machines.failing or state is None:
            raise self.machines.failing.get(self.name) or HostUnreachable("no route", where=self.name)
        return state

    def read_record(self, target: Target) -> bytes | None:
        return self.machines.records.get(self.name)

    def resolve_images(self, references: Sequence[str]) -> Mapping[str, ImageResolution]:
        if self.machines.states.get(self.name) is None:
            raise HostUnreachable("no route", where=self.name)
        return {r: ResolvedImage(r, image_id(r), image_id(r), True) for r in references}


@dataclass(slots=True)
class Memory:
    """A forge that remembers pull requests, reviews, comments, statuses and who pushed what."""

    clock: StoppedClock
    remote: Remote
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    reviews: dict[int, list[Review]] = field(default_factory=dict)
    said: dict[int, list[Comment]] = field(default_factory=dict)
    statuses: dict[str, dict[str, StatusReport]] = field(default_factory=dict)
    moves: list[Push] = field(default_factory=list)  # of the deploy branch, oldest first
    makers: dict[str, Account | None] = field(default_factory=dict)  # of commits
    tells_pushes: bool = True
    down: bool = False
    count: int = 0

    def answer(self) -> None:
        if self.down:
            raise ForgeUnavailable("503", where="forge")

    def number(self) -> int:
        self.count += 1
        return self.count

    def repository_id(self) -> int:
        self.answer()
        return REPOSITORY_ID

    def open_pull_requests(self, base_ref: str) -> tuple[PullRequest, ...]:
        self.answer()
        return tuple(p for p in self.pulls.values() if p.state == "open" and p.base_ref == base_ref)

    def pull_request(self, number: int) -> PullRequest:
        self.answer()
        return self.pulls[number]

    def pull_requests_of(self, sha: str) -> tuple[PullRequest, ...]:
        self.answer()
        return tuple(p for p in self.pulls.values() if sha in (p.merge_commit, p.head_sha))

    def commit(self, sha: str) -> PullRequestCommit:
        self.answer()
        found = self.remote.repository.get(sha)
        if not isinstance(found, pygit2.Commit):
            raise NotFound(f"no commit {sha}")
        maker = self.makers.get(sha, PEOPLE["author"])
        parents = tuple(str(p) for p in found.parent_ids)
        email = f"{maker.login if maker else 'nobody'}@example.test"
        update = len(parents) == 2  # as an adapter says of what looks like "Update branch"
        return PullRequestCommit(sha, parents, maker, maker, email, email, (), empty_update_merge=update)

    def pushes(self, branch: str) -> tuple[Push, ...]:
        self.answer()
        return tuple(reversed(self.moves)) if self.tells_pushes else ()

    def reading(self, number: int) -> PullRequestReading:
        self.answer()
        pull = self.pulls[number]
        commits = []
        sha = pull.head_sha
        for _ in range(pull.commit_count):
            commits.insert(0, self.commit(sha))
            sha = commits[0].parents[0]
        spoke = {r.account.id for r in self.reviews.get(number, []) if r.account}
        spoke |= {c.account.id for c in self.said.get(number, []) if c.account}
        return PullRequestReading(
            pull_request=pull,
            again=pull,
            reviews=tuple(self.reviews.get(number, ())),
            commits=tuple(commits),
            timeline=(),
            permissions=tuple(Permission(account, "write") for account in sorted(spoke)),
            remote_head=pull.head_sha,
            remote_base=self.remote.head("refs/heads/main"),
            complete=True,
            gaps=(),
            raw_digests=((f"pulls/{number}", "0" * 64),),
            comments=tuple(self.said.get(number, ())),
        )

    def comments(self, number: int) -> tuple[Comment, ...]:
        return tuple(self.said.get(number, ()))

    def write_comment(self, number: int, comment: int | None, body: str) -> Comment:
        said = self.said.setdefault(number, [])
        now = self.clock.now()
        for index, each in enumerate(said):
            if each.id == comment:
                said[index] = replace(each, body=body, updated_at=now)
                return said[index]
        said.append(Comment(self.number(), PEOPLE["reconciler"], body, now, now))
        return said[-1]

    def write_status(self, sha: str, status: StatusReport) -> None:
        self.answer()
        self.statuses.setdefault(sha, {})[status.context] = status

    def open_pull_request(self, request: NewPullRequest) -> PullRequest:
        head = self.remote.head(f"refs/heads/{request.head_ref}")
        assert head is not None
        return self.opened(head, request.head_ref, request.token, title=request.title, body=request.body)

    def opened(self, head: str, head_ref: str, by: str, commits: int = 1, **fields: Any) -> PullRequest:
        number = self.number()
        pull = a_pull(
            number,
            head,
            author=PEOPLE[by],
            head_ref=head_ref,
            commit_count=commits,
            updated_at=self.clock.now(),
            **fields,
        )
        self.pulls[number] = pull
        self.remote.repository.references.create(f"refs/pull/{number}/head", head, force=True)
        return pull

    def who(self, token: str | None = None) -> tuple[int, str]:
        account = PEOPLE[token or "reconciler"]
        return account.id, account.login


@dataclass(slots=True)
class ByFiat:
    """Makes the hosts what a deployment says, or fails where it is told to."""

    machines: Machines
    clock: StoppedClock
    fails: bool = False
    parts: Parts | None = None

    def execute(self, deployment: str) -> Deployment:
        parts = self.parts
        assert parts is not None
        record = parts.deployments.get(deployment)
        assert record is not None
        context = parts.deployments.context(deployment)
        after = planning.snapshot(parts.source.tree(record.revision))
        before = planning.snapshot(parts.source.tree(context["before"])) if context["before"] else None
        if not self.fails:
            for host in record.hosts:
                plan = planning.plan_target(parts, before, after, Target(record.project, record.environment, host))
                assert isinstance(plan, planning.Planned)
                self.machines.states[host] = replace(deployed(plan.prepared.desired), host=host, images=all_images())
        outcome = DeploymentState.FAILED if self.fails else DeploymentState.SUCCEEDED
        finished = replace(
            record, outcome=outcome, finished_at=self.clock.now(), reason="it broke" if self.fails else ""
        )
        remembering.concluded(parts, finished, context)
        publishing.deployed(parts, finished.revision)
        return finished


def all_images() -> tuple[Any, ...]:
    return tuple(an_image(reference) for reference in IMAGES)


@dataclass(slots=True)
class Town:
    """Production and spare run version 1 on a host each; people push, propose, review and merge."""

    directory: Path
    remote: Remote
    forge: Memory
    machines: Machines
    engine: ByFiat
    clock: StoppedClock
    parts: Parts
    events: Events
    baseline: str

    @classmethod
    def make(cls, directory: Path, database: Database, files: Mapping[str, str] | None = None) -> Town:
        """Deployed at its first commit; `files` are others than FILES, or more."""
        remote = Remote.make(directory / "remote.git")
        baseline = remote.commit({**FILES, **(files or {})})
        clock, events = StoppedClock(), Events()
        machines = Machines({host: empty_host(host=host, images=all_images()) for host in ("web-1", "web-2")})
        forge, engine = Memory(clock, remote), ByFiat(machines, clock)
        parts = parts_of(
            database,
            remote.mirror(directory / "mirror.git"),
            forge=forge,
            hosts=machines,
            renderer=SandboxRenderer(directory / "rendered"),
            engine=engine,
            clock=clock,
            events=events,
            keys=directory,
        )
        engine.parts = parts
        roots = (("operator", 1003, ()),)
        parts.states.set_trust(pinning.signed(parts, TrustRecord(REPOSITORY_ID, baseline, roots, clock.now())))
        town = cls(directory, remote, forge, machines, engine, clock, parts, events, baseline)
        town.run()
        assert [town.version(name) for name in (PRODUCTION, SPARE)] == ["1", "1"]
        return town

    # -- what people do --------------------------------------------------------------------------------------------

    @property
    def tip(self) -> str:
        return str(self.remote.head("refs/heads/main"))

    def push(self, files: Mapping[str, str | None], by: str = "author", made_by: str | None = "") -> str:
        """A commit straight onto the deploy branch; `made_by` None for somebody whom the forge does not know."""
        before = self.tip
        sha = self.remote.commit(dict(files), before)
        self.forge.makers[sha] = None if made_by is None else PEOPLE[made_by or by]
        self.forge.moves.append(Push(PEOPLE[by], before, sha, self.clock.now()))
        return sha

    def rewind(self, to: str, by: str = "author") -> None:
        self.forge.moves.append(Push(PEOPLE[by], self.tip, to, self.clock.now()))
        self.remote.repository.references.create("refs/heads/main", to, force=True)

    def propose(self, files: Mapping[str, str | None], by: str = "author", branch: str = "feature/change") -> int:
        head = self.remote.commit(dict(files), self.tip, ref=None)
        self.forge.makers[head] = PEOPLE[by]
        return self.forge.opened(head, branch, by).number

    def approve(self, number: int, *who: str) -> None:
        for name in who or ("reviewer",):
            self.clock.move(seconds=2)
            head = self.forge.pulls[number].head_sha
            review = Review(self.forge.number(), PEOPLE[name], ReviewState.APPROVED, head, self.clock.now(), "")
            self.forge.reviews.setdefault(number, []).append(review)
        self.clock.move(seconds=2)

    def merge(self, number: int, by: str = "reviewer", tree: str | None = None) -> str:
        pull = self.forge.pulls[number]
        before = self.tip
        if tree is None:
            tree = str(self.remote.repository.merge_commits(before, pull.head_sha).write_tree(self.remote.repository))
        end = self.remote.commit_tree(tree, before, pull.head_sha, ref="refs/heads/main")
        self.forge.makers[end] = PEOPLE[by]
        self.forge.moves.append(Push(PEOPLE[by], before, end, self.clock.now()))
        self.forge.pulls[number] = replace(
            pull, state="closed", merged=True, merged_by=PEOPLE[by], merged_at=self.clock.now(), merge_commit=end
        )
        return end

    def enqueue(self, *numbers: int, squash: bool = False) -> list[str]:
        """The queue lands pull requests on each other, each on a branch of its own; the branches' names."""
        base, names = self.tip, []
        for number in numbers:
            head = self.forge.pulls[number].head_sha
            merged = self.remote.repository.merge_commits(base, head).write_tree(self.remote.repository)
            parents = (base,) if squash else (base, head)
            names.append(f"gh-readonly-queue/main/pr-{number}-{base}")
            base = self.remote.commit_tree(str(merged), *parents, ref=f"refs/heads/{names[-1]}", message=f"#{number}")
            self.forge.makers[base] = PEOPLE["reviewer"]
        return names

    def group_head(self, branch: str) -> str:
        return str(self.remote.head(f"refs/heads/{branch}"))

    def lands_group(self, *branches: str) -> str:
        """The queue sets the deploy branch to the last group's head, and each pull request is merged as its own."""
        end = self.group_head(branches[-1])
        self.forge.moves.append(Push(PEOPLE["reviewer"], self.tip, end, self.clock.now()))
        self.remote.repository.references.create("refs/heads/main", end, force=True)
        for branch in branches:
            number = int(branch.rpartition("/")[2].split("-")[1])
            self.forge.pulls[number] = replace(
                self.forge.pulls[number],
                state="closed",
                merged=True,
                merged_by=PEOPLE["reviewer"],
                merged_at=self.clock.now(),
                merge_commit=self.group_head(branch),
            )
        for branch in branches:
            self.remote.repository.references.delete(f"refs/heads/{branch}")
        return end

    def land(self, files: Mapping[str, str | None], *who: str, by: str = "author") -> str:
        """Proposed, planned, approved and merged; nothing is deployed yet."""
        number = self.propose(files, by)
        self.run()
        self.approve(number, *who)
        return self.merge(number)

    def drifts(self, name: EnvironmentName = PRODUCTION) -> None:
        """Somebody changes the container by hand."""
        host = "web-1" if name == PRODUCTION else "web-2"
        state = self.machines.states[host]
        assert state is not None
        by_hand = {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}
        self.machines.states[host] = with_container(state, "shop-web-1", host_config=by_hand)

    def restarts(self, name: EnvironmentName = PRODUCTION) -> bool:
        """Whether the container is as git wants it, and not as somebody made it by hand."""
        state = self.machines.states["web-1" if name == PRODUCTION else "web-2"]
        assert state is not None
        return bool(state.containers[0].host_config["RestartPolicy"]["Name"] == "always")

    # -- what comes of it ------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        report = once.everything(self.parts)
        assert not report["failures"], report["failures"]
        self.clock.move(seconds=2)
        return report

    def settle(self) -> None:
        """Twice: what one run has asked for, the next one finds."""
        self.run()
        self.run()

    def reconcile(self, name: EnvironmentName = PRODUCTION) -> pipeline.Reconciled:
        self.parts.source.fetch()
        return pipeline.reconcile(self.parts, name)

    def status(self, name: EnvironmentName = PRODUCTION) -> dict[str, Any]:
        record = self.parts.states.environment(name)
        assert record is not None
        return queries.environment_data(record)

    def hold(self, name: EnvironmentName = PRODUCTION) -> tuple[str | None, str | None]:
        """What holds an environment, and by which commit."""
        status = self.status(name)
        return status["hold"], status["commit"]

    def version(self, name: EnvironmentName = PRODUCTION) -> str:
        """The version that runs."""
        state = self.machines.states["web-1" if name == PRODUCTION else "web-2"]
        assert state is not None
        running = {image_id(reference): reference for reference in IMAGES}
        if not state.containers:
            return "nothing"
        (container,) = state.containers
        return running[container.image].removeprefix("demo:")

    def gate(self, number: int) -> dict[str, Any]:
        answer: dict[str, Any] = queries.plan_pull_request(self.parts, number).data["gate"]
        return answer

    def rules(self, number: int) -> list[int]:
        return sorted({reason["rule"] for reason in self.gate(number).get("reasons", [])})

    def comment(self, number: int) -> str:
        return self.forge.said[number][0].body

    def status_of(self, sha: str, context: str) -> tuple[str, str] | None:
        found = self.forge.statuses.get(sha, {}).get(context)
        return (found.state, found.description) if found else None

    def entries(self, kind: str, subject: str) -> list[dict[str, Any]]:
        return [json.loads(entry.body)["data"] for entry in self.parts.ledger.find(kind, subject)]

    def at(self) -> datetime:
        return self.clock.now()
