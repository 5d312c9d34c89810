"""Case files: their form, strictly, as a schema that others can write to, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tests.gate.doors import DOORS

CASES = Path(__file__).parents[1] / "cases" / "gate"

Rule = Annotated[int, Field(ge=0, le=85)]
Outcome = Literal["open", "waiting", "stale", "refused"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Case(_Strict):
    """One situation. `evidence` overrides an honest, approved pull request (tests/unit/approvals/evidence.py says how);
    `exact` is a whole Evidence by its schema, instead; `given` is what another door takes.
    """

    name: str
    through: str = Field("evidence", description="The door at which the case knocks")
    evidence: dict[str, Any] | None = None
    exact: dict[str, Any] | None = None
    given: dict[str, Any] | None = None
    now: str | None = Field(None, description="HH:MM[:SS] on 2026-01-05, UTC; +HH:MM counts from its midnight")
    outcome: Outcome | None = Field(None, description="What the answer must be; for a twin it is open")
    rules: list[Rule] = Field(default_factory=list, description="The numbers that the reasons must have, all of them")
    also: list[Rule] = Field(default_factory=list, description="Numbers that would stop it if these did not")
    not_by_number: bool = Field(False, description="More than the numbers named stands against it")


class CaseFile(_Strict):
    """All cases of one number: `attacks` that have to be refused by it (or, where the case names no rules, at all),
    `never` what must not get through whatever says so, `twins` that must, and `missing` where evidence is missing or
    contradicts itself.
    """

    number: Rule
    title: str
    attacks: list[Case] = Field(default_factory=list)
    never: list[Case] = Field(default_factory=list)
    twins: list[Case] = Field(default_factory=list)
    missing: list[Case] = Field(default_factory=list)


class Unreadable(Exception):
    """A case file that is not in the form."""


def read(directory: Path) -> Iterator[CaseFile]:
    """Every file of a directory, by name. Unreadable with file and place for one that is not in the form."""
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise Unreadable(f"{directory}: there is no case file (*.yaml)")
    for file in files:
        try:
            found = CaseFile.model_validate(yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader))
        except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise Unreadable(f"{file}: {error}") from error
        for case in (*found.attacks, *found.never, *found.twins, *found.missing):
            where = f"{file}: {case.name}"
            if case.through not in DOORS:
                raise Unreadable(f"{where}: there is no door '{case.through}'; there are {', '.join(DOORS)}")
            if (case.evidence, case.exact, case.given) == (None, None, None):
                raise Unreadable(f"{where}: says nothing of the situation (evidence, exact or given)")
        yield found


def schema() -> dict[str, Any]:
    """The JSON Schema of a case file."""
    return CaseFile.model_json_schema()
