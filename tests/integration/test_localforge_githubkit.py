"""The forge driven by githubkit, whose typed models refuse what GitHub would not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from githubkit import GitHub
from githubkit.exception import RequestFailed

from reconciler.localforge.forge import Forge
from reconciler.localforge.server import running
from tests.unit.localforge.forge_under_test import TOKENS, Api, seed

pytestmark = pytest.mark.integration


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("a\n")
    with running(tmp_path / "data", seed(tmp_path / "source")) as forge:
        yield forge


def _github(forge: Forge, who: str) -> GitHub:  # type: ignore[type-arg]
    return GitHub(TOKENS[who], base_url=f"{forge.api_url}/", timeout=20, auto_retry=False)


def test_a_pull_request_from_proposal_to_landing(forge: Forge) -> None:
    with httpx.Client(base_url=forge.base_url) as client:
        head = Api(client, TOKENS["agent"]).commit_file("agent/raise", "a.txt", "b\n")
    clients = {who: _github(forge, who) for who in ("agent", "engine", "app", "reviewer")}
    rest = {who: client.rest("2022-11-28") for who, client in clients.items()}
    name = {"owner": "acme", "repo": "infra"}

    opened = rest["agent"].pulls.create(**name, title="Raise", head="agent/raise", base="main").parsed_data
    number = opened.number
    rest["engine"].repos.create_commit_status(
        **name, sha=head, state="success", context="reconciler/plan", description="2 changes"
    )
    comment = rest["engine"].issues.create_comment(**name, issue_number=number, body="plan").parsed_data
    rest["engine"].issues.update_comment(**name, comment_id=comment.id, body="plan 2")
    run = rest["app"].checks.create(**name, name="plan", head_sha=head, status="completed", conclusion="success")
    assert run.parsed_data.conclusion == "success"
    with pytest.raises(RequestFailed) as refused:
        rest["agent"].pulls.create_review(**name, pull_number=number, event="APPROVE")
    assert refused.value.response.status_code == 422
    review = rest["reviewer"].pulls.create_review(**name, pull_number=number, event="APPROVE").parsed_data
    assert (review.state, review.commit_id) == ("APPROVED", head)

    reviews = list(clients["engine"].rest.paginate(rest["engine"].pulls.list_reviews, **name, pull_number=number))
    assert [(one.user.id, one.state) for one in reviews if one.user] == [(1002, "APPROVED")]
    commits = rest["engine"].pulls.list_commits(**name, pull_number=number).parsed_data
    assert [one.sha for one in commits] == [head]
    events = rest["engine"].issues.list_events_for_timeline(**name, issue_number=number).parsed_data
    assert [one.event for one in events] == ["committed", "commented", "reviewed"]
    permission = rest["engine"].repos.get_collaborator_permission_level(**name, username="reviewer").parsed_data
    assert permission.role_name == "maintain"
    assert rest["engine"].users.get_by_id(account_id=1002).parsed_data.login == "reviewer"
    assert rest["engine"].repos.list_activities(**name).parsed_data[0].ref == "refs/heads/agent/raise"

    merged = rest["reviewer"].pulls.merge(**name, pull_number=number, sha=head).parsed_data
    landed = rest["engine"].repos.list_pull_requests_associated_with_commit(**name, commit_sha=merged.sha).parsed_data
    assert [(one.number, one.merge_commit_sha) for one in landed] == [(number, merged.sha)]
    pull = rest["engine"].pulls.get(**name, pull_number=number).parsed_data
    assert (pull.merged, pull.merge_commit_sha) == (True, merged.sha)


def test_polling_an_unchanged_pull_request_is_answered_from_the_cache(forge: Forge) -> None:
    engine = _github(forge, "engine")
    rest = engine.rest("2022-11-28")
    first = rest.repos.get(owner="acme", repo="infra")
    second = rest.repos.get(owner="acme", repo="infra")
    assert first.parsed_data.id == second.parsed_data.id
