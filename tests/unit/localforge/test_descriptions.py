"""The validation that the other tests rely on bites, and the subset of GitHub's description is what it claims to be."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from reconciler.localforge.rest.routes import ROUTES
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import DATA, REPOSITORY, check, description, operation


@pytest.fixture
def pull(as_: As) -> dict[str, Any]:
    as_("author").commit_file("change", "a.txt", "a\n")
    number = as_("author").open_pull("change")
    found: dict[str, Any] = as_("author").get(f"{REPOSITORY}/pulls/{number}")
    return found


def test_a_right_answer_passes(pull: dict[str, Any]) -> None:
    check("GET", f"{REPOSITORY}/pulls/1", 200, pull)


@pytest.mark.parametrize("missing", ["id", "head", "merged", "mergeable", "merge_commit_sha", "user", "_links"])
def test_a_missing_field_is_found(pull: dict[str, Any], missing: str) -> None:
    del pull[missing]
    with pytest.raises(AssertionError, match=missing):
        check("GET", f"{REPOSITORY}/pulls/1", 200, pull)


@pytest.mark.parametrize(
    ("field", "value"), [("id", "1"), ("state", "merged"), ("title", None), ("created_at", "yesterday"), ("url", "x y")]
)
def test_a_field_of_the_wrong_kind_is_found(pull: dict[str, Any], field: str, value: Any) -> None:
    pull[field] = value
    with pytest.raises(AssertionError):
        check("GET", f"{REPOSITORY}/pulls/1", 200, pull)


def test_a_fault_deep_inside_is_found(pull: dict[str, Any]) -> None:
    pull["head"]["repo"]["owner"]["id"] = None
    with pytest.raises(AssertionError, match="head/repo/owner/id"):
        check("GET", f"{REPOSITORY}/pulls/1", 200, pull)


def test_a_status_that_github_never_answers_is_found() -> None:
    with pytest.raises(AssertionError, match="never answers 418"):
        check("GET", f"{REPOSITORY}/pulls/1", 418, {"message": "teapot"})


def test_every_route_is_an_operation_of_github() -> None:
    for route in ROUTES:
        path = route.path.replace("{repository}", "infra").replace("{owner}", "acme").replace(":path", "")
        if not path.endswith("/user/{user_id}"):
            assert operation(route.method, path.replace("{", "").replace("}", ""))


def test_the_subset_covers_what_the_forge_serves_and_is_small() -> None:
    assert len(description()["operations"]) >= len(ROUTES)
    assert (DATA / "openapi.json").stat().st_size < 600_000


def test_the_webhook_examples_can_be_read() -> None:
    payloads = json.loads(gzip.decompress((DATA / "webhooks-examples.json.gz").read_bytes()))
    assert len(payloads["pull_request"]) > 10
    assert sum(map(len, payloads.values())) > 300
