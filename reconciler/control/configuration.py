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
    """Append the values, the installation's public key among them, with their digest where they or the program's
    version are not those recorded last; whether it was. `changed` names the values that differ.
    """
    values = {**values, "signing_key": parts.signer.public_key}
    now = {"digest": digest(values), "values": values, "version": version}
    latest = parts.ledger.latest("configuration", SUBJECT)
    before: dict[str, Any] = latest.data if latest is not None else {}
    if {name: before.get(name) for name in now} == now:
        return False
    known: Mapping[str, Any] = before.get("values", {})
    changed = sorted(name for name in {*known, *values} if known.get(name) != values.get(name))
    parts.ledger.append("configuration", SUBJECT, {**now, "changed": changed}, parts.clock.now())
    parts.progress("configuration.changed", {"changed": changed, "version": version})
    return True
