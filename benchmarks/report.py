"""The figures as a table for a terminal and as the one document of --json; called by the command."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.measuring import Figures

NO_PEER = "none"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a case is to stay under: a ratio to its peer, or milliseconds of its median or of 95 of 100 runs."""

    ratio: float | None = None
    median_ms: float | None = None
    p95_ms: float | None = None

    def met(self, found: Figures) -> bool:
        """Whether the figures keep it; a ratio that was not measured keeps nothing."""
        if self.median_ms is not None and found.median_ms >= self.median_ms:
            return False
        if self.p95_ms is not None and found.p95_ms >= self.p95_ms:
            return False
        return self.ratio is None or (found.ratio is not None and found.ratio <= self.ratio)

    def __str__(self) -> str:
        parts = [f"ratio ≤ {self.ratio:g}"] if self.ratio is not None else []
        parts += [f"< {self.median_ms:g} ms"] if self.median_ms is not None else []
        return ", ".join([*parts, f"p95 < {self.p95_ms:g} ms"] if self.p95_ms is not None else parts)


@dataclass(frozen=True, slots=True)
class Measured:
    """One case as it came out; `peer` is the name of what it was compared with, or `none`."""

    case: str
    peer: str
    figures: Figures
    goal: Goal | None = None


def document(results: tuple[Measured, ...]) -> dict[str, Any]:
    """{"ok": true, "data": {case: {peer: figures}}}; without a peer its figures are left out."""
    data: dict[str, Mapping[str, Any]] = {}
    for result in results:
        known = {name: value for name, value in dataclasses.asdict(result.figures).items() if value is not None}
        data[result.case] = {result.peer: known}
    return {"ok": True, "data": data}


def table(results: tuple[Measured, ...]) -> Table:
    """One line per case; the noise is shown in per cent."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("case", "ms", "p95", "peer", "peer ms", "ratio", "spread", "runs", "goal"):
        right = heading in ("ms", "p95", "peer ms", "ratio", "spread", "runs")
        shown.add_column(heading, justify="right" if right else "left", overflow="fold")
    for result in results:
        found = result.figures
        shown.add_row(
            result.case,
            f"{found.median_ms:.1f}",
            f"{found.p95_ms:.1f}",
            result.peer,
            _number(found.peer_median_ms, 1),
            _number(found.ratio, 3),
            f"{found.spread:.0%}",
            "+".join(str(len(times)) for times in (found.times_ms, found.peer_times_ms) if times is not None),
            "" if result.goal is None else f"{result.goal}: {'met' if result.goal.met(found) else 'NOT MET'}",
        )
    return shown


def _number(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"
