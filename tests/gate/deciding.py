"""The gate's own answer to a case, with or without what looks at some numbers. For every door that leads to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from unittest.mock import patch

from reconciler.approvals import decide, gate
from reconciler.model.approval import Evidence, Gate, Open, Reason, Refused, Waiting
from tests.gate.answer import Answer, texts_of

FAMILIES = ("REFUSALS", "BLOCKS", "RAISES", "COUNTS", "HOLDS")


def decided(found: Evidence, now: datetime, disabled: frozenset[int] = frozenset()) -> Gate:
    """The gate's answer, without what looks at the disabled numbers. Where the last assertion of the gate itself is all
    that is left to stand against it, it is taken for shut without a reason.
    """
    with without(disabled):
        try:
            return decide(found, now)
        except AssertionError:
            if not disabled:
                raise
            return Refused(())


@contextmanager
def without(disabled: frozenset[int]) -> Iterator[None]:
    """The gate as if nothing looked at these numbers."""
    if not disabled:
        yield
        return

    def blind(condition: Callable[..., Iterable[Reason]]) -> Callable[..., Iterator[Reason]]:
        return lambda *given: (reason for reason in condition(*given) if reason.rule not in disabled)

    blinded = {family: tuple(map(blind, getattr(gate, family))) for family in FAMILIES}
    with patch.multiple(gate, **blinded):
        yield


def answer_of(found: Gate) -> Answer:
    """A gate's answer as a case compares it."""
    if isinstance(found, Open):
        return Answer("open")
    rules = tuple(sorted({reason.rule for reason in found.reasons}))
    missing = tuple(f"missing: {each}" for each in found.missing) if isinstance(found, Waiting) else ()
    rejected = ("rejected",) if isinstance(found, Waiting) and found.rejected is True else ()
    return Answer(type(found).__name__.lower(), rules, (*texts_of(found.reasons), *missing, *rejected))
