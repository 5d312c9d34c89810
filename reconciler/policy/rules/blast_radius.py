"""How much a change touches at once: files, hosts, and how much of everything it takes away (gate 84)."""

from __future__ import annotations

from reconciler.model.policy import Rule
from reconciler.policy.facts import Facts, all_of


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether more files or hosts are touched, or a greater part of all services goes, than the rule's limits."""
    files, hosts, gone = rule.when.files_over, rule.when.hosts_over, rule.when.removes_over
    removal = facts.request.removal
    changed = facts.request.changed_files
    touched = {subject.target.host for subject in facts.request.targets}
    return all_of(
        (
            files is None or (None if changed is None else len(changed) > files),
            hosts is None or len(touched) > hosts,
            gone is None or (None if removal is None else removal.percent > gone),
        )
    )
