"""For each door a way to break what is behind it, so that a test sees the door find it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from operator import attrgetter
from typing import Any
from unittest.mock import patch

from tests.fuzz.repository import digest_of_section

Replacement = Callable[[Any], Any]
"""What takes the place of what is there."""


def without(name: str) -> Replacement:
    return lambda conditions: tuple(each for each in conditions if each.__name__ != name)


def nothing(_: Any) -> Any:
    return lambda *_given, **_named: []


BREAKS: Mapping[str, tuple[str, Replacement]] = {
    "webhooks": ("reconciler.forges.webhooks:verify", lambda _: lambda *_given: True),
    "answers": ("reconciler.approvals.gate:HOLDS", without("nothing_moved_since")),
    "comments": (
        "reconciler.approvals.words:COMMAND",
        lambda command: re.compile(f".*{command.pattern}"),
    ),
    "messages": ("reconciler.forges.github:trailers", nothing),
    "consents": ("reconciler.approvals.gate:HOLDS", without("signed_where_asked")),
    "http": ("reconciler.forges.connection:Connection._clean", lambda _: lambda _self, text: text),
    "engine": ("reconciler.model.observed:ObservedContainer.owned", lambda _: property(lambda _self: True)),
    "commands": ("reconciler.hosts.locks:_HELD", lambda _: re.compile(".*?([0-9]{1,17}).*")),
    "host records": ("reconciler.approvals.host_record:BELONGS", without("of_this_installation")),
    "files": (
        "reconciler.documents.reading:read_document",
        lambda read: lambda file, content: (read(file, content)[0], []),
    ),
    "compose": ("reconciler.compose.admission:_Walk._env_files", nothing),
    "objects": ("reconciler.sources.trees:_NO_NAMES", lambda _: ()),
    "models": ("reconciler.policy.contents.privilege:NAMESPACES", lambda _: {}),
    "changes": ("reconciler.policy.unseen:longest", lambda _: len),
    "plans": ("reconciler.diff.planning:definition_digest", lambda _: lambda service: service.name),
    "markers": ("reconciler.reports.comment:digest_bytes", lambda digest: lambda data: digest_of_section()),
    "ledger": (
        "reconciler.model.chain:digest_bytes",
        lambda digest: lambda data: digest(re.sub(rb'"n":[^}]*}', b'"n":1}', data)),
    ),
    "checkpoints": ("reconciler.control.verifying:_not_signed", nothing),
    "witness": ("reconciler.sources.witness:SIZE", lambda _: re.compile(".*")),
    "signatures": (
        "reconciler.signatures.ed25519:Ed25519Signatures.signer_of",
        lambda signer_of: lambda self, _payload, *given: signer_of(self, b"a payload\n", *given),
    ),
    "resets": ("reconciler.approvals.trust_reset:CONDITIONS", lambda _: ()),
    "glass": ("reconciler.approvals.emergency:says_why", nothing),
    "database": ("reconciler.storage.sealing:Seal.checked", lambda _: lambda _self, _table, row: row),
    "plan records": (
        "reconciler.apply.plan_record:_KINDS",
        lambda kinds: {**kinds, "CreateService": kinds["ScaleService"]},
    ),
    "settings": ("reconciler.settings:re.sub", lambda _: lambda _pattern, _new, text: text),
}


@contextmanager
def broken(door: str) -> Iterator[None]:
    """What is behind a door is broken for as long as this lasts."""
    place, replacement = BREAKS[door]
    module, _, path = place.partition(":")
    owner, _, name = path.rpartition(".")
    holder = attrgetter(owner)(import_module(module)) if owner else import_module(module)
    with patch.object(holder, name, replacement(getattr(holder, name))):
        yield
