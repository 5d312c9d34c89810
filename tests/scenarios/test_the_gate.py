"""Every way around the approval that somebody with a git client and an account on the forge can try, on real engines.

Each attack ends in the same way: the change is merged in spite of everything (nothing on the forge hinders that), the
containers stay what they were, the ledger names the reason by its number, and an approved revert lets things go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.actor import Refused
from reconciler.demo.world import Account
from reconciler.model.target import EnvironmentName
from tests.scenarios.conftest import stages
from tests.scenarios.stage import FILES, PRODUCTION, SPARE, Stage, greet, replace

SECOND_ACCOUNT = Account("author-two", 1021, "User", "write")
STRANGER = Account("stranger", 1022, "User", "write")
MACHINE_USER = Account("helper", 1023, "User", "write")
ACCOUNTS = (SECOND_ACCOUNT, STRANGER, MACHINE_USER)

PRINCIPALS = (
    FILES["principals.yaml"]
    .replace("author: {github: 1001,", "author: {github: [1001, 1021],")
    .replace(
        "agents:\n",
        "agents:\n          helper: {github: 1023, owner: keeper, scopes: [change:propose], targets: ['app/*']}\n",
    )
)

SLOW = EnvironmentName("app", "slow")
SLOW_FILE = FILES["projects/app/spare/environment.yaml"].replace("consent_delay: 0s", '"consent_delay": 1h')
"""In quotes, so that the world does not shorten it."""

POLICY = FILES["policy.yaml"].rstrip(" ") + (
    "          - {id: agent-one-host, effect: deny, who: {kind: agent}, actions: [deploy], when: {hosts_over: 1}}\n"
)

ENVIRONMENTS = (PRODUCTION, SPARE, SLOW)
SERVICES = "projects/app/compose.yaml"
PRODUCTION_FILE = "projects/app/production/environment.yaml"


@pytest.fixture(scope="module")
def calm() -> Iterator[Stage]:
    """One stage for the attacks that leave it as they found it."""
    with stages() as make:
        yield make(
            accounts=ACCOUNTS,
            **{
                "principals.yaml": PRINCIPALS,
                "policy.yaml": POLICY,
                "projects/app/slow/environment.yaml": SLOW_FILE,
            },
        )


# -- words of these scenarios --------------------------------------------------------------------------------------


@contextmanager
def nothing_applied(stage: Stage) -> Iterator[None]:
    """What runs on both hosts, and the records of it, are the same afterwards."""
    before = running(stage), records(stage)
    yield
    assert (running(stage), records(stage)) == before


def running(stage: Stage) -> list[dict[str, str]]:
    return [stage.containers(name) for name in ENVIRONMENTS if stage.parts.states.environment(name) is not None]


def records(stage: Stage) -> list[str]:
    return [record["id"] for name in ENVIRONMENTS for record in stage.deployments(name)]


def rules_in_ledger(stage: Stage, subject: str) -> list[int]:
    """The numbers of the newest decision that the ledger holds about something."""
    entry = stage.parts.ledger.latest("gate", subject)
    assert entry is not None, f"the ledger holds no decision about {subject}"
    facts = json.loads(entry.body)["data"]["facts"]
    decision = facts["decision"]
    return [reason["rule"] for reason in decision.get("after_merge", decision)["reasons"]]


def merged_anyway(stage: Stage, number: int, who: str = "operator", method: str = "merge") -> str:
    """Merge it without leave and let the control plane look at it; the merge commit."""
    sha = stage.people[who].merge(number, method)
    report = stage.run()
    assert not report["failures"], report["failures"]
    assert not report["deployments"], report["deployments"]
    return sha


def refused_after_merge(stage: Stage, number: int, rule: int, who: str = "operator") -> str:
    """Merged in spite of the gate, it holds production, and the ledger says why; the merge commit."""
    with nothing_applied(stage):
        sha = merged_anyway(stage, number, who)
        assert stage.status()["hold"] in ("Held", "AwaitingConsent", "Parked")
        assert rule in rules_in_ledger(stage, f"landing/{sha}/app/production")
        held = stage.parts.ledger.latest("hold", "app/production")
        assert held is not None
        assert json.loads(held.body)["data"]["commit"] == sha
        assert stage.author.statuses(sha)["reconciler/deploy"]["state"] == "failure"
    return sha


def reverted(stage: Stage, *commits: str) -> None:
    """An approved revert pull request undoes commits of the deploy branch, and every environment goes on."""
    number = revert_pull_request(stage, *commits)
    stage.approve(number)
    with nothing_applied(stage):
        stage.reviewer.merge(number)
        report = stage.run()
        assert not report["failures"], report["failures"]
        assert not report["deployments"], report["deployments"]
        for name in ENVIRONMENTS:
            if stage.parts.states.environment(name) is None:
                continue
            status = stage.status(name)
            assert (status["hold"], status["sync"]) == (None, "Synced"), status


def revert_pull_request(stage: Stage, *commits: str) -> int:
    """The author proposes to undo these commits, newest first."""
    branch = f"revert/{commits[0][:8]}"
    stage.author.checkout(branch)
    for commit in commits:
        parents = stage.author.git("rev-list", "--parents", "-n", "1", commit).split()[1:]
        mainline = ["--mainline", "1"] if len(parents) > 1 else []
        stage.author.git("revert", "--no-edit", *mainline, commit)
    stage.author.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    opened = stage.author.api("POST", "/pulls", title=f"Revert {commits[0][:8]}", body="", head=branch, base="main")
    stage.run()
    return int(opened["number"])


def proposed(stage: Stage, branch: str, edit: Callable[[Path], None], who: str = "deployer") -> int:
    """A pull request whose plan is posted."""
    number: int = stage.people[who].propose(branch, f"Change by {branch}", edit)["number"]
    report = stage.run()
    assert not report["failures"], report["failures"]
    return number


def plan_comment(stage: Stage, number: int) -> dict[str, Any]:
    (comment,) = [c for c in stage.author.comments(number) if c["user"]["login"] == "reconciler"]
    return comment


# -- who approved --------------------------------------------------------------------------------------------------


def test_an_author_does_not_approve_their_own_change(calm: Stage) -> None:
    number = proposed(calm, "feature/own", greet("own"), "author")
    with pytest.raises(Refused) as refused:
        calm.approve(number, "author")
    assert refused.value.status == 422  # the forge says no already
    calm.approve(number, "author-two")  # the author's other account
    assert calm.rules(number) == [2]
    calm.approve(number, "stranger")  # an account that is nobody here
    assert set(calm.rules(number)) == {2, 3}
    calm.run()
    assert set(rules_in_ledger(calm, f"pull-request/{number}")) == {2, 3}
    reverted(calm, refused_after_merge(calm, number, 2, who="author"))


def test_an_agent_does_not_approve_and_neither_does_its_owner(calm: Stage) -> None:
    number = proposed(calm, "agent/owned", greet("owned"))
    calm.approve(number, "author")  # owns the agent that wrote it
    assert calm.rules(number) == [4]
    calm.approve(number, "reconciler")  # a bot
    calm.approve(number, "helper")  # an agent that works through a person's kind of account
    assert set(calm.rules(number)) == {3, 4}
    sha = refused_after_merge(calm, number, 4, who="author")
    assert set(rules_in_ledger(calm, f"landing/{sha}/app/production")) == {3, 4}
    reverted(calm, sha)


# -- is the approval about this thing ------------------------------------------------------------------------------


def test_a_push_after_approval_voids_it(calm: Stage) -> None:
    number = calm.propose_and_approve(greet("shown"), "agent/pushed")
    calm.deployer.push("agent/pushed", "One more thing", greet("not shown"))
    calm.run()
    assert calm.rules(number) == [16, 29]  # another head, and another plan
    assert rules_in_ledger(calm, f"pull-request/{number}") == [16, 29]
    reverted(calm, refused_after_merge(calm, number, 16))


def test_an_approval_of_an_old_commit_is_none(calm: Stage) -> None:
    number = proposed(calm, "agent/old", greet("harmless"))
    harmless = calm.author.pull(number)["head"]["sha"]
    calm.deployer.push("agent/old", "One more thing", greet("harmful"))
    calm.run()
    calm.later()
    calm.reviewer.review(number, commit=harmless)
    assert calm.rules(number) == [17, 29]
    reverted(calm, refused_after_merge(calm, number, 17))


def test_a_force_push_voids_an_approval_even_when_it_goes_back(calm: Stage) -> None:
    number = calm.propose_and_approve(greet("shown"), "agent/forced")
    shown = calm.author.pull(number)["head"]["sha"]
    calm.deployer.checkout("agent/forced")
    greet("hidden")(calm.deployer.clone)
    calm.deployer.commit("Something else")
    for head in ("HEAD", shown):
        calm.deployer.git("push", "--quiet", "--force", "origin", f"{head}:refs/heads/agent/forced")
    assert calm.author.pull(number)["head"]["sha"] == shown
    assert calm.rules(number) == [25]
    reverted(calm, refused_after_merge(calm, number, 25))


def test_another_base_voids_an_approval_even_when_it_comes_back(calm: Stage) -> None:
    number = calm.propose_and_approve(greet("retargeted"), "agent/retargeted")
    calm.author.checkout("other")
    calm.author.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/other")
    calm.author.api("PATCH", f"/pulls/{number}", base="other")
    assert number not in {review["pull_request"] for review in calm.run()["reviews"]}
    calm.author.api("PATCH", f"/pulls/{number}", base="main")
    assert calm.rules(number) == [26]
    reverted(calm, refused_after_merge(calm, number, 26))


def test_the_last_word_counts_and_others_cannot_take_it_back(calm: Stage) -> None:
    number = calm.propose_and_approve(greet("disputed"), "agent/disputed")
    objection = calm.reviewer.review(number, "REQUEST_CHANGES", "Not like this")
    assert set(calm.rules(number)) == {19}
    calm.approve(number, "operator")
    assert set(calm.rules(number)) == {19}
    # The owner of the agent takes the objection away.
    calm.author.api("PUT", f"/pulls/{number}/reviews/{objection['id']}/dismissals", message="Never mind")
    assert 20 in calm.rules(number)
    assert calm.gate(number)["outcome"] != "open"
    reverted(calm, refused_after_merge(calm, number, 20))


def test_a_dismissed_approval_is_gone(calm: Stage) -> None:
    number = proposed(calm, "agent/dismissed", greet("dismissed"))
    approval = calm.approve(number)
    assert calm.gate(number) == {"outcome": "open"}
    calm.author.api("PUT", f"/pulls/{number}/reviews/{approval['id']}/dismissals", message="Not so fast")
    assert (calm.gate(number)["outcome"], calm.rules(number)) == ("waiting", [])
    with nothing_applied(calm):
        merged = merged_anyway(calm, number)
        assert calm.status()["hold"] == "AwaitingConsent"
    reverted(calm, merged)


def test_nobody_approves_what_they_could_not_read(calm: Stage) -> None:
    number = int(calm.deployer.propose("agent/unread", "Say something", greet("unread"))["number"])
    calm.reviewer.review(number)  # there is no plan yet
    calm.run()
    assert calm.rules(number) == [18]
    assert rules_in_ledger(calm, f"pull-request/{number}") == [18]
    reverted(calm, refused_after_merge(calm, number, 18))
    # This environment wants people to take their time.
    number = proposed(calm, "agent/hasty", greet("hasty", "slow"))
    calm.approve(number)
    calm.run()
    assert calm.rules(number) == [18]
    assert rules_in_ledger(calm, f"pull-request/{number}") == [18]
    calm.author.api("PATCH", f"/pulls/{number}", state="closed")


def test_a_plan_comment_that_somebody_else_wrote_into_was_not_read(calm: Stage) -> None:
    number = proposed(calm, "agent/comment", greet("commented"))
    comment = plan_comment(calm, number)
    # Somebody makes it look harmless, and puts it back afterwards.
    calm.author.api("PATCH", f"/issues/comments/{comment['id']}", body="Nothing is changed.")
    calm.approve(number)
    calm.author.api("PATCH", f"/issues/comments/{comment['id']}", body=comment["body"])
    calm.later()
    calm.run()
    assert calm.rules(number) == [21]
    # The plan is there again, by us; nobody has read that one.
    assert "Nothing is changed." not in plan_comment(calm, number)["body"]
    calm.author.api("DELETE", f"/issues/comments/{plan_comment(calm, number)['id']}")
    calm.approve(number)
    calm.later()
    calm.run()
    assert calm.rules(number) == [21]
    assert rules_in_ledger(calm, f"pull-request/{number}") == [21]
    reverted(calm, refused_after_merge(calm, number, 21))


# -- under whose rules ---------------------------------------------------------------------------------------------


RULE = "actions: [deploy, rollback]\n    need: {approvals: 1, from_group: operators}"
LOWER_RULE = RULE.replace("operators", "sre")
LOWERED, RAISED = replace("policy.yaml", RULE, LOWER_RULE), replace("policy.yaml", LOWER_RULE, RULE)


def test_a_pull_request_does_not_lower_its_own_gate(calm: Stage) -> None:
    def lowered_and_more(clone: Path) -> None:
        LOWERED(clone)
        greet("lowered")(clone)

    number = proposed(calm, "agent/lowered", lowered_and_more)
    calm.approve(number)
    assert calm.rules(number) == [46]
    comment = plan_comment(calm, number)["body"]
    assert "split it, the rules first" in comment
    refused_after_merge(calm, number, 46)
    # What undoes both at once is refused for the same reason: the rules go back first, then the rest.
    with nothing_applied(calm):
        for branch, edit in (("agent/rules-back", RAISED), ("agent/rest-back", greet("first"))):
            number = proposed(calm, branch, edit)
            calm.approve(number)
            assert calm.gate(number) == {"outcome": "open"}
            calm.reviewer.merge(number)
            calm.run()
    for name in (PRODUCTION, SPARE):
        status = calm.status(name)
        assert (status["hold"], status["sync"]) == (None, "Synced"), status


def test_rules_change_by_a_pull_request_of_their_own_that_those_approve_who_are_asked_for(calm: Stage) -> None:
    number = proposed(calm, "agent/rules", LOWERED)
    assert calm.author.statuses(calm.author.pull(number)["head"]["sha"])["reconciler/approval"]["state"] == "pending"
    calm.approve(number, "keeper")  # of the group that the new rules ask for, and not of the one that the old ones do
    assert calm.gate(number)["outcome"] == "waiting"
    calm.approve(number, "operator")  # of both
    assert calm.gate(number) == {"outcome": "open"}
    with nothing_applied(calm):
        sha = merged_anyway(calm, number)
        assert [calm.status(name)["reason"] for name in (PRODUCTION, SPARE)] == ["", ""]
    # They hold from now on, also for their own undoing.
    number = revert_pull_request(calm, sha)
    calm.approve(number)
    assert calm.gate(number)["outcome"] == "waiting"
    calm.approve(number, "operator")
    assert calm.gate(number) == {"outcome": "open"}
    with nothing_applied(calm):
        merged_anyway(calm, number)
        assert [calm.status(name)["hold"] for name in (PRODUCTION, SPARE)] == [None, None]


# -- how it landed -------------------------------------------------------------------------------------------------


def pushed_to_main(stage: Stage, edit: Callable[[Path], None], who: str = "operator") -> str:
    """Somebody who may write pushes to the deploy branch itself; the new tip."""
    return stage.people[who].push("main", "Just this once", edit)


def held_by(stage: Stage, rule: int, commit: str, name: EnvironmentName = PRODUCTION) -> None:
    """The environment is held with this number, and the ledger says so."""
    report = stage.run()
    assert not report["failures"], report["failures"]
    status = stage.status(name)
    assert (status["hold"], status["commit"]) == ("Held", commit), status
    assert f"(gate {rule})" in status["reason"], status
    entry = stage.parts.ledger.latest("hold", str(name))
    assert entry is not None
    assert f"(gate {rule})" in json.loads(entry.body)["data"]["reason"]


def test_an_evil_merge_brings_in_what_nobody_saw(calm: Stage) -> None:
    """The approved pull request, merged by hand with something more in the merge commit: the forge calls it merged."""
    number = calm.propose_and_approve(greet("shown"), "agent/evil")
    with nothing_applied(calm):
        clone = calm.operator.checkout("evil")
        calm.operator.git("merge", "--no-ff", "--no-commit", "origin/agent/evil")
        greet("not shown")(clone)
        evil = calm.operator.commit("Merge agent/evil")
        calm.operator.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
        assert calm.author.pull(number)["merged"]
        held_by(calm, 36, evil)
    reverted(calm, evil)


def test_a_branch_that_is_put_back_takes_nothing_back(calm: Stage) -> None:
    """Somebody forces the deploy branch to before what was deployed; it goes on when it is put right again."""
    landed = calm.land(greet("forward"), "agent/forward")
    calm.run()
    assert calm.greeting() == "forward"
    with nothing_applied(calm):
        calm.operator.checkout("back")
        back = calm.operator.git("rev-parse", f"{landed}^1")
        calm.operator.git("push", "--quiet", "--force", "origin", f"{back}:refs/heads/main")
        held_by(calm, 39, back)
        calm.operator.git("push", "--quiet", "--force", "origin", f"{landed}:refs/heads/main")
        calm.run()
        assert calm.status()["hold"] is None
    number = calm.propose_and_approve(greet("first"), "agent/as-it-was")
    calm.reviewer.merge(number)
    assert not calm.run()["failures"]


def test_a_direct_push_holds_what_it_touches_and_nothing_else(calm: Stage) -> None:
    with nothing_applied(calm):
        direct = pushed_to_main(calm, greet("pushed directly"))
        held_by(calm, 33, direct)
        assert calm.status(SPARE)["hold"] is None
    production = calm.containers()
    # Others go on.
    spare = calm.land(greet("others go on", "spare"), "agent/spare-goes-on")
    calm.run()
    assert calm.greeting(SPARE) == "others go on"
    assert calm.status(SPARE)["revision"] == spare
    # What is approved on top of it does not bring it along.
    number = proposed(calm, "agent/on-top", replace(PRODUCTION_FILE, "tier: production", "tier: production\njobs: []"))
    calm.approve(number)
    on_top = calm.reviewer.merge(number, "squash")
    held_by(calm, 33, direct)
    assert calm.containers() == production
    reverted(calm, on_top, direct)
