"""Saying yes and no: by signature, by a command after the merge, and from the command line with one's own credential.
On real engines, SSH, git, ssh-keygen and the embedded forge.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import FILES, Stage, greet

PRINCIPALS = "principals.yaml"
PRODUCTION = "projects/app/production/environment.yaml"


def make_key(file: Path) -> str:
    """A new key; its public half as principals.yaml has it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return " ".join(file.with_suffix(".pub").read_text().split()[:2])


def sign(key: Path, text: str, namespace: str = "reconciler-approval") -> str:
    """What `ssh-keygen -Y sign` makes of a text."""
    command = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", namespace]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def run_cli(stage: Stage, *arguments: str) -> tuple[int, Any]:
    """The program as a person runs it: exit code and the JSON document."""
    command = (sys.executable, "-m", "reconciler", *arguments, "--config", str(stage.world.config), "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, json.loads(done.stdout)


def token_file(stage: Stage, who: str, directory: Path) -> str:
    """A person's token in a file of theirs."""
    file = directory / f"{who}.token"
    file.write_text(stage.people[who].account.token)
    return str(file)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    return {name: tmp_path / name for name in ("reviewer", "thief")}


@pytest.fixture
def signing(make_stage: StageMaker, keys: dict[str, Path]) -> Stage:
    """Production asks for signed consent, and the reviewer has a key."""
    public = {name: make_key(file) for name, file in keys.items()}["reviewer"]
    people = FILES[PRINCIPALS].replace(
        "reviewer: {github: 1002, groups: [operators]}",
        f'reviewer: {{github: 1002, groups: [operators], signing_keys: ["{public}"]}}',
    )
    return make_stage(**{PRINCIPALS: people, PRODUCTION: FILES[PRODUCTION].rstrip() + "\n        consent: signed\n"})


def test_a_stolen_token_approves_nothing_where_consent_is_signed(
    signing: Stage, keys: dict[str, Path], tmp_path: Path
) -> None:
    stage = signing
    first = stage.deployer.propose("agent/one", "One", greet("second"))["number"]
    stage.run()
    # What one can do with the reviewer's token alone: click, command, sign with a key of one's own, and use a signature
    # that the reviewer gave to something else.
    stage.approve(first)
    digest = stage.plan_digest(first)
    command = f"/reconciler approve {digest[:12]}"
    stage.reviewer.comment(first, command)
    code, shown = run_cli(stage, "approvals", "show", str(first))
    assert code == 4
    statement = shown["data"]["statement"]
    stage.reviewer.comment(first, f"{command}\n{sign(keys['thief'], statement)}")
    stage.reviewer.comment(first, f"{command}\n{sign(keys['reviewer'], statement, 'git')}")
    other = statement.replace(f"pull request {first}\n", f"pull request {first + 1}\n")
    stage.reviewer.comment(first, f"{command}\n{sign(keys['reviewer'], other)}")
    stage.run()
    assert set(stage.rules(first)) == {5}
    merged = stage.reviewer.merge(first)
    stage.run()
    assert len(stage.deployments()) == 1
    assert (stage.status()["hold"], stage.status()["commit"]) == ("AwaitingConsent", merged)
    entry = stage.parts.ledger.latest("gate", f"landing/{merged}/app/production")
    assert entry is not None
    decision = json.loads(entry.body)["data"]["facts"]["decision"]
    assert {reason["rule"] for reason in decision["reasons"]} == {5}, "what was tried is on record"
    # The reviewer signs, with the program, after the merge.
    token = token_file(stage, "reviewer", tmp_path)
    approve = ("approvals", "approve", str(first), "--plan", digest[:12], "--token-file", token, "--yes")
    code, refused = run_cli(stage, *approve, "--sign", str(keys["thief"]))
    assert (code, refused["code"]) == (1, "INVALID")
    code, said = run_cli(stage, *approve, "--sign", str(keys["reviewer"]))
    assert (code, said["data"]["signed"], said["data"]["form"]) == (0, True, "comment"), said
    stage.run()
    record = stage.deployments()[0]
    assert (record["revision"], record["outcome"]) == (merged, "succeeded"), record
    assert record["approvals"][0]["key"] == " ".join(keys["reviewer"].with_suffix(".pub").read_text().split()[:2])


def test_a_signature_over_one_plan_is_none_over_the_next(signing: Stage, keys: dict[str, Path]) -> None:
    stage = signing
    number = stage.deployer.propose("agent/one", "One", greet("second"))["number"]
    stage.run()
    statement = run_cli(stage, "approvals", "show", str(number))[1]["data"]["statement"]
    signature = sign(keys["reviewer"], statement)
    stage.reviewer.comment(number, f"/reconciler approve {stage.plan_digest(number)[:12]}\n\n{signature}")
    stage.run()
    assert stage.gate(number) == {"outcome": "open"}
    stage.deployer.push("agent/one", "Two", greet("third"))
    stage.run()
    stage.reviewer.comment(number, f"/reconciler approve {stage.plan_digest(number)[:12]}\n\n{signature}")
    assert stage.gate(number)["outcome"] != "open"
    assert 5 in stage.rules(number)


def test_from_the_command_line_a_person_approves_and_an_agent_does_not(stage: Stage, tmp_path: Path) -> None:
    number = stage.deployer.propose("agent/one", "One", greet("second"))["number"]
    stage.run()
    digest = stage.plan_digest(number)
    code, listed = run_cli(stage, "approvals", "list")
    assert (code, [row["pull_request"] for row in listed["data"]]) == (0, [number])
    assert listed["data"][0]["decision"]["outcome"] == "waiting"

    def approve(who: str, *more: str) -> tuple[int, Any]:
        stage.later()
        return run_cli(
            stage, "approvals", "approve", str(number), "--token-file", token_file(stage, who, tmp_path), *more
        )

    assert approve("deployer", "--plan", digest, "--yes")[1]["error"].startswith("deployer is the agent deployer")
    code, refused = approve("reviewer", "--yes")
    assert (code, refused["code"]) == (3, "NOT_ALLOWED"), "nobody approves what they did not name"
    assert approve("reviewer", "--plan", digest[:11], "--yes")[0] == 3
    assert approve("reviewer", "--plan", "0" * 12, "--yes")[0] == 3
    assert approve("reviewer", "--plan", digest)[0] == 3, "and without --yes nothing is said"
    assert stage.author.api("GET", f"/pulls/{number}/reviews") == []
    code, said = approve("author", "--plan", digest, "--yes")
    assert (code, said["data"]["gate"]["reasons"][0]["rule"]) == (4, 4), "it is said, and does not count"
    code, said = approve("reviewer", "--plan", digest[:12], "--yes")
    assert (code, said["data"]["gate"]) == (0, {"outcome": "open"}), said


def test_a_rejection_after_the_merge_parks_the_environment_with_its_reason(stage: Stage, tmp_path: Path) -> None:
    number = stage.propose_and_approve(greet("second"))
    merged = stage.reviewer.merge(number)
    token = token_file(stage, "operator", tmp_path)
    plan = stage.plan_digest(number)
    reject = ("approvals", "reject", str(number), "--plan", plan, "--token-file", token, "--yes")
    code, said = run_cli(stage, *reject, "--reason", "not before the holidays")
    assert (code, said["data"]["form"]) == (0, "comment"), said
    stage.run()
    status = stage.status()
    assert (status["hold"], status["commit"]) == ("Parked", merged)
    assert "not before the holidays" in status["reason"]
    assert len(stage.deployments()) == 1
    # What lands on top of it does not take it along.
    stage.land(greet("third"), branch="agent/next")
    stage.run()
    assert len(stage.deployments()) == 1
    # Who rejected says yes after all; what landed on top of it was shown as another plan, and is shown again.
    code, _ = run_cli(stage, "approvals", "approve", str(number), "--plan", plan, "--token-file", token, "--yes")
    assert code == 0
    stage.run()
    assert [record["outcome"] for record in stage.deployments()] == ["succeeded"] * 2
    assert (stage.greeting(), stage.status()["hold"]) == ("second", "AwaitingConsent")
