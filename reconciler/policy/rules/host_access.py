"""Whether a service reaches for the host: everything that is dangerous by number 78 of the gate's list."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.policy import Rule
from reconciler.model.verdict import Severity
from reconciler.policy.contents import Discovery, discoveries
from reconciler.policy.facts import Facts
from reconciler.policy.request import TargetFacts

GATE = 78


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether some service of the rendered model reaches for the host as the rule says; waived or not."""
    wanted = rule.when.privileged
    if wanted is None:
        return True
    if facts.subject is None or facts.subject.model is None:
        return None
    return any(True for _ in reaches(facts.subject)) is wanted


def reaches(subject: TargetFacts) -> Iterator[Discovery]:
    """What of a rendered model reaches for the host."""
    found = discoveries(subject.model or {}, subject.around)
    return (each for each in found if each.check.gate == GATE and each.check.severity is Severity.DENY)
