"""From a field of a change to the line of git that says it; called by comparison."""

from __future__ import annotations

from reconciler.model.desired import DesiredService, DesiredTarget
from reconciler.model.location import Location

_SPELLINGS = {
    "mounts": ("volumes", "configs", "secrets", "tmpfs"),
    "memory": ("mem_limit", "deploy.resources.limits.memory"),
    "memory_reservation": ("mem_reservation", "deploy.resources.reservations.memory"),
    "cpus": ("cpus", "deploy.resources.limits.cpus"),
    "pids_limit": ("pids_limit", "deploy.resources.limits.pids"),
    "restart": ("restart", "deploy.restart_policy"),
    "replicas": ("scale", "deploy.replicas"),
    "blkio_weight": ("blkio_config.weight",),
    "healthcheck": ("healthcheck",),
}


def cause_of(desired: DesiredTarget, service: DesiredService, field: str, redefined: bool | None) -> Location | None:
    """The nearest line that says the field: itself, its parent, the service. None where git says nothing of it and has
    not changed since the container was created, because then only the host differs.
    """
    aspect, dot, rest = field.partition(".")
    for spelling in _SPELLINGS.get(aspect, (aspect,)):
        place = _nearest(desired, f"services.{service.name}.{spelling}", _key(desired, aspect, rest) if dot else "")
        if place is not None:
            return place
    return None if redefined is False else service.location


def _nearest(desired: DesiredTarget, path: str, rest: str) -> Location | None:
    exact = f"{path}.{rest}" if rest else path
    return desired.sources.get(exact) or desired.sources.get(path)


def _key(desired: DesiredTarget, aspect: str, rest: str) -> str:
    """The name that git uses: a container port without protocol, a network's key instead of its engine name."""
    if aspect == "ports":
        return rest.partition("/")[0]
    if aspect == "networks":
        for network in desired.networks:
            if rest == network.name or rest.startswith(f"{network.name}."):
                return network.key
    return rest
