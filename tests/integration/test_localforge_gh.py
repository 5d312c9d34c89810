"""The forge driven by GitHub's own command line, `gh`, which asks in GraphQL. It speaks plain HTTP to a Unix socket."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.localforge.forge import Forge
from reconciler.localforge.server import running
from tests.unit.localforge.forge_under_test import REPOSITORY, TOKENS, Api, seed

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("gh") is None, reason="gh is not installed (Debian: apt-get install gh)"),
]

Gh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("a\n")
    with running(tmp_path / "data", seed(tmp_path / "source"), unix_socket=tmp_path / "gh.sock") as forge:
        yield forge


@pytest.fixture
def api(forge: Forge) -> Iterator[Api]:
    with httpx.Client(base_url=forge.base_url) as client:
        yield Api(client, TOKENS["author"])


@pytest.fixture
def gh(forge: Forge, tmp_path: Path) -> Gh:
    """`gh("author", "pr", "list")` runs gh as that account; a status other than `status` fails the test."""
    configuration = tmp_path / "gh"
    configuration.mkdir()
    (configuration / "config.yml").write_text(f"http_unix_socket: {tmp_path / 'gh.sock'}\n")

    def run(who: str, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "GH_CONFIG_DIR": str(configuration),
            "GH_HOST": "forge.test",
            "GH_ENTERPRISE_TOKEN": TOKENS[who],
            "GH_PROMPT_DISABLED": "1",
            "GH_NO_UPDATE_NOTIFIER": "1",
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            ["gh", *arguments, "-R", "forge.test/acme/infra"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, (done.stdout, done.stderr)
        return done

    return run


def _json(gh: Gh, who: str, fields: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gh(who, "pr", "view", "1", "--json", fields).stdout)
    return found


def test_a_pull_request_from_create_to_merge(gh: Gh, api: Api, forge: Forge) -> None:
    head = api.commit_file("change", "a.txt", "b\n", "Raise a")
    created = gh("author", "pr", "create", "--head", "change", "--base", "main", "--title", "Raise", "--body", "Why")
    assert created.stdout.strip() == f"{forge.base_url}/acme/infra/pull/1"

    assert gh("reader", "pr", "list").stdout.split("\t")[:3] == ["1", "Raise", "change"]
    viewed = gh("reader", "pr", "view", "1").stdout
    assert "title:\tRaise" in viewed
    assert "author:\tauthor" in viewed
    assert "+b" in gh("reader", "pr", "diff", "1").stdout

    with httpx.Client(base_url=forge.base_url) as client:
        engine = Api(client, TOKENS["app"])
        engine.post(f"{REPOSITORY}/statuses/{head}", state="pending", context="reconciler/approval")
        waiting = gh("reader", "pr", "checks", "1", status=1).stdout
        assert "reconciler/approval\tpending" in waiting
        engine.post(f"{REPOSITORY}/statuses/{head}", state="success", context="reconciler/approval")
        engine.post(f"{REPOSITORY}/check-runs", name="plan", head_sha=head, conclusion="success")
        done = gh("reader", "pr", "checks", "1").stdout
        assert "reconciler/approval\tpass" in done
        assert "plan\tpass" in done

    refused = gh("author", "pr", "review", "1", "--approve", status=1)
    assert "Can not approve your own pull request" in refused.stderr
    gh("reviewer", "pr", "review", "1", "--approve", "--body", "Good")
    gh("reviewer", "pr", "comment", "1", "--body", "Merging")
    assert _json(gh, "reader", "reviews")["reviews"][0]["state"] == "APPROVED"
    assert "Merging" in gh("reader", "pr", "view", "1", "--comments").stdout

    gh("reader", "pr", "merge", "1", "--squash", status=1)
    gh("reviewer", "pr", "merge", "1", "--squash")
    merged = _json(gh, "reader", "state,mergeCommit,mergedBy,headRefOid,closed")
    assert (merged["state"], merged["mergedBy"]["login"], merged["headRefOid"]) == ("MERGED", "reviewer", head)
    assert merged["mergeCommit"]["oid"] == api.get(f"{REPOSITORY}/git/ref/heads/main")["object"]["sha"]


@pytest.mark.parametrize("method", ["merge", "rebase"])
def test_the_other_ways_of_merging_and_the_branch_is_deleted(gh: Gh, api: Api, method: str) -> None:
    api.commit_file("change", "a.txt", "b\n")
    api.open_pull("change")
    gh("reviewer", "pr", "merge", "1", f"--{method}", "--delete-branch")
    assert _json(gh, "reader", "state")["state"] == "MERGED"
    api.get(f"{REPOSITORY}/git/ref/heads/change", 404)


def test_drafts_closing_reopening_and_editing(gh: Gh, api: Api) -> None:
    api.commit_file("change", "a.txt", "b\n")
    gh("author", "pr", "create", "--head", "change", "--title", "Draft", "--body", "x", "--draft")
    assert _json(gh, "reader", "isDraft")["isDraft"] is True
    gh("author", "pr", "ready", "1")
    gh("author", "pr", "close", "1")
    gh("author", "pr", "reopen", "1")
    gh("author", "pr", "edit", "1", "--title", "Better", "--body", "y")
    found = _json(gh, "reader", "title,body,state,isDraft")
    assert found == {"title": "Better", "body": "y", "state": "OPEN", "isDraft": False}
    assert [event for event in api.events(1) if event != "committed"] == [
        "ready_for_review", "closed", "reopened", "renamed",
    ]  # fmt: skip


def test_everything_that_can_be_asked_as_json(gh: Gh, api: Api) -> None:
    head = api.commit_file("change", "a.txt", "b\n")
    api.open_pull("change")
    fields = (
        "additions,author,baseRefName,body,changedFiles,closed,closedAt,comments,commits,createdAt,deletions,files,"
        "headRefName,headRefOid,headRepository,headRepositoryOwner,id,isCrossRepository,isDraft,labels,latestReviews,"
        "maintainerCanModify,mergeCommit,mergeStateStatus,mergeable,mergedAt,mergedBy,milestone,number,"
        "reactionGroups,reviewDecision,reviewRequests,reviews,state,statusCheckRollup,title,updatedAt,url"
    )
    assert _json(gh, "reader", fields)["mergeable"] == "UNKNOWN"
    found = _json(gh, "reader", fields)
    assert (found["mergeable"], found["mergeStateStatus"], found["headRefOid"]) == ("MERGEABLE", "CLEAN", head)
    assert [one["oid"] for one in found["commits"]] == [head]
    assert [one["path"] for one in found["files"]] == ["a.txt"]


def test_a_stranger_cannot_resolve_what_it_may_not_see(gh: Gh, api: Api) -> None:
    api.commit_file("change", "a.txt", "b\n")
    api.open_pull("change")
    for arguments in (("pr", "list"), ("pr", "view", "1"), ("pr", "merge", "1", "--merge")):
        refused = gh("stranger", *arguments, status=1).stderr
        assert "Could not resolve to a Repository with the name 'acme/infra'" in refused
