"""Which files a change touches: protected paths."""

from __future__ import annotations

from reconciler.model.policy import Rule
from reconciler.policy.facts import Facts, matches


def holds(rule: Rule, facts: Facts) -> bool | None:
    """Whether any changed file fits `files_any`; a glob without a slash fits a name in every directory."""
    globs = rule.when.files_any
    if not globs:
        return True
    if facts.request.changed_files is None:
        return None
    anywhere = [glob if "/" in glob else f"**/{glob}" for glob in globs]
    return any(matches(path, anywhere) for path in facts.request.changed_files)
