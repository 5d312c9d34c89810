"""What a case finds at whichever door it knocks on."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """`outcome` is open, waiting, stale or refused; `rules` are the numbers of the reasons, sorted; `texts` are the
    reasons in words, for whoever looks into a case.
    """

    outcome: str
    rules: tuple[int, ...] = ()
    texts: tuple[str, ...] = field(default=(), compare=False)
