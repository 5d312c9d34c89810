"""What happens on an ordinary day, on real engines over real SSH."""

import pytest

from tests.scenarios.stage import PRODUCTION, SPARE, Stage, greet


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_an_approved_change_is_deployed_however_it_is_merged(stage: Stage, method: str) -> None:
    before = stage.containers()
    merged = stage.land(greet("second"), method=method)
    report = stage.run()
    assert not report["failures"]
    record = stage.deployments()[0]
    assert (record["revision"], record["outcome"], record["kind"]) == (merged, "succeeded", "change")
    assert record["author"] == "deployer"
    assert [a["person"] for a in record["approvals"]] == ["reviewer"]
    assert stage.greeting() == "second"
    after = stage.containers()
    assert after["app-production-worker-1"] == before["app-production-worker-1"]  # untouched
    assert after["app-production-web-1"] != before["app-production-web-1"]
    assert stage.author.statuses(merged)["reconciler/deploy"]["state"] == "success"
    assert stage.status(SPARE)["revision"] == merged  # passed over, not deployed
    assert len(stage.deployments(SPARE)) == 1


def test_a_second_run_does_nothing(stage: Stage) -> None:
    stage.land(greet("second"))
    stage.run()
    before, ledger = stage.containers(), len(list(stage.parts.ledger.entries()))
    report = stage.run()
    assert report["deployments"] == []
    assert stage.containers() == before
    assert len(list(stage.parts.ledger.entries())) == ledger


def test_one_change_does_not_void_another(stage: Stage) -> None:
    first = stage.propose_and_approve(greet("second"), "agent/one")
    second = stage.propose_and_approve(
        lambda clone: (clone / "projects/app/spare/environment.yaml").write_text(
            (clone / "projects/app/spare/environment.yaml").read_text().replace("spare", "other")
        ),
        "agent/two",
    )
    stage.reviewer.merge(first)
    stage.reviewer.merge(second)
    stage.run()
    assert (stage.greeting(PRODUCTION), stage.greeting(SPARE)) == ("second", "other")


def test_a_plan_that_changed_since_the_approval_waits_for_consent_to_the_new_one(stage: Stage) -> None:
    number = stage.propose_and_approve(greet("second"))
    approved = stage.plan_digest(number)
    merged = stage.reviewer.merge(number)
    # Somebody changes the container by hand: what the approved change would do now is something else.
    stage.host().docker("update", "--memory", "64m", "--memory-swap", "64m", "app-production-web-1")
    before = stage.containers()
    stage.run()
    status = stage.status()
    assert (status["hold"], status["commit"]) == ("AwaitingConsent", merged)
    assert "(gate 28)" in status["reason"], status
    assert stage.author.statuses(merged)["reconciler/deploy"]["state"] == "failure"
    assert (stage.containers(), len(stage.deployments())) == (before, 1)
    # The merged pull request shows the plan as it is now, and the old approval is none of it, however often we look.
    _, comment = stage.author.comments(number)
    assert "The plan changed after the merge" in comment["body"]
    assert "service web memory: 67108864" in comment["body"]
    assert "Why: what runs on the host has changed since" in comment["body"]
    assert stage.plan_digest(number) != approved
    stage.run()
    assert len(stage.deployments()) == 1
    # Neither is one by whoever stands behind the agent. Somebody who counts reads it and approves again.
    command = f"/reconciler approve {stage.plan_digest(number)[:12]}"
    for who, said in (("author", command), ("deployer", command), ("reviewer", f"/reconciler approve {approved[:12]}")):
        stage.people[who].comment(number, said)
    stage.run()
    assert len(stage.deployments()) == 1
    stage.reviewer.comment(number, f"{command} it is ours, we raise the limit next")
    stage.run()
    record = stage.deployments()[0]
    assert (record["revision"], record["outcome"]) == (merged, "succeeded"), record["reason"]
    assert record["plan_digest"] == stage.plan_digest(number) != approved
    assert (stage.status()["sync"], stage.status()["hold"]) == ("Synced", None)
    assert stage.greeting() == "second"
    assert stage.author.statuses(merged)["reconciler/deploy"]["state"] == "success"
