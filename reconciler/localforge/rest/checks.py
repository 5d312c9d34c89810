"""Handlers for statuses and check runs."""

from __future__ import annotations

from reconciler.localforge import checks
from reconciler.localforge.errors import not_found
from reconciler.localforge.records import CheckRun, Status
from reconciler.localforge.rest.call import Answer, Call
from reconciler.localforge.shapes.checks import check_run, combined_status, latest, status_shape


def create_status(call: Call) -> Answer:
    status = checks.post_status(
        call.forge,
        call.repository,
        call.caller,
        call.parameters["sha"],
        state=call.required("state", "Status"),
        context=call.text("context", "Status") or "default",
        description=call.text("description", "Status"),
        target_url=call.text("target_url", "Status") or None,
    )
    return Answer(status_shape(call.forge, call.repository, status), status=201)


def _sha(call: Call) -> str:
    return str(call.forge.git(call.repository).resolve(call.parameters["ref"]).id)


def list_statuses(call: Call) -> Answer:
    """Every status ever posted, newest first."""
    found = call.forge.database.all(Status, repository_id=call.repository.id, sha=_sha(call))
    return call.listed(found[::-1], lambda one: status_shape(call.forge, call.repository, one))


def get_combined_status(call: Call) -> Answer:
    sha = _sha(call)
    newest = latest(call.forge.database.all(Status, repository_id=call.repository.id, sha=sha))
    shown, headers = call.page(newest)
    return Answer(combined_status(call.forge, call.repository, sha, newest, shown), headers=headers)


def create_check_run(call: Call) -> Answer:
    run = checks.create_check_run(call.forge, call.repository, call.caller, call.body)
    return Answer(check_run(call.forge, call.repository, run), status=201)


def _run(call: Call) -> CheckRun:
    found = call.forge.database.find(CheckRun, id=call.number("check_run_id"), repository_id=call.repository.id)
    if found is None:
        raise not_found()
    return found


def get_check_run(call: Call) -> Answer:
    return Answer(check_run(call.forge, call.repository, _run(call)))


def update_check_run(call: Call) -> Answer:
    run = checks.update_check_run(call.forge, call.repository, call.caller, _run(call), call.body)
    return Answer(check_run(call.forge, call.repository, run))


def list_check_runs(call: Call) -> Answer:
    """The newest run of each name and App, newest first; `filter=all` shows the older ones, too."""
    found = call.forge.database.all(CheckRun, repository_id=call.repository.id, head_sha=_sha(call))
    if call.query.get("filter", "latest") == "latest":
        found = list({(one.app_id, one.name): one for one in found}.values())
    for field in ("check_name", "status", "app_id"):
        wanted = call.query.get(field)
        if wanted:
            found = [one for one in found if str(getattr(one, field.replace("check_", ""))) == wanted]
    found.sort(key=lambda one: one.id, reverse=True)
    shown, headers = call.page(found)
    runs = [check_run(call.forge, call.repository, one) for one in shown]
    return Answer({"total_count": len(found), "check_runs": runs}, headers=headers)
