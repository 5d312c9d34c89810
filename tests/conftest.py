"""For all tests: unit tests open no network connection, so that they are fast and say the same everywhere."""

import socket
from pathlib import Path
from typing import Any

import pytest

UNIT_TESTS = Path(__file__).parent / "unit"


@pytest.fixture(autouse=True)
def no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.path.is_relative_to(UNIT_TESTS):
        return
    connect, bind = socket.socket.connect, socket.socket.bind

    def refuse_connect(self: socket.socket, address: Any) -> None:
        _refuse_internet(self, address)
        connect(self, address)

    def refuse_bind(self: socket.socket, address: Any) -> None:
        _refuse_internet(self, address)
        bind(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse_connect)
    monkeypatch.setattr(socket.socket, "bind", refuse_bind)


def _refuse_internet(opened: socket.socket, address: Any) -> None:
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        pytest.fail(f"a unit test opens a network socket ({address}); a test that needs one is in tests/integration")
