"""Everything that is due, once: what goes wrong with one thing stays with it. Git and the database are real."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.control import once, pipeline
from reconciler.control.parts import Parts
from reconciler.model.errors import ForgeUnavailable
from reconciler.model.target import EnvironmentName
from reconciler.storage import Database
from tests.git_remotes import Remote
from tests.unit.control.plane import Events, ToldForge, a_pull, parts_of
from tests.unit.control.test_nothing_to_do import SHOP


def test_what_nobody_foresaw_on_one_pull_request_or_environment_stops_no_other(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote.make(tmp_path / "remote.git")
    remote.commit(SHOP)
    events, looked_at = Events(), list[int]()
    forge = ToldForge(pulls=(a_pull(1), a_pull(2), a_pull(3)))
    parts = parts_of(database, remote.mirror(tmp_path / "mirror.git"), forge=forge, events=events)

    def review(_parts: Parts, number: int) -> None:
        looked_at.append(number)
        if number == 1:
            raise ValueError("hostile")
        if number == 2:
            raise ForgeUnavailable("down")

    def reconcile(_parts: Parts, name: EnvironmentName) -> None:
        raise RecursionError(str(name))

    monkeypatch.setattr(pipeline, "review", review)
    monkeypatch.setattr(pipeline, "reconcile", reconcile)
    failures = once.everything(parts)["failures"]
    assert looked_at == [1, 2, 3]
    assert [failure["code"] for failure in failures] == ["CRASHED", ForgeUnavailable("down").code, "CRASHED"]
    assert failures[0]["error"] == "ValueError('hostile')"
    assert ["hostile" in fields["traceback"] for fields in events.of("request.crashed")] == [True, False]
