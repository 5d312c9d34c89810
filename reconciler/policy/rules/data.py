"""Whether data goes: a plan that removes a volume."""

from __future__ import annotations

from reconciler.model.policy import Rule
from reconciler.policy.facts import Facts


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether the plan destroys data as the rule says."""
    wanted = rule.when.destroys_data
    if wanted is None:
        return True
    destroys = facts.subject.destroys_data if facts.subject is not None else None
    return None if destroys is None else destroys is wanted
