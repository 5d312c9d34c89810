"""Where consent is signed, somebody who has a person's forge token and no key of theirs goes for what decides about
signatures instead: the rules, and environments that do not exist yet. Real git, ssh-keygen and embedded forge.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.model.target import EnvironmentName
from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import FILES, Stage, greet, replace
from tests.scenarios.test_consent import PRINCIPALS, make_key, run_cli, sign, token_file
from tests.scenarios.test_consent import PRODUCTION as ENVIRONMENT

Keys = dict[str, tuple[Path, str]]

BESIDE = """\
hosts: [web-1]
tier: production
compose: [../compose.yaml]
variables: {GREETING: "beside"}
consent_delay: 0s
"""


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """By name the file and the public half."""
    return {name: (tmp_path / name, make_key(tmp_path / name)) for name in ("reviewer", "thief")}


@pytest.fixture
def signing(make_simulated: StageMaker, keys: Keys) -> Stage:
    """Production asks for signed consent, and the reviewer has a key."""
    people = FILES[PRINCIPALS].replace(
        "reviewer: {github: 1002, groups: [operators]}",
        f'reviewer: {{github: 1002, groups: [operators], signing_keys: ["{keys["reviewer"][1]}"]}}',
    )
    production = FILES[ENVIRONMENT].rstrip() + "\n        consent: signed\n"
    return make_simulated(**{PRINCIPALS: people, ENVIRONMENT: production})


def statement(stage: Stage, number: int) -> str:
    return str(run_cli(stage, "approvals", "show", str(number))[1]["data"]["statement"])


def test_a_stolen_token_registers_no_other_key(signing: Stage, keys: Keys, tmp_path: Path) -> None:
    stage = signing
    add = replace("principals.yaml", keys["reviewer"][1], f'{keys["reviewer"][1]}", "{keys["thief"][1]}')
    number = stage.deployer.propose("agent/keys", "Another key", add)["number"]
    stage.run()
    stage.approve(number)
    assert stage.rules(number) == [5]
    stage.reviewer.comment(number, f"/reconciler approve\n\n{sign(keys['thief'][0], statement(stage, number))}")
    assert set(stage.rules(number)) == {5}
    # And merged all the same, so that the thief's key stands on the deploy branch.
    merged = stage.reviewer.merge(number)
    stage.run()
    assert (stage.status()["hold"], stage.status()["commit"]) == ("AwaitingConsent", merged)
    second = stage.deployer.propose("agent/one", "One", greet("stolen"))["number"]
    stage.run()
    signed = sign(keys["thief"][0], statement(stage, second))
    stage.reviewer.comment(second, f"/reconciler approve {stage.plan_digest(second)[:12]}\n\n{signed}")
    stage.run()
    assert set(stage.rules(second)) == {5}
    stage.reviewer.merge(second)
    stage.run()
    assert stage.greeting() == "first"
    # Whoever has the key can change the rules, from the command line.
    token = token_file(stage, "reviewer", tmp_path)
    approve = ("approvals", "approve", str(number), "--token-file", token, "--yes", "--sign", str(keys["reviewer"][0]))
    assert run_cli(stage, *approve)[0] == 3, "and names what they read"
    head = stage.author.pull(number)["head"]["sha"]
    code, said = run_cli(stage, *approve, "--plan", head[:12])
    assert (code, said["data"]["signed"]) == (0, True), said
    stage.run()
    assert stage.status()["commit"] != merged


def test_a_stolen_token_lowers_no_consent(signing: Stage) -> None:
    lower = replace(ENVIRONMENT, "consent: signed", "consent: review")
    number = signing.deployer.propose("agent/lower", "Lower", lower)["number"]
    signing.run()
    signing.approve(number)
    assert signing.rules(number) == [5]


def test_a_stolen_token_puts_no_other_environment_beside_it(signing: Stage) -> None:
    stage = signing

    def add(clone: Path) -> None:
        file = clone / "projects/app/beside/environment.yaml"
        file.parent.mkdir()
        file.write_text(BESIDE)

    number = stage.deployer.propose("agent/beside", "Beside", add)["number"]
    stage.run()
    stage.approve(number)
    assert stage.rules(number) == [5]
    stage.reviewer.merge(number)
    stage.run()
    assert stage.host("web-1").containers("app-beside") == {}
    assert stage.status(EnvironmentName("app", "beside"))["hold"] == "AwaitingConsent"


def test_a_stolen_token_moves_no_other_environment_there(signing: Stage) -> None:
    stage = signing
    move = replace("projects/app/spare/environment.yaml", "hosts: [web-2]", "hosts: [web-2, web-1]")
    number = stage.deployer.propose("agent/move", "Move", move)["number"]
    stage.run()
    stage.approve(number)
    assert stage.rules(number) == [5]
    stage.reviewer.merge(number)
    stage.run()
    assert stage.host("web-1").containers("app-spare") == {}
