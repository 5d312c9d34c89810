"""A database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.storage import Database, open_database
from tests.unit.storage.records import SEAL


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'reconciler.db'}", SEAL)
    try:
        yield opened
    finally:
        opened.close()
