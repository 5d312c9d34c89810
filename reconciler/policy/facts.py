"""Facts of one request about one target, and three-valued logic over them: True, False, or None for unknown.

An unknown fact fires a deny and never satisfies an allow; who asks for which is evaluation.py's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from reconciler.model.principal import Principals
from reconciler.policy.request import PolicyRequest, TargetFacts


@dataclass(frozen=True, slots=True)
class Facts:
    """A request seen from one of its targets (None for an action that has no target)."""

    request: PolicyRequest
    subject: TargetFacts | None
    principals: Principals


def all_of(answers: Iterable[bool | None]) -> bool | None:
    """False when any is False, else None when any is unknown."""
    found = list(answers)
    if False in found:
        return False
    return None if None in found else True


def any_of(answers: Iterable[bool | None]) -> bool | None:
    """True when any is True, else None when any is unknown."""
    found = list(answers)
    if True in found:
        return True
    return None if None in found else False


def matches(text: str, globs: Sequence[str]) -> bool:
    """Whether a name fits any glob: `*` and `?` stop at a slash, `**` does not."""
    return any(pattern(glob).fullmatch(text) for glob in globs)


@lru_cache(maxsize=1024)
def pattern(glob: str) -> re.Pattern[str]:
    """The regular expression of a glob; `**/` also stands for nothing."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)
