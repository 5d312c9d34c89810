"""perform: what each operation asks of a host, exactly and in this order."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from reconciler.apply.operations import Done, Failed, kept_tag, perform
from reconciler.model.desired import HealthPolicy
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
    ServiceOperation,
    ShipFiles,
    StartService,
)
from reconciler.ports import ComposeResult
from tests.builders import a_bundle, a_network, a_volume, deployed, hex_of
from tests.unit.apply.surroundings import HostInMemory, wanted

DIGEST = hex_of("an image")
SERVICES = {"web": {"image": "web:1"}}
CASES: dict[str, tuple[Operation, list[tuple[str, ...]]]] = {
    "ship": (ShipFiles(a_bundle(), "w"), [("ship", "projects/shop/site", "index.html")]),
    "pull": (
        PullImage("registry.example/team/web:1.2", f"registry.example/team/web@sha256:{DIGEST}", "w"),
        [
            ("pull", f"registry.example/team/web@sha256:{DIGEST}"),
            ("keep", f"registry.example/team/web@sha256:{DIGEST}", f"reconciler-keep/shop/web:{DIGEST[:12]}"),
        ],
    ),
    "directory": (
        CreateDirectory("/var/lib/reconciler/data/x", "w"),
        [("create directory", "/var/lib/reconciler/data/x")],
    ),
    "network": (CreateNetwork(a_network("front"), "w"), [("create network", "shop_front")]),
    "network again": (
        RecreateNetwork(a_network("front"), ("shop-web-1", "shop-api-1"), "w"),
        [
            ("disconnect", "shop_front", "shop-web-1"),
            ("disconnect", "shop_front", "shop-api-1"),
            ("remove network", "shop_front"),
            ("create network", "shop_front"),
        ],
    ),
    "no network": (RemoveNetwork("shop_front", "w"), [("remove network", "shop_front")]),
    "volume": (CreateVolume(a_volume(), "w"), [("create volume", "shop_data")]),
    "no volume": (RemoveVolume("shop_data", "w"), [("remove volume", "shop_data")]),
    "no container": (RemoveContainer("shop-old-1", "w"), [("remove container", "shop-old-1")]),
    "create": (CreateService("web", 1, "w"), [("CreateService", "web")]),
    "recreate": (RecreateService("web", 1, "w"), [("RecreateService", "web")]),
    "scale": (ScaleService("web", 2, "w"), [("ScaleService", "web")]),
    "job": (RunJob("web", "w"), [("RunJob", "web")]),
    "start": (StartService("web", 1, (), "w"), [("StartService", "web")]),
    "start what is paused": (
        StartService("web", 2, ("shop-web-1", "shop-web-2"), "w"),
        [("unpause", "shop-web-1"), ("unpause", "shop-web-2"), ("StartService", "web")],
    ),
}


class ModelReader(HostInMemory):
    """Notes what Compose is given."""

    given: tuple[ServiceOperation, str, Any, float]

    def run(self, operation: ServiceOperation, compose_project: str, model: bytes, timeout: float) -> ComposeResult:
        self.given = (operation, compose_project, json.loads(model), timeout)
        return super().run(operation, compose_project, model, timeout)


def a_host(**changes: Any) -> ModelReader:
    target = wanted(SERVICES, **changes)
    host = ModelReader(target, deployed(target))
    host.locked_by.append("this test")
    return host


@pytest.mark.parametrize("case", CASES)
def test_an_operation_asks_exactly_this_of_the_host(case: str) -> None:
    operation, calls = CASES[case]
    host = a_host()
    assert perform(operation, host, host.wanted, lambda bundle: {"index.html": bundle.source.encode()}) == Done()
    assert host.calls == calls


def test_compose_gets_the_execution_model_of_the_whole_project_and_time_to_arrive() -> None:
    host = a_host(health=HealthPolicy(timeout=timedelta(seconds=30)))
    operation = RecreateService("web", 1, "w")
    perform(operation, host, host.wanted, lambda _: {})
    assert host.given == (operation, "shop", json.loads(json.dumps(host.wanted.execution_model)), 150.0)


@pytest.mark.parametrize(
    ("result", "detail"),
    [(ComposeResult(1, " it says no \n"), "it says no"), (ComposeResult(137, ""), "exit code 137")],
)
def test_what_compose_refuses_is_a_failure_with_its_words(result: ComposeResult, detail: str) -> None:
    host = a_host()
    host.refusals["RunJob", "web"] = result
    assert perform(RunJob("web", "w"), host, host.wanted, lambda _: {}) == Failed(detail)


@pytest.mark.parametrize(
    ("reference", "deploy_as"),
    [
        ("web:1", f"sha256:{DIGEST}"),
        ("web", f"web@sha256:{DIGEST}"),
        ("localhost:5000/a/web:1", f"localhost:5000/a/web@sha256:{DIGEST}"),
        (f"localhost:5000/web@sha256:{DIGEST}", f"localhost:5000/web@sha256:{DIGEST}"),
        (f"a/web:1@sha256:{DIGEST}", f"a/web@sha256:{DIGEST}"),
    ],
)
def test_an_image_is_kept_under_a_name_of_ours(reference: str, deploy_as: str) -> None:
    assert kept_tag("shop", reference, deploy_as) == f"reconciler-keep/shop/web:{DIGEST[:12]}"


def test_two_images_of_one_name_are_kept_beside_each_other() -> None:
    tags = {kept_tag("shop", "web:1", f"sha256:{hex_of(version)}") for version in ("one", "two")}
    assert len(tags) == 2
