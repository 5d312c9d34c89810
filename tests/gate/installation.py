"""The doors of cases about what an installation keeps for itself: its database and its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import create_engine, literal, select

from reconciler.control import configuration
from reconciler.model.errors import VerificationFailed
from reconciler.storage import schema
from reconciler.storage.sealing import Seal
from tests.gate.answer import Answer

OPEN = Answer("open")
KEYS = {"ours": Seal(b"the key of this installation"), "theirs": Seal(b"the key of somebody else")}


def row(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """A row of `table` is read: `row` is what was written with the key `sealed_by` (ours or theirs), `changed` what
    somebody changed afterwards.
    """
    table = schema.metadata.tables[given["table"]]
    sealed = KEYS[given.get("sealed_by", "ours")].sealed(table, given["row"])
    values = {**sealed, **given.get("changed", {})}
    with create_engine("sqlite://").connect() as connection:
        found = connection.execute(select(*(literal(value).label(name) for name, value in values.items()))).one()
    try:
        KEYS["ours"].checked(table, found)
    except VerificationFailed:
        return OPEN if 68 in disabled else Answer("refused", (68,))
    return OPEN


def settings(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """The server starts with settings (`now`) and a `version`, after it had run with others (`before`; nothing where it
    never ran). Refused stands for detected: the start is on record, and with `differ` exactly these as different.
    """
    first = configuration.changed({}, given["before"], "1.0") if "before" in given else {}
    entry = configuration.changed(first or {}, given["now"], given.get("version", "1.0"))
    if entry is None or 59 in disabled:
        return OPEN
    if "differ" in given and entry["changed"] != given["differ"]:
        return OPEN
    return Answer("refused", (59,))
