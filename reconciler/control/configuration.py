"""The engine's own configuration on record: noted at start-up where it is not what it was the last time.

Called by the faces that start the control plane, with values in which no secret is: settings name files, and what is in
those is not read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.control.parts import Parts
from reconciler.model.canonical import digest

SUBJECT = "server"


def noted(parts: Parts, values: Mapping[str, Any], version: str) -> bool:
    """Append the values, the installation's public key among them, where they or the program's version are not those
    recorded last; whether it was.
    """
    latest = parts.ledger.latest("configuration", SUBJECT)
    before: Mapping[str, Any] = latest.data if latest is not None else {}
    entry = changed(before, {**values, "signing_key": parts.signer.public_key}, version)
    if entry is None:
        return False
    parts.ledger.append("configuration", SUBJECT, entry, parts.clock.now())
    parts.progress("configuration.changed", {"changed": entry["changed"], "version": version})
    return True


def changed(before: Mapping[str, Any], values: Mapping[str, Any], version: str) -> dict[str, Any] | None:
    """What is to be recorded after `before`: the values with their digest, and in `changed` the names of those that
    differ. None where nothing does.
    """
    now = {"digest": digest(dict(values)), "values": dict(values), "version": version}
    if {name: before.get(name) for name in now} == now:
        return None
    known: Mapping[str, Any] = before.get("values", {})
    return now | {"changed": sorted(name for name in {*known, *values} if known.get(name) != values.get(name))}
