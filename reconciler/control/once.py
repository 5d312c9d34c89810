"""Everything that is due, once, in the caller's thread: `reconcile --once`, and what tests drive."""

from __future__ import annotations

import traceback
from typing import Any

from reconciler.control import checkpoints, pipeline, queries, queueing, remembering
from reconciler.control.parts import Parts
from reconciler.control.requests import GroupRequest, Request, ReviewRequest
from reconciler.model.errors import ReconcilerError, VerificationFailed
from reconciler.reports.gate import outcome, refusal_json


def everything(parts: Parts) -> dict[str, Any]:
    """Fetch, review every open pull request, reconcile every environment; one failure does not stop the others."""
    reviews: list[dict[str, Any]] = []
    environments: list[dict[str, Any]] = []
    deployments: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []

    def failed(request: Request | str, error: Exception) -> None:
        text, code = repr(error), "CRASHED"
        if isinstance(error, ReconcilerError):
            text, code = str(error), error.code
            if isinstance(error, VerificationFailed):
                remembering.tampered(parts, error)
        else:
            crash = {"request": str(request), "reason": text, "traceback": traceback.format_exc()}
            parts.progress("request.crashed", crash)
        failures.append({"request": str(request), "error": text, "code": code})

    try:
        parts.source.fetch()
        pulls = parts.forge.open_pull_requests(parts.branch)
    except ReconcilerError as error:
        failed("poll", error)
        pulls = ()
    for pull in pulls:
        try:
            gate = pipeline.review(parts, pull.number)
        except Exception as error:  # noqa: BLE001 - what nobody foresaw on one pull request is no other's business
            failed(ReviewRequest(pull.number), error)
        else:
            answer = "not judged" if gate is None else outcome(gate)
            refusal = refusal_json(gate) if gate is not None else None
            reviews.append({"pull_request": pull.number, "head": pull.head_sha, "gate": answer, "refusal": refusal})
    for branch in _groups(parts):
        try:
            queueing.review(parts, branch)
        except Exception as error:  # noqa: BLE001 - nor that of one group of a merge queue
            failed(GroupRequest(branch), error)
    try:
        names = pipeline.environments(parts)
    except ReconcilerError as error:
        failed("environments", error)
        names = ()
    for name in names:
        try:
            done = pipeline.reconcile(parts, name)
        except Exception as error:  # noqa: BLE001 - nor on one environment
            failed(str(name), error)
        else:
            environments.append(queries.environment_data(done.record))
            deployments.extend(queries.deployment_data(parts, made) for made in done.deployments)
    try:
        checkpoints.due(parts)
    except ReconcilerError as error:
        failed("checkpoint", error)
    return {"reviews": reviews, "environments": environments, "deployments": deployments, "failures": failures}


def _groups(parts: Parts) -> tuple[str, ...]:
    try:
        return tuple(queueing.groups(parts))
    except ReconcilerError:  # there is no mirror yet, and the poll has said so
        return ()
