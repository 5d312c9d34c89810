"""Reads one project off an engine in a few pipelined rounds, all of it or nothing; called by host."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from reconciler.hosts import engine_output
from reconciler.hosts.engine_api import EngineApi
from reconciler.hosts.images import is_reference
from reconciler.model.errors import Retryable
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import ObservedState
from reconciler.ports import ObservationRequest

_ATTEMPTS = 5
_LISTING = "/containers/json?all=1"


def observe(
    api: EngineApi, host: str, request: ObservationRequest, fingerprinter: Fingerprinter, now: datetime
) -> ObservedState:
    """Raises Retryable when containers of the project come and go faster than they can be read."""
    for _ in range(_ATTEMPTS):
        state = _attempt(api, host, request, fingerprinter, now)
        if state is not None:
            return state
    raise Retryable(f"project {request.compose_project} keeps changing while it is read", where=f"host {host}")


def _attempt(
    api: EngineApi, host: str, request: ObservationRequest, fingerprinter: Fingerprinter, now: datetime
) -> ObservedState | None:
    """None when something of the project went or came between listing and reading it."""
    project = request.compose_project
    listing, network_listing, volume_listing = api.get((_LISTING, "/networks", "/volumes"))
    ids = engine_output.project_ids(listing, project)
    network_ids = engine_output.wanted_networks(network_listing, project, request.networks)
    named = tuple(sorted({name for name in request.images if is_reference(name)}))
    answers = api.get(
        (
            *(f"/containers/{number}/json" for number in ids),
            *(f"/networks/{number}" for number in network_ids),
            *(f"/images/{quote(name, safe='')}/json" for name in named),
            _LISTING,
        )
    )
    inspected = answers[: len(ids)]
    networks = answers[len(ids) : len(ids) + len(network_ids)]
    images = [answer for answer in answers[len(ids) + len(network_ids) : -1] if answer is not None]
    if None in inspected or None in networks or engine_output.project_ids(answers[-1], project) != ids:
        return None
    containers = [engine_output.container(answer, fingerprinter, request.scope) for answer in inspected]
    known = {answer.get("Id") for answer in images}
    used = sorted({container.image_id for container in containers} - known)
    images += [answer for answer in api.get([f"/images/{quote(n, safe='')}/json" for n in used]) if answer is not None]
    return engine_output.state(
        host,
        project,
        api.identity(),
        containers,
        [engine_output.network(answer) for answer in networks],
        engine_output.volumes(volume_listing, project, request.volumes),
        [engine_output.image(answer, fingerprinter, request.scope) for answer in images],
        engine_output.others(answers[-1], project),
        now,
    )
