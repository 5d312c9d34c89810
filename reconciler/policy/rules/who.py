"""Whom a rule is about: the kind of the authors, and the groups of the persons among them."""

from __future__ import annotations

from reconciler.model.policy import Effect, Rule
from reconciler.model.principal import PrincipalKind
from reconciler.policy.facts import Facts, all_of, any_of


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether the authors are whom the rule names. A rule that allows or frees has to fit everyone who shaped the
    change, any other rule fires for anyone; an account that nobody registered could be anybody.
    """
    if rule.who.kind is None and not rule.who.groups:
        return True
    frees = rule.effect is Effect.ALLOW or (rule.need is not None and rule.need.approvals <= 0)
    fold = all_of if frees else any_of
    return fold(author(rule, facts, account) for account in facts.request.authors) if facts.request.authors else None


def author(rule: Rule, facts: Facts, account: int | None) -> bool | None:
    """Whether one author is whom the rule names."""
    person = facts.principals.person_of(account)
    agent = facts.principals.agent_of(account)
    if person is None and agent is None:
        return True if rule.who.kind == PrincipalKind.UNKNOWN and not rule.who.groups else None
    kind = PrincipalKind.AGENT if agent is not None else PrincipalKind.PERSON
    if rule.who.kind is not None and rule.who.kind != kind:
        return False
    if not rule.who.groups:
        return True
    return person is not None and any(group in person.groups for group in rule.who.groups)
