"""What a case finds at whichever door it knocks on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.model.approval import Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """`outcome` is open, waiting, stale or refused; `rules` are the numbers of the reasons, sorted; `texts` are the
    reasons in words, each behind its number, and who is missing.
    """

    outcome: str
    rules: tuple[int, ...] = ()
    texts: tuple[str, ...] = field(default=(), compare=False)


def texts_of(reasons: Iterable[Reason]) -> tuple[str, ...]:
    """Reasons as they are read, each behind its number."""
    return tuple(f"{reason.rule}: {reason.text}" for reason in reasons)
