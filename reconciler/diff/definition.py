"""What a plan's digest holds of a service that it touches: the whole definition, with fingerprints for values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def plain(value: Any) -> Any:
    """The same value out of dict, list, str, int, float, bool and None, as RFC 8785 takes it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        return str(value)
    return value
