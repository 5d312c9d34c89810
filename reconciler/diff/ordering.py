"""The order of service operations: dependencies, namespaces, `before` jobs and ports that change hands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reconciler.diff.checks.ports import published
from reconciler.diff.containers import containers_of
from reconciler.model.desired import DesiredTarget
from reconciler.model.observed import ObservedState


def layers(desired: DesiredTarget, observed: ObservedState, touched: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Names of the touched services in groups: a group may run side by side once the groups before it are done.

    Dependencies count through services that are not touched. `before` jobs come first, each alone and in the order
    that git gives, behind only what they depend on.
    """
    names = sorted(touched)
    reach = {service.name: _ancestors(desired, service.name) for service in desired.services}
    needs: dict[str, set[str]] = {name: {other for other in names if other in reach.get(name, ())} for name in names}
    first = [job for job in desired.before if job in needs]
    for position, job in enumerate(first):
        for name in names:
            later = name not in first[: position + 1] and name not in reach.get(job, ())
            if later:
                needs[name].add(job)
    for name, holder in _handed_over(desired, observed, names):
        if name not in _closure(needs, holder):
            needs[name].add(holder)
    return _layered(needs)


def _ancestors(desired: DesiredTarget, name: str) -> frozenset[str]:
    found: set[str] = set()
    ahead = [name]
    while ahead:
        service = desired.service(ahead.pop())
        if service is None:
            continue
        for parent in (*service.depends_on, *service.namespace_parents):
            if parent not in found:
                found.add(parent)
                ahead.append(parent)
    return frozenset(found - {name})


def _closure(needs: Mapping[str, set[str]], name: str) -> set[str]:
    found: set[str] = set()
    ahead = [name]
    while ahead:
        for parent in needs.get(ahead.pop(), ()):
            if parent not in found:
                found.add(parent)
                ahead.append(parent)
    return found


def _handed_over(desired: DesiredTarget, observed: ObservedState, names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (service that wants a host port, service that holds it now and gives it up)."""
    wants: dict[str, set[str]] = {}
    holds: dict[str, set[str]] = {}
    for name in names:
        service = desired.service(name)
        if service is None:
            continue
        wants[name] = _host_ports(published(service.execution).items())
        bindings = (c.host_config.get("PortBindings") or {} for c in containers_of(observed, name))
        live = ((port, [f"{e.get('HostIp') or ''}:{e.get('HostPort') or 'any'}" for e in entries or ()])
                for binding in bindings for port, entries in binding.items())  # fmt: skip
        holds[name] = _host_ports(live)
    return [
        (name, holder)
        for name in wants
        for holder in holds
        if name != holder and wants[name] & (holds[holder] - wants[holder])
    ]


def _host_ports(ports: Iterable[tuple[str, Iterable[str]]]) -> set[str]:
    return {
        f"{binding.rpartition(':')[2]}/{port.partition('/')[2]}"
        for port, bindings in ports
        for binding in bindings
        if not binding.endswith(":any")
    }


def _layered(needs: Mapping[str, set[str]]) -> tuple[tuple[str, ...], ...]:
    done: set[str] = set()
    groups: list[tuple[str, ...]] = []
    while len(done) < len(needs):
        ready = tuple(sorted(name for name in needs if name not in done and needs[name] <= done))
        if not ready:  # a circle, which Compose refuses to render; one after the other is the careful way
            ready = (min(name for name in needs if name not in done),)
        groups.append(ready)
        done.update(ready)
    return tuple(groups)
