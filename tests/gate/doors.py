"""Where a case knocks: each door takes what a case gives, asks the product, and gives the answer back.

`disabled` are numbers whose reasons the door leaves out, as if nothing looked at them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from pydantic import TypeAdapter

from reconciler.approvals import quorum
from reconciler.model.approval import Evidence, RuleSet
from reconciler.model.verdict import Requirement
from tests.gate import contents, hosts, installation, others
from tests.gate.answer import Answer
from tests.gate.deciding import answer_of, decided
from tests.gate.emergency import emergency
from tests.gate.files import files
from tests.gate.git_tricks import git_tricks
from tests.gate.landings import landings
from tests.unit.approvals.evidence import NOW, evidence, time_of

EVIDENCE = TypeAdapter(Evidence)

Door = Callable[[Mapping[str, Any], frozenset[int]], Answer]


def at_the_gate(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """An honest pull request with overrides (`evidence`), or a whole Evidence (`exact`), decided at `now`."""
    now = time_of(given.get("now") or NOW)
    assert now is not None
    if given.get("exact") is not None:
        return answer_of(decided(EVIDENCE.validate_python(given["exact"]), now, disabled))
    told = dict(given.get("evidence") or {})
    unread = told.pop("unread", {})
    with believing({number for number in disabled if BELIEVED.get(number) in unread}), anybody(53 in disabled):
        return answer_of(decided(evidence(**told), now, disabled))


BELIEVED = {14: "teams", 34: "protection", 50: "statuses", 51: "labels", 52: "paths"}
"""What a forge shows beside the evidence, by the number of whoever would believe it. No field of Evidence holds any of
it: a case names it under `unread`, and it changes nothing.
"""


@contextmanager
def believing(numbers: Collection[int]) -> Iterator[None]:
    """A gate that takes what a case names under `unread` for enough."""
    with patch.object(quorum, "missing", lambda *_, **__: ()) if numbers else nullcontext():
        yield


@contextmanager
def anybody(fills: bool) -> Iterator[None]:
    """A gate for which a group that nobody is in is anybody."""
    asked = quorum.requirements_of

    def loose(rules: RuleSet) -> tuple[Requirement, ...]:
        return tuple(
            replace(need, from_group=need.from_group if rules.principals.members(need.from_group or "") else None)
            for need in asked(rules)
        )

    with patch.object(quorum, "requirements_of", loose) if fills else nullcontext():
        yield


DOORS: Mapping[str, Door] = {
    "evidence": at_the_gate,
    "files": files,
    "rollback": others.rollback,
    "heal": others.heal,
    "delivery": others.delivery,
    "forge": others.forge,
    "engine": others.engine,
    "tree": contents.tree,
    "model": contents.model,
    "text": contents.text,
    "said": contents.said,
    "host-record": hosts.host_record,
    "trust-reset": hosts.trust_reset,
    "row": installation.row,
    "settings": installation.settings,
    "emergency": emergency,
    "landings": landings,
    "git": git_tricks,
}
