"""The GraphQL face: rights, errors and limits. What gh asks is shown with gh itself, in the integration tests."""

from __future__ import annotations

from typing import Any

import graphql
import pytest
from starlette.testclient import TestClient

from reconciler.localforge.graphql.endpoint import schema
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import REPOSITORY, TOKENS


@pytest.fixture
def ask(client: TestClient) -> Any:
    def run(who: str, query: str, **variables: Any) -> dict[str, Any]:
        headers = {"Authorization": f"bearer {TOKENS[who]}"}
        response = client.post("/api/graphql", json={"query": query, "variables": variables}, headers=headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    return run


@pytest.fixture
def pull(as_: As, ask: Any) -> str:
    """The global id of an open pull request of the author."""
    as_("author").commit_file("change", "a.txt", "a\n")
    as_("author").open_pull("change")
    return str(as_("author").get(f"{REPOSITORY}/pulls/1")["node_id"])


APPROVE = (
    "mutation($id: ID!) { addPullRequestReview(input: {pullRequestId: $id, event: APPROVE}) { clientMutationId } }"
)
MERGE = """mutation($id: ID!, $head: GitObjectID) {
  mergePullRequest(input: {pullRequestId: $id, expectedHeadOid: $head}) {
    pullRequest { state mergeCommit { oid } } } }"""
NODE = "query($id: ID!) { node(id: $id) { ... on PullRequest { number } } }"


def test_the_schema_is_valid() -> None:
    assert graphql.validate_schema(schema()) == []


def test_without_a_token_nothing_is_answered(client: TestClient) -> None:
    assert client.post("/api/graphql", json={"query": "{ viewer { login } }"}).status_code == 401


def test_nobody_approves_an_own_pull_request(ask: Any, pull: str, as_: As) -> None:
    (error,) = ask("author", APPROVE, id=pull)["errors"]
    assert (error["type"], error["message"]) == ("UNPROCESSABLE", "Can not approve your own pull request")
    assert "errors" not in ask("reviewer", APPROVE, id=pull)
    assert [one["user"]["id"] for one in as_("author").get(f"{REPOSITORY}/pulls/1/reviews")] == [1002]


@pytest.mark.parametrize("who", ["reader", "engine", "agent"])
def test_who_cannot_write_cannot_merge(ask: Any, pull: str, as_: As, who: str) -> None:
    (error,) = ask(who, MERGE, id=pull)["errors"]
    assert error["type"] == "FORBIDDEN"
    assert as_("author").get(f"{REPOSITORY}/pulls/1")["state"] == "open"


def test_a_merge_with_a_stale_head_is_refused(ask: Any, pull: str) -> None:
    (error,) = ask("reviewer", MERGE, id=pull, head="0" * 40)["errors"]
    assert error["type"] == "STALE_DATA"
    assert ask("reviewer", MERGE, id=pull)["data"]["mergePullRequest"]["pullRequest"]["state"] == "MERGED"


def test_a_hidden_object_is_like_one_that_does_not_exist(ask: Any, pull: str) -> None:
    missing = "MTE6UHVsbFJlcXVlc3Q5OTk="
    for query in (NODE, APPROVE, MERGE):
        hidden, absent = (ask("stranger", query, id=one)["errors"][0] for one in (pull, missing))
        assert hidden["message"].replace(pull, "") == absent["message"].replace(missing, "")
        assert hidden["type"] == absent["type"] == "NOT_FOUND"


def test_a_token_without_statuses_sees_no_rollup(ask: Any, pull: str, as_: As) -> None:
    head = as_("author").get(f"{REPOSITORY}/pulls/1")["head"]["sha"]
    as_("engine").post(f"{REPOSITORY}/statuses/{head}", state="success", context="plan")
    query = """{ repository(owner: "acme", name: "infra") { pullRequest(number: 1) {
      commits(last: 1) { nodes { commit { statusCheckRollup { state } } } } } } }"""

    def rollup(who: str) -> Any:
        found = ask(who, query)["data"]["repository"]["pullRequest"]["commits"]["nodes"][0]
        return found["commit"]["statusCheckRollup"]

    assert rollup("reader") == {"state": "SUCCESS"}
    assert rollup("agent") is None


def test_connections_are_paged_by_cursors(ask: Any, pull: str, as_: As) -> None:
    for number in range(3):
        as_("author").post(f"{REPOSITORY}/issues/1/comments", body=str(number))
    query = """query($after: String) { repository(owner: "acme", name: "infra") { pullRequest(number: 1) {
      comments(first: 2, after: $after) { totalCount nodes { body } pageInfo { hasNextPage endCursor } } } } }"""
    first = ask("reader", query)["data"]["repository"]["pullRequest"]["comments"]
    assert ([one["body"] for one in first["nodes"]], first["totalCount"]) == (["0", "1"], 3)
    second = ask("reader", query, after=first["pageInfo"]["endCursor"])["data"]["repository"]["pullRequest"]["comments"]
    assert ([one["body"] for one in second["nodes"]], second["pageInfo"]["hasNextPage"]) == (["2"], False)
    assert ask("reader", query, after="nonsense")["errors"][0]["type"] == "UNPROCESSABLE"


@pytest.mark.parametrize(
    "query", ["{", "{ nothing }", "{ viewer { login } " * 2, "{ " + "viewer { login } " * 3000 + "}"]
)
def test_a_bad_document_is_an_error_and_not_a_crash(ask: Any, query: str) -> None:
    answer = ask("author", query)
    assert answer["errors"]
    assert "data" not in answer


@pytest.mark.parametrize(
    "body", ["[]", "{}", '{"query": 5}', '{"query": "{ viewer { login } }", "variables": []}', "x"]
)
def test_a_bad_request_is_refused(client: TestClient, body: str) -> None:
    response = client.post("/api/graphql", content=body, headers={"Authorization": "bearer token-author"})
    assert response.status_code in (200, 400)
    assert "data" not in response.json() or body.endswith("[]}")
