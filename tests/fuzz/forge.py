"""The doors to the forge: deliveries, answers as JSON and as HTTP, what people write into comments and messages."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import httpx
from pydantic import TypeAdapter

from reconciler.approvals import decide, statement
from reconciler.control import consents
from reconciler.control.parts import Parts
from reconciler.forges import answers, webhooks
from reconciler.forges.connection import MOST_PAGES, Connection
from reconciler.forges.github import GitHub
from reconciler.model.approval import Evidence, Gate, Open, RuleSet
from reconciler.model.desired import Consent
from reconciler.model.errors import ReconcilerError
from reconciler.model.pull_request import PullRequest
from reconciler.ports import StatusReport
from tests.fuzz.door import Door
from tests.fuzz.mutation import TEXTS, Mutator
from tests.fuzz.signing import Key, armored, blob_of, signatures
from tests.oracle.exploration import FOUR, PLANNED
from tests.oracle.history import NUMBER, REPOSITORY, TARGET, digest_of, evidence, history, moment, plan_digest, sha

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

AT, LATER, LATEST = "2026-01-05T12:00:00Z", "2026-01-05T12:01:00Z", "2026-01-05T12:01:30Z"
AUTHOR = {"id": 1001, "login": "author", "type": "User"}
REVIEWER = {"id": 1003, "login": "reviewer", "type": "User"}
AGENT = {"id": 1004, "login": "agent", "type": "User"}
HEAD, BASE = sha(0), sha(-1)
COMMENT = {
    "id": 5,
    "node_id": "IC_5",
    "user": REVIEWER,
    "body": "/reconciler reject",
    "created_at": AT,
    "updated_at": AT,
}
PULL = {
    "number": 12, "title": "t", "body": None, "user": AUTHOR, "state": "open", "draft": False, "merged": False,
    "merged_at": None, "merged_by": None, "merge_commit_sha": BASE, "commits": 1, "changed_files": 1,
    "head": {"sha": HEAD, "ref": "raise", "repo": {"id": REPOSITORY}},
    "base": {"sha": BASE, "ref": "main", "repo": {"id": REPOSITORY}}, "updated_at": AT, "html_url": "http://127.0.0.1/1",
}  # fmt: skip
PERSON = {"name": "a", "email": "author@example.test", "date": AT}
TRAILER = "Raise\n\nCo-authored-by: R <1003+r@users.noreply.github.com>\nSuggested-by: x"
REVIEW = {"id": 1, "user": REVIEWER, "state": "CHANGES_REQUESTED", "commit_id": HEAD, "submitted_at": LATER}
COMMIT = {"sha": HEAD, "parents": [{"sha": BASE}], "author": AUTHOR, "committer": AUTHOR,
          "commit": {"message": TRAILER, "author": PERSON, "committer": PERSON}}  # fmt: skip
ANSWERS: Mapping[str, Any] = {
    "pull": PULL,
    "reviews": [REVIEW],
    "commits": [COMMIT],
    "timeline": [{"event": "review_dismissed", "actor": AUTHOR, "created_at": AT,
                  "dismissed_review": {"review_id": 1, "state": "changes_requested"}}, {"event": "committed"}],
    "comments": [COMMENT],
    "edits": {"data": {"nodes": [{"id": "IC_5", "lastEditedAt": None}]}},
    "activity": [{"before": BASE, "after": HEAD, "actor": AUTHOR, "timestamp": AT}],
    "permission": {"permission": "write", "role_name": "write", "user": REVIEWER},
    "account": REVIEWER,
    "repository": {"id": REPOSITORY},
    "pulls": [PULL],
    "numbers": [{"number": 12}],
    "commit": COMMIT,
    "comment": COMMENT,
    "combined": {"statuses": [{"context": "c", "state": "success", "description": "d", "target_url": ""}]},
    "anything": {},
}  # fmt: skip
SHAPES = {
    id(answers.PULL): "pull", id(answers.REVIEWS): "reviews", id(answers.COMMITS): "commits",
    id(answers.EVENTS): "timeline", id(answers.COMMENTS): "comments", id(answers.ACTIVITY): "activity",
    id(answers.EDITS): "edits",
    id(answers.PERMISSION): "permission", id(answers.ACCOUNT): "account", id(answers.REPOSITORY): "repository",
    id(answers.PULLS): "pulls", id(answers.NUMBERS): "numbers", id(answers.COMMIT): "commit",
    id(answers.COMMENT): "comment", id(answers.COMBINED): "combined", id(answers.ANYTHING): "anything",
}  # fmt: skip
REPORT = StatusReport("reconciler/plan", "success", "d", None)
BESIDE: Mapping[str, Callable[[GitHub], object]] = {
    "pull": lambda forge: forge.pull_request(12),
    "repository": lambda forge: forge.repository_id(),
    "account": lambda forge: forge.who(),
    "pulls": lambda forge: forge.open_pull_requests("main"),
    "numbers": lambda forge: forge.pull_requests_of(HEAD),
    "commit": lambda forge: forge.commit(HEAD),
    "activity": lambda forge: forge.pushes("main"),
    "comment": lambda forge: forge.write_comment(12, 5, "text"),
    "combined": lambda forge: forge.write_status(HEAD, REPORT),
    "anything": lambda forge: forge.write_status(BASE, REPORT),
}
"""What else than a reading asks for an answer of this name."""


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

    def query(self, shape: TypeAdapter[Any], name: str, text: str, variables: Any) -> tuple[Any, str]:
        return self.get(shape, name, text)

    def continued(self, shape: TypeAdapter[Any], name: str, call: Any) -> Any:
        return self.pages(shape, name, call)


@cache
def forge() -> GitHub:
    token = "ghp_t"  # a person's, so that check runs are not tried
    return GitHub("http://127.0.0.1:9", "acme/infra", token, remote_heads=lambda refs: dict.fromkeys(refs, HEAD))


WRITTEN = {name: json.dumps(value).encode() for name, value in ANSWERS.items()}


def asking(odd: Mapping[str, bytes]) -> GitHub:
    """The adapter, which keeps nothing from one input to the next, with these answers instead of the usual ones."""
    theirs = forge()
    theirs._between.clear()
    theirs._written.clear()
    theirs._connection = Telling({**WRITTEN, **odd})
    return theirs


def written(answers_by_name: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: json.dumps(value).encode() for name, value in answers_by_name.items()}


PLAIN = {**COMMIT, "commit": {**COMMIT["commit"], "message": "Raise"}}  # type: ignore[dict-item]
CLICK = {**REVIEW, "state": "APPROVED"}
APPROVED: Mapping[str, Any] = {"reviews": [CLICK], "commits": [PLAIN], "comments": [], "timeline": []}
"""Answers that open the gate."""


def moved(event: str) -> Mapping[str, Any]:
    return {"timeline": [{"event": event, "actor": AUTHOR, "created_at": LATEST}]}


SHUT: tuple[Mapping[str, Any], ...] = (
    {"commits": ANSWERS["commits"]},
    {"comments": [COMMENT | {"created_at": LATEST, "updated_at": LATEST}]},
    {"reviews": [CLICK, {**CLICK, "id": 2, "state": "CHANGES_REQUESTED", "submitted_at": LATEST}]},
    {"reviews": [{**CLICK, "commit_id": BASE}]},
    {"reviews": [{**CLICK, "user": AGENT}]},
    {"reviews": [{**CLICK, "user": None}]},
    {"pull": {**PULL, "user": REVIEWER}},
    {"pull": {**PULL, "draft": True}},
    {"pull": {**PULL, "state": "closed"}},
    {"pull": {**PULL, "base": {**PULL["base"], "ref": "other"}}},  # type: ignore[dict-item]
    {"activity": [{"before": BASE, "after": HEAD, "actor": REVIEWER, "timestamp": AT}]},
    {"permission": {"permission": "read", "role_name": "read", "user": REVIEWER}},
    {"permission": {"permission": "write", "role_name": "write", "user": AUTHOR}},
    moved("head_ref_force_pushed"),
    moved("base_ref_changed"),
    moved("reopened"),
)
"""One answer each that keeps the gate shut over the approval, whatever the other answers say."""


def answer(mutator: Mutator) -> None:
    """A reading with an odd answer in it: of a change that nobody approved, or whose approval another answer spoils;
    no gate opens.
    """
    if mutator.chance.random() < 0.5:
        name, told = mutator.chance.choice(list(ANSWERS)), dict[str, Any]()
    else:
        keeps = mutator.chance.choice(SHUT)
        name = mutator.chance.choice([each for each in ANSWERS if each not in keeps])
        told = {**APPROVED, **keeps}
    odd = mutator.json(told.get(name, ANSWERS[name]))
    gate = decided({**written(told), name: odd}, name)
    if isinstance(gate, Open):
        raise AssertionError(f"the gate opened on {name} {odd[:300]!r} beside {sorted(told)}")


def decided(odd: Mapping[str, bytes], name: str = "pull") -> Gate | None:
    """What the gate says of the reading with some answers changed, None where there is no reading."""
    theirs = asking(odd)
    try:
        reading = theirs.reading(12)
        BESIDE.get(name, BESIDE["pull"])(theirs)
    except ReconcilerError:
        return None
    shown = history(FOUR, "author", PLANNED)
    return decide(replace(evidence(FOUR, shown), reading=reading), moment(120))


# -- what people write ---------------------------------------------------------------------------------------------

KEY, STOLEN = Key("the reviewer's"), Key("somebody else's")


def rules(signed: bool) -> RuleSet:
    """The rules of the histories, the reviewer's key registered; consent by signature or not."""
    people = tuple(
        replace(person, signing_keys=(KEY.public_key,)) if person.name == "reviewer" else person
        for person in FOUR.rules.principals.people
    )
    environments = tuple(
        replace(each, consent=Consent.SIGNED if signed else each.consent) for each in FOUR.rules.environments
    )
    return replace(FOUR.rules, principals=replace(FOUR.rules.principals, people=people), environments=environments)


@cache
def told_by(signed: bool) -> Evidence:
    """An open pull request whose plan was shown, before anybody said anything."""
    return replace(evidence(FOUR, history(FOUR, "author", PLANNED)), rule_sets=(rules(signed),))


DIGEST = digest_of(0)
COMMAND = f"/reconciler approve {DIGEST[:12]}"
BODIES = (COMMAND, f"/reconciler approve {DIGEST} as discussed", f"{COMMAND}\n\nLooks good.", f"> {COMMAND}\n\nno")
LINE_ENDS = re.compile("\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")


def approves(body: str) -> bool:
    """Whether a comment says so in its first line and names the plan: a second reading of the rule."""
    words = LINE_ENDS.split(body)[0].rstrip().split(" ")
    named = [word for word in words[2:] if re.fullmatch("[0-9a-f]{12,64}", word)]
    return words[:2] == ["/reconciler", "approve"] and any(map(DIGEST.startswith, named))


def gate_on(body: str, signed: bool) -> Gate | None:
    """What the gate says where the reviewer commented this and nobody said anything else."""
    said = COMMENT | {"body": body, "created_at": LATER, "updated_at": LATER}
    theirs = asking(written({**APPROVED, "reviews": [], "comments": [said]}))
    try:
        found = replace(told_by(signed), reading=theirs.reading(12))
    except ReconcilerError:
        return None
    parts = cast(Parts, SimpleNamespace(signatures=signatures()))
    return decide(replace(found, signed=tuple(consents.signed(parts, found))), moment(120))


def comment(mutator: Mutator) -> None:
    """A comment of the reviewer: it opens the gate where its first line approves this plan, and nowhere else."""
    seed = mutator.chance.choice(BODIES).encode()
    others = [*(text.encode(errors="surrogatepass") for text in TEXTS), *(body.encode() for body in BODIES), seed]
    body = mutator.data(seed, others).decode(errors="replace") if mutator.chance.random() < 0.95 else COMMAND
    gate = gate_on(body, signed=False)
    if isinstance(gate, Open) and not approves(body):
        raise AssertionError(f"the gate opened on {body!r}")
    if body in BODIES[:3] and not isinstance(gate, Open):
        raise AssertionError(f"the gate stayed shut on {body!r}: {gate}")


SAID = {"repository": REPOSITORY, "pull_request": NUMBER, "head_sha": HEAD, "base_ref": "main",
        "digests": [(TARGET, DIGEST)]}  # fmt: skip
OTHERS = {"repository": 8, "pull_request": 13, "head_sha": BASE, "base_ref": "other",
          "digests": [(TARGET, plan_digest("another"))]}  # fmt: skip


@cache
def consent_signature(key: Key, other: str | None, namespace: str) -> str:
    """A signature of a consent to this, or with one thing of it another one."""
    said: dict[str, Any] = SAID if other is None else {**SAID, other: OTHERS[other]}
    return key.sign(statement.statement(**said), namespace)


def signature(mutator: Mutator) -> None:
    """A signed consent: it counts where it is the reviewer's own over exactly this, byte for byte, and nowhere else."""
    good = consent_signature(KEY, None, statement.NAMESPACE)
    chosen = mutator.chance.random()
    if chosen < 0.2:
        key = mutator.chance.choice((KEY, STOLEN))
        other = mutator.chance.choice((None, *OTHERS)) if key is KEY else None
        namespaces = (statement.NAMESPACE, "reconciler-break-glass", "reconciler-trust", "git")
        armor = consent_signature(key, other, mutator.chance.choice(namespaces))
    elif chosen < 0.6:
        armor = armored(mutator.data(blob_of(good) or b"", [blob_of(good) or b"", KEY.blob, STOLEN.blob]))
    else:
        armor = mutator.data(good.encode(), [good.encode()]).decode(errors="replace")
    gate = gate_on(f"{COMMAND}\n\n{armor}", signed=True)
    same = blob_of(armor) == blob_of(good)
    if isinstance(gate, Open) and not same and not only_reserved_differs(blob_of(armor), blob_of(good)):
        raise AssertionError(f"the gate opened on {armor!r}")
    if armor == good and not isinstance(gate, Open):
        raise AssertionError(f"the gate stayed shut on the reviewer's own signature: {gate}")


def only_reserved_differs(blob: bytes | None, good: bytes | None) -> bool:
    """OpenSSH reads over the reserved field, in which nothing is said."""
    begin = 10 + 4 + len(KEY.blob) + 4 + len(statement.NAMESPACE)
    if blob is None or good is None or blob[:begin] != good[:begin]:
        return False
    length = int.from_bytes(blob[begin : begin + 4], "big")
    return blob[begin + 4 + length :] == good[begin + 4 :]


MESSAGES = (
    TRAILER,
    "Raise\r\n\r\nSigned-off-by: A <a@example.test>\r\nCo-authored-by: R <1003+r@users.noreply.github.com>\r\n",
    "Co-Authored-By:R <1003+reviewer@users.noreply.github.com>\n\nmore text\n",
    "Raise\n\n  suggested-by :  1003+r@users.noreply.github.com",
)
LONG = (b" " * 40_000, b"@" * 40_000, b"<" * 40_000, b"\t \t" * 10_000)


def names_reviewer(line: str) -> bool:
    """Whether a line of a message is a trailer that names the reviewer's account: a second reading of the rule."""
    word, colon, value = line.partition(":")
    said = value.strip(" \t")
    address = said[said.rindex("<") + 1 : -1] if said.endswith(">") and "<" in said else said
    number, plus, rest = address.partition("+")
    login, at, host = rest.partition("@")
    named = (number, plus, at, host.lower()) == ("1003", "+", "@", "users.noreply.github.com") and login.isalnum()
    return bool(colon) and word.strip(" \t").lower() in ("co-authored-by", "suggested-by") and named


def message(mutator: Mutator) -> None:
    """A commit's message: whoever it names as a co-author has approved nothing, whatever stands around the line."""
    seed = mutator.chance.choice(MESSAGES).encode()
    others = [*(other.encode() for other in MESSAGES), *LONG] if mutator.chance.random() < 0.1 else ()
    text = mutator.data(seed, others).decode(errors="replace")
    commit = {**COMMIT, "commit": {**COMMIT["commit"], "message": text}}  # type: ignore[dict-item]
    gate = decided(written({**APPROVED, "commits": [commit]}))
    named = any(map(names_reviewer, re.split("[\r\n]", text)))
    if isinstance(gate, Open) and named:
        raise AssertionError(f"the gate opened though {text!r} names who approved")


# -- the forge's answers as HTTP -----------------------------------------------------------------------------------

TOKEN = "ghp_swordfish"
HEADERS = (
    ("link", '<http://127.0.0.1:9/x?page=2>; rel="next"'), ("link", '<http://192.0.2.9/x?page=2>; rel="next"'),
    ("link", "<http://127.0.0.1:9/x?page=999999999999>; rel=next"), ("link", '<>; rel="next"'), ("link", "\xff<"),
    ("link", '<http://[::1?page=2>; rel="next"'), ("retry-after", "-5"), ("retry-after", "1e9"),
    ("link", '<http://127.0.0.1:9/x?after=c2>; rel="next"'), ("link", '<http://127.0.0.1:9/x?after=%0d>; rel="next"'),
    ("retry-after", "soon"), ("retry-after", "9" * 30), ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"),
    ("x-ratelimit-remaining", "0"), ("x-ratelimit-remaining", "none"), ("x-ratelimit-reset", "9" * 20),
    ("x-ratelimit-reset", "x"), ("etag", 'W/"1"'), ("etag", ""), ("content-encoding", "gzip"),
    ("content-encoding", "br, gzip, x"), ("content-type", "text/html; charset=utf-99"), ("content-type", "\xff"),
    ("location", "http://192.0.2.9/elsewhere"), ("location", "//["), ("content-length", "-1"),
)  # fmt: skip
STATUSES = (
    200, 200, 200, 200, 200, 201, 204, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 410, 422, 429, 500, 502, 503,
    599,
)  # fmt: skip


@dataclass(slots=True)
class Answering:
    """Answers every request in the same odd way, and looks at who is asked."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    asked: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if request.url.host != "127.0.0.1":
            raise AssertionError(f"{request.url} was asked, which no configuration names")
        stream = httpx.ByteStream(self.body)
        return httpx.Response(self.status, headers=self.headers, stream=stream)


@cache
def asked_for() -> PullRequest:
    return asking({}).pull_request(12)


def http(mutator: Mutator) -> None:
    """An HTTP answer with an odd status, head or body: an error of ours that holds no token, or the answer."""
    name = mutator.chance.choice(("pull", "reviews", "comments", "activity"))
    chance, value = mutator.chance, ANSWERS[name]
    if name == "reviews" and chance.random() < 0.3:
        value = [{**REVIEW, "id": number} for number in range(100)]  # a full page
    body = mutator.json(value if chance.random() < 0.7 else {"message": f"rate limit of {TOKEN}", "errors": [{}]})
    headers = [chance.choice(HEADERS) for _ in range(chance.randint(0, 3))]
    if ("content-encoding", "gzip") in headers and chance.random() < 0.7:
        body = gzip.compress(body, 1)
    given = Answering(chance.choice(STATUSES), [(key.encode(), said.encode("latin-1")) for key, said in headers], body)
    asked_for()
    theirs = forge()
    theirs._connection = Connection("http://127.0.0.1:9", TOKEN, 5, httpx.MockTransport(given))
    asked: Mapping[str, Callable[[], object]] = {
        "pull": lambda: theirs.pull_request(12),
        "reviews": lambda: theirs._reviews(12, [], []),
        "comments": lambda: theirs.comments(12),
        "activity": lambda: theirs._pushes(asked_for(), [], []),
    }
    try:
        asked[name]()
    except ReconcilerError as error:
        if TOKEN in f"{error}{error.where}{error.hint}":
            raise AssertionError(f"the token stands in {error}") from error
    if given.asked > MOST_PAGES:
        raise AssertionError(f"{given.asked} requests for one question")


DOORS = (
    Door("webhooks", 0.26, delivery),
    Door("answers", 0.1, answer),
    Door("comments", 0.06, comment),
    Door("messages", 0.05, message),
    Door("consents", 0.05, signature),
    Door("http", 0.03, http),
)
