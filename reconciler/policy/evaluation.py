"""What the policy says of a change: deny beats require beats allow, and silence is no leave. Called by control."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.model.policy import Action, Effect, Need, Policy, Rule, When
from reconciler.model.principal import Principals
from reconciler.model.verdict import Finding, Requirement, Severity, Verdict
from reconciler.policy.contents import discoveries
from reconciler.policy.facts import Facts, all_of
from reconciler.policy.removal import removals
from reconciler.policy.request import PolicyRequest, TargetFacts
from reconciler.policy.rules import RULES
from reconciler.policy.waiving import Waivers, about_waivers, finding_of, waived

UNREADABLE = 47
FORBIDDEN_BY_NOW = 55
MOVING_TAG = 74
PULLED_ELSEWHERE = 75
PRIVILEGE = 78
MASS_DELETION = 84

NO_WAIVERS: Waivers = {}

ORDINARY = frozenset({Action.DEPLOY, Action.ROLLBACK})
"""Where the policy is silent about these, one other person approves; silence about anything else is a no."""

ABOUT_RULES = frozenset({Action.CHANGE_POLICY, Action.CHANGE_HOST, Action.REMOVE_HOST})
"""Whoever changes the rules needs what the strictest deployment under the old rules needs."""

ONE_OTHER_PERSON = Requirement(1, None, "default")
NOTHING_CHANGES = Requirement(0, None, "nothing-changes")


def evaluate(
    request: PolicyRequest, policy: Policy | None, principals: Principals, waivers: Waivers = NO_WAIVERS
) -> Verdict:
    """All rules over all actions and targets, folded. `policy` is None where it could not be read: all is denied.

    A rule whose facts are unknown fires when it denies or asks for approvals, and not when it allows or frees.
    `waivers` are those of the same version of the rules as the policy; they let built-in findings pass, never a rule.
    """
    if policy is None:
        text = "policy.yaml is missing or cannot be read; an unreadable policy denies everything"
        finding = Finding("policy", Severity.DENY, text, gate=UNREADABLE)
        return Verdict(folded([*request.findings, finding]), (ONE_OTHER_PERSON,), "")
    found: list[Finding] = [*request.findings, *built_in(request, waivers)]
    needed: list[Requirement] = []
    if request.targets and not request.actions:
        found.append(Finding("policy", Severity.DENY, "targets change and no action is named", gate=UNREADABLE))
    if not request.targets and not request.actions:
        needed.append(NOTHING_CHANGES)
    for action in request.actions:
        for subject in request.targets or (None,):
            denials, requirements = judged(action, Facts(request, subject, principals), policy)
            found += denials
            needed += requirements
    needs = sorted(set(needed), key=lambda need: (need.rule, need.approvals, need.from_group or ""))
    return Verdict(folded(found), tuple(needs), policy.digest)


def judged(action: Action, facts: Facts, policy: Policy) -> tuple[list[Finding], list[Requirement]]:
    """One action on one target: what denies it, and what it needs."""
    rules = [rule for rule in policy.rules if covers(rule, action)]
    denials = [
        denial(rule, facts, action) for rule in rules if rule.effect is Effect.DENY and fires(rule, facts) is not False
    ]
    needs = [requirement(rule, rule.need) for rule in rules if rule.need is not None and asks(rule, facts)]
    allowed = any(rule.effect is Effect.ALLOW and fires(rule, facts) is True for rule in rules)
    if not needs and not allowed and action not in ORDINARY:
        text = f"the policy says nothing of {action}, so nobody may; a rule that allows or requires it comes first"
        denials.append(Finding("silence", Severity.DENY, text))
    if action in ABOUT_RULES:
        needs += strictest_of_deployments(policy)
        needs = [need for need in needs if need.approvals > 0]
    return denials, needs or [ONE_OTHER_PERSON]


def covers(rule: Rule, action: Action) -> bool:
    """Whether the rule is about this action."""
    return "*" in rule.actions or action in rule.actions


def fires(rule: Rule, facts: Facts) -> bool | None:
    """Whether every family of conditions holds; None where that is not known."""
    return all_of(holds(rule, facts) for holds in RULES)


def asks(rule: Rule, facts: Facts) -> bool:
    """Whether a require rule counts: unknown is enough to ask for somebody, and not enough to free."""
    if rule.effect is not Effect.REQUIRE or rule.need is None:
        return False
    fired = fires(rule, facts)
    return fired is True if rule.need.approvals <= 0 else fired is not False


def requirement(rule: Rule, need: Need) -> Requirement:
    """What a require rule asks for."""
    return Requirement(need.approvals, need.from_group, rule.id)


def strictest_of_deployments(policy: Policy) -> Iterator[Requirement]:
    """Every approval that any deployment anywhere needs."""
    for rule in policy.rules:
        if rule.effect is Effect.REQUIRE and rule.need is not None and covers(rule, Action.DEPLOY):
            yield requirement(rule, rule.need)


def denial(rule: Rule, facts: Facts, action: Action) -> Finding:
    """The finding of a deny rule that fired, with the reason that its author wrote."""
    where = f" on {facts.subject.target}" if facts.subject is not None else ""
    sure = "" if fires(rule, facts) else " (a fact that it asks for is not known, which counts as a yes)"
    text = f"{rule.why or 'denied by the policy'}{where}{sure}"
    return Finding(rule.id, Severity.DENY, text, rule.location, number_of(rule, action))


def number_of(rule: Rule, action: Action) -> int | None:
    """The number in the gate's list that a rule defends against, by what it asks for; None for one of its own. What was
    allowed once and is forbidden by now has a number of its own.
    """
    by_contents = number_by_contents(rule.when)
    return FORBIDDEN_BY_NOW if by_contents is not None and action is Action.ROLLBACK else by_contents


def number_by_contents(when: When) -> int | None:
    """The number behind a condition on what a change contains."""
    if when.image_unpinned is not None:
        return MOVING_TAG
    if when.image_outside:
        return PULLED_ELSEWHERE
    if when.privileged is not None:
        return PRIVILEGE
    return MASS_DELETION if when.removes_over is not None else None


def built_in(request: PolicyRequest, waivers: Waivers) -> Iterator[Finding]:
    """What nobody has to write a rule for: what the rendered models reach for, and mass removal."""
    for subject in request.targets:
        environment = subject.target.environment_name
        found = [*of_model(subject), *removals(request.removal, environment)]
        yield from waived(found, environment, waivers)
        yield from about_waivers(subject, found, waivers)


def of_model(subject: TargetFacts) -> Iterator[Finding]:
    """The findings on one rendered model; one that could not be rendered is denied, because nobody knows what it is."""
    environment = subject.target.environment_name
    if subject.model is None:
        text = f"{environment}: the model could not be rendered, so nobody can say what it would run; mend it"
        yield Finding("not-rendered", Severity.DENY, text, gate=PRIVILEGE)
        return
    for found in discoveries(subject.model, subject.around):
        yield finding_of(environment, found, subject.model)


def folded(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Each finding once, denials first, then by rule, text and place."""
    once = dict.fromkeys(findings)
    return tuple(sorted(once, key=lambda f: (f.severity is not Severity.DENY, f.rule, f.text, str(f.location))))
