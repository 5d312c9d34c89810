"""What is read between listing and reading, with the engine's recorded answers changed in between."""

import copy
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.hosts import engine_output
from reconciler.hosts.engine_api import EngineApi
from reconciler.hosts.observation import observe
from reconciler.model.errors import Retryable
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import EngineIdentity
from reconciler.ports import ObservationRequest

RECORDED = Path(__file__).parent / "recorded"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
REQUEST = ObservationRequest("shop", "s", images=("shop/web:1", "gone:1", "../odd"))


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


class RecordedApi(EngineApi):
    """Answers from the recording; `change(call, answers)` may alter what the engine has from that call on."""

    def __init__(self, change: Callable[[int, dict[str, Any]], None] = lambda call, answers: None) -> None:
        self.calls = 0
        self._change = change
        containers = recorded("containers")
        ids = {name["Names"][0]: name["Id"] for name in containers}
        self.answers: dict[str, Any] = {
            "/containers/json?all=1": containers,
            "/networks": recorded("networks"),
            "/volumes": recorded("volumes"),
            f"/containers/{ids['/shop-web-1']}/json": recorded("container_web"),
            f"/containers/{ids['/shop-job-1']}/json": recorded("container_job"),
            f"/networks/{recorded('network_back')['Id']}": recorded("network_back"),
            "/images/shop%2Fweb%3A1/json": recorded("image"),
        }

    def identity(self) -> EngineIdentity:
        return engine_output.identity(recorded("version"), recorded("info"))

    def get(self, paths: Sequence[str]) -> list[Any]:
        self.calls += 1
        self._change(self.calls, self.answers)
        return [copy.deepcopy(self.answers.get(path)) for path in paths]


def web(answers: dict[str, Any]) -> str:
    return next(key for key, value in answers.items() if isinstance(value, dict) and value.get("Name") == "/shop-web-1")


def remove_web(answers: dict[str, Any]) -> None:
    number = answers.pop(web(answers))["Id"]
    listing = answers["/containers/json?all=1"]
    answers["/containers/json?all=1"] = [entry for entry in listing if entry["Id"] != number]


def test_everything_of_a_project_is_read_and_nothing_is_asked_twice() -> None:
    api = RecordedApi()
    state = observe(api, "web-1", REQUEST, Fingerprinter("k", b"k"), NOW)
    assert [container.name for container in state.containers] == ["shop-job-1", "shop-web-1"]
    assert [n.name for n in state.networks] == ["shop_back"]
    assert [v.name for v in state.volumes] == ["shop_data"]
    assert [i.tags for i in state.images] == [("shop/web:1",)]
    assert [other.name for other in state.others] == ["proxy"]
    assert (state.host, state.observed_at, api.calls) == ("web-1", NOW, 3)


def test_a_container_that_goes_between_listing_and_reading_makes_it_start_again() -> None:
    api = RecordedApi(lambda call, answers: remove_web(answers) if call == 2 else None)
    state = observe(api, "web-1", REQUEST, Fingerprinter("k", b"k"), NOW)
    assert [container.name for container in state.containers] == ["shop-job-1"]


def test_a_container_that_comes_while_the_others_are_read_makes_it_start_again() -> None:
    hidden: dict[str, Any] = {}

    def change(call: int, answers: dict[str, Any]) -> None:
        if call == 1:
            hidden.update(answers)
            remove_web(answers)
        elif call == 2:
            answers.update(hidden)

    state = observe(RecordedApi(change), "web-1", REQUEST, Fingerprinter("k", b"k"), NOW)
    assert [container.name for container in state.containers] == ["shop-job-1", "shop-web-1"]


def test_a_project_that_never_stands_still_is_not_half_read() -> None:
    def change(call: int, answers: dict[str, Any]) -> None:
        for entry in answers["/containers/json?all=1"]:
            entry["Id"] = f"{call}{entry['Id'][1:]}"

    with pytest.raises(Retryable, match="keeps changing"):
        observe(RecordedApi(change), "web-1", REQUEST, Fingerprinter("k", b"k"), NOW)
