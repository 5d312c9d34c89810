"""Namespaces shared with the host or with another container; a parent that was replaced leaves its dependents dead."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.diff.pair import Difference, Pair, differ, shown

_GONE = "a container that is gone"
_OWN_IPC = ("", "private", "shareable")  # which of these an unset key means is the engine's setting


def check(pair: Pair) -> Iterable[Difference]:
    yield from _network_mode(pair)
    for key, name in (("pid", "PidMode"), ("uts", "UTSMode"), ("userns_mode", "UsernsMode")):
        yield from _compare(pair, key, _live(pair, name), str(pair.wanted.get(key) or ""))
    wanted = str(pair.wanted.get("ipc") or "")
    live = _live(pair, "IpcMode")
    if wanted or live not in _OWN_IPC:
        yield from _compare(pair, "ipc", live, wanted or "private")
    for key, name in (("cgroup", "CgroupnsMode"), ("runtime", "Runtime"), ("cgroup_parent", "CgroupParent")):
        if pair.wanted.get(key):
            yield from differ(key, pair.host.get(name) or None, str(pair.wanted[key]))


def _network_mode(pair: Pair) -> Iterable[Difference]:
    live = _live(pair, "NetworkMode")
    wanted = str(pair.wanted.get("network_mode") or "")
    if wanted:
        yield from _compare(pair, "network_mode", "bridge" if live == "default" else live, wanted)
    elif live in ("host", "none") or live.startswith(("service:", _GONE)):
        yield from differ("network_mode", live, None)


def _live(pair: Pair, name: str) -> str:
    mode = str(pair.host.get(name) or "")
    if not mode.startswith("container:"):
        return mode
    parent = mode.removeprefix("container:")
    service = pair.owner_of(parent)
    if service is not None:
        return f"service:{service}"
    other = next((o for o in pair.observed.others if parent in (o.id, o.name.lstrip("/"))), None)
    return _GONE if other is None else f"container:{other.name.lstrip('/')}"


def _compare(pair: Pair, field: str, live: str, wanted: str) -> Iterable[Difference]:
    if live == wanted:
        return
    why = ""
    if live == _GONE:
        why = f"{pair.container.name.lstrip('/')} shares the namespace of a container that was replaced or removed"
    yield Difference(field, shown(live or None), shown(wanted or None), why)
