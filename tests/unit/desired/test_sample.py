"""desired_state/, what `init` writes, and the published schemas: what users see first is right."""

import json

import jsonschema_rs
import pytest
import yaml

from reconciler.desired import load, schemas, starter
from reconciler.model.revision import FileKind, Tree, TreeFile
from reconciler.model.target import Target
from tests.unit.desired.repositories import ROOT, sample, target_of

KINDS = {
    "reconciler.yaml": "reconciler",
    "principals.yaml": "principals",
    "policy.yaml": "policy",
    "project.yaml": "project",
    "environment.yaml": "environment",
}


def kind_of(path: str) -> str | None:
    if path.startswith("hosts/"):
        return "host"
    return KINDS.get(path.rpartition("/")[2])


def test_the_sample_is_complete_and_without_a_problem() -> None:
    state = load(sample())
    assert [str(each.name) for each in state.environments] == ["shop/production", "shop/staging", "status/production"]
    assert [str(target) for target in state.targets] == [
        "shop/production@web-1",
        "shop/staging@web-2",
        "status/production@web-1",
        "status/production@web-2",
    ]
    status = state.environments[2]
    assert status.rollout.waves == (("web-1",), ("web-2",))
    assert state.principals.agents[0].owner == "author"
    person = state.principals.person_of(1002)
    assert person is not None
    assert person.groups == ("operators",)
    assert [rule.id for rule in state.policy.rules][-1] == "rules-need-one"


@pytest.mark.parametrize("name", ["shop/production", "shop/staging", "status/production"])
def test_every_environment_of_the_sample_renders_and_has_a_known_hash_for_each_service(name: str) -> None:
    target = target_of(sample(), name)
    assert target.services
    assert all(service.config_hash for service in target.services)


def test_the_sample_has_no_window_that_could_close_on_a_test() -> None:
    assert [each.windows for each in load(sample()).environments] == [(), (), ()]


@pytest.mark.parametrize("solo", [False, True])
def test_what_init_writes_is_valid_at_once(solo: bool) -> None:
    files = starter(solo)
    state = load(Tree("", {path: TreeFile(FileKind.FILE, content) for path, content in files.items()}))
    assert state.targets == (Target("hello", "production", "host-1"),)
    assert state.environments[0].agent_owner_may_approve is solo
    assert len(state.principals.people) == (1 if solo else 2)


def test_the_published_schemas_are_those_of_the_code() -> None:
    files = [path for path in (ROOT / "docs/reference/schemas").glob("*.json") if not path.stem.startswith("gate-")]
    assert {path.stem: json.loads(path.read_text()) for path in files} == schemas(), "run scripts/schemas"


def test_the_schemas_accept_the_sample_and_refuse_an_unknown_key() -> None:
    seen = set()
    for path, entry in sample().files.items():
        kind = kind_of(path)
        if kind is None:
            continue
        seen.add(kind)
        validator = jsonschema_rs.validator_for(schemas()[kind])
        value = yaml.safe_load(entry.content)
        validator.validate(value)
        assert not validator.is_valid({**value, "unknown": 1}), path
    assert seen == set(schemas()) - {"adoption"}, "nothing is adopted in the sample"
