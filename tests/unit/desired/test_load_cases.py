"""Repositories with something wrong, from tests/cases/desired: every problem, with its place and what to do."""

from typing import Any

import pytest
import yaml

from reconciler.desired import load
from reconciler.model.errors import InvalidInput
from tests.unit.desired.repositories import ROOT, edited, sample


def cases() -> list[Any]:
    found = []
    for file in sorted((ROOT / "tests/cases/desired").glob("*.yaml")):
        for case in yaml.safe_load(file.read_text()):
            found.append(pytest.param(case, id=f"{file.stem}: {case['case']}"))
    assert found
    return found


@pytest.mark.parametrize("case", cases())
def test_a_repository_with_something_wrong_says_what_and_where(case: dict[str, Any]) -> None:
    tree = edited(sample(), case["edits"])
    with pytest.raises(InvalidInput) as refused:
        load(tree)
    assert [str(problem) for problem in refused.value.problems] == case["says"]
