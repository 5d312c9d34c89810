"""Published ports: address, host port, container port and protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.diff.pair import Difference, Pair, shown


def check(pair: Pair) -> Iterable[Difference]:
    live = _live(pair.host.get("PortBindings") or {})
    wanted = published(pair.wanted)
    for port in sorted(live.keys() | wanted.keys()):
        before, after = sorted(live.get(port, [])), sorted(wanted.get(port, []))
        if before != after:
            yield Difference(f"ports.{port}", shown(_text(before)), shown(_text(after)))


def published(service: Mapping[str, object]) -> dict[str, list[str]]:
    """Container port with protocol -> "address:port" on the host, "" for any address, of a rendered service."""
    ports: dict[str, list[str]] = {}
    declared = service.get("ports")
    for port in declared if isinstance(declared, list) else ():
        key = f"{port['target']}/{port.get('protocol') or 'tcp'}"
        ports.setdefault(key, []).append(_binding(port.get("host_ip"), port.get("published")))
    return ports


def _live(bindings: Mapping[str, object]) -> dict[str, list[str]]:
    return {
        port: [_binding(entry.get("HostIp"), entry.get("HostPort")) for entry in entries]
        for port, entries in bindings.items()
        if isinstance(entries, list | tuple)
    }


def _binding(address: object, port: object) -> str:
    host_port = "" if port in (None, "", "0", 0) else str(port)
    return f"{address or ''}:{host_port or 'any'}"


def _text(bindings: list[str]) -> str | None:
    return ", ".join(bindings) if bindings else None
