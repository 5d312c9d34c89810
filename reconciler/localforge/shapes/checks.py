"""Statuses and check runs as JSON."""

from __future__ import annotations

from typing import Any

from reconciler.localforge.forge import Forge
from reconciler.localforge.records import CheckRun, Repository, Status
from reconciler.localforge.shapes.people import app, node_id, user_by_id
from reconciler.localforge.shapes.repositories import api_url, html_url, minimal_repository

JSON = dict[str, Any]


def _status_base(forge: Forge, repository: Repository, status: Status) -> JSON:
    return {
        "url": f"{api_url(forge, repository)}/statuses/{status.sha}",
        "avatar_url": f"{forge.base_url}/avatars/{status.user_id}",
        "id": status.id,
        "node_id": node_id("StatusContext", status.id),
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": status.created_at,
        "updated_at": status.created_at,
    }


def status_shape(forge: Forge, repository: Repository, status: Status) -> JSON:
    return {**_status_base(forge, repository, status), "creator": user_by_id(forge, status.user_id)}


def latest(statuses: list[Status]) -> list[Status]:
    """The newest status of each context, newest first."""
    found: dict[str, Status] = {}
    for status in statuses:
        found[status.context] = status
    return sorted(found.values(), key=lambda status: status.id, reverse=True)


def combined_state(statuses: list[Status]) -> str:
    """GitHub's fold: any failure or error fails, no status or any pending is pending, else success."""
    states = {status.state for status in statuses}
    if states & {"failure", "error"}:
        return "failure"
    return "pending" if not states or "pending" in states else "success"


def combined_status(
    forge: Forge, repository: Repository, sha: str, statuses: list[Status], shown: list[Status]
) -> JSON:
    """`statuses` are the newest of each context; `shown` is the page of them that was asked for."""
    api = api_url(forge, repository)
    return {
        "state": combined_state(statuses),
        "statuses": [_status_base(forge, repository, status) for status in shown],
        "sha": sha,
        "total_count": len(statuses),
        "repository": minimal_repository(forge, repository),
        "commit_url": f"{api}/commits/{sha}",
        "url": f"{api}/commits/{sha}/status",
    }


def check_run(forge: Forge, repository: Repository, run: CheckRun) -> JSON:
    api = api_url(forge, repository)
    html = f"{html_url(forge, repository)}/runs/{run.id}"
    return {
        "id": run.id,
        "node_id": node_id("CheckRun", run.id),
        "head_sha": run.head_sha,
        "external_id": run.external_id,
        "url": f"{api}/check-runs/{run.id}",
        "html_url": html,
        "details_url": run.details_url or html,
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "output": {
            "title": run.output.get("title"),
            "summary": run.output.get("summary"),
            "text": run.output.get("text"),
            "annotations_count": 0,
            "annotations_url": f"{api}/check-runs/{run.id}/annotations",
        },
        "name": run.name,
        "check_suite": {"id": run.app_id},
        "app": app(forge, run.app_id, run.app_slug, run.user_id),
        "pull_requests": [],
    }
