"""Anything that claims to be a ledger, a checkpoint, a key or an attestation: an answer, never a crash, never a yes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler import auditing
from reconciler.control.verifying import Found, Outside, Tampered, Verified, verify
from reconciler.model.chain import Broken, Holds, StoredEntry, walk
from reconciler.model.checkpoint import NAMESPACE, Checkpoint, Claim, SignedCheckpoint
from reconciler.model.errors import InvalidInput, ReconcilerError, Retryable
from reconciler.model.ledger_entry import GENESIS
from reconciler.signatures import InstallationKey
from tests.unit.model.test_chain import chain

many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
lines = st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode())
HONEST = chain("a", "b", "c", "d", "e")
BODIES = [entry.body for entry in HONEST]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> InstallationKey:
    return InstallationKey(tmp_path_factory.mktemp("key") / "signing.key")


def signed(key: InstallationKey, size: int, root: str, origin: str = "reconciler/77") -> SignedCheckpoint:
    checkpoint = Checkpoint(origin, size, root)
    return SignedCheckpoint(checkpoint, key.sign(checkpoint.signed_bytes, NAMESPACE))


def root_at(size: int) -> str:
    return str(HONEST[size - 1].hash)


@many
@given(st.lists(lines, max_size=6))
def test_a_walk_over_anything_has_an_answer(bodies: list[bytes]) -> None:
    found = walk(map(StoredEntry, bodies))
    assert isinstance(found, Holds) is (not bodies)


@many
@given(st.permutations(BODIES), st.integers(0, 5))
def test_no_other_order_and_no_selection_of_honest_entries_holds_but_a_beginning(bodies: list[bytes], cut: int) -> None:
    chosen = list(bodies)[:cut]
    assert isinstance(walk(map(StoredEntry, chosen)), Holds) is (chosen == BODIES[:cut])


@many
@given(st.integers(0, len(b"".join(BODIES)) - 1), st.integers(0, 7))
def test_no_bit_of_a_signed_ledger_can_be_another(key: InstallationKey, place: int, bit: int) -> None:
    data = bytearray(b"".join(BODIES))
    data[place] ^= 1 << bit
    bodies, begin = list[bytes](), 0
    for body in BODIES:
        bodies.append(bytes(data[begin : begin + len(body)]))
        begin += len(body)
    claim = Claim("what was written down", 5, root_at(5))
    answer = verify(Found(map(StoredEntry, bodies)), Outside(anchors=(claim,)), auditing.signatures())
    assert isinstance(answer, Tampered)


@many
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_file_is_a_key_a_checkpoint_and_an_export_or_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    for read in (auditing.public_key, auditing.checkpoint):
        with pytest.raises(InvalidInput):
            read(file)
    found, outside = auditing.export(file)
    answer = verify(found, outside, auditing.signatures())
    assert isinstance(answer, Tampered) is bool(content.replace(b"\n", b""))


def test_checkpoints_that_agree_are_counted_and_the_largest_covers(key: InstallationKey) -> None:
    kept = [("2", signed(key, 2, root_at(2)).text), ("4", signed(key, 4, root_at(4)).text)]
    answer = verify(Found(HONEST, kept), Outside(key.public_key), auditing.signatures())
    assert answer == Verified(5, root_at(5), 2, 4, ())


def test_every_fault_is_named_and_the_rest_counted(key: InstallationKey) -> None:
    claims = tuple(Claim(f"claim {number}", 5, f"{number:064x}") for number in range(9))
    answer = verify(Found(HONEST, (), ("a trigger is missing",)), Outside(anchors=claims), auditing.signatures())
    assert isinstance(answer, Tampered)
    assert len(answer.faults) == 10
    assert "a trigger is missing" in answer.text
    assert answer.text.endswith("and 5 more")


def test_checkpoints_of_two_ledgers_do_not_belong_to_one(key: InstallationKey) -> None:
    kept = [("2", signed(key, 2, root_at(2)).text), ("4", signed(key, 4, root_at(4), "reconciler/78").text)]
    answer = verify(Found(HONEST, kept), Outside(key.public_key), auditing.signatures())
    assert isinstance(answer, Tampered)
    assert "different ledgers: reconciler/77, reconciler/78" in answer.text


def test_what_is_missing_is_an_error_only_where_nothing_speaks_against_it(key: InstallationKey) -> None:
    away = Outside(key.public_key, missing=("the witness is away",))
    with pytest.raises(Retryable, match="what there is holds, but the witness is away"):
        verify(Found(HONEST), away, auditing.signatures())
    assert isinstance(verify(Found(HONEST[1:]), away, auditing.signatures()), Tampered)


def test_without_a_key_a_checkpoint_is_worth_nothing(key: InstallationKey) -> None:
    kept = [("4", signed(key, 4, root_at(4)).text)]
    with pytest.raises(ReconcilerError, match="no key"):
        verify(Found(HONEST, kept), Outside(), auditing.signatures())


def test_an_empty_ledger_is_what_an_empty_checkpoint_says(key: InstallationKey) -> None:
    kept = [("0", signed(key, 0, GENESIS).text)]
    assert isinstance(verify(Found((), kept), Outside(key.public_key), auditing.signatures()), Verified)
    assert isinstance(walk([]), Holds)
    assert not isinstance(walk([]), Broken)
