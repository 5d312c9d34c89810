"""A checkpoint's text and back, what is none, and whether a chain agrees with what others keep of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.chain import Holds
from reconciler.model.checkpoint import (
    Checkpoint,
    Claim,
    SignedCheckpoint,
    contradictions,
    read_anchor,
    read_checkpoint,
)
from reconciler.model.ledger_entry import GENESIS

SIGNATURE = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
ROOT = "ab" * 32
SIGNED = SignedCheckpoint(Checkpoint("reconciler/77", 12, ROOT), SIGNATURE)


def test_a_checkpoint_is_three_lines_a_blank_one_and_the_signature() -> None:
    assert SIGNED.text == f"reconciler/77\n12\n{ROOT}\n\n{SIGNATURE}"
    assert SIGNED.checkpoint.signed_bytes == SIGNED.text.partition("\n\n")[0].encode() + b"\n"
    assert read_checkpoint(SIGNED.text) == SIGNED


@pytest.mark.parametrize(
    "text",
    [
        "",
        SIGNED.text.replace("\n\n", "\n"),
        SIGNED.text.replace("12\n", "012\n"),
        SIGNED.text.replace("12\n", "-12\n"),
        SIGNED.text.replace("12\n", "1\uff12\n"),
        SIGNED.text.replace("12\n", "12\n13\n"),
        SIGNED.text.replace("12\n", "9" * 19 + "\n"),
        SIGNED.text.replace("12\n", "0\n"),
        SIGNED.text.replace(ROOT, ROOT.upper()),
        SIGNED.text.replace(ROOT, ROOT[:-1]),
        SIGNED.text.replace("reconciler/77", "reconciler 77"),
        SIGNED.text.replace("reconciler/77", ""),
        SIGNED.text.replace("BEGIN SSH", "BEGIN PGP"),
        SIGNED.text + "x" * 30_000,
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        read_checkpoint(text)


@given(st.text())
def test_any_text_is_a_checkpoint_or_a_value_error(text: str) -> None:
    for candidate in (text, SIGNED.text.replace("12", text), SIGNED.text.replace("reconciler", text)):
        try:
            found = read_checkpoint(candidate)
        except ValueError:
            continue
        assert found.text == candidate


def test_an_anchor_is_what_a_status_has_room_for() -> None:
    assert SIGNED.checkpoint.anchor == f"12:{ROOT[:32]}"
    claim = read_anchor(SIGNED.checkpoint.anchor)
    assert (claim.size, claim.root) == (12, ROOT[:32])


@pytest.mark.parametrize("text", ["", "12", "12:", f"12:{ROOT[:15]}", f"12:{ROOT}0", f"x:{ROOT}", f"12:{ROOT.upper()}"])
def test_what_is_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SIZE:ROOT"):
        read_anchor(text)


CHAIN = Holds(3, "c" * 64, {0: GENESIS, 1: "a" * 64, 3: "c" * 64})


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (Claim("it", 3, "c" * 64), None),
        (Claim("it", 1, "a" * 16), None),
        (Claim("it", 0, GENESIS), None),
        (Claim("it", 3, "a" * 64), "written anew"),
        (Claim("it", 1, "ab" * 8), "written anew"),
        (Claim("it", 0, "a" * 64), "written anew"),
        (Claim("it", 4, "c" * 64), "has only 3"),
    ],
)
def test_a_chain_agrees_with_a_claim_or_not(claim: Claim, said: str | None) -> None:
    found = contradictions(CHAIN, [claim])
    assert found == () if said is None else said in found[0]


def test_a_claim_of_which_the_walk_was_not_told_is_never_believed() -> None:
    assert contradictions(CHAIN, [Claim("it", 2, "b" * 64)]) != ()


def test_an_empty_ledger_contradicts_whoever_saw_entries() -> None:
    assert "is empty" in contradictions(Holds(0, GENESIS, {0: GENESIS}), [Claim("it", 1, "a" * 64)])[0]
