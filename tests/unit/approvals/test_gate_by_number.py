"""`make gate`: all cases by number, and each number disabled in its turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from reconciler.approvals.catalogue import GROUPS, WAYS, Answer
from tests.gate.__main__ import knock, main, run, texts
from tests.gate.case_files import CASES, Case, CaseFile, Unreadable, read, schema
from tests.gate.doors import EVIDENCE

ROOT = Path(__file__).parents[3]
FILES = tuple(read(CASES))
TEXTS = yaml.load(CASES.with_name("gate_texts.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
NUMBERS = [file.number for file in FILES if file.attacks]


def test_the_list_is_whole() -> None:
    assert [way.number for way in WAYS] == list(range(1, 86))
    assert [number for number, _ in GROUPS] == [1, 16, 33, 46, 60, 70]
    assert {way.answer for way in WAYS} == set(Answer)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.number))
def test_every_attack_is_refused_by_its_number_and_every_twin_passes(file: CaseFile) -> None:
    assert [failure for row in run([file]) for failure in row.failures] == []


@pytest.mark.parametrize("number", sorted({file.number for file in FILES}))
def test_what_a_refusal_says_is_written_down(number: int) -> None:
    """`.venv/bin/python -m tests.gate --texts` writes tests/cases/gate_texts.yaml; read what differs."""
    assert texts(file for file in FILES if file.number == number).get(number, {}) == TEXTS.get(number, {})


@pytest.mark.parametrize("number", NUMBERS)
def test_without_what_looks_at_a_number_exactly_its_attacks_get_through(number: int) -> None:
    for row in run(FILES, frozenset({number})):
        wrong = row.number == number
        assert row.refused == (0 if wrong else row.attacks), (row.number, row.failures)
        assert row.passed == row.twins, (row.number, row.failures)


MISSING = [pytest.param(file, case, id=f"{file.number:02}: {case.name}") for file in FILES for case in file.missing]


@pytest.mark.parametrize(("file", "case"), MISSING)
def test_what_is_missing_is_answered_by_the_numbers_it_names_and_without_them_would_go_through(
    file: CaseFile, case: Case
) -> None:
    """Where a case names no number, its file's own stands for what looks at it."""
    assert set(knock(case).rules) == set(case.rules)
    if not case.not_by_number:
        answer = knock(case, frozenset({*case.rules, *case.also}) or frozenset({file.number}))
        assert answer.outcome == "open", "another check stops this too: the case does not show its numbers"


def test_every_number_that_is_in_scope_has_a_case_in_which_something_is_missing() -> None:
    in_scope = {way.number for way in WAYS if way.answer is not Answer.OUT_OF_SCOPE}
    assert {file.number for file in FILES if file.missing} == in_scope


def test_cases_from_elsewhere_are_run_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "any.yaml").write_text(
        """
        number: 16
        title: a push after the approval
        attacks:
          - {name: pushed, evidence: {pull: {head: new}, commits: [{}, {sha: new}]}, rules: [16]}
          - {name: not pushed, evidence: {}, rules: [16]}
        twins:
          - {name: not pushed either, evidence: {}}
        """
    )
    assert main(["--json", "--cases", str(tmp_path)]) == 1
    answer = json.loads(capsys.readouterr().out)
    row = answer["data"]["numbers"][15]
    assert answer["ok"] is False
    assert {key: row[key] for key in ("number", "kind", "attacks", "refused", "twins", "passed")} == {
        "number": 16, "kind": "prevented", "attacks": 2, "refused": 1, "twins": 1, "passed": 1,
    }  # fmt: skip
    assert row["failures"] == ["attack got through: not pushed: open []"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number: 86\ntitle: x\n", "number"),
        ("number: 1\ntitle: x\nattack: []\n", "attack"),
        ("number: 1\ntitle: x\nattacks: [{name: a, evidence: {}, through: window}]\n", "there is no door 'window'"),
        ("number: 1\ntitle: x\nattacks: [{name: a}]\n", "says nothing of the situation"),
        ("number: [\n", "any.yaml"),
        (None, "there is no case file"),
    ],
)
def test_a_file_that_is_not_in_the_form_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "any.yaml").write_text(text)
    with pytest.raises(Unreadable, match=said):
        list(read(tmp_path))


def test_the_form_of_a_case_file_is_published() -> None:
    assert json.loads((ROOT / "docs/reference/schemas/gate-case.json").read_text()) == schema()


def test_the_form_of_the_evidence_is_published() -> None:
    assert json.loads((ROOT / "docs/reference/schemas/gate-evidence.json").read_text()) == EVIDENCE.json_schema()
