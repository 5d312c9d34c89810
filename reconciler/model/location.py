"""Where something stands in the repository, and a problem found there."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a repository file, sorted by file and line; `line` counts from 1, None means the whole file."""

    file: str
    line: int | None = None

    def __lt__(self, other: Location) -> bool:
        return (self.file, self.line or 0) < (other.file, other.line or 0)

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with what somebody wrote: where, what, and what to do about it; `gate` is its number in the
    gate's list where it is a way around an approval.
    """

    location: Location
    text: str
    hint: str = ""
    gate: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        number = f" (gate {self.gate})" if self.gate is not None else ""
        return f"{self.location}: {self.text}" + (f" ({self.hint})" if self.hint else "") + number
