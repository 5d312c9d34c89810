"""An emergency, from a broken production to a repository that has caught up with what two persons deployed.
On real engines, SSH, git, ssh-keygen, the embedded forge, and with the program as a person runs it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import FILES, Stage, greet
from tests.scenarios.test_consent import PRINCIPALS, PRODUCTION, make_key, run_cli, sign, token_file

NAMESPACE = "reconciler-break-glass"
EMERGENCIES = """\
          - {id: emergencies, effect: require, actions: [break_glass], need: {approvals: 2, from_group: sre}}
"""


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    return {name: tmp_path / name for name in ("operator", "keeper", "thief")}


@pytest.fixture
def stage(make_stage: StageMaker, keys: dict[str, Path]) -> Stage:
    """Two persons of the group sre have keys; production heals its drift."""
    public = {name: make_key(file) for name, file in keys.items()}
    people = FILES[PRINCIPALS]
    for name, groups in (("operator", "[operators, sre]"), ("keeper", "[sre]")):
        people = people.replace(f"groups: {groups}}}\n", f'groups: {groups}, signing_keys: ["{public[name]}"]}}\n', 1)
    policy = FILES["policy.yaml"].rstrip() + "\n" + EMERGENCIES
    production = FILES[PRODUCTION].rstrip() + "\n        drift: heal\n"
    return make_stage(**{PRINCIPALS: people, "policy.yaml": policy, PRODUCTION: production})


def hotfix(stage: Stage, text: str) -> str:
    """A fix that the agent has pushed to a branch, and that nobody had time to review; its commit."""
    greet(text)(stage.deployer.checkout("agent/hotfix"))
    fix = stage.deployer.commit("Mend it")
    stage.deployer.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/agent/hotfix")
    return fix


def glass(stage: Stage, revision: str, *more: str) -> tuple[int, Any]:
    why = ("--reason", "the shop answers 500", "--ticket", "OPS-1")
    return run_cli(stage, "break-glass", "app/production", "--revision", revision, *why, *more)


def last(stage: Stage, kind: str, subject: str = "app/production") -> dict[str, Any]:
    entry = stage.parts.ledger.latest(kind, subject)
    assert entry is not None, f"there is no {kind}"
    data: dict[str, Any] = json.loads(entry.body)["data"]
    return data


def test_two_persons_mend_production_and_a_pull_request_catches_up(
    stage: Stage, keys: dict[str, Path], tmp_path: Path
) -> None:
    before = stage.propose_and_approve(greet("feature"), "agent/feature")
    fix = hotfix(stage, "mended")

    # Somebody looks. Nothing is changed by it.
    code, shown = glass(stage, fix, "--dry-run")
    assert (code, shown["data"]["may"]) == (0, ["keeper", "operator"]), shown
    (digest,) = shown["data"]["plans"].values()
    issued, statement = shown["data"]["issued"], shown["data"]["statement"]
    assert stage.greeting() == "first"

    # What one gets with less than two persons: nothing, and an entry of the ledger.
    second = tmp_path / "second.sig"
    second.write_text(sign(keys["thief"], statement, NAMESPACE))
    run = ("--plan", digest, "--issued", issued, "--yes", "--second-signature", str(second))
    operator = ("--token-file", token_file(stage, "operator", tmp_path))
    agent = ("--token-file", token_file(stage, "deployer", tmp_path))
    code, refused = glass(stage, fix, *run, *operator, "--sign", str(keys["operator"]))
    assert (code, refused["code"]) == (3, "NOT_ALLOWED"), refused
    second.write_text(sign(keys["keeper"], statement, NAMESPACE))
    code, refused = glass(stage, fix, *run, *agent, "--sign", str(keys["operator"]))
    assert (code, "agents break no glass" in refused["error"]) == (3, True), refused
    assert "agents break no glass" in last(stage, "break-glass-refused")["reasons"][0]["text"]
    assert (stage.greeting(), len(stage.deployments())) == ("first", 1)

    # Two persons, for exactly that plan.
    code, done = glass(stage, fix, *run, *operator, "--sign", str(keys["operator"]))
    assert (code, done["data"]["outcome"], done["data"]["kind"]) == (0, "succeeded", "break-glass"), done
    assert stage.greeting() == "mended"
    assert last(stage, "break-glass-announced")["by"] == ["operator", "keeper"]
    assert stage.author.statuses(fix)["reconciler/deploy"]["state"] == "error"
    code, refused = glass(stage, fix, *run, *operator, "--sign", str(keys["operator"]))
    assert (code, "was used already" in refused["error"]) == (3, True), refused

    # It stays as it is, though production heals, and though a change that was approved before is merged meanwhile.
    containers = stage.containers()
    stage.run()
    assert (stage.status()["hold"], stage.status()["revision"]) == ("BrokenGlass", stage.baseline)
    stage.reviewer.merge(before)
    stage.run()
    assert (stage.greeting(), stage.containers()) == ("mended", containers)
    assert (stage.status()["hold"], len(stage.deployments())) == ("AwaitingConsent", 2)
    code, why = run_cli(stage, "why", "app/production")
    assert (code, why["data"]["broken_glass"][0]["ticket"]) == (0, "OPS-1")

    # A pull request reproduces it; its comment says where it stands.
    number = stage.deployer.propose("agent/catch-up", "Keep what was mended", greet("mended"))["number"]
    stage.run()
    (comment,) = (each["body"] for each in stage.author.comments(number))
    assert "BrokenGlass" in comment
    assert "OPS-1" in comment
    stage.approve(number)
    stage.run()
    merged = stage.reviewer.merge(number)
    stage.run()
    status = stage.status()
    assert (status["hold"], status["broken_glass"], status["revision"], status["sync"]) == (
        None,
        None,
        merged,
        "Synced",
    )
    assert (stage.greeting(), stage.containers()) == ("mended", containers), "and nothing was restarted for it"
    ended = last(stage, "break-glass-ended")
    assert (ended["glass"], ended["pull_request"], ended["revision"]) == (done["data"]["id"], number, merged)
    code, verified = run_cli(stage, "ledger", "verify")
    assert (code, verified["data"]["valid"]) == (0, True)


def test_a_change_that_nobody_has_to_approve_does_not_undo_an_emergency(
    make_stage: StageMaker, keys: dict[str, Path], tmp_path: Path
) -> None:
    """Where nobody has to approve, the plan that is made against what runs has to be approved all the same."""
    public = {name: make_key(file) for name, file in keys.items()}
    people = FILES[PRINCIPALS].replace(
        "keeper: {github: 1006, groups: [sre]}",
        f'keeper: {{github: 1006, groups: [sre], signing_keys: ["{public["keeper"]}"]}}',
    )
    people = people.replace(
        "operator: {github: 1005, groups: [operators, sre]}",
        f'operator: {{github: 1005, groups: [operators, sre], signing_keys: ["{public["operator"]}"]}}',
    )
    free = FILES["policy.yaml"].replace("need: {approvals: 1, from_group: operators}", "need: {approvals: 0}", 1)
    one = EMERGENCIES.replace("approvals: 2", "approvals: 1")
    stage = make_stage(**{PRINCIPALS: people, "policy.yaml": f"{free.rstrip()}\n{one}"})
    fix = hotfix(stage, "mended")
    code, shown = glass(stage, fix, "--dry-run")
    (digest,) = shown["data"]["plans"].values()
    token = token_file(stage, "keeper", tmp_path)
    code, done = glass(stage, fix, "--plan", digest, "--token-file", token, "--sign", str(keys["keeper"]), "--yes")
    assert (code, done["data"]["outcome"]) == (0, "succeeded"), done
    assert stage.status()["broken_glass"][0]["review_by"] is not None

    number = stage.deployer.propose("agent/feature", "A feature", greet("feature"))["number"]
    stage.run()
    stage.reviewer.merge(number)
    for _ in range(2):
        stage.run()
    assert (stage.greeting(), stage.status()["hold"]) == ("mended", "BrokenGlass")
    stage.later()
    comments = stage.author.comments(number)
    plan = stage.plan_digest(number)
    assert any(plan[:12] in each["body"] for each in comments)
    stage.reviewer.comment(number, f"/reconciler approve {plan[:12]}")
    stage.run()
    assert stage.greeting() == "feature"
    # The reviewer is another person than who broke the glass, and has seen what became of it.
    assert stage.status()["broken_glass"] is None
    assert last(stage, "break-glass-ended")["reviewed_by"] == ["reviewer"]
