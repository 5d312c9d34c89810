"""The vectors that Compose gets, word for word."""

import pytest

from reconciler.compose.arguments import arguments
from reconciler.model.plan import CreateService, RecreateService, RunJob, ScaleService, ServiceOperation, StartService

PREFIX = ("--env-file", "/dev/null", "-p", "shop", "--project-directory", "/nonexistent/shop", "-f", "-")
KEEP = ("up", "-d", "--no-deps", "--no-recreate", "--pull", "never", "--no-build")
REPLACE = ("up", "-d", "--no-deps", "--force-recreate", "--pull", "never", "--no-build")


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (CreateService("web", 2, "new"), (*KEEP, "web")),
        (StartService("web", 1, ("shop-web-1",), "stopped"), (*KEEP, "web")),
        (RecreateService("web", 1, "image"), (*REPLACE, "web")),
        (RunJob("migrate", "image"), (*REPLACE, "migrate")),
        (ScaleService("web", 3, "replicas"), (*KEEP, "--scale", "web=3", "web")),
        (ScaleService("web", 0, "replicas"), (*KEEP, "--scale", "web=0", "web")),
    ],
    ids=["create", "start", "recreate", "job", "scale", "scale to nothing"],
)
def test_each_operation_has_exactly_its_vector(operation: ServiceOperation, expected: tuple[str, ...]) -> None:
    assert arguments(operation, "shop", "/nonexistent/shop") == PREFIX + expected
