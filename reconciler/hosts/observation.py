"""Reads one project off an engine in a few pipelined rounds, all of it or nothing; called by host.

Who has observed the project before says what it had then: that is read before the listings, in one round, and taken
only where the listings say that it is still all there is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
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
_LISTINGS = (_LISTING, "/networks", "/volumes")


@dataclass(frozen=True, slots=True)
class Members:
    """The ids of a project's containers, and of the networks that are read with it; both sorted."""

    containers: tuple[str, ...]
    networks: tuple[str, ...]


def members(state: ObservedState) -> Members:
    """What an observation found, for the next one to begin with."""
    return Members(
        tuple(sorted(container.id for container in state.containers)),
        tuple(sorted(network.id for network in state.networks)),
    )


def observe(
    api: EngineApi,
    host: str,
    request: ObservationRequest,
    fingerprinter: Fingerprinter,
    now: datetime,
    before: Members | None = None,
) -> ObservedState:
    """Raises Retryable when containers of the project come and go faster than they can be read."""
    for _ in range(_ATTEMPTS):
        state = _attempt(api, host, request, fingerprinter, now, before)
        if state is not None:
            return state
        before = None
    raise Retryable(f"project {request.compose_project} keeps changing while it is read", where=f"host {host}")


def _attempt(
    api: EngineApi,
    host: str,
    request: ObservationRequest,
    fingerprinter: Fingerprinter,
    now: datetime,
    before: Members | None,
) -> ObservedState | None:
    """None when something of the project went or came between listing and reading it, or since `before`."""
    project = request.compose_project
    opening = api.get(_LISTINGS) if before is None else None
    there = before if before is not None else _listed(opening or [], request)
    named = tuple(sorted({name for name in request.images if is_reference(name)}))
    # What closes the round says whether all that was read before it is still all there is.
    closing = _LISTINGS if opening is None else (_listing_of(project),)
    answers = api.get(
        (
            *(f"/containers/{quote(number, safe='')}/json" for number in there.containers),
            *(f"/networks/{quote(number, safe='')}" for number in there.networks),
            *(f"/images/{quote(name, safe='')}/json" for name in named),
            *closing,
        )
    )
    ends = len(there.containers), len(there.containers) + len(there.networks)
    inspected, networks = answers[: ends[0]], answers[ends[0] : ends[1]]
    named_images = [answer for answer in answers[ends[1] : -len(closing)] if answer is not None]
    if None in inspected or None in networks:
        return None
    last = answers[-len(closing) :]
    if opening is None and _listed(last, request) != there:
        return None
    if engine_output.project_ids(last[0], project) != there.containers:
        return None
    listing, _, volume_listing = opening or last
    containers = [engine_output.container(answer, fingerprinter, request.scope) for answer in inspected]
    images = [engine_output.image(answer, fingerprinter, request.scope) for answer in named_images]
    used = sorted({container.image_id for container in containers} - {image.id for image in images})
    others = api.get([f"/images/{quote(number, safe='')}/json" for number in used])
    images += [engine_output.image(answer, fingerprinter, request.scope) for answer in others if answer is not None]
    return engine_output.state(
        host,
        project,
        api.identity(),
        containers,
        [engine_output.network(answer) for answer in networks],
        engine_output.volumes(volume_listing, project, request.volumes),
        images,
        engine_output.others(listing, project),
        now,
    )


def _listed(listings: list[Any], request: ObservationRequest) -> Members:
    return Members(
        engine_output.project_ids(listings[0], request.compose_project),
        engine_output.wanted_networks(listings[1], request.compose_project, request.networks),
    )


def _listing_of(compose_project: str) -> str:
    """The project's containers alone: of the others, the engine would read all their networks once more."""
    label = json.dumps({"label": [f"{engine_output.PROJECT_LABEL}={compose_project}"]})
    return f"{_LISTING}&filters={quote(label, safe='')}"
