"""Mass deletion: a change after which little or nothing is left (gate 84). Called by evaluation.py.

Single services and small environments come and go, and the plan shows it. When most of everything goes at once it is
more often a mistake, or somebody's trick with a select or a merge, than what was meant: each environment that loses
services then needs a waiver for exactly those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model.target import EnvironmentName
from reconciler.model.verdict import Finding, Severity
from reconciler.policy.request import Removal
from reconciler.policy.waiving import finding_digest, with_way_out

GATE = 84

MOST_PERCENT = 50
"""More than this part of all services of the repository is too much at once."""

FEW = 3
"""So few services are never a mass, unless nothing is left."""


def removals(removal: Removal | None, environment: EnvironmentName) -> Iterator[Finding]:
    """The denial for one environment of a change that takes away too much, None for any other."""
    gone = dict(removal.gone).get(environment) if removal is not None else None
    if removal is None or not gone or not too_much(removal):
        return
    named = finding_digest(environment, "mass-removal", "environment", {"services": sorted(gone)})
    text = (
        f"{environment}: loses {', '.join(sorted(gone))}; this change removes {removal.count} of {removal.before} "
        f"services of the repository ({removal.percent:.0f} %)"
    )
    advice = "remove them in several changes"
    yield Finding("mass-removal", Severity.DENY, with_way_out(text, advice, named), gate=GATE, digest=named)


def running(model: Mapping[str, Any]) -> tuple[str, ...]:
    """The services of a rendered model that are to run at all: one that is scaled to nothing is as good as gone."""
    return tuple(sorted(name for name, each in (model.get("services") or {}).items() if runs(each)))


def runs(service: Any) -> bool:
    """Whether a service is to have any container."""
    if not isinstance(service, Mapping):
        return True
    deployed = (service.get("deploy") or {}).get("replicas")
    scaled = service.get("scale")
    wanted = deployed if scaled is None else scaled
    return wanted is None or int(wanted) > 0


def too_much(removal: Removal) -> bool:
    """Whether so much goes that somebody has to say that it is meant."""
    nothing_left = removal.after == 0 and removal.count > 0
    return nothing_left or (removal.count > FEW and removal.percent > MOST_PERCENT)
