"""The doors through which something from outside comes in. Each gets odd inputs, may refuse them in the package's own
words, and may do nothing else: no other exception, and no open gate. Called by `python -m tests.fuzz` and by the tests.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from reconciler.approvals import decide
from reconciler.desired import load, target_model
from reconciler.forges import answers, webhooks
from reconciler.forges.connection import Connection
from reconciler.forges.github import GitHub
from reconciler.model.approval import Gate, Open
from reconciler.model.chain import Holds, StoredEntry, walk
from reconciler.model.errors import ReconcilerError
from reconciler.model.revision import Tree
from tests.fuzz.mutation import Mutator
from tests.oracle.exploration import FOUR, PLANNED
from tests.oracle.history import REPOSITORY, evidence, history, moment, sha
from tests.unit.desired import repositories


@dataclass(frozen=True, slots=True)
class Door:
    """`knock` gives it one odd input, and raises for anything but a proper refusal; `share` is of all inputs."""

    name: str
    share: float
    knock: Callable[[Mutator], None]


# -- webhooks ------------------------------------------------------------------------------------------------------

SECRET = b"a secret of the tests"
PAYLOADS: Mapping[str, Any] = {
    "pull_request": {"repository": {"id": 7}, "pull_request": {"number": 12, "merged": True, "base": {"ref": "main"}}},
    "pull_request_review": {"repository": {"id": 7}, "pull_request": {"number": 12, "base": {"ref": "main"}}},
    "issue_comment": {"repository": {"id": 7}, "issue": {"number": 12, "pull_request": {}}},
    "push": {"repository": {"id": 7}, "ref": "refs/heads/main"},
    "create": {"repository": {"id": 7}, "ref": "x", "ref_type": "branch"},
    "merge_group": {"repository": {"id": 7}, "merge_group": {"head_ref": "refs/heads/gh-readonly-queue/main/pr-1"}},
}  # fmt: skip


def delivery(mutator: Mutator) -> None:
    """A delivery: only our own signature over exactly these bytes is one, and what it says is a hint or nothing."""
    event = mutator.chance.choice(list(PAYLOADS))
    body = mutator.json(PAYLOADS[event])
    good = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    given = mutator.data(good.encode()).decode(errors="replace")
    if webhooks.verify(SECRET, body, given) != (given == good):
        raise AssertionError(f"the signature {given!r} was judged wrongly")
    found = webhooks.hint(event if mutator.chance.random() < 0.9 else given, body)
    if isinstance(found, webhooks.Due):
        if not all(isinstance(n, int) and n > 0 for n in (found.repository, *found.pull_requests)):
            raise AssertionError(f"{found} names no numbers")
        if not all(ref.startswith("refs/heads/") for ref in found.refs):
            raise AssertionError(f"{found} names other refs")


# -- the forge's answers -------------------------------------------------------------------------------------------

AT, LATER = "2026-01-05T12:00:00Z", "2026-01-05T12:01:00Z"
AUTHOR = {"id": 1001, "login": "author", "type": "User"}
REVIEWER = {"id": 1003, "login": "reviewer", "type": "User"}
HEAD, BASE = sha(0), sha(-1)
COMMENT = {"id": 5, "user": REVIEWER, "body": "/reconciler reject", "created_at": AT, "updated_at": AT}
PULL = {
    "number": 12, "title": "t", "body": None, "user": AUTHOR, "state": "open", "draft": False, "merged": False,
    "merged_at": None, "merged_by": None, "merge_commit_sha": BASE, "commits": 1, "changed_files": 1,
    "head": {"sha": HEAD, "ref": "raise", "repo": {"id": REPOSITORY}},
    "base": {"sha": BASE, "ref": "main", "repo": {"id": REPOSITORY}}, "updated_at": AT, "html_url": "http://127.0.0.1/1",
}  # fmt: skip
PERSON = {"name": "a", "email": "author@example.test", "date": AT}
TRAILER = "Raise\n\nCo-authored-by: R <1003+r@users.noreply.github.com>\nSuggested-by: x"
ANSWERS: Mapping[str, Any] = {
    "pull": PULL,
    "reviews": [{"id": 1, "user": REVIEWER, "state": "CHANGES_REQUESTED", "commit_id": HEAD, "submitted_at": LATER}],
    "commits": [{"sha": HEAD, "parents": [{"sha": BASE}], "author": AUTHOR, "committer": AUTHOR,
                 "commit": {"message": TRAILER, "author": PERSON, "committer": PERSON}}],
    "timeline": [{"event": "review_dismissed", "actor": AUTHOR, "created_at": AT,
                  "dismissed_review": {"review_id": 1, "state": "changes_requested"}}, {"event": "committed"}],
    "comments": [COMMENT],
    "activity": [{"before": BASE, "after": HEAD, "actor": AUTHOR, "timestamp": AT}],
    "permission": {"permission": "write", "role_name": "write", "user": REVIEWER},
    "account": REVIEWER,
    "repository": {"id": REPOSITORY},
}  # fmt: skip
SHAPES = {
    id(answers.PULL): "pull", id(answers.REVIEWS): "reviews", id(answers.COMMITS): "commits",
    id(answers.EVENTS): "timeline", id(answers.COMMENTS): "comments", id(answers.ACTIVITY): "activity",
    id(answers.PERMISSION): "permission", id(answers.ACCOUNT): "account", id(answers.REPOSITORY): "repository",
}  # fmt: skip


class Telling(Connection):
    """A connection to a forge whose answers are given."""

    def __init__(self, told: Mapping[str, bytes]) -> None:
        self._token = "t"
        self._told = told

    @property
    def hostname(self) -> str:
        return "127.0.0.1"

    def get(self, shape: TypeAdapter[Any], name: str, call: Any) -> tuple[Any, str]:
        content = self._told[SHAPES[id(shape)]]
        return self._parsed(shape, name, content), hashlib.sha256(content).hexdigest()

    def pages(self, shape: TypeAdapter[Any], name: str, call: Any) -> Any:
        items, digest = self.get(shape, name, call)
        yield items, name, digest


@cache
def forge() -> GitHub:
    return GitHub("http://127.0.0.1:9", "acme/infra", "t", remote_heads=lambda refs: dict.fromkeys(refs, HEAD))


WRITTEN = {name: json.dumps(value).encode() for name, value in ANSWERS.items()}


def answer(mutator: Mutator) -> None:
    """A reading with odd answers in it: of a change that nobody approved, and so no gate opens."""
    name = mutator.chance.choice(list(ANSWERS))
    gate = decided({name: mutator.json(ANSWERS[name])})
    if isinstance(gate, Open):
        raise AssertionError(f"the gate opened on {name}")


def decided(odd: Mapping[str, bytes]) -> Gate | None:
    """What the gate says of the reading with some answers changed, None where there is no reading."""
    theirs = forge()
    theirs._between.clear()  # nothing is kept from one input to the next
    theirs._connection = Telling({**WRITTEN, **odd})
    try:
        reading = theirs.reading(12)
        theirs.pull_request(12)
    except ReconcilerError:
        return None
    shown = history(FOUR, "author", PLANNED)
    return decide(replace(evidence(FOUR, shown), reading=reading), moment(120))


# -- the repository's files ----------------------------------------------------------------------------------------


@cache
def sample() -> Tree:
    return repositories.sample()


@cache
def small() -> Tree:
    """The sample with one small environment, because reading all of it takes long."""
    return repositories.one_environment(
        "services: {web: {image: 'a:1', environment: {A: $B}, ports: ['80:80']}}\n", SPEC
    )


SPEC = """\
hosts: [web-1]
tier: production
consent_delay: 30s
variables: {B: "1"}
jobs: [web]
rollout: {waves: [[web-1]], pause: 30s}
windows:
  - deny: {start: "FRI 16:00", end: "MON 08:00", timezone: Europe/Berlin}
"""


def files(mutator: Mutator) -> None:
    """A repository with an odd file in it: problems with file and line, or a state."""
    tree = small()
    path = mutator.chance.choice([p for p in tree.files if p.endswith((".yaml", ".env"))])
    others = [entry.content for entry in tree.files.values()]
    changed = replace(tree.files[path], content=mutator.data(tree.files[path].content, others))
    try:
        load(replace(tree, files={**tree.files, path: changed}))
    except ReconcilerError:
        return


# -- rendered models -----------------------------------------------------------------------------------------------


@cache
def rendering() -> Any:
    environment, model = repositories.rendered(sample(), "shop/production")
    host = load(sample()).host(environment.targets[0].host)
    return environment, model, host, repositories.resolved(model), repositories.FINGERPRINTER


def model(mutator: Mutator) -> None:
    """What Compose rendered, with an odd value of the right kind in it: a target, or problems."""
    environment, rendered, host, images, fingerprinter = rendering()
    odd = replace(rendered, model=mutator.same_kinds(rendered.model))
    try:
        target_model(
            environment=environment,
            target=environment.targets[0],
            host=host,
            rendered=odd,
            tree=sample(),
            images=images,
            fingerprinter=fingerprinter,
        )
    except ReconcilerError:
        return


# -- the ledger ----------------------------------------------------------------------------------------------------


@cache
def ledger() -> tuple[bytes, ...]:
    entries: list[bytes] = []
    previous = "0" * 64
    for sequence in range(1, 5):
        body = {"sequence": sequence, "previous": previous, "kind": "gate", "subject": "s", "at": AT, "data": {"n": 1}}
        entries.append(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())
        previous = hashlib.sha256(entries[-1]).hexdigest()
    return tuple(entries)


def export(mutator: Mutator) -> None:
    """An export with an odd entry in it: never one that holds with another head than its own bytes give."""
    entries = list(ledger())
    place = mutator.chance.randrange(len(entries))
    odd = (
        mutator.json(json.loads(entries[place]))
        if mutator.chance.random() < 0.5
        else mutator.data(entries[place], entries)
    )
    entries[place] = odd
    found = walk(StoredEntry(entry) for entry in entries)
    if isinstance(found, Holds) and found.head != hashlib.sha256(entries[-1]).hexdigest():
        raise AssertionError("it holds, and its head is another")
    if isinstance(found, Holds) and tuple(entries[:-1]) != ledger()[:-1]:
        raise AssertionError("an entry that others follow was changed, and it holds")


DOORS = (
    Door("webhooks", 0.42, delivery),
    Door("answers", 0.1, answer),
    Door("files", 0.04, files),
    Door("models", 0.04, model),
    Door("ledger", 0.4, export),
)
