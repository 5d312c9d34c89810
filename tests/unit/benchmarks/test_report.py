"""The figures say what the times say, and the document has the form that others read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks import sample
from benchmarks.__main__ import main
from benchmarks.cases import CASES
from benchmarks.measuring import Figures, Times, figures, in_turns
from benchmarks.report import NO_PEER, Goal, Measured, document, table

TIMES = (19.0, 20.0, 21.0)
AGAINST = Figures(20.0, 20.9, 0.1, TIMES, 80.0, (79.0, 80.0, 81.0), 0.25)
BOTH = Measured("noop", "peer up", AGAINST, Goal(ratio=0.25))
ALONE = Measured("webhook", NO_PEER, Figures(20.0, 20.9, 0.1, TIMES))


def test_both_sides_take_turns_and_the_warm_up_counts_for_neither() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    times = in_turns(lambda: side("ours"), lambda: side("peer"), runs=2, warm_up=1)
    assert order == ["ours", "peer"] * 3
    assert times == Times((3.0, 5.0), (4.0, 6.0))


def test_a_ratio_is_of_the_medians_and_the_spread_is_of_the_noisier_side() -> None:
    found = figures(Times((0.020, 0.020, 0.020), (0.060, 0.080, 0.100)))
    assert found == Figures(20.0, 20.0, 0.25, (20.0, 20.0, 20.0), 80.0, (60.0, 80.0, 100.0), 0.25)


def test_of_a_hundred_runs_five_may_be_slower_than_the_p95() -> None:
    assert figures(Times((0.1,) * 95 + (9.0,) * 5)).p95_ms < 1000
    assert figures(Times((0.1,) * 93 + (9.0,) * 7)).p95_ms == 9000.0


def test_one_outlier_moves_no_median() -> None:
    assert figures(Times((0.02, 0.02, 9.0), (0.08, 0.08, 0.08))).ratio == 0.25


def test_one_run_alone_has_no_spread() -> None:
    assert figures(Times((0.5,))) == Figures(500.0, 500.0, 0.0, (500.0,))


def test_the_document_names_case_peer_and_figures() -> None:
    assert document((BOTH, ALONE)) == {
        "ok": True,
        "data": {
            "noop": {
                "peer up": {
                    "median_ms": 20.0, "p95_ms": 20.9, "spread": 0.1, "times_ms": TIMES,
                    "peer_median_ms": 80.0, "peer_times_ms": (79.0, 80.0, 81.0), "ratio": 0.25,
                }
            },
            "webhook": {"none": {"median_ms": 20.0, "p95_ms": 20.9, "spread": 0.1, "times_ms": TIMES}},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("goal", "found", "met"),
    [
        (Goal(ratio=0.25), AGAINST, True),
        (Goal(ratio=0.25), replace(AGAINST, ratio=0.262), False),
        (Goal(ratio=0.25), Figures(1.0, 1.0, 0.1, (1.0,)), False),
        (Goal(median_ms=150), Figures(149.9, 900.0, 0.1, ()), True),
        (Goal(median_ms=150), Figures(150.0, 150.0, 0.1, ()), False),
        (Goal(p95_ms=500), Figures(100.0, 499.0, 0.1, ()), True),
        (Goal(p95_ms=500), Figures(100.0, 500.0, 0.1, ()), False),
    ],
)
def test_a_goal_is_met_or_not(goal: Goal, found: Figures, met: bool) -> None:
    assert goal.met(found) is met


def test_the_table_says_whether_a_goal_is_met() -> None:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(table((BOTH, ALONE)))
    lines = capture.get().splitlines()
    assert len(lines) == 3
    assert "0.250" in lines[1]
    assert lines[1].rstrip().endswith("ratio ≤ 0.25: met")


def test_without_an_engine_a_case_that_needs_one_is_refused_in_one_line() -> None:
    done = CliRunner().invoke(main, ["noop", "--json"], env={"ENGINE": "simulated"})
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["code"]) == (False, "ENGINE_MISSING")
    assert answer["error"].startswith("noop cannot be measured: no Docker engine")


def test_the_sample_is_ten_services_and_the_change_is_one_word(tmp_path: Path) -> None:
    sample.write_repository(tmp_path)
    project = tmp_path / "projects" / sample.ENVIRONMENT.project
    services = json.loads((project / "compose.yaml").read_text())["services"]
    assert len(services) == 10
    assert [name for name, service in services.items() if "${GREETING}" in json.dumps(service)] == ["web"]
    environment = project / sample.ENVIRONMENT.environment / "environment.yaml"
    before = environment.read_text()
    sample.greet("greeting 7", tmp_path)
    assert environment.read_text() == before.replace('"first"', '"greeting 7"')


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
