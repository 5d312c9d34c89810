"""Networks, aliases and fixed addresses of a container; names that the engine and Compose add are subtracted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.diff.pair import Difference, Pair, shown
from reconciler.model.change import ABSENT, Value

_TEMPORARY = re.compile(r"^[0-9a-f]{12}(_.*)?$")
_ADDRESSES = (("ipv4_address", "IPv4Address"), ("ipv6_address", "IPv6Address"))


def check(pair: Pair) -> Iterable[Difference]:
    if pair.wanted.get("network_mode"):
        return  # the namespaces check compares it
    declared = pair.wanted.get("networks") or {"default": None}
    if not isinstance(declared, Mapping):
        declared = dict.fromkeys(declared)
    wanted = {pair.network_name(key): settings or {} for key, settings in declared.items()}
    live = {name: settings or {} for name, settings in pair.container.networks.items()}
    for name in sorted(wanted.keys() | live.keys()):
        field = f"networks.{name}"
        if name not in live:
            yield Difference(field, ABSENT, Value("attached", "attached"))
        elif name not in wanted:
            yield Difference(field, Value("attached", "attached"), ABSENT)
        elif not _is_current(pair, name, live[name]):
            yield Difference(
                field,
                Value("attached to a network that is gone", "attached to an earlier network of that name"),
                Value("attached", "attached"),
                f"the network {name} that {pair.container.name.lstrip('/')} was attached to is gone",
            )
        else:
            yield from _endpoint(pair, field, wanted[name], live[name])


def _is_current(pair: Pair, name: str, endpoint: Mapping[str, Any]) -> bool:
    current = {network.id for network in pair.observed.networks if network.name == name}
    joined = endpoint.get("NetworkID") or ""  # empty before the first start
    return bool(current) and (not joined or joined in current)


def _endpoint(pair: Pair, field: str, wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Iterable[Difference]:
    before = {*(live.get("Aliases") or ()), *(live.get("DNSNames") or ())} - _noise(pair)
    before = {name for name in before if not _TEMPORARY.match(name)}
    after = set(wanted.get("aliases") or ()) - _noise(pair)
    if before != after:
        yield Difference(f"{field}.aliases", shown(sorted(before) or None), shown(sorted(after) or None))
    fixed = live.get("IPAMConfig") or {}
    for key, name in _ADDRESSES:
        if (fixed.get(name) or None) != (wanted.get(key) or None):
            yield Difference(f"{field}.{key}", shown(fixed.get(name) or None), shown(wanted.get(key) or None))


def _noise(pair: Pair) -> set[str]:
    """The names that every container has on its networks without git saying so."""
    container = pair.container
    names = {container.name.lstrip("/"), container.id[:12], pair.service.name}
    names |= {str(container.config.get("Hostname") or ""), str(pair.wanted.get("hostname") or "")}
    names.add(f"{pair.desired.compose_project}-{pair.service.name}-{container.number}")
    return names
