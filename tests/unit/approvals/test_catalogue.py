"""The list of ways around an approval, as its page has it: what is promised is changed on purpose, in both places."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler.approvals import catalogue

PAGE = Path(__file__).parents[3] / "docs/reference/gate.md"

GROUP = re.compile(r"^### (.+)\n\n\|.*\n\|.*\n((?:\|.*\n)+)", re.MULTILINE)

PROMISED = {
    int(cells[0]): (group, *cells[1:4], cells[5])
    for group, rows in GROUP.findall(PAGE.read_text(encoding="utf-8"))
    for cells in ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows.splitlines())
}


@pytest.mark.parametrize("number", range(1, 86))
def test_a_number_is_what_its_page_says(number: int) -> None:
    way = catalogue.WAYS[number - 1]
    forge = f"gives {way.needs}, or signs" if way.needs is not None else "every"
    said = (catalogue.group_of(way.number), way.title, str(way.answer), way.how, forge)
    assert (way.number, said) == (number, PROMISED[number])
