"""What a case finds at whichever door it knocks on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """`outcome` is open, waiting, stale or refused; `rules` are the numbers of the reasons, sorted."""

    outcome: str
    rules: tuple[int, ...] = ()
