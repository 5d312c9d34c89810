"""How much a change touches at once: files and hosts."""

from __future__ import annotations

from reconciler.model.policy import Rule
from reconciler.policy.facts import Facts, all_of


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether more files or hosts are touched than the rule's limits."""
    files, hosts = rule.when.files_over, rule.when.hosts_over
    changed = facts.request.changed_files
    touched = {subject.target.host for subject in facts.request.targets}
    return all_of(
        (
            files is None or (None if changed is None else len(changed) > files),
            hosts is None or len(touched) > hosts,
        )
    )
