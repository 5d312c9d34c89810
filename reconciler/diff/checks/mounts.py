"""What is mounted where: binds, volumes, tmpfs, and the files of configs and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from posixpath import normpath
from typing import Any

from reconciler.diff.pair import Difference, Pair
from reconciler.model.change import ABSENT, Value

_ANONYMOUS = re.compile(r"^[0-9a-f]{64}$")
Mount = dict[str, Any]


def check(pair: Pair) -> Iterable[Difference]:
    live, wanted = _live(pair), wanted_mounts(pair)
    inherited = _not_from_git(pair)
    for target in sorted(live.keys() | wanted.keys()):
        before, after = live.get(target), wanted.get(target)
        if before == after or (after is None and _is_inherited(target, before, inherited)):
            continue
        yield Difference(f"mounts.{target}", _shown(before, pair), _shown(after, pair))
    yield from _sources_of_volumes(pair)


def wanted_mounts(pair: Pair) -> dict[str, Mount]:
    """Container path -> type, source and read_only, as git says it."""
    mounts: dict[str, Mount] = {}
    for volume in pair.wanted.get("volumes") or ():
        mounts[normpath(volume["target"])] = _wanted_volume(pair, volume)
    for entry in pair.wanted.get("tmpfs") or ():
        path, _, options = str(entry).partition(":")
        mounts[normpath(path)] = {"type": "tmpfs", "options": options}
    for family, folder in (("configs", "/"), ("secrets", "/run/secrets/")):
        declared = pair.desired.execution_model.get(family) or {}
        for use in pair.wanted.get(family) or ():
            file = (declared.get(use["source"]) or {}).get("file")
            if file:  # content and environment are copied into the container, and no mount shows them
                name = str(use.get("target") or use["source"])
                target = normpath(name if name.startswith("/") else folder + name)
                mounts[target] = {"type": "bind", "source": normpath(file), "read_only": True}
    return mounts


def _wanted_volume(pair: Pair, volume: Mapping[str, Any]) -> Mount:
    kind, source = str(volume.get("type") or "volume"), volume.get("source")
    if kind == "tmpfs":
        return {"type": "tmpfs", "options": None}
    if kind == "volume":
        source = "anonymous" if not source else pair.volume_name(source)
    elif source is not None:
        source = normpath(source)
    return {"type": kind, "source": source, "read_only": bool(volume.get("read_only"))}


def _live(pair: Pair) -> dict[str, Mount]:
    mounts: dict[str, Mount] = {}
    for mount in pair.container.mounts:
        kind = str(mount.get("Type"))
        target = normpath(str(mount.get("Destination")))
        if kind == "tmpfs":
            mounts[target] = {"type": "tmpfs", "options": None}
            continue
        source = str(mount.get("Name") or "") if kind == "volume" else normpath(str(mount.get("Source")))
        if kind == "volume" and _ANONYMOUS.match(source):
            source = "anonymous"
        mounts[target] = {"type": kind, "source": source, "read_only": not mount.get("RW", True)}
    for path, options in (pair.host.get("Tmpfs") or {}).items():
        mounts[normpath(path)] = {"type": "tmpfs", "options": options}
    return mounts


def _not_from_git(pair: Pair) -> set[str]:
    """Paths that the image, or a container whose volumes are shared, may put there."""
    paths = {normpath(path) for path in pair.from_image("Volumes") or {}}
    if pair.wanted.get("volumes_from"):
        services = {_service_of(entry) for entry in pair.wanted["volumes_from"]}
        for other in pair.observed.containers:
            if other.service in services:
                paths |= {normpath(str(mount.get("Destination"))) for mount in other.mounts}
    return paths


def _is_inherited(target: str, mount: Mount | None, inherited: set[str]) -> bool:
    return mount is not None and target in inherited


def _sources_of_volumes(pair: Pair) -> Iterable[Difference]:
    """`volumes_from` of services: the containers named must be those that are there now."""
    wanted = sorted({_service_of(entry) for entry in pair.wanted.get("volumes_from") or ()})
    live = sorted(
        {
            pair.owner_of(str(entry).partition(":")[0]) or "a container that is gone"
            for entry in pair.host.get("VolumesFrom") or ()
        }
    )
    if live != wanted and not any(entry.startswith("container:") for entry in wanted):
        yield Difference("volumes_from", Value(live, ", ".join(live)), Value(wanted, ", ".join(wanted)))


def _service_of(entry: object) -> str:
    text = str(entry)
    return text if text.startswith("container:") else text.removeprefix("service:").partition(":")[0]


def _shown(mount: Mount | None, pair: Pair) -> Value:
    if mount is None:
        return ABSENT
    if mount["type"] == "tmpfs":
        options = mount["options"]
        return Value(mount, f"tmpfs {options}" if options else "tmpfs")
    source = str(mount["source"])
    for bundle in pair.service.bundles:
        if bundle.digest in source:
            source = f"{bundle.source} (content {bundle.digest[:12]})"
    mode = "read-only" if mount["read_only"] else "read-write"
    return Value(mount, f"{mount['type']} {source}, {mode}")
