"""Webhook deliveries of GitHub and the embedded forge: whether one is genuine, and what it makes worth reading again.

The HTTP face calls `verify` on the raw bytes, then `hint`. A payload is never believed (gate 60): it says where to
look, and a forged or replayed one can cause a reading and nothing else. Deliveries are deduplicated by the face.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LARGEST_BODY = 8 * 2**20  # bytes; the face reads no more than this
SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Due:
    """What to read again: pull requests by number and full ref names, in the repository with this id."""

    repository: int
    pull_requests: tuple[int, ...] = ()
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do, and why."""

    reason: str


Hint = Due | Ignored


def verify(secret: bytes, body: bytes, signature: str | None) -> bool:
    """Whether X-Hub-Signature-256 is the HMAC-SHA-256 of the raw body. No secret, no header or SHA-1 is no.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    given = SIGNATURE.fullmatch(signature or "")
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return bool(secret) and given is not None and hmac.compare_digest(given[1], expected)


def hint(event: str, body: bytes) -> Hint:
    """What a delivery of this X-GitHub-Event makes due. Never raises: what is not understood is ignored."""
    due = EVENTS.get(event)
    if due is None:
        return Ignored(f"nothing is decided by {event[:60]!r}")
    if len(body) > LARGEST_BODY:
        return Ignored(f"the body has {len(body)} bytes, more than {LARGEST_BODY}")
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return Ignored("the body is not JSON; the webhook's content type is application/json")
    repository = _number(payload, "repository", "id")
    if repository is None:
        return Ignored("no repository is named")
    return due(repository, payload)


def _pull_request(repository: int, payload: Mapping[str, Any]) -> Hint:
    number = _number(payload, "pull_request", "number")
    if number is None:
        return Ignored("no pull request is named")
    base = _text(payload, "pull_request", "base", "ref")
    merged = _at(payload, "pull_request", "merged") is True
    return Due(repository, (number,), (f"refs/heads/{base}",) if base and merged else ())


def _comment(repository: int, payload: Mapping[str, Any]) -> Hint:
    number = _number(payload, "issue", "number")
    if number is None or not isinstance(_at(payload, "issue", "pull_request"), dict):
        return Ignored("the comment is not on a pull request")
    return Due(repository, (number,))


def _push(repository: int, payload: Mapping[str, Any]) -> Hint:
    ref = _text(payload, "ref")
    if ref is None or not ref.startswith("refs/heads/"):
        return Ignored("no branch moved")
    return Due(repository, (), (ref,))


def _branch(repository: int, payload: Mapping[str, Any]) -> Hint:
    ref = _text(payload, "ref")
    if ref is None or _text(payload, "ref_type") != "branch":
        return Ignored("no branch was made or deleted")
    return Due(repository, (), (f"refs/heads/{ref}",))


def _merge_group(repository: int, payload: Mapping[str, Any]) -> Hint:
    ref = _text(payload, "merge_group", "head_ref")
    if ref is None or not ref.startswith("refs/heads/"):
        return Ignored("no merge group is named")
    return Due(repository, (), (ref,))


EVENTS: Mapping[str, Callable[[int, Mapping[str, Any]], Hint]] = {
    "pull_request": _pull_request,
    "pull_request_review": _pull_request,
    "issue_comment": _comment,
    "push": _push,
    "create": _branch,
    "delete": _branch,
    "merge_group": _merge_group,
}


def _at(payload: Any, *path: str) -> Any:
    for key in path:
        payload = payload.get(key) if isinstance(payload, dict) else None
    return payload


def _number(payload: Any, *path: str) -> int | None:
    value = _at(payload, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _text(payload: Any, *path: str) -> str | None:
    value = _at(payload, *path)
    return value if isinstance(value, str) and value else None
