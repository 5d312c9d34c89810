"""What is signed, as bytes: a host's record and the statement of a reset; what else comes in their place is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.errors import InvalidInput
from reconciler.model.host_record import HostRecord, SignedRecord, file_of, payload_of, read_file, read_payload
from reconciler.model.target import Target
from reconciler.model.trust import ResetStatement, needed_of, plain_key, read_statement, statement_text

NOON = datetime(2026, 1, 14, 12, 0, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW"
RECORD = HostRecord(
    Target("shop", "production", "web-1"), 7, "engine", "shop", "a" * 40, "b" * 64, "d-1", 3, 12, "c" * 64, NOON
)
STATEMENT = ResetStatement(
    repository=7,
    installation=KEY,
    former="d" * 64,
    revision="a" * 40,
    roots=(("keeper", 1006, (KEY,)), ("operator", 1005, ())),
    takes_over=(KEY,),
    reason="the group was left \u202eby everybody",
    at=NOON,
)


def test_a_record_comes_back_as_it_was_signed() -> None:
    signed = SignedRecord(payload_of(RECORD), KEY, "-----BEGIN SSH SIGNATURE-----\n")
    assert read_file(file_of(signed)) == signed
    assert read_payload(signed.payload) == RECORD
    assert payload_of(read_payload(payload_of(RECORD))) == payload_of(RECORD)


@pytest.mark.parametrize(
    "key",
    [
        KEY + "\n0 " + KEY,  # would add a line to OpenSSH's list of who may sign
        "cert-authority " + KEY,
        'namespaces="reconciler-target" ' + KEY,
        KEY + " a comment",
        KEY.replace(" ", "\t"),
        "",
    ],
)
def test_a_key_is_two_words_and_nothing_else(key: str) -> None:
    with pytest.raises(InvalidInput, match="no record of this product"):
        read_file(file_of(SignedRecord(payload_of(RECORD), key, "")))


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"target": "shop"},
        {"repository": "7"},
        {"repository": True},
        {"revision": "a" * 39},
        {"revision": "a" * 40 + "\n"},
        {"generation": -1},
        {"at": "2026-01-14T12:00:00"},
        {"more": 1},
    ],
)
def test_a_payload_of_another_form_is_none(changed: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="no record of this product"):
        read_payload(json.dumps(json.loads(payload_of(RECORD)) | changed).encode())


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_lies_there_is_a_record_or_refused(data: bytes) -> None:
    for read in (read_file, read_payload, read_statement):
        with pytest.raises(InvalidInput):
            read(data)


def test_a_file_without_an_end_is_not_read() -> None:
    with pytest.raises(InvalidInput):
        read_file(file_of(SignedRecord(payload_of(RECORD), KEY, "x" * 70_000)))


def test_a_statement_comes_back_and_nothing_hides_in_it() -> None:
    text = statement_text(STATEMENT)
    assert read_statement(text.encode()) == STATEMENT
    assert text.isascii()
    assert "\\u202e" in text


def test_a_statement_that_anybody_touched_is_none() -> None:
    text = statement_text(STATEMENT)
    for changed in (
        text.rstrip("\n"), text + "\n", " " + text, text.replace('"repository": 7', '"repository":  7'),
        text.replace('"repository": 7,', '"repository": 8,\n  "repository": 7,'),
        text.replace("+00:00", "Z"), text.replace('"reason"', '"why"'), text.replace("\\u202e", "\u202e"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            read_statement(changed.encode())


def test_a_statement_says_why_in_words_and_names_somebody() -> None:
    for other in (replace(STATEMENT, reason=""), replace(STATEMENT, roots=()), replace(STATEMENT, reason="x" * 1001)):
        with pytest.raises(InvalidInput):
            read_statement(statement_text(other).encode())


def test_more_than_half_have_to_sign_at_least_two_or_the_only_one() -> None:
    assert [needed_of(persons) for persons in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]


def test_a_comment_is_no_part_of_a_key() -> None:
    assert plain_key(f"{KEY}  operator@home") == KEY
