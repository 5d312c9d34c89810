"""The rule families, one file each; a rule fires where every family holds."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.model.policy import Rule
from reconciler.policy.facts import Facts
from reconciler.policy.rules import blast_radius, data, files, host_access, images, target, who

RULES: tuple[Callable[[Rule, Facts], bool | None], ...] = (
    who.holds,
    target.holds,
    files.holds,
    blast_radius.holds,
    images.holds,
    data.holds,
    host_access.holds,
)

__all__ = ["RULES"]
