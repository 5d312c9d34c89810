"""Digests and fingerprints over an environment's inputs. Called by control to see that there is nothing to deploy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from reconciler.desired.execution import environment_values, mounted_bundles
from reconciler.model.canonical import digest
from reconciler.model.desired import EnvironmentSpec, HostSpec, Rendered
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.location import Location
from reconciler.model.revision import Tree


def environment_digest(environment: EnvironmentSpec, rendered: Rendered, hosts: Sequence[HostSpec], tree: Tree) -> str:
    """One digest of all that an environment is made of: rendered model, mounted files, its spec, its hosts.

    Equal means that there is nothing to deploy. Where in the repository something stands is not part of it.
    `hosts` may be all hosts; those of the environment, and those that they are reached over, are taken.
    """
    by_name = {host.name: host for host in hosts}
    used: dict[str, HostSpec] = {}
    waiting = list(environment.hosts)
    while waiting:
        name = waiting.pop()
        host = by_name.get(name)
        if host is not None and name not in used:
            used[name] = host
            waiting.extend([host.via] if host.via else [])
    return digest(
        {
            "environment": _plain(environment),
            "hosts": [_plain(used[name]) for name in sorted(used)],
            "model": rendered.model,
            "files": [[bundle.source, bundle.digest] for bundle in mounted_bundles(environment, rendered, tree)],
        }
    )


def known_values(rendered: Rendered, scope: str, fingerprinter: Fingerprinter) -> Mapping[str, str]:
    """Fingerprint to clear value of every variable that git holds in clear; `scope` is PROJECT/ENVIRONMENT.

    A live value with one of these fingerprints may be shown, every other one may not.
    """
    return {
        fingerprinter.of(scope, name, value): value
        for service in (rendered.model.get("services") or {}).values()
        for name, value in environment_values(service).items()
    }


def _plain(value: Any) -> Any:
    """A dataclass as JSON values, without its locations."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
        return {name: _plain(part) for name, part in parts if not isinstance(part, Location)}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value
