"""Statuses and check runs on a commit."""

from __future__ import annotations

import pytest

from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY


@pytest.fixture
def head(as_: As) -> str:
    return as_("author").commit_file("change", "a.txt", "a\n")


def test_the_newest_status_of_each_context_counts(as_: As, head: str) -> None:
    url = f"{REPOSITORY}/commits/{head}/status"
    assert (as_("reader").get(url)["state"], as_("reader").get(url)["total_count"]) == ("pending", 0)
    for context, state in (("plan", "pending"), ("plan", "success"), ("approval", "pending")):
        posted = as_("engine").post(f"{REPOSITORY}/statuses/{head}", state=state, context=context, description="d")
        assert posted["creator"]["id"] == 1007
    combined = as_("reader").get(url)
    assert (combined["state"], combined["total_count"]) == ("pending", 2)
    assert {one["context"]: one["state"] for one in combined["statuses"]} == {"plan": "success", "approval": "pending"}
    as_("engine").post(f"{REPOSITORY}/statuses/{head}", state="error", context="approval")
    assert as_("reader").get(f"{REPOSITORY}/commits/change/status")["state"] == "failure"
    assert len(as_("reader").get(f"{REPOSITORY}/commits/{head}/statuses")) == 4


@pytest.mark.parametrize(
    "body",
    [{"state": "great"}, {"state": "success", "description": "x" * 141}, {"state": "success", "target_url": "x"}, {}],
)
def test_a_bad_status_is_refused(as_: As, head: str, body: dict[str, str]) -> None:
    as_("engine").post(f"{REPOSITORY}/statuses/{head}", 422, **body)


def test_a_status_on_an_unknown_commit_is_refused(as_: As) -> None:
    as_("engine").post(f"{REPOSITORY}/statuses/{'0' * 40}", 422, state="success")


def test_a_check_run_goes_from_progress_to_its_conclusion(as_: As, head: str) -> None:
    app = as_("app")
    output = {"title": "Plan", "summary": "2 changes"}
    run = app.post(f"{REPOSITORY}/check-runs", name="plan", head_sha=head, status="in_progress", output=output)
    assert (run["status"], run["conclusion"], run["output"]["summary"]) == ("in_progress", None, "2 changes")
    url = f"{REPOSITORY}/check-runs/{run['id']}"
    app.patch(url, 422, status="completed")
    done = app.patch(url, conclusion="success", external_id="7")
    assert (done["status"], done["conclusion"], done["external_id"]) == ("completed", "success", "7")
    assert done["completed_at"] is not None
    app.post(f"{REPOSITORY}/check-runs", name="plan", head_sha=head, conclusion="failure")
    listed = as_("reader").get(f"{REPOSITORY}/commits/{head}/check-runs")
    assert (listed["total_count"], listed["check_runs"][0]["conclusion"]) == (1, "failure")
    assert as_("reader").get(f"{REPOSITORY}/commits/{head}/check-runs?filter=all")["total_count"] == 2
    assert as_("reader").get(f"{REPOSITORY}/commits/{head}/check-runs?check_name=other")["total_count"] == 0
    assert as_("reader").get(url)["id"] == run["id"]


@pytest.mark.parametrize(
    "body", [{"name": "x"}, {"name": "x", "status": "odd"}, {"name": "x", "conclusion": "odd"}, {"status": "queued"}]
)
def test_a_bad_check_run_is_refused(as_: As, head: str, body: dict[str, str]) -> None:
    if "status" in body or "conclusion" in body:
        body = {**body, "head_sha": head}
    as_("app").post(f"{REPOSITORY}/check-runs", 422, **body)
