"""One operation of a plan, done on a host; twice is as good as once. Called by execution."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from reconciler.model.desired import Bundle, DesiredTarget
from reconciler.model.plan import (
    CreateDirectory,
    CreateNetwork,
    CreateService,
    CreateVolume,
    Operation,
    PullImage,
    RecreateNetwork,
    RecreateService,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RunJob,
    ScaleService,
    ShipFiles,
    StartService,
)
from reconciler.ports import Host

COMPOSE_MARGIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Done:
    """The host took it."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The host did not; `detail` is what it said."""

    detail: str


def perform(
    operation: Operation, host: Host, desired: DesiredTarget, contents: Callable[[Bundle], Mapping[str, bytes]]
) -> Done | Failed:
    """Do one operation. Errors of the connection are raised; what the engine or Compose refuses is a Failed."""
    match operation:
        case ShipFiles(bundle=bundle):
            host.ship(bundle, contents(bundle))
        case PullImage(reference=reference, deploy_as=deploy_as):
            host.pull(deploy_as)
            host.keep_image(deploy_as, kept_tag(desired.compose_project, reference, deploy_as))
        case CreateDirectory(path=path):
            host.create_directory(path)
        case CreateNetwork(network=network):
            host.create_network(network, desired.compose_project)
        case RecreateNetwork(network=network, disconnects=disconnects):
            for container in disconnects:
                host.disconnect_network(network.name, container)
            host.remove_network(network.name)
            host.create_network(network, desired.compose_project)
        case RemoveNetwork(name=name):
            host.remove_network(name)
        case CreateVolume(volume=volume):
            host.create_volume(volume, desired.compose_project)
        case RemoveVolume(name=name):
            host.remove_volume(name)
        case RemoveContainer(container=container):
            host.remove_container(container, None)
        case StartService(unpause=unpause) if unpause:
            for container in unpause:
                host.unpause(container)
            return _compose(operation, host, desired)
        case CreateService() | RecreateService() | StartService() | ScaleService() | RunJob():
            return _compose(operation, host, desired)
        case _:
            assert_never(operation)
    return Done()


def kept_tag(compose_project: str, reference: str, deploy_as: str) -> str:
    """The tag under which the host keeps an image that a rollback may need: a prune deletes what has no tag."""
    digits = deploy_as.rpartition(":")[2][:12]
    name = reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return f"reconciler-keep/{compose_project}/{name}:{digits}"


def _compose(
    operation: CreateService | RecreateService | StartService | ScaleService | RunJob,
    host: Host,
    desired: DesiredTarget,
) -> Done | Failed:
    timeout = desired.health.timeout.total_seconds() + COMPOSE_MARGIN_SECONDS
    result = host.run(
        operation, desired.compose_project, json.dumps(desired.execution_model, sort_keys=True).encode(), timeout
    )
    return Done() if result.exit_code == 0 else Failed(result.output.strip() or f"exit code {result.exit_code}")
