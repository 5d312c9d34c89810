"""A forge in this process, and a client for each account."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.localforge.forge import Forge
from reconciler.localforge.server import build_app
from tests.unit.localforge.forge_under_test import TOKENS, Api, seed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have a successor of httpx that nothing else here needs
    from starlette.testclient import TestClient

As = Callable[[str | None], Api]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    (directory / "shop").mkdir(parents=True)
    (directory / "README.md").write_text("# Infrastructure\n")
    (directory / "shop" / "compose.yaml").write_text("services:\n  web:\n    image: web:1\n")
    return directory


@pytest.fixture
def client(tmp_path: Path, source: Path) -> Iterator[TestClient]:
    app = build_app(tmp_path / "data", seed(source), "http://forge.test")
    with TestClient(app, base_url="http://forge.test") as client:
        yield client


@pytest.fixture
def forge(client: TestClient) -> Forge:
    found: Forge = client.app.state.forge  # type: ignore[attr-defined]
    return found


@pytest.fixture
def as_(client: TestClient) -> As:
    """`as_("author")` is the API as that account; `as_(None)` without a token."""
    return lambda name: Api(client, TOKENS[name] if name else None)
