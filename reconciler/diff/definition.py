"""What a plan's digest holds of a service that it touches: the whole definition, with fingerprints for values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.diff.checks.ports import published
from reconciler.diff.pair import undo_dollars
from reconciler.model.canonical import digest
from reconciler.model.desired import DesiredService

_EXACT = 2**53 - 1  # beyond it a JSON number is not exact, and RFC 8785 refuses it


def definition_digest(service: DesiredService) -> str:
    """SHA-256 over the service as Compose gets it, its environment as fingerprints.

    `execution` names images by digest, mounted files by digest and configs and secrets by digest, so that nothing of
    what will run is left out, and nothing of another service is in it.
    """
    execution = {key: value for key, value in service.execution.items() if key != "environment"}
    return digest(
        {
            "execution": plain(execution),
            "environment": [[value.name, value.fingerprint] for value in service.environment],
            "replicas": service.replicas,
            "job": service.is_job,
        }
    )


def summary(service: DesiredService) -> str:
    """A new service in one line, for people: its image, what it publishes, mounts and may do, its variables by name."""
    wanted = undo_dollars(service.execution)
    ports = [f"{binding}->{port}" for port, bindings in published(wanted).items() for binding in bindings]
    mounts = [f"{m.get('source') or m.get('type')} at {m['target']}" for m in wanted.get("volumes") or ()]
    said = [
        ("", "" if service.replicas == 1 else f"{service.replicas} containers"),
        ("publishes ", ", ".join(ports)),
        ("mounts ", ", ".join(mounts)),
        ("adds the capabilities ", ", ".join(str(name) for name in wanted.get("cap_add") or ())),
        ("shares the network of ", str(wanted.get("network_mode") or "")),
        ("variables ", ", ".join(value.name for value in service.environment)),
    ]
    parts = [f"{word}{what}" for word, what in said if what]
    return "; ".join([service.image, *(["privileged"] if wanted.get("privileged") else []), *parts])


def plain(value: Any) -> Any:
    """The same value out of dict, list, str, int, float, bool and None, as RFC 8785 takes it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        return str(value)
    return value
