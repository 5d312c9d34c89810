"""A commit that was pushed past the gate, adopted from the command line. On real engines, SSH, git and the embedded
forge, whose own log says who pushed.
"""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage import SPARE, Stage, greet
from tests.scenarios.test_consent import run_cli, token_file


def test_a_direct_push_is_adopted_by_somebody_who_had_no_part_in_it(stage: Stage, tmp_path: Path) -> None:
    pushed = stage.operator.push("main", "Just this once", greet("pushed directly"))
    stage.run()
    assert (stage.status()["hold"], stage.status()["commit"]) == ("Held", pushed)
    code, refused = run_cli(stage, "status")
    assert code == 0
    assert any(pushed[:12] in row["reason"] for row in refused["data"] if row["environment"] == "app/production")
    arguments = ("approvals", "adopt", pushed[:10], "--why", "the outage of Friday")
    token = token_file(stage, "author", tmp_path)
    code, done = run_cli(stage, *arguments, "--token-file", token)
    assert (code, done["ok"]) == (3, False), "it asks for a yes"
    code, done = run_cli(stage, *arguments, "--token-file", token, "--yes")
    assert code == 0, done
    assert done["data"]["adopts"] == pushed
    number = done["data"]["pull_request"]
    stage.run()
    (comment,) = [c for c in stage.author.comments(number) if c["user"]["login"] == "reconciler"]
    assert f"This adopts {pushed}" in comment["body"]
    assert "pushed by operator" in comment["body"]
    assert "pushed directly" in comment["body"]
    stage.approve(number, "operator")  # who pushed it
    assert stage.rules(number) == [6]
    stage.approve(number)
    assert stage.gate(number) == {"outcome": "open"}
    stage.reviewer.merge(number)
    report = stage.run()
    assert not report["failures"], report["failures"]
    assert [made["revision"] for made in report["deployments"]] == [pushed]
    assert stage.greeting() == "pushed directly"
    assert (stage.status()["hold"], stage.status()["sync"]) == (None, "Synced")
    assert stage.author.statuses(pushed)["reconciler/deploy"]["state"] == "success"
    assert stage.greeting(SPARE) == "spare"
