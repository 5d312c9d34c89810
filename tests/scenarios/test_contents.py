"""What an approved change contains is judged all the same: on real engines, SSH, git and the embedded forge.

An operator approves and merges what reaches for the host; nothing of it runs. Then it is waived, by itself, and runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scenarios.conftest import stages
from tests.scenarios.stage import PRODUCTION, SPARE, Stage, greet, replace

COMPOSE, FILE = "projects/app/compose.yaml", "projects/app/production/environment.yaml"
OVERLAY = "projects/app/production/compose.yaml"
REACHES = "services: {worker: {cap_add: [NET_ADMIN]}}\n"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Production with a file of its own, and a spare environment on another host."""
    with stages() as make:
        yield make(
            **{
                OVERLAY: "services: {}\n",
                FILE: """\
                hosts: [web-1]
                tier: production
                compose: [../compose.yaml, compose.yaml]
                variables: {GREETING: "first"}
                consent_delay: 0s
                """,
            }
        )


def reaching(clone: Path) -> None:
    (clone / OVERLAY).write_text(REACHES)


def with_waiver(line: str) -> Callable[[Path], None]:
    def edit(clone: Path) -> None:
        (clone / FILE).write_text(f"{(clone / FILE).read_text()}waivers:\n  {line}\n")

    return edit


def proposed(stage: Stage, branch: str, *edits: Callable[[Path], None]) -> int:
    def edit(clone: Path) -> None:
        for each in edits:
            each(clone)

    number: int = stage.deployer.propose(branch, f"Change by {branch}", edit)["number"]
    report = stage.run()
    assert not report["failures"], report["failures"]
    return number


def comment(stage: Stage, number: int) -> str:
    (found,) = [c["body"] for c in stage.author.comments(number) if c["user"]["login"] == "reconciler"]
    return str(found)


def waiver_line(stage: Stage, number: int) -> str:
    """The line that the comment asks for, as a person copies it."""
    (line,) = re.findall(r"^- `(- \{finding: [0-9a-f]{32}, why: \"…\"\})`$", comment(stage, number), re.MULTILINE)
    return str(line).replace("…", "the worker sets up its own routes")


def capabilities(stage: Stage) -> list[str]:
    found = stage.host().ask("GET", "/containers/app-production-worker-1/json")["HostConfig"]["CapAdd"]
    return [str(each) for each in found or ()]


def test_what_reaches_for_the_host_runs_once_it_is_waived_and_not_before(stage: Stage) -> None:
    number = proposed(stage, "agent/reaches", reaching)
    text = comment(stage, number).replace("\\", "")
    assert "cap-add [78]" in text
    assert "service worker: cap_add NET_ADMIN is a capability that the engine withholds" in text
    line = waiver_line(stage, number)
    stage.approve(number)
    assert stage.rules(number) == [78]

    both = proposed(stage, "agent/both", reaching, with_waiver(line))
    stage.approve(both)
    assert stage.rules(both) == [46, 78], "a waiver neither comes with what it waives nor waives it"
    stage.author.api("PATCH", f"/pulls/{both}", state="closed")

    waiver = proposed(stage, "agent/waiver", with_waiver(line))
    stage.approve(waiver)
    assert stage.gate(waiver) == {"outcome": "open"}
    assert "fits nothing that is found here" in comment(stage, waiver)
    stage.reviewer.merge(waiver)
    stage.run()
    assert (stage.status()["hold"], capabilities(stage)) == (None, [])

    stage.run()
    assert stage.gate(number) == {"outcome": "open"}, stage.gate(number)
    assert "waived: the worker sets up its own routes" in comment(stage, number)
    merged = stage.reviewer.merge(number)
    report = stage.run()
    assert not report["failures"], report["failures"]
    assert (stage.status()["sync"], capabilities(stage)) == ("Synced", ["CAP_NET_ADMIN"])
    decided = stage.parts.ledger.latest("gate", f"landing/{merged}/{PRODUCTION}")
    assert decided is not None
    (waived,) = {digest for found in decided.data["facts"]["waived"].values() for digest in found}
    assert line.startswith(f"- {{finding: {waived[:32]},")


def test_merged_in_spite_of_it_nothing_of_it_runs_and_the_ledger_says_why(stage: Stage) -> None:
    before = stage.containers(SPARE)
    edit = replace(COMPOSE, "  worker:\n", "  worker:\n    pid: host\n")
    number = proposed(stage, "agent/pid", edit, greet("with the processes of the host", "spare"))
    stage.approve(number)
    sha = stage.operator.merge(number)
    stage.run()
    for name in (PRODUCTION, SPARE):
        assert stage.status(name)["hold"] == "Held", stage.status(name)
        assert "(gate 78)" in stage.status(name)["reason"]
    assert stage.containers(SPARE) == before
    entry = stage.parts.ledger.latest("gate", f"landing/{sha}/app/spare")
    assert entry is not None
    assert 78 in [reason["rule"] for reason in json.loads(entry.body)["data"]["facts"]["decision"]["reasons"]]
