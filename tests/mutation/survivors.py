"""survivors.toml: the mutants that no test can notice, each with the reason in a line. Read by __main__.py."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tests.mutation.mutants import Mutant

FILE = Path(__file__).with_name("survivors.toml")

Line = Annotated[str, Field(min_length=20, pattern=r"^.+$")]


class Explained(BaseModel):
    """Why mutants cannot be noticed. `place` is a file below the root and a function, `*` for any; `change` the lines
    that differ, exactly, or `like` a regular expression for a class of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str
    change: str | None = None
    like: str | None = None
    why: Line

    def explains(self, place: str, change: str) -> bool:
        """Whether it is about this change at this place."""
        said = self.change is None or self.change.strip() == change
        return fnmatchcase(place, self.place) and said and (self.like is None or bool(re.search(self.like, change)))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    survivor: list[Explained] = []


def explanations(file: Path = FILE) -> list[Explained]:
    """All of the file. ValidationError where it is not in the form, or where one would explain a whole file."""
    found = _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))).survivor
    for each in found:
        if each.change is None and each.like is None:
            raise ValueError(f"{file}: {each.place}: says of no change what it is ('change' or 'like')")
    return found


def unexplained(survivors: Iterable[Mutant], explained: Iterable[Explained]) -> list[Mutant]:
    """The survivors that nothing explains."""
    known = list(explained)
    return [each for each in survivors if not any(one.explains(each.place, each.change()) for one in known)]


def outdated(
    survivors: Iterable[Mutant], explained: Iterable[Explained], tried: Iterable[Path], every: Iterable[Path]
) -> list[Explained]:
    """The explanations that no survivor needs, of those that are only about files that were tried (of `every` one)."""
    there = [(each.place, each.change()) for each in survivors]
    others = {str(file) for file in every} - {str(file) for file in tried}
    about = [each for each in explained if not any(fnmatchcase(file, each.place.split(" ")[0]) for file in others)]
    return [each for each in about if not any(each.explains(*one) for one in there)]
