"""What is read between listing and reading, with the engine's recorded answers changed in between."""

import copy
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from reconciler.hosts import engine_output
from reconciler.hosts.engine_api import EngineApi
from reconciler.hosts.observation import Members, members, observe
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
        return [copy.deepcopy(self._answer(path)) for path in paths]

    def _answer(self, path: str) -> Any:
        listing, _, filters = path.partition("&filters=")
        if not filters:
            return self.answers.get(path)
        (label,) = json.loads(unquote(filters))["label"]
        name, _, value = label.partition("=")
        return [entry for entry in self.answers[listing] if entry["Labels"].get(name) == value]


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


def test_what_was_there_before_is_read_in_one_round_less() -> None:
    first = observe(RecordedApi(), "web-1", REQUEST, Fingerprinter("k", b"k"), NOW)
    api = RecordedApi()
    again = observe(api, "web-1", REQUEST, Fingerprinter("k", b"k"), NOW, members(first))
    assert (again, api.calls) == (first, 2)


@pytest.mark.parametrize(
    "stale",
    [
        lambda real: Members(real.containers[:1], real.networks),
        lambda real: Members((), ()),
        lambda real: Members((*real.containers, "f" * 64), real.networks),
        lambda real: Members(real.containers, ()),
        lambda real: Members(real.containers, (*real.networks, "f" * 64)),
    ],
    ids=["a container more", "nothing known", "a container less", "a network more", "a network less"],
)
def test_what_was_there_before_is_not_believed(stale: Callable[[Members], Members]) -> None:
    first = observe(RecordedApi(), "web-1", REQUEST, Fingerprinter("k", b"k"), NOW)
    again = observe(RecordedApi(), "web-1", REQUEST, Fingerprinter("k", b"k"), NOW, stale(members(first)))
    assert again == first


def test_a_container_that_comes_while_known_ones_are_read_makes_it_start_again() -> None:
    whole = observe(RecordedApi(), "web-1", REQUEST, Fingerprinter("k", b"k"), NOW)
    kept: dict[str, Any] = {}

    class Late(RecordedApi):
        def _answer(self, path: str) -> Any:
            if path == "/containers/json?all=1":
                self.answers |= kept
            return super()._answer(path)

    def hide(call: int, answers: dict[str, Any]) -> None:
        if call == 1:
            kept.update(answers)
            remove_web(answers)

    known = Members(tuple(c.id for c in whole.containers if c.name != "shop-web-1"), members(whole).networks)
    again = observe(Late(hide), "web-1", REQUEST, Fingerprinter("k", b"k"), NOW, known)
    assert [container.name for container in again.containers] == ["shop-job-1", "shop-web-1"]
