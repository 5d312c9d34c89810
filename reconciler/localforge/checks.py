"""Posting statuses and check runs on commits. The REST handlers call these; nothing here decides about merging."""

from __future__ import annotations

from typing import Any

from reconciler.localforge import notices
from reconciler.localforge.access import Caller
from reconciler.localforge.errors import ForgeError, forbidden, invalid_field
from reconciler.localforge.forge import Forge
from reconciler.localforge.records import CheckRun, Repository, Status

STATES = ("error", "failure", "pending", "success")
CHECK_STATUSES = ("queued", "in_progress", "completed", "waiting", "requested", "pending")
CONCLUSIONS = (
    "action_required", "cancelled", "failure", "neutral", "success", "skipped", "stale", "timed_out"
)  # fmt: skip
MOST_STATUSES = 1000  # per commit and context, GitHub's limit
LONGEST_DESCRIPTION = 140


def post_status(
    forge: Forge,
    repository: Repository,
    caller: Caller,
    sha: str,
    *,
    state: str,
    context: str,
    description: str | None,
    target_url: str | None,
) -> Status:
    """Adds a status; the newest of a context counts. Anybody who can write may post any context, as on GitHub."""
    if state not in STATES:
        raise invalid_field("Status", "state", "custom", "state is not included in the list")
    if description is not None and len(description) > LONGEST_DESCRIPTION:
        text = f"description is too long (maximum is {LONGEST_DESCRIPTION} characters)"
        raise invalid_field("Status", "description", "custom", text)
    if target_url is not None and not target_url.startswith(("http://", "https://")):
        raise invalid_field("Status", "target_url", "custom", "target_url must use http(s) scheme")
    if forge.git(repository).commit_or_none(sha) is None:
        raise ForgeError(422, f"No commit found for SHA: {sha}")
    with forge.database.transaction():
        if len(forge.database.all(Status, repository_id=repository.id, sha=sha, context=context)) >= MOST_STATUSES:
            raise ForgeError(422, "This SHA and context has reached the maximum number of statuses.")
        status = forge.database.add(
            Status,
            repository_id=repository.id,
            sha=sha,
            state=state,
            context=context or "default",
            description=description,
            target_url=target_url,
            user_id=caller.user.id,
            created_at=forge.now(),
        )
        notices.status(forge, repository, caller.user, status)
        return status


def require_app(caller: Caller) -> tuple[int, str]:
    """The App behind the token; check runs are for Apps only, and a personal token gets 403."""
    if caller.token.app_id is None or caller.token.app_slug is None:
        raise forbidden("You must authenticate via a GitHub App.")
    return caller.token.app_id, caller.token.app_slug


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of a check run that a body sets, validated."""
    values: dict[str, Any] = {}
    for name in ("name", "details_url", "external_id", "started_at", "completed_at"):
        if body.get(name) is not None:
            if not isinstance(body[name], str):
                raise invalid_field("CheckRun", name)
            values[name] = body[name]
    if body.get("status") is not None:
        if body["status"] not in CHECK_STATUSES:
            raise invalid_field("CheckRun", "status")
        values["status"] = body["status"]
    if body.get("conclusion") is not None:
        if body["conclusion"] not in CONCLUSIONS:
            raise invalid_field("CheckRun", "conclusion")
        values["conclusion"] = body["conclusion"]
        values["status"] = "completed"
    output = body.get("output")
    if output is not None:
        if not isinstance(output, dict) or not isinstance(output.get("summary"), str):
            raise invalid_field("CheckRun", "output", "missing_field", "output needs a title and a summary")
        values["output"] = {name: output.get(name) for name in ("title", "summary", "text")}
    return values


def create_check_run(forge: Forge, repository: Repository, caller: Caller, body: dict[str, Any]) -> CheckRun:
    app_id, slug = require_app(caller)
    sha, name = body.get("head_sha"), body.get("name")
    if not isinstance(sha, str) or not isinstance(name, str) or not name:
        raise invalid_field("CheckRun", "head_sha" if name else "name", "missing_field")
    if forge.git(repository).commit_or_none(sha) is None:
        raise ForgeError(422, f"No commit found for SHA: {sha}")
    values = _checked(body)
    if values.get("status") == "completed" and "conclusion" not in values:
        raise invalid_field("CheckRun", "conclusion", "missing_field")
    now = forge.now()
    whole = {
        "status": "queued",
        "conclusion": None,
        "details_url": None,
        "external_id": "",
        "output": {},
        "started_at": now,
        "completed_at": now if values.get("status") == "completed" else None,
        **values,
    }
    with forge.database.transaction():
        run = forge.database.add(
            CheckRun,
            repository_id=repository.id,
            head_sha=sha,
            app_id=app_id,
            app_slug=slug,
            user_id=caller.user.id,
            **whole,
        )
        notices.check(forge, repository, caller.user, run, "created")
        return run


def update_check_run(
    forge: Forge, repository: Repository, caller: Caller, run: CheckRun, body: dict[str, Any]
) -> CheckRun:
    """Only the App that made a run may change it."""
    app_id, _ = require_app(caller)
    if app_id != run.app_id:
        raise forbidden("Invalid app_id `" + str(app_id) + "` - check run can only be modified by its own App.")
    values = _checked(body)
    if not values:
        return run
    status = values.get("status", run.status)
    if status == "completed":
        if (values.get("conclusion") or run.conclusion) is None:
            raise invalid_field("CheckRun", "conclusion", "missing_field")
        values.setdefault("completed_at", forge.now())
    else:
        values |= {"conclusion": None, "completed_at": None}
    with forge.database.transaction():
        changed = forge.database.change(run, **values)
        notices.check(forge, repository, caller.user, changed, "completed" if status == "completed" else "created")
        return changed
