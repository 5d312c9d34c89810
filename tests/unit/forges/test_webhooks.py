"""A delivery is genuine or not, and makes something due or nothing; it never raises."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.forges.webhooks import EVENTS, LARGEST_BODY, Due, Ignored, hint, verify

EXAMPLES = Path(__file__).parents[2] / "data" / "github" / "webhooks-examples.json.gz"
SECRET = b"It's a Secret to Everybody"


def examples() -> Iterator[tuple[str, Any]]:
    for event, payloads in json.loads(gzip.decompress(EXAMPLES.read_bytes())).items():
        for payload in payloads:
            yield event, payload


def signed(body: bytes, secret: bytes = SECRET, algorithm: str = "sha256") -> str:
    return f"{algorithm}={hmac.new(secret, body, algorithm).hexdigest()}"


def test_githubs_own_example_verifies() -> None:
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert verify(SECRET, b"Hello, World!", expected)


def test_another_body_secret_or_form_does_not_verify() -> None:
    body = b'{"a": 1}'
    good = signed(body)
    assert verify(SECRET, body, good)
    for bad in (
        None, "", "sha256=", good[:-1], good + "0", good.upper(), " " + good, good + "\n", good.removeprefix("sha256="),
        signed(body, algorithm="sha1"), "sha1=" + good.removeprefix("sha256="), signed(body, b"other"),
        "sha256=" + "é" * 64, "sha256=" + "٣" * 64, signed(b'{"a":1}'),
    ):  # fmt: skip
        assert not verify(SECRET, body, bad), bad


def test_an_empty_secret_verifies_nothing() -> None:
    body = b"{}"
    assert not verify(b"", body, signed(body, b""))


def test_every_payload_that_github_publishes_is_understood_or_ignored() -> None:
    seen: dict[str, set[str]] = {}
    for event, payload in examples():
        outcome = hint(event, json.dumps(payload).encode())
        assert isinstance(outcome, Due | Ignored)
        seen.setdefault(event, set()).add(type(outcome).__name__)
        if isinstance(outcome, Due):
            assert outcome.repository == payload["repository"]["id"]
            assert outcome.pull_requests or outcome.refs
        else:
            assert outcome.reason
    assert len(seen) > 50
    due = {event for event, kinds in seen.items() if "Due" in kinds}
    # GitHub's examples of the others are about tags and plain issues
    assert due == {"pull_request", "pull_request_review", "push", "merge_group"}


@pytest.mark.parametrize(
    ("event", "payload", "due"),
    [
        ("pull_request", {"pull_request": {"number": 7, "merged": False, "base": {"ref": "main"}}}, Due(5, (7,))),
        (
            "pull_request",
            {"pull_request": {"number": 7, "merged": True, "base": {"ref": "main"}}},
            Due(5, (7,), ("refs/heads/main",)),
        ),
        ("pull_request_review", {"pull_request": {"number": 8, "base": {"ref": "main"}}}, Due(5, (8,))),
        ("issue_comment", {"issue": {"number": 9, "pull_request": {"url": "x"}}}, Due(5, (9,))),
        ("push", {"ref": "refs/heads/main"}, Due(5, (), ("refs/heads/main",))),
        ("create", {"ref": "topic", "ref_type": "branch"}, Due(5, (), ("refs/heads/topic",))),
        ("delete", {"ref": "topic", "ref_type": "branch"}, Due(5, (), ("refs/heads/topic",))),
        (
            "merge_group",
            {"merge_group": {"head_ref": "refs/heads/gh-readonly-queue/main/pr-1"}},
            Due(5, (), ("refs/heads/gh-readonly-queue/main/pr-1",)),
        ),
    ],
)
def test_an_event_names_what_is_due(event: str, payload: dict[str, Any], due: Due) -> None:
    assert hint(event, json.dumps(payload | {"repository": {"id": 5}}).encode()) == due


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("issue_comment", {"issue": {"number": 9}}),
        ("push", {"ref": "refs/tags/v1"}),
        ("create", {"ref": "v1", "ref_type": "tag"}),
        ("pull_request", {"pull_request": {"number": "7"}}),
        ("pull_request", {"pull_request": {"number": True}}),
        ("pull_request", {"pull_request": [7]}),
        ("pull_request", {}),
        ("merge_group", {"merge_group": {"head_ref": "refs/pull/1/head"}}),
        ("status", {"sha": "0" * 40}),
        ("no_such_event", {}),
        ("", {}),
    ],
)
def test_what_decides_nothing_is_ignored_with_a_reason(event: str, payload: dict[str, Any]) -> None:
    outcome = hint(event, json.dumps(payload | {"repository": {"id": 5}}).encode())
    assert isinstance(outcome, Ignored)
    assert outcome.reason


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"7", b'"x"', b"{", b"\xff\xfe", b"payload=%7B%7D", b"[" * 100_000, b"9" * 10_000,
        b'{"repository": null}', b'{"repository": {"id": -1}}', b'{"repository": 5}', b'{"repository": {"id": 5}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("event", sorted(EVENTS))
def test_a_body_that_is_no_payload_is_ignored(event: str, body: bytes) -> None:
    assert isinstance(hint(event, body), Ignored)


def test_a_body_beyond_the_limit_is_ignored_unread() -> None:
    body = json.dumps({"repository": {"id": 5}, "ref": "refs/heads/main"}).encode().ljust(LARGEST_BODY)
    assert isinstance(hint("push", body), Due)
    outcome = hint("push", body + b" ")
    assert isinstance(outcome, Ignored)
    assert "more than" in outcome.reason


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["repository", "id", "pull_request", "number", "base", "ref", "merged", "issue", "ref_type"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(event=st.sampled_from(sorted(EVENTS)), payload=json_values)
def test_no_json_makes_it_raise(event: str, payload: Any) -> None:
    assert isinstance(hint(event, json.dumps(payload).encode()), Due | Ignored)


def test_the_digest_is_over_raw_bytes() -> None:
    body = b"\xff\x00 not utf-8"
    assert verify(SECRET, body, "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest())
