"""Rules about rules: what holds for one target when base and head disagree, and what a change of the rules is.

`stricter` and `rule_changes` are called by control when it gathers the evidence; the conditions by gate.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from reconciler.approvals import numbers
from reconciler.model.approval import Evidence, GateRules, Reason
from reconciler.model.desired import Consent, DesiredState, EnvironmentSpec, HostSpec
from reconciler.model.policy import Action, Effect
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Finding, Severity

PRODUCTION = "production"

TIERS = ("development", "test", "testing", "staging", PRODUCTION)
"""From the least strict; a tier with a name of its own is as strict as production."""

GATE_FIELDS = (
    "hosts",
    "tier",
    "compose_project",
    "consent",
    "consent_delay",
    "agent_owner_may_approve",
    "bind",
    "drift",
    "heal_stopped",
    "when_unreachable",
    "windows",
    "on_failure",
    "waivers",
)
"""Fields of environment.yaml that decide something about the gate; changing one is `change_policy`."""

RULE_FILES = ("policy.yaml", "principals.yaml", "reconciler.yaml")


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """What a change does to the rules: the `actions` it needs leave for, `findings` against it, and whether its files
    touch rules, and anything besides rules.
    """

    actions: tuple[Action, ...]
    findings: tuple[Finding, ...]
    rules_touched: bool
    others_touched: bool


# -- conditions of the gate ----------------------------------------------------------------------------------------


def readable(evidence: Evidence) -> Iterator[Reason]:
    """Policy and principals were read at every origin, and know every environment concerned (46, 47)."""
    if not evidence.policy_readable:
        yield Reason(numbers.RULES_UNREADABLE, "policy, principals or format file cannot be read; everything is denied")
    if not evidence.rule_sets:
        yield Reason(numbers.RULES_UNREADABLE, "there are no rules to judge by")
    elif evidence.landing is not None and len(evidence.rule_sets) < 2:
        text = "after the merge the rules before the landing and at the tip must both pass, and one of them is missing"
        yield Reason(numbers.RULES_UNREADABLE, text)
    for rule_set in evidence.rule_sets:
        for target in sorted(set(evidence.expected) - {e.target for e in rule_set.environments}):
            yield Reason(numbers.RULES_UNREADABLE, f"no rules for {target} are known ({rule_set.origin})")


def alone(evidence: Evidence) -> Iterator[Reason]:
    """A change of the rules is a pull request of its own (46)."""
    if evidence.rules_touched and evidence.others_touched:
        text = "this changes the rules and something else; split it, the rules first"
        yield Reason(numbers.RULES_AND_MORE, text)


def allowed(evidence: Evidence) -> Iterator[Reason]:
    """No version of the rules denies it (the finding's own number, or 0 for the repository's policy)."""
    for rule_set in evidence.rule_sets:
        for finding in rule_set.verdict.denied:
            number = numbers.POLICY_DENIES if finding.gate is None else finding.gate
            yield Reason(number, f"policy denies it ({finding.rule}): {finding.text}")


# -- the stricter of base and head ---------------------------------------------------------------------------------


def stricter(
    base: EnvironmentSpec | None,
    head: EnvironmentSpec | None,
    base_host: HostSpec | None,
    head_host: HostSpec | None,
    target: Target,
) -> GateRules:
    """The consent rules of one target, field by field the stricter of base and head, environment and host.

    An environment that the base does not have counts as production. `head` is None where the change removes it.
    """
    specs = [spec for spec in (base, head) if spec is not None]
    modes = list(Consent)
    tiers = [base.tier if base is not None else PRODUCTION]
    tiers += [head.tier] if head is not None else []
    tiers += [tier for host in (base_host, head_host) if host is not None for tier in host.tiers]
    return GateRules(
        target=target,
        tier=max(tiers, key=strictness),
        consent=max((spec.consent for spec in specs), key=modes.index, default=Consent.SIGNED),
        consent_delay_seconds=max((spec.consent_delay.total_seconds() for spec in specs), default=30.0),
        agent_owner_may_approve=bool(specs) and all(spec.agent_owner_may_approve for spec in specs),
        bind="revision" if specs and all(spec.bind == "revision" for spec in specs) else "plan",
    )


def strictest_consent(*states: DesiredState) -> Consent:
    """What a change asks for that concerns every environment. Whoever changes the rules could let a key of their own
    speak for anybody, and a new environment asks for as little as its own file says: neither takes less than what
    guards the most (5, 46).
    """
    modes = list(Consent)
    asked = (environment.consent for state in states for environment in state.environments)
    return max(asked, key=modes.index, default=Consent.REVIEW)


def strictness(tier: str) -> int:
    """The rank of a tier; of two equally strict ones the first, which is the base's, wins."""
    return TIERS.index(tier) if tier in TIERS else TIERS.index(PRODUCTION)


# -- what a change does to the rules -------------------------------------------------------------------------------


def rule_changes(base: DesiredState | None, head: DesiredState, changed_files: Sequence[str] = ()) -> RuleChanges:
    """What the change from base to head does to the rules. `changed_files` are repository paths (a rename is both)."""
    actions = {*policy_actions(base, head, changed_files), *host_actions(base, head, changed_files)}
    return RuleChanges(
        actions=tuple(sorted(actions)),
        findings=tuple(unreachable_quorums(head)) if actions else (),
        rules_touched=bool(actions),
        others_touched=touches_others(base, head, changed_files),
    )


def policy_actions(base: DesiredState | None, head: DesiredState, changed_files: Sequence[str]) -> Iterator[Action]:
    """`change_policy` where policy, principals, the format file or a gate field of an environment differ."""
    if (
        base is None
        or base.policy != head.policy
        or base.principals != head.principals
        or base.deploy_branch != head.deploy_branch
        or any(is_policy_file(path) for path in changed_files)
        or any(gate_fields(spec) != gate_fields(head.environment(spec.name)) for spec in kept(base, head))
    ):
        yield Action.CHANGE_POLICY


def host_actions(base: DesiredState | None, head: DesiredState, changed_files: Sequence[str]) -> Iterator[Action]:
    """`change_host` where a host is new or differs, or a file of hosts does in whatever way; `remove_host` where one is
    gone.
    """
    before = {host.name: host for host in base.hosts} if base is not None else {}
    after = {host.name: host for host in head.hosts}
    removed = before.keys() - after.keys()
    if removed:
        yield Action.REMOVE_HOST
    differs = any(name not in before or replace(before[name], location=h.location) != h for name, h in after.items())
    if differs or (not removed and any(is_host_file(path) for path in changed_files)):
        yield Action.CHANGE_HOST


def kept(base: DesiredState, head: DesiredState) -> Iterator[EnvironmentSpec]:
    """The environments of the base that the head still has."""
    return (spec for spec in base.environments if head.environment(spec.name) is not None)


def gate_fields(spec: EnvironmentSpec | None) -> tuple[object, ...]:
    """The values that decide something about the gate."""
    return tuple(getattr(spec, name) for name in GATE_FIELDS)


def other_fields(spec: EnvironmentSpec, like: EnvironmentSpec) -> EnvironmentSpec:
    """The environment with its gate fields, and its place in the file, taken from another."""
    same = {name: getattr(like, name) for name in (*GATE_FIELDS, "location")}
    return replace(spec, **same)


def touches_others(base: DesiredState | None, head: DesiredState, changed_files: Sequence[str]) -> bool:
    """Whether anything but rules changes: a file that is none, an environment that comes, goes or deploys otherwise."""
    if base is None or environment_names(base) != environment_names(head):
        return True
    pairs = [(spec, head.environment(spec.name)) for spec in base.environments]
    if any(after is not None and other_fields(spec, after) != after for spec, after in pairs):
        return True
    return any(not (is_policy_file(path) or is_host_file(path) or is_environment_file(path)) for path in changed_files)


def environment_names(state: DesiredState) -> frozenset[EnvironmentName]:
    """The names of all environments of a state."""
    return frozenset(spec.name for spec in state.environments)


def is_policy_file(path: str) -> bool:
    """Policy, principals, the format file; and git's own files, which change what others mean (44)."""
    return path in RULE_FILES or path.rpartition("/")[2] in (".gitattributes", ".gitmodules")


def is_host_file(path: str) -> bool:
    """A file of hosts."""
    return path.startswith("hosts/")


def is_environment_file(path: str) -> bool:
    """An environment.yaml, whose fields are compared one by one instead."""
    parts = path.split("/")
    return len(parts) == 4 and parts[0] == "projects" and parts[3] == "environment.yaml"


def unreachable_quorums(head: DesiredState) -> Iterator[Finding]:
    """A required group with fewer members than approvals, or fewer who could sign where consent is signed, would lock
    everybody out (46).
    """
    signed = any(environment.consent is Consent.SIGNED for environment in head.environments)
    for rule in head.policy.rules:
        if rule.effect is not Effect.REQUIRE or rule.need is None:
            continue
        group, approvals = rule.need.from_group, rule.need.approvals
        members = [person for person in head.principals.people if group is None or group in person.groups]
        able = [person for person in members if person.signing_keys] if signed else members
        if len(able) < approvals:
            who = f"group {group} would have" if group else "there would be"
            what = "persons with signing keys, and an environment asks for signed consent" if signed else "persons"
            text = f"{who} {len(able)} {what}; rule {rule.id} needs {approvals} approvals"
            yield Finding(rule.id, Severity.DENY, text, rule.location, numbers.RULES_AND_MORE)
