"""The demo's story, step by step on real parts; each step gives evidence that an outsider can read back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from reconciler.demo.actor import Actor, Refused
from reconciler.demo.world import World

ENVIRONMENT = "shop/production"
PROJECT = "shop-production"
PATIENCE_SECONDS = 180.0

T = TypeVar("T")
MEMORY_BY_HAND = 96 * 1024 * 1024


class Unexpected(Exception):
    """A step went otherwise than the story says."""


@dataclass(slots=True)
class Step:
    """One step as it went."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)


class Teller(Protocol):
    """Hears the story as it goes."""

    def begins(self, step: Step) -> None: ...

    def ends(self, step: Step) -> None: ...


@dataclass(slots=True)
class Story:
    """The steps so far, and what later steps need of earlier ones."""

    world: World
    teller: Teller
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def actor(self, login: str) -> Actor:
        return Actor(self.world.accounts[login], self.world.forge_url, self.world.root / "clones")

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Run a block as a step; what it puts into the dictionary is its evidence."""
        now = Step(name)
        self.steps.append(now)
        self.teller.begins(now)
        begin = time.monotonic()
        try:
            yield now.evidence
            now.ok = True
        except Exception as error:
            now.evidence["error"] = f"{type(error).__name__}: {error}"
            raise
        finally:
            now.seconds = round(time.monotonic() - begin, 2)
            self.teller.ends(now)


def tell(story: Story, repository: Path) -> bool:
    """Run every step in order; False as soon as one went otherwise."""
    try:
        for part in PARTS:
            part(story, repository)
    except Exception:  # noqa: BLE001 - the step has it in its evidence, and the teller has said it
        return False
    return True


def set_up(story: Story, repository: Path) -> None:
    """Hosts, forge, control plane."""
    world = story.world
    with story.step("the forge serves a repository, and the hosts answer over SSH") as evidence:
        directory = world.write_repository(repository)
        world.start_forge(world.seed(directory))
        world.configure()
        evidence["forge"] = world.forge_url
        evidence["hosts"] = {
            name: {"ssh": f"{h.address}:{h.port}", "engine": h.ask("GET", "/info")["ID"]}
            for name, h in world.hosts.items()
        }
        story.actor("author").checkout()
        story.facts["baseline"] = story.actor("author").git("rev-parse", "HEAD")
    with story.step("the first revision is trusted") as evidence:
        evidence |= world.cli("trust", "init", "--revision", story.facts["baseline"], "--yes")
    with story.step("the control plane deploys it") as evidence:
        evidence["server"] = world.start_server().url
        first = deployments_until(story, "every environment is deployed", lambda found: len(found) == 3)
        evidence["deployments"] = {f"{d['project']}/{d['environment']}": d["id"] for d in first}
        check(all(d["outcome"] == "succeeded" for d in first), f"not all succeeded: {first}")
        story.facts["first"] = next(d["id"] for d in first if same_environment(d))
        evidence["containers"] = story.facts["containers"] = world.hosts["web-1"].containers(PROJECT)


def propose(story: Story, _repository: Path) -> None:
    """The agent's side."""
    agent = story.actor("deployer")
    with story.step("the agent's token cannot push to main") as evidence:
        agent.checkout()
        (agent.clone / "projects/shop/production/production.env").write_text("GREETING='Straight to production'\n")
        agent.commit("Skip the review")
        refusal = refused(lambda: agent.git("push", "origin", "HEAD:refs/heads/main"))
        evidence["refused"] = refusal.splitlines()[-1] if refusal else ""
        check(agent.api("GET", "/git/ref/heads/main")["object"]["sha"] == story.facts["baseline"], "main has moved")
    with story.step("the agent proposes a change by pull request") as evidence:

        def greet(clone: Path) -> None:
            (clone / "projects/shop/production/production.env").write_text("GREETING='Welcome'\n")

        opened = agent.propose("agent/greeting", "Greet customers with Welcome", greet)
        story.facts["pull"], story.facts["head"] = opened["number"], opened["head"]["sha"]
        evidence |= {"pull_request": opened["number"], "head": opened["head"]["sha"], "author": opened["user"]["login"]}
    with story.step("the plan and three statuses appear on it") as evidence:
        statuses = until("the statuses appear", lambda: posted(story))
        plan = story.world.cli("plan", "--pull-request", str(story.facts["pull"]), ok=(4,))
        story.facts["digest"] = plan["targets"][0]["digest"]
        comment = agent.comments(story.facts["pull"])[0]
        check(story.facts["digest"] in comment["body"], "the comment does not show the plan's digest")
        evidence |= {
            "statuses": {context: f"{s['state']}: {s['description']}" for context, s in statuses.items()},
            "comment": comment["id"],
            "plan_digest": story.facts["digest"],
            "operations": [f"{o['operation']} {o['subject']}" for o in plan["targets"][0]["operations"]],
        }


def approve(story: Story, _repository: Path) -> None:
    """Who may say yes, and who may not."""
    number = story.facts["pull"]
    with story.step("the agent cannot approve its own proposal") as evidence:
        evidence["refused"] = refused(lambda: story.actor("deployer").review(number))
    with story.step("the person behind the agent cannot approve it either") as evidence:
        review = story.actor("author").review(number, body="Looks good to me")
        evidence["review"] = review["id"]

        def judged() -> dict[str, Any] | None:
            gate: dict[str, Any] = story.world.cli("plan", "--pull-request", str(number), ok=(4,))["gate"]
            return gate if any(reason["rule"] == 4 for reason in gate["reasons"]) else None

        gate = until("the gate judges the author's approval", judged)
        evidence["gate"] = gate
        check(gate["outcome"] != "open", "the author's approval opened the gate")
    with story.step("a person who had no part in it approves") as evidence:
        read_the_plan()
        review = story.actor("reviewer").review(number, body="The plan is what I want")
        evidence["review"] = review["id"]
        status = until("the approval counts", lambda: approved(story))
        evidence["status"] = f"{status['state']}: {status['description']}"


def deploy(story: Story, _repository: Path) -> None:
    """From the merge to the record."""
    with story.step("it is merged") as evidence:
        evidence["merge_commit"] = story.facts["merge"] = story.actor("reviewer").merge(story.facts["pull"])
    with story.step("exactly the approved plan is applied and verified") as evidence:
        record = deployment_of(story, story.facts["merge"])
        story.facts["second"] = record["id"]
        before, after = story.facts["containers"], story.world.hosts["web-1"].containers(PROJECT)
        replaced = sorted(name for name in before if before[name] != after.get(name))
        evidence |= {
            "deployment": record["id"],
            "outcome": record["outcome"],
            "plan_digest": record["plan_digest"],
            "operations": [f"{o['operation']} {o['subject']}: {o['outcome']}" for o in record["operations"]],
            "replaced": replaced,
            "containers": after,
        }
        check(record["outcome"] == "succeeded", f"{record['outcome']}: {record['reason']}")
        check(record["plan_digest"] == story.facts["digest"], "another plan was applied than the one that was shown")
        expected = sorted(name for name in before if name.split("-")[2] in ("api", "web"))
        check(replaced == expected, f"replaced {replaced}, and the plan says {expected}")
        greeting = story.world.hosts["web-1"].ask("GET", f"/containers/{after[f'{PROJECT}-web-1']}/json")
        check("GREETING=Welcome" in greeting["Config"]["Env"], "the container does not have the new greeting")
    with story.step("the deployment is on record, and on the merge commit") as evidence:
        record = story.world.cli("deployments", "show", story.facts["second"])
        evidence |= {key: record[key] for key in ("id", "author", "approvals", "merged_by", "health", "attestation")}
        status = until("the deploy status", lambda: deploy_status(story, story.facts["merge"]))
        evidence["status"] = f"{status['state']}: {status['description']}"
        check([a["person"] for a in record["approvals"]] == ["reviewer"], "the record names other approvers")


def drift(story: Story, _repository: Path) -> None:
    """Somebody's hand on the host."""
    host = story.world.hosts["web-1"]
    name = f"{PROJECT}-web-1"
    with story.step("somebody changes a container by hand") as evidence:
        identity = host.containers(PROJECT)[name]
        host.ask("POST", f"/containers/{identity}/update", Memory=MEMORY_BY_HAND, MemorySwap=2 * MEMORY_BY_HAND)
        evidence |= {"container": identity, "memory": memory(story, name)}
        check(memory(story, name) == MEMORY_BY_HAND, "the engine did not take the change")
    with story.step("the drift is reported") as evidence:
        seen = until("the drift shows in the status", lambda: drifted(story))
        evidence |= {"since": seen["since"], "changes": seen["changes"]}
    with story.step("and healed to the last approved state") as evidence:
        record = deployments_until(story, "the drift is healed", lambda found: any(healed(d) for d in found))
        heal = next(d for d in record if healed(d))
        evidence |= {
            "deployment": heal["id"],
            "container": host.containers(PROJECT)[name],
            "memory": memory(story, name),
        }
        check(memory(story, name) != MEMORY_BY_HAND, "the change by hand is still there")


def roll_back(story: Story, _repository: Path) -> None:
    """Back, by the same door."""
    first, second = story.facts["first"], story.facts["second"]
    with story.step("a rollback opens a revert pull request") as evidence:
        opened = story.world.cli("rollback", ENVIRONMENT, "--to", first, "--yes")
        story.facts["pull"], story.facts["head"] = opened["pull_request"], opened["head"]
        evidence |= opened
        statuses = until("the statuses appear", lambda: posted(story))
        check(statuses["reconciler/approval"]["state"] == "pending", "a rollback needs an approval of its own")
        evidence["status"] = statuses["reconciler/approval"]["description"]
    with story.step("it needs, and gets, an approval of its own") as evidence:
        read_the_plan()
        evidence["review"] = story.actor("operator").review(story.facts["pull"], body="Back to what worked")["id"]
        until("the approval counts", lambda: approved(story))
        evidence["merge_commit"] = story.facts["merge"] = story.actor("operator").merge(story.facts["pull"])
    with story.step("it is deployed with a record of its own, linked to what it undoes") as evidence:
        record = deployment_of(story, story.facts["merge"])
        undone = story.world.cli("deployments", "show", second)
        evidence |= {
            "deployment": record["id"],
            "kind": record["kind"],
            "reverts": record["reverts"],
            "reverted_by": undone["reverted_by"],
            "outcome": record["outcome"],
        }
        check(record["kind"] == "rollback" and record["reverts"] == second, "the record is not linked")
        check(undone["reverted_by"] == record["id"], "the undone deployment does not name its rollback")
        check(record["outcome"] == "succeeded", f"{record['outcome']}: {record['reason']}")


def verify(story: Story, _repository: Path) -> None:
    """What anybody can check."""
    with story.step("the newest deployment is proven from the ledger") as evidence:
        newest = story.world.cli("deployments", "list", "--limit", "1")[0]["id"]
        proof = story.world.cli("prove", newest)
        evidence |= {"deployment": newest, "lines": [f"{line['step']}: {line['text']}" for line in proof["lines"]]}
    with story.step("the ledger verifies") as evidence:
        evidence |= story.world.cli("ledger", "verify")
        tail = story.world.cli("ledger", "show", "--limit", "1000")
        evidence["entries"] = {entry["sequence"]: f"{entry['kind']} {entry['subject']}" for entry in tail}


PARTS = (set_up, propose, approve, deploy, drift, roll_back, verify)


# -- what the steps look at ----------------------------------------------------------------------------------------


def check(holds: bool, text: str) -> None:
    """Unexpected unless it holds."""
    if not holds:
        raise Unexpected(text)


def until(what: str, look: Callable[[], T | None]) -> T:
    """Look again and again until there is something; Unexpected when there is nothing in time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(0.3)
    raise Unexpected(f"it did not happen within {PATIENCE_SECONDS:g} s: {what}")


def read_the_plan() -> None:
    """People need a moment; a click in the very second in which the plan was posted counts as none."""
    time.sleep(1.1)


def refused(attempt: Callable[[], object]) -> str:
    """The refusal's text; Unexpected when the attempt succeeds."""
    try:
        attempt()
    except Refused as error:
        return error.text
    raise Unexpected("it was not refused")


def posted(story: Story) -> dict[str, dict[str, Any]] | None:
    found = story.actor("author").statuses(story.facts["head"])
    return found if {"reconciler/plan", "reconciler/policy", "reconciler/approval"} <= set(found) else None


def approved(story: Story) -> dict[str, Any] | None:
    status = story.actor("author").statuses(story.facts["head"]).get("reconciler/approval")
    return status if status is not None and status["state"] == "success" else None


def deploy_status(story: Story, sha: str) -> dict[str, Any] | None:
    status = story.actor("author").statuses(sha).get("reconciler/deploy")
    return status if status is not None and status["state"] != "pending" else None


def same_environment(record: dict[str, Any]) -> bool:
    return f"{record['project']}/{record['environment']}" == ENVIRONMENT


def healed(record: dict[str, Any]) -> bool:
    return bool(same_environment(record) and record["kind"] == "heal" and record["outcome"] == "succeeded")


def deployments_until(story: Story, what: str, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """All finished deployments as soon as they are enough."""

    def look() -> list[dict[str, Any]] | None:
        found = [d for d in story.world.cli("deployments", "list") if d["finished_at"] is not None]
        return found if enough(found) else None

    return until(what, look)


def deployment_of(story: Story, revision: str) -> dict[str, Any]:
    """The finished deployment of the story's environment at a revision."""

    def mine(record: dict[str, Any]) -> bool:
        return bool(same_environment(record) and record["revision"] == revision and record["kind"] != "heal")

    found = deployments_until(story, f"{revision[:12]} is deployed", lambda all_of: any(map(mine, all_of)))
    return next(record for record in found if mine(record))


def memory(story: Story, container: str) -> int:
    """The memory limit of a container by name, in bytes, as its engine has it."""
    inspected = story.world.hosts["web-1"].ask("GET", f"/containers/{container}/json")
    return int(inspected["HostConfig"]["Memory"])


def drifted(story: Story) -> dict[str, Any] | None:
    for record in story.world.cli("status"):
        if record["environment"] == ENVIRONMENT and record["drift"]:
            drift: dict[str, Any] = record["drift"]
            return drift
    return None
