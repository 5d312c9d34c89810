"""Cases as files: what git says, what ran before, what somebody did by hand, and the text of the plan.

A file in tests/cases/diff has `git` (services as Compose renders them), `deployed` (the services of the last
deployment, absent for an empty host), optionally `by_hand` (changes to live containers by name), `removed_by_hand`,
`jobs`, `before`, `remove_volumes`, `environment_removed` and `others`; and `expected`, the plan as terminal text.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler import diff
from reconciler.model.desired import DesiredTarget
from reconciler.model.observed import ObservedState
from reconciler.reports.plan import plan_text
from tests.builders import (
    FINGERPRINTER,
    a_foreigner,
    a_service,
    a_target,
    deployed,
    empty_host,
    resolutions,
    with_container,
    without_containers,
)

CASES = sorted((Path(__file__).parents[2] / "cases" / "diff").glob("*.yaml"))


def target_of(case: dict[str, Any], services: dict[str, Any]) -> DesiredTarget:
    jobs = case.get("jobs", ())
    built = tuple(a_service(name, rendered, is_job=name in jobs) for name, rendered in sorted(services.items()))
    return a_target(
        built,
        before=tuple(case.get("before", ())),
        remove_volumes=tuple(case.get("remove_volumes", ())),
        removed=bool(case.get("environment_removed")),
    )


def host_of(case: dict[str, Any]) -> ObservedState:
    state = deployed(target_of(case, case["deployed"])) if case.get("deployed") else empty_host()
    state = without_containers(state, *case.get("removed_by_hand", ()))
    for name, changes in (case.get("by_hand") or {}).items():
        state = with_container(state, name, **changes)
    others = tuple(a_foreigner(**{**o, "ports": tuple(o.get("ports", ()))}) for o in case.get("others", ()))
    return replace(state, others=others)


def text_of(case: dict[str, Any]) -> str:
    target, observed = target_of(case, case.get("git") or {}), host_of(case)
    plan = diff.plan(target, observed, diff.compare(target, observed, {}, FINGERPRINTER), resolutions(target))
    return plan_text(plan)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_plan_of_a_case_reads_as_written(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    assert text_of(case) == case["expected"]


def test_there_are_cases() -> None:
    assert len(CASES) >= 8
