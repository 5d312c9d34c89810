"""Which targets a rule is about: tier, environment, host."""

from __future__ import annotations

from reconciler.model.policy import Rule
from reconciler.policy.facts import Facts, all_of, matches


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether the target is one that the rule names; unknown for an action without a target."""
    named = rule.target
    if not (named.tiers or named.environments or named.hosts):
        return True
    if facts.subject is None:
        return None
    target = facts.subject.target
    tier = facts.subject.tier
    names = (target.environment, str(target.environment_name))
    return all_of(
        (
            not named.tiers or (None if tier is None else matches(tier, named.tiers)),
            not named.environments or any(matches(name, named.environments) for name in names),
            not named.hosts or matches(target.host, named.hosts),
        )
    )
