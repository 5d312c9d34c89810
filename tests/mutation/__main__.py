"""`make mutate`: every small change of what decides, and whether a test notices it.

make mutate                                     the gate and the policy, whole (tens of minutes)
make mutate ARGS=reconciler/approvals/words.py  a module, or several, or a package
make mutate ARGS=--json                         {"ok": …, "data": {"mutants": 8000, "killed": …, "explained": …, …}}

Fails where a mutant survives that tests/mutation/survivors.toml does not explain, or where it explains what no longer
survives.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.mutation.mutants import files_of, mutants_of
from tests.mutation.survivors import explanations, outdated, unexplained
from tests.mutation.trying import Trial, run

TARGETS = ("reconciler/approvals", "reconciler/policy")

SUITES = ("tests/unit/approvals", "tests/unit/policy")
"""Whose tests may notice. What runs every case again without one number, and what generates thousands of histories,
is left out: it takes seconds for each mutant, and what only chance notices is not held by a test.
"""

LEFT_OUT = (
    "test_without_what_looks_at_a_number",
    "test_no_two_attacks_together",
    "test_gate_histories",
    "test_gate_properties",
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="make mutate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", default=TARGETS, help="packages or modules")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(arguments)
    files = files_of(options.targets)
    if not files:
        parser.error(f"there is no module in {' '.join(options.targets)}")
    began = time.monotonic()
    mutants = [mutant for file in files for mutant in mutants_of(file)]

    def progress(trial: Trial, done: int) -> None:
        if trial.by is None:
            print(f"{trial.mutant.place}:{trial.mutant.line}\n{trial.mutant.change()}\n", file=sys.stderr, flush=True)
        elif done % 100 == 0:
            print(f"{done} of {len(mutants)} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    trials = run(mutants, [*SUITES, "-k", " and ".join(f"not {name}" for name in LEFT_OUT)], progress)
    changed = [mutant for mutant in mutants if mutant.mutation is not None]
    if trials.failed or len(trials.done) < len(changed):
        tests = ", ".join(trials.failed)
        print("error: " + (f"these fail without any mutant: {tests}" if tests else "it was stopped"), file=sys.stderr)
        return 1
    survivors = [trial.mutant for trial in trials.done if trial.by is None]
    known = explanations()
    open_, old = unexplained(survivors, known), outdated(survivors, known, files, files_of(TARGETS))
    figures = {
        "mutants": len(changed),
        "killed": len(changed) - len(survivors),
        "explained": len(survivors) - len(open_),
        "unexplained": [f"{each.place}:{each.line}\n{each.change()}" for each in open_],
        "outdated": [f"{each.place}\n{each.change or each.like}" for each in old],
        "seconds": round(time.monotonic() - began),
    }
    ok = not open_ and not old
    print(json.dumps({"ok": ok, "data": figures}) if options.json else report(figures))
    return 0 if ok else 1


def report(figures: dict[str, object]) -> str:
    """For people."""
    lines = [f"{key}: {value}" for key, value in figures.items() if not isinstance(value, list)]
    for key in ("unexplained", "outdated"):
        found = figures[key]
        assert isinstance(found, list)
        lines.append(f"{key}: {len(found)}")
        lines += ["  " + line.replace("\n", "\n    ") for line in found]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
