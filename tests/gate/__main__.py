"""`make gate`: every case by its number, as a table or as JSON.

make gate                     all numbers; fails where an attack gets through or a twin does not
make gate BREAK=16            as if nothing looked at 16: exactly the attacks of 16 get through
make gate CASES=DIR           case files from elsewhere, in the form of docs/reference/schemas/gate-case.json
make gate ARGS=--texts        what every refusal says, as tests/cases/gate_texts.yaml has it
make gate ARGS=--json         {"ok": …, "data": {"numbers": [{"number": 1, "kind": …, "attacks": 3, "refused": 3, …}]}}
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from reconciler.approvals.catalogue import WAYS
from tests.gate.answer import Answer
from tests.gate.case_files import CASES, Case, CaseFile, Unreadable, read
from tests.gate.doors import DOORS


@dataclass(slots=True)
class Row:
    """One number: how many attacks were refused, how many twins passed, and what went otherwise."""

    number: int
    kind: str
    attacks: int = 0
    refused: int = 0
    twins: int = 0
    passed: int = 0
    others: int = 0
    failures: list[str] = field(default_factory=list)


def knock(case: Case, disabled: frozenset[int] = frozenset()) -> Answer:
    """The answer at the case's own door."""
    if case.through == "evidence":
        return DOORS["evidence"]({"evidence": case.evidence, "exact": case.exact, "now": case.now}, disabled)
    return DOORS[case.through](case.given or {}, disabled)


def refused(file: CaseFile, case: Case, answer: Answer) -> bool:
    """An attack is refused by its number, where it names any, and otherwise at all."""
    return answer.outcome != "open" and (not case.rules or file.number in answer.rules)


def as_said(case: Case, answer: Answer) -> bool:
    """Whatever is neither attack nor twin is answered as the case says, with all the numbers that it names."""
    return (
        answer.outcome == (case.outcome or answer.outcome)
        and answer.outcome != "open"
        and (set(case.rules) <= set(answer.rules))
    )


def run(files: Iterable[CaseFile], disabled: frozenset[int] = frozenset()) -> list[Row]:
    """Every number of the list, with the cases of these files."""
    rows = {way.number: Row(way.number, str(way.answer)) for way in WAYS}
    for file in files:
        row = rows[file.number]
        for case in file.attacks:
            row.attacks += 1
            answer = knock(case, disabled)
            if refused(file, case, answer):
                row.refused += 1
            else:
                row.failures.append(f"attack got through: {case.name}: {answer.outcome} {list(answer.rules)}")
        for case in file.twins:
            row.twins += 1
            answer = knock(case, disabled)
            if answer.outcome == "open":
                row.passed += 1
            else:
                row.failures.append(f"twin was stopped: {case.name}: {answer.outcome} {list(answer.rules)}")
        for case in (*file.never, *file.missing):
            row.others += 1
            answer = knock(case, disabled)
            if not as_said(case, answer) and not disabled:
                row.failures.append(f"answered otherwise: {case.name}: {answer.outcome} {list(answer.rules)}")
    return [rows[number] for number in sorted(rows)]


SAID_BY_THE_GATE = ("evidence", "rollback", "heal", "model", "emergency", "landings", "host-record", "trust-reset")
"""The doors behind which nothing but the product words the answer."""


def texts(files: Iterable[CaseFile]) -> dict[int, dict[str, list[str]]]:
    """What each case is told that does not get through, by number and name."""
    told: dict[int, dict[str, list[str]]] = {}
    for file in files:
        for case in (*file.attacks, *file.never, *file.missing):
            if case.through in SAID_BY_THE_GATE:
                told.setdefault(file.number, {})[case.name] = list(knock(case).texts)
    return told


def table(rows: list[Row]) -> str:
    """For people."""
    lines = [
        f"{'':>3}  {'answer':<12} {'attacks':>8} {'refused':>8} {'twins':>6} {'passed':>7} {'others':>7}  way around"
    ]
    titles = {way.number: way.title for way in WAYS}
    for row in rows:
        counts = f"{row.attacks:>8} {row.refused:>8} {row.twins:>6} {row.passed:>7} {row.others:>7}"
        lines.append(f"{row.number:>3}  {row.kind:<12} {counts}  {titles[row.number]}")
        lines += [f"       {failure}" for failure in row.failures]
    attacks, stopped = sum(row.attacks for row in rows), sum(row.refused for row in rows)
    twins, passed = sum(row.twins for row in rows), sum(row.passed for row in rows)
    lines.append(f"{attacks} attacks, {stopped} refused; {twins} twins, {passed} passed")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="make gate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--cases", type=Path, default=CASES, help="a directory of case files")
    parser.add_argument("--break", dest="number", type=int, help="as if nothing looked at this number")
    parser.add_argument("--texts", action="store_true", help="what every refusal says, as YAML")
    options = parser.parse_args(arguments)
    if options.number is not None and options.number not in {way.number for way in WAYS}:
        parser.error(f"there is no number {options.number}")
    if options.texts:
        print(yaml.safe_dump(texts(read(options.cases)), sort_keys=False, width=10**6, allow_unicode=True), end="")
        return 0
    disabled = frozenset() if options.number is None else frozenset({options.number})
    try:
        rows = run(read(options.cases), disabled)
    except Unreadable as error:
        print(json.dumps({"ok": False, "error": str(error), "code": "INVALID"}) if options.json else f"error: {error}")
        return 1
    ok = not any(row.failures for row in rows)
    print(json.dumps({"ok": ok, "data": {"numbers": [asdict(row) for row in rows]}}) if options.json else table(rows))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
