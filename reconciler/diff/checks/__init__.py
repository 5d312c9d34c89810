"""One file per aspect of a container; a new check is a file here and a line in CHECKS."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconciler.diff.checks import (
    command,
    environment,
    healthcheck,
    identity,
    image,
    kernel,
    labels,
    logging,
    mounts,
    name_resolution,
    namespaces,
    networks,
    ports,
    privileges,
    process,
    resources,
    restart,
)
from reconciler.diff.pair import Difference, Pair

Check = Callable[[Pair], Iterable[Difference]]

ATTACHMENTS: tuple[Check, ...] = (networks.check, namespaces.check)
"""Those that look at what other containers and networks are now; a job that has ended does not mind."""

CHECKS: tuple[Check, ...] = (
    image.check,
    environment.check,
    command.check,
    ports.check,
    mounts.check,
    networks.check,
    labels.check,
    restart.check,
    healthcheck.check,
    resources.check,
    identity.check,
    privileges.check,
    namespaces.check,
    name_resolution.check,
    kernel.check,
    logging.check,
    process.check,
)
