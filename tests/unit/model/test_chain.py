"""walk: a ledger's chain holds, or the first entry that does not fit is named."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.canonical import canonical, digest_bytes
from reconciler.model.chain import Broken, Holds, StoredEntry, walk
from reconciler.model.ledger_entry import GENESIS


def chain(*data: Any) -> list[StoredEntry]:
    """An honest chain, one entry per value."""
    entries: list[StoredEntry] = []
    previous = GENESIS
    for sequence, value in enumerate(data, 1):
        body = canonical(
            {"sequence": sequence, "previous": previous, "at": "now", "kind": "k", "subject": "s", "data": value}
        )
        entries.append(StoredEntry(body, sequence, previous, digest_bytes(body), "k", "s", "now"))
        previous = digest_bytes(body)
    return entries


def with_columns(entry: StoredEntry, **columns: Any) -> StoredEntry:
    return entry._replace(**columns)


def broken_at(entries: list[StoredEntry]) -> tuple[int, str]:
    found = walk(entries)
    assert isinstance(found, Broken)
    return found.sequence, found.reason


def test_an_honest_chain_holds_with_size_and_head() -> None:
    entries = chain("a", "b", "c")
    assert walk(entries) == Holds(3, digest_bytes(entries[-1].body))


def test_an_empty_ledger_holds_at_genesis() -> None:
    assert walk([]) == Holds(0, GENESIS)


def test_an_export_without_columns_holds_as_well() -> None:
    assert isinstance(walk([StoredEntry(entry.body) for entry in chain("a", "b")]), Holds)


def test_an_edited_entry_is_found_by_its_hash() -> None:
    entries = chain("a", "b", "c")
    entries[1] = with_columns(entries[1], body=entries[1].body.replace(b'"b"', b'"x"'))
    assert broken_at(entries) == (2, "was changed: its bytes do not have the recorded hash")


def test_an_edited_entry_with_its_hash_made_good_is_found_by_the_next_one() -> None:
    entries = chain("a", "b", "c")
    body = entries[1].body.replace(b'"b"', b'"x"')
    entries[1] = with_columns(entries[1], body=body, hash=digest_bytes(body))
    assert broken_at(entries) == (3, "does not follow from the entry before it")


def test_in_an_export_an_edit_is_found_by_the_next_line() -> None:
    bodies = [entry.body for entry in chain("a", "b", "c")]
    bodies[0] = bodies[0].replace(b'"a"', b'"x"')
    assert broken_at([StoredEntry(body) for body in bodies])[0] == 2


def test_a_missing_a_doubled_and_a_moved_entry_are_found() -> None:
    one, two, three = chain("a", "b", "c")
    assert broken_at([one, three])[0] == 2
    assert broken_at([one, two, two, three])[0] == 3
    assert broken_at([two, one, three])[0] == 1
    assert broken_at([two, three])[0] == 1


def test_an_entry_that_follows_from_another_history_is_found() -> None:
    assert broken_at([chain("other")[0], *chain("a", "b")[1:]]) == (2, "does not follow from the entry before it")


@pytest.mark.parametrize(
    ("column", "value"),
    [("sequence", 7), ("previous", "f" * 64), ("kind", "gate"), ("subject", "t"), ("at", "yesterday")],
)
def test_a_column_that_says_something_else_than_the_bytes_is_found(column: str, value: object) -> None:
    entries = chain("a", "b")
    entries[1] = with_columns(entries[1], **{column: value})
    assert broken_at(entries) == (2, f"its column {column} says something else than its bytes")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not"),
        (b"[]", "is not an entry"),
        (b"{}", "is not an entry"),
        (b'{"at":"now","kind":"k","previous":"x","sequence":"2","subject":"s"}', "is not an entry"),
        (b'{"at":"now","kind":"k","previous":"x","sequence":1e99,"subject":"s"}', "is not an entry"),
        (b'{"at":"now","data":[1,,2],"kind":"k","previous":"x","sequence":2,"subject":"s"}', "is not JSON"),
    ],
)
def test_what_is_no_entry_at_all_is_found(body: bytes, reason: str) -> None:
    sequence, text = broken_at([*chain("a"), StoredEntry(body)])
    assert sequence == 2
    assert reason in text


def test_a_walk_gives_the_heads_at_the_sizes_it_is_asked_for() -> None:
    entries = chain("a", "b", "c")
    found = walk(entries, sizes=(0, 2, 3, 9))
    assert isinstance(found, Holds)
    assert found.roots == {0: GENESIS, 2: entries[1].hash, 3: entries[2].hash}


def test_a_walk_can_begin_after_an_entry_whose_hash_is_known() -> None:
    entries = chain("a", "b", "c")
    assert walk(entries[1:], after=1, root=str(entries[0].hash)) == walk(entries)
    assert walk(entries[1:], after=1, root="f" * 64) == Broken(2, "does not follow from the entry before it")
    assert walk(entries[2:], after=1, root=str(entries[0].hash)) == Broken(
        2, "says it is number 3; an entry is missing, added or moved"
    )


def test_cutting_the_tail_leaves_a_chain_that_holds() -> None:
    """Only an anchor outside of the ledger can tell; until there is one, the head has to be compared by hand."""
    entries = chain("a", "b", "c")
    assert walk(entries[:2]) == Holds(2, digest_bytes(entries[1].body))
