"""The shapes that we rely on, against what GitHub itself publishes, and the trailers of commit messages."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.forges import answers
from reconciler.forges.answers import ReviewAnswer
from reconciler.forges.trailers import address_of, noreply_account, trailers

EXAMPLES = Path(__file__).parents[2] / "data" / "github" / "webhooks-examples.json.gz"
HOSTS = ("github.com", "forge.example.test")


def parts(event: str, key: str) -> Iterator[dict[str, Any]]:
    """A part of every published payload of an event; GitHub uses the same shapes there and in its API."""
    for payload in json.loads(gzip.decompress(EXAMPLES.read_bytes()))[event]:
        yield payload[key]


def test_githubs_pull_requests_are_read() -> None:
    read = 0
    for part in parts("pull_request", "pull_request"):
        pull = answers.PULL.validate_json(json.dumps(part)).pull_request()
        assert (pull.number, pull.head_sha, pull.merged) == (part["number"], part["head"]["sha"], part["merged"])
        assert pull.merge_commit == (part["merge_commit_sha"] if part["merged"] else None)
        assert pull.author is not None
        assert pull.author.id == part["user"]["id"]
        read += 1
    assert read > 10


def test_githubs_reviews_comments_and_repositories_are_read() -> None:
    for part in parts("pull_request_review", "review"):
        review = ReviewAnswer.model_validate_json(json.dumps(part))
        assert (review.id, review.commit_id) == (part["id"], part["commit_id"])
    for part in parts("issue_comment", "comment"):
        assert answers.COMMENT.validate_json(json.dumps(part)).value().body == part["body"]
    for part in parts("push", "repository"):
        assert answers.REPOSITORY.validate_json(json.dumps(part)).id == part["id"]


def test_trailers_are_found_anywhere_in_any_spelling_and_once() -> None:
    message = (
        "Subject\n\nCo-Authored-By: A <a@x.test>\r\n\nmore words\n  co-authored-by :B <b@x.test>  \n"
        "Suggested-by: C <c@x.test>\nCo-authored-by: A <a@x.test>\nCo-authored-by:\n"
        "Signed-off-by: D <d@x.test>\nnot Co-authored-by: E <e@x.test>\rSUGGESTED-BY: F <f@x.test>"
    )
    assert trailers(message) == ("A <a@x.test>", "B <b@x.test>", "C <c@x.test>", "F <f@x.test>")
    assert trailers("Co-authored-by: A <a@x.test>") == ("A <a@x.test>",)
    assert trailers("") == ()


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("A <A@X.test>", "a@x.test"),
        ("A <first@x.test> <last@x.test>", "last@x.test"),
        ("<a@x.test>", "a@x.test"),
        ("a@x.test", "a@x.test"),
        ("A", None),
        ("A <>", None),
        ("A <a b@x.test>", None),
        ("A <a@x.test> and more", None),
        ("A <a@x.test>>", None),
        ("\u00a0a@x.test\u00a0", "a@x.test"),
        ("@x.test", None),
    ],
)
def test_the_address_of_a_trailer(value: str, address: str | None) -> None:
    assert address_of(value) == address


@pytest.mark.parametrize("blank", [" ", "\t", "@", "<", "a@"])
def test_a_message_made_to_be_read_for_ever_is_read_at_once(blank: str) -> None:
    """With an expression for what is blank around the value this would not end before the test's time does."""
    value = f"a{blank * 1_000_000}b c"
    assert trailers(f"Co-authored-by: {value}\n\nSuggested-by:\u00a0R <r@x.test>") == (value, "R <r@x.test>")
    assert address_of(value) is None


@pytest.mark.parametrize(
    ("address", "account"),
    [
        ("1002+reviewer@users.noreply.github.com", 1002),
        ("1002+deployer[bot]@users.noreply.github.com", 1002),
        ("7+x@users.noreply.forge.example.test", 7),
        ("reviewer@users.noreply.github.com", "reviewer"),
        ("x+reviewer@users.noreply.github.com", None),
        ("1002+@users.noreply.github.com", None),
        ("+reviewer@users.noreply.github.com", None),
        ("9" * 30 + "+x@users.noreply.github.com", None),
        ("@users.noreply.github.com", None),
        ("1002+reviewer@users.noreply.github.com.evil.test", None),
        ("1002+reviewer@noreply.github.com", None),
        ("noreply@github.com", None),
        ("reviewer@example.test", None),
    ],
)
def test_the_account_in_a_noreply_address(address: str, account: int | str | None) -> None:
    assert noreply_account(address, HOSTS) == account
