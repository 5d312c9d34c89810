"""A database of its own for each test, in a real file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.storage import Database, open_database
from tests.unit.storage.records import SEAL


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reconciler.db"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{file}", SEAL)
    yield opened
    opened.close()
