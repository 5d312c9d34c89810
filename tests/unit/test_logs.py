"""Logs: one JSON object per event with its fields, and never what a variable held."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from reconciler import logs
from reconciler.model.errors import HostUnreachable


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == "", "standard output belongs to the answer"
    return [json.loads(line) for line in captured.err.splitlines()]


def fail() -> None:
    token = "token-of-the-agent"
    raise HostUnreachable(f"no route after {len(token)} tries", where="web-1")


def log_a_failure() -> None:
    password = "token-of-the-agent"
    try:
        fail()
    except HostUnreachable:
        structlog.get_logger().exception("request.failed", tries=len(password))


def test_an_event_is_one_line_of_json_with_its_fields_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(as_json=True)
    logs.progress("deployment.queued", {"deployment": "d-1", "hosts": ["web-1"], "tries": 2, "before": None})
    (line,) = said(capsys)
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert line == {
        "event": "deployment.queued",
        "level": "info",
        "deployment": "d-1",
        "hosts": ["web-1"],
        "tries": 2,
        "before": None,
    }


def test_text_from_outside_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(as_json=True)
    logs.progress("operation.finished", {"detail": 'one\ntwo\r{"event": "forged"}\x1b[31m\u2028'})
    (line,) = said(capsys)
    assert line["event"] == "operation.finished"
    assert line["detail"] == 'one\ntwo\r{"event": "forged"}\x1b[31m\u2028'


def test_a_field_cannot_take_the_place_of_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(as_json=True)
    logs.progress("operation.finished", {"event": "forged"})
    assert [line["event"] for line in said(capsys)] == ["operation.finished"]


def test_values_that_json_does_not_know_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(as_json=True)
    logs.progress("looked", {"at": datetime(2026, 1, 1, tzinfo=UTC), "file": Path("/a")})
    (line,) = said(capsys)
    assert (line["at"], line["file"]) == ("2026-01-01 00:00:00+00:00", "/a")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_shows_where_and_what_and_no_variable(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    logs.set_up(as_json)
    log_a_failure()
    text = capsys.readouterr().err
    assert "HostUnreachable" in text
    assert "no route after 18 tries" in text
    assert "log_a_failure" in text
    assert "token-of-the-agent" not in text


def test_what_is_for_developers_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(as_json=True)
    structlog.get_logger().debug("connection.bytes", data="x")
    assert said(capsys) == []


def test_people_get_a_readable_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(as_json=False)
    logs.progress("deployment.queued", {"deployment": "d-1", "detail": "one\ntwo\x1b[31m"})
    (line,) = capsys.readouterr().err.splitlines()
    assert "deployment.queued" in line
    assert "deployment=d-1" in line
    assert "\x1b" not in line
