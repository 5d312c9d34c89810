"""What the GitHub adapter makes of a forge that is slow, broken, throttling or changing its mind: no answer is never
taken for one. The forge here is a web server that says what a test puts into its mouth.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from reconciler.forges import GitHub
from reconciler.forges import connection as connection_module
from reconciler.forges import github as github_module
from reconciler.forges.connection import Failed, Throttled
from reconciler.model.errors import ForgeUnavailable, InvalidInput, NotFound
from reconciler.model.pull_request import ReviewState, TimelineKind
from reconciler.ports import NewPullRequest, StatusReport

pytestmark = pytest.mark.integration

REPOSITORY = "/api/v3/repos/acme/infra"
HEAD, BASE = "a" * 40, "b" * 40
TOKEN = "s3cret-token"
PEOPLE = {"author": 1001, "reviewer": 1002}
REPO = {"id": 5}


def account(login: str = "author", kind: str = "User") -> dict[str, Any]:
    return {"id": PEOPLE.get(login, 9999), "login": login, "type": kind}


def pull(**changes: Any) -> dict[str, Any]:
    return {
        "number": 7,
        "title": "A change",
        "body": None,
        "user": account(),
        "state": "open",
        "draft": False,
        "merged": False,
        "merged_at": None,
        "merged_by": None,
        "merge_commit_sha": "c" * 40,
        "head": {"sha": HEAD, "ref": "topic", "repo": REPO},
        "base": {"sha": BASE, "ref": "main", "repo": REPO},
        "commits": 1,
        "updated_at": "2026-01-02T03:04:05Z",
        "html_url": "https://example.test/acme/infra/pull/7",
    } | changes


def review(number: int = 1, login: str = "reviewer", state: str = "APPROVED", **changes: Any) -> dict[str, Any]:
    return {
        "id": number, "user": account(login), "state": state, "commit_id": HEAD, "body": "",
        "submitted_at": "2026-01-02T03:04:05Z",
    } | changes  # fmt: skip


def commit(sha: str = HEAD, message: str = "Change", **changes: Any) -> dict[str, Any]:
    identity = {"name": "A", "email": "author@example.test", "date": "2026-01-02T03:04:05Z"}
    return {
        "sha": sha,
        "parents": [{"sha": BASE}],
        "author": account(),
        "committer": account(),
        "commit": {"message": message, "author": identity, "committer": identity},
    } | changes


def permission(login: str = "reviewer", **changes: Any) -> dict[str, Any]:
    return {"permission": "write", "role_name": "maintain", "user": account(login)} | changes


ANSWERS: Mapping[str, Any] = {
    "": REPO,
    "/pulls/7": pull(),
    "/pulls/7/reviews": [review()],
    "/pulls/7/commits": [commit()],
    "/issues/7/comments": [],
    "/issues/7/timeline": [],
    "/collaborators/reviewer/permission": permission(),
}
EVERY_REQUEST = sorted(path for path in ANSWERS if path)  # no reading asks for the repository; the gate compares ids


class Mouth:
    """The forge: answers by path, and a log of what was asked."""

    def __init__(self, server: HTTPServer) -> None:
        self.answers: dict[str, Any] = dict(ANSWERS)
        self.asked: list[Request] = []
        self.api = server.url_for("/api/v3")
        server.expect_request(re.compile(".*")).respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        self.asked.append(request)
        path = request.path.removeprefix(REPOSITORY)
        answer = self.answers.get(f"{request.method} {path}", self.answers.get(path))
        if callable(answer) and not isinstance(answer, Response):
            answer = answer(request)
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return said(404, {"message": "Not Found"})
        return said(200, answer)

    def paths(self, method: str = "GET") -> list[str]:
        return [r.path.removeprefix(REPOSITORY) for r in self.asked if r.method == method]


def said(status: int, body: Any, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(json.dumps(body), status, named, content_type="application/json")


@pytest.fixture
def mouth(httpserver: HTTPServer) -> Mouth:
    return Mouth(httpserver)


@pytest.fixture
def forge(mouth: Mouth) -> Iterator[GitHub]:
    heads = {"refs/heads/topic": HEAD, "refs/heads/main": BASE, "refs/pull/7/head": HEAD}
    made = GitHub(mouth.api, "acme/infra", TOKEN, timeout=10, remote_heads=lambda refs: {r: heads[r] for r in refs})
    yield made
    made.close()


def test_the_answers_here_make_a_whole_reading(forge: GitHub) -> None:
    reading = forge.reading(7)
    assert (reading.complete, reading.gaps) == (True, ())
    assert [(p.account, p.role) for p in reading.permissions] == [(1002, "maintain")]


@pytest.mark.parametrize("path", EVERY_REQUEST)
@pytest.mark.parametrize("status", [301, 400, 401, 403, 409, 418, 500, 502, 503])
def test_an_error_anywhere_is_no_reading(forge: GitHub, mouth: Mouth, path: str, status: int) -> None:
    mouth.answers[path] = said(status, {"message": f"no, {TOKEN} may not"}, Location="https://evil.test/")
    with pytest.raises(Failed) as caught:
        forge.reading(7)
    assert caught.value.status == status
    assert str(status) in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len([r for r in mouth.asked if r.path == REPOSITORY + path]) == 1, "neither followed nor tried again"


@pytest.mark.parametrize("path", [p for p in EVERY_REQUEST if "collaborators" not in p])
def test_what_is_missing_is_not_found(forge: GitHub, mouth: Mouth, path: str) -> None:
    mouth.answers[path] = said(404, {"message": "Not Found"})
    with pytest.raises(NotFound):
        forge.reading(7)


NO_ANSWERS = (
    "",
    "null",
    "7",
    "{",
    '{"id":',
    "[[]]",
    '[{"id": "1"}]',
    "<html>down</html>",
    '{"message": "odd"}',
    "[null]",
)
FINE = {("/issues/7/timeline", '[{"id": "1"}]')}  # an event may have any id


@pytest.mark.parametrize(
    ("path", "body"), [(path, body) for path in EVERY_REQUEST for body in NO_ANSWERS if (path, body) not in FINE]
)
def test_what_is_not_of_githubs_shape_is_no_answer(forge: GitHub, mouth: Mouth, path: str, body: str) -> None:
    mouth.answers[path] = Response(body, 200, content_type="application/json")
    with pytest.raises(ForgeUnavailable):
        forge.reading(7)


@pytest.mark.parametrize(
    "broken",
    [
        {"number": "7"}, {"merged": None}, {"merged": "false"}, {"state": "unknown"}, {"commits": None},
        {"head": {"sha": "short", "ref": "topic", "repo": REPO}}, {"head": None}, {"updated_at": "yesterday"},
        {"base": {"sha": BASE, "ref": "main", "repo": None}}, {"updated_at": "2026-01-02T03:04:05"},
        {"user": {"login": "author", "type": "User"}}, {"user": {"id": "1001", "login": "author", "type": "User"}},
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_kind_is_no_answer(forge: GitHub, mouth: Mouth, broken: dict[str, Any]) -> None:
    mouth.answers["/pulls/7"] = pull(**broken)
    with pytest.raises(ForgeUnavailable, match="pulls/7"):
        forge.pull_request(7)


def test_an_answer_that_breaks_off_is_no_answer(forge: GitHub, mouth: Mouth) -> None:
    def cut(_: Request) -> Response:
        return Response(iter([json.dumps([review()]).encode()]), 200, {"Content-Length": "99999"})

    mouth.answers["/pulls/7/reviews"] = cut
    with pytest.raises(ForgeUnavailable):
        forge.reading(7)


def test_an_answer_that_does_not_come_is_a_timeout(mouth: Mouth) -> None:
    free = threading.Event()

    def wait(_: Request) -> Response:
        free.wait(10)
        return said(200, REPO)

    mouth.answers[""] = wait
    impatient = GitHub(mouth.api, "acme/infra", TOKEN, timeout=0.2)
    try:
        with pytest.raises(ForgeUnavailable, match=r"within 0.2 seconds"):
            impatient.repository_id()
    finally:
        free.set()
        impatient.close()


def test_an_answer_that_drips_is_a_timeout(mouth: Mouth) -> None:
    def drip(_: Request) -> Response:
        def chunks() -> Iterator[bytes]:
            for _ in range(40):
                time.sleep(0.05)
                yield b" "
            yield b'{"id": 5}'

        return Response(chunks(), 200, content_type="application/json")

    mouth.answers[""] = drip
    impatient = GitHub(mouth.api, "acme/infra", TOKEN, timeout=0.4)
    with pytest.raises(ForgeUnavailable, match=r"within 0.4 seconds"):
        impatient.repository_id()
    impatient.close()


def test_an_answer_without_end_is_cut(forge: GitHub, mouth: Mouth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LARGEST_ANSWER", 1000)
    packed = gzip.compress(b'{"id": 5' + b" " * 5000 + b"}")
    assert len(packed) < 1000
    mouth.answers[""] = Response(packed, 200, {"Content-Encoding": "gzip"}, content_type="application/json")
    with pytest.raises(ForgeUnavailable, match="larger than"):
        forge.repository_id()


def test_a_compressed_answer_is_read(forge: GitHub, mouth: Mouth) -> None:
    packed = gzip.compress(b'{"id": 5}')
    mouth.answers[""] = Response(packed, 200, {"Content-Encoding": "gzip"}, content_type="application/json")
    assert forge.repository_id() == 5


def test_a_forge_that_is_not_there_is_unavailable() -> None:
    nowhere = GitHub("http://127.0.0.1:1/api/v3", "acme/infra", TOKEN, timeout=5)
    with pytest.raises(ForgeUnavailable, match="reachable"):
        nowhere.repository_id()
    nowhere.close()


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "37"}, 37),
        (403, {"Retry-After": "37"}, 37),
        (429, {"Retry-After": "86400000"}, 3600),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}, 3600),
    ],
)
def test_a_rate_limit_is_kept_to_without_asking_again(
    forge: GitHub, mouth: Mouth, status: int, headers: dict[str, str], seconds: float
) -> None:
    mouth.answers["/pulls/7"] = Response('{"message": "slow down"}', status, headers)
    with pytest.raises(Throttled) as caught:
        forge.pull_request(7)
    assert caught.value.retry_after == seconds
    asked = len(mouth.asked)
    with pytest.raises(Throttled) as again:
        forge.repository_id()
    assert 0 < again.value.retry_after <= caught.value.retry_after
    assert len(mouth.asked) == asked


def test_a_limit_without_a_time_is_kept_to_and_not_taken_for_a_missing_scope(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["POST /check-runs"] = said(403, {"message": "You have exceeded a secondary rate limit."})
    with pytest.raises(Throttled) as caught:
        forge.write_status(HEAD, StatusReport("reconciler/plan", "pending", "planning"))
    assert caught.value.retry_after == 60
    assert mouth.paths("POST") == ["/check-runs"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("{}", {"Retry-After": "soon"}),
        ("{}", {"Retry-After": "9" * 30}),
        ("{}", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 20}),
        ('{"message": 1.5}', {"X-RateLimit-Remaining": "0"}),
        ("[" * 100_000, {}),
    ],
)
def test_a_limit_that_is_not_understood_is_still_an_error(
    forge: GitHub, mouth: Mouth, body: str, headers: dict[str, str]
) -> None:
    mouth.answers["/pulls/7"] = Response(body, 429, headers)
    with pytest.raises(ForgeUnavailable):
        forge.pull_request(7)


def test_an_error_that_nests_without_end_is_an_error(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7"] = Response("[" * 100_000, 500)
    with pytest.raises(Failed, match="answered 500"):
        forge.pull_request(7)


def paged(items: list[Any], *, link: Callable[[int], str | None] | None = None) -> Callable[[Request], Response]:
    """Pages as GitHub makes them; `link` replaces the address of the next page."""

    def answer(request: Request) -> Response:
        size, page = int(request.args["per_page"]), int(request.args.get("page", "1"))
        following = f"{request.base_url}?per_page={size}&page={page + 1}" if page * size < len(items) else None
        if link is not None:
            following = link(page)
        headers = {"Link": f'<{following}>; rel="next", <x>; rel="last"'} if following else {}
        return said(200, items[(page - 1) * size : page * size], **headers)

    return answer


def test_every_page_of_reviews_counts(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7/reviews"] = paged([review(n) for n in range(249)] + [review(249, state="DISMISSED")])
    reading = forge.reading(7)
    assert len(reading.reviews) == 250
    assert reading.reviews[-1].state is ReviewState.DISMISSED
    assert {"pulls/7/reviews?page=1", "pulls/7/reviews?page=2", "pulls/7/reviews?page=3"} <= {
        name for name, _ in reading.raw_digests
    }


def test_a_full_page_without_a_link_is_not_taken_for_the_last(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7/reviews"] = paged([review(n) for n in range(150)], link=lambda page: None)
    assert len(forge.reading(7).reviews) == 150


def test_a_short_page_with_a_link_is_not_taken_for_the_last(forge: GitHub, mouth: Mouth) -> None:
    def answer(request: Request) -> Response:
        page = int(request.args.get("page", "1"))
        headers = {"Link": f'<{request.base_url}?page={page + 1}>; rel="next"'} if page < 3 else {}
        return said(200, [review(page)], **headers)

    mouth.answers["/pulls/7/reviews"] = answer
    assert [r.id for r in forge.reading(7).reviews] == [1, 2, 3]


def test_a_page_that_fails_in_the_middle_is_no_reading(forge: GitHub, mouth: Mouth) -> None:
    whole = paged([review(n) for n in range(250)])
    mouth.answers["/pulls/7/reviews"] = lambda request: (
        said(502, {}) if request.args.get("page") == "2" else whole(request)
    )
    with pytest.raises(ForgeUnavailable, match="page=2"):
        forge.reading(7)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.test/?page=1",
        "https://evil.test/?page=3",
        "https://evil.test/",
        "https://evil.test/?page=x",
        "https://[::1?page=2",
    ],
)
def test_a_link_that_leads_astray_is_no_answer(forge: GitHub, mouth: Mouth, link: str) -> None:
    mouth.answers["/pulls/7/reviews"] = paged([review()], link=lambda page: link if page == 1 else None)
    with pytest.raises(ForgeUnavailable):
        forge.reading(7)


def test_the_host_of_a_link_is_never_asked(forge: GitHub, mouth: Mouth) -> None:
    reviews = [review(n) for n in range(101)]
    mouth.answers["/pulls/7/reviews"] = paged(
        reviews, link=lambda page: "http://127.0.0.1:1/?page=2" if page == 1 else None
    )
    assert len(forge.reading(7).reviews) == 101


def test_a_list_without_end_is_no_answer(forge: GitHub, mouth: Mouth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MOST_PAGES", 3)
    mouth.answers["/pulls/7/reviews"] = paged([review(n) for n in range(500)])
    with pytest.raises(ForgeUnavailable, match="more than 3 pages"):
        forge.reading(7)


def test_a_list_that_moved_while_it_was_read_is_a_gap(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7/reviews"] = [review(1), review(1)]
    reading = forge.reading(7)
    assert not reading.complete
    assert "moved" in reading.gaps[0]


def test_a_second_reading_that_differs_is_shown(forge: GitHub, mouth: Mouth) -> None:
    answers = iter([pull(), pull(head={"sha": "d" * 40, "ref": "topic", "repo": REPO})])
    mouth.answers["/pulls/7"] = lambda _: said(200, next(answers))
    reading = forge.reading(7)
    assert reading.pull_request.head_sha == HEAD
    assert reading.again.head_sha == "d" * 40
    digests = dict(reading.raw_digests)
    assert digests["pulls/7"] != digests["pulls/7 again"]


@pytest.mark.parametrize(
    ("path", "answer", "gap"),
    [
        ("/pulls/7", pull(commits=2), "1 of the 2 commits"),
        ("/pulls/7", pull(commits=0), "1 of the 0 commits"),
        ("/pulls/7/commits", [], "0 of the 1 commits"),
        ("/pulls/7/commits", [commit("e" * 40)], f"the head {HEAD} is not among"),
        ("/pulls/7", pull(commits=251), "no mirror"),
        ("/pulls/7/reviews", [review(state="SIGNED_OFF")], "unknown state 'SIGNED_OFF'"),
    ],
)
def test_evidence_that_is_not_whole_is_a_gap(forge: GitHub, mouth: Mouth, path: str, answer: Any, gap: str) -> None:
    mouth.answers[path] = answer
    reading = forge.reading(7)
    assert not reading.complete
    assert any(gap in found for found in reading.gaps), reading.gaps


def test_no_account_and_a_lost_commit_are_nobody_and_nothing(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7"] = pull(user=None, head={"sha": HEAD, "ref": "topic", "repo": None})
    mouth.answers["/pulls/7/reviews"] = [review(user=None, commit_id=None, submitted_at=None, body=None)]
    mouth.answers["/pulls/7/commits"] = [commit(author={}, committer=None)]
    reading = forge.reading(7)
    assert reading.pull_request.author is None
    assert reading.pull_request.head_repository is None
    assert (reading.reviews[0].account, reading.reviews[0].commit, reading.reviews[0].submitted_at) == (None,) * 3
    assert (reading.commits[0].author, reading.commits[0].committer) == (None, None)
    assert reading.permissions == ()


@pytest.mark.parametrize(
    ("answer", "role"),
    [
        (permission(role_name="write"), "write"),
        (permission(role_name="triage", permission="read"), "triage"),
        (permission(role_name="our-own-role"), "our-own-role"),
        (permission(role_name=None), "write"),
        (permission(user={"id": 4, "login": "reviewer", "type": "User"}), "none"),
        (permission(user=None), "none"),
        (said(404, {"message": "reviewer is not a user"}), "none"),
    ],
)
def test_a_role_counts_only_for_the_same_account(forge: GitHub, mouth: Mouth, answer: Any, role: str) -> None:
    mouth.answers["/collaborators/reviewer/permission"] = answer
    assert [p.role for p in forge.reading(7).permissions] == [role]


def test_a_login_that_is_none_is_not_asked_for(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7/reviews"] = [review(user={"id": 3, "login": "../../user", "type": "User"})]
    assert [(p.account, p.role) for p in forge.reading(7).permissions] == [(3, "none")]
    assert not [path for path in mouth.paths() if "collaborators" in path]


def test_the_timeline_keeps_the_forges_order_and_unknown_events(forge: GitHub, mouth: Mouth) -> None:
    at = {"created_at": "2026-01-02T03:04:05Z", "actor": account()}
    mouth.answers["/issues/7/timeline"] = [
        {"event": "committed", "sha": HEAD, "author": {"name": "A", "email": "x", "date": "2026-01-01T00:00:00Z"}},
        {"event": "head_ref_force_pushed", **at},
        {"event": "automatic_base_change_succeeded", **at},
        {"event": "review_dismissed", **at, "dismissed_review": {"review_id": 3, "state": "approved"}},
        {"event": "something_new", **at},
        {"event": "reviewed", "user": account(), "submitted_at": "2026-01-02T03:04:05Z"},
    ]
    told = forge.reading(7).timeline
    assert [event.kind for event in told] == [
        TimelineKind.COMMITTED, TimelineKind.HEAD_FORCE_PUSHED, TimelineKind.BASE_CHANGED,
        TimelineKind.REVIEW_DISMISSED, TimelineKind.OTHER, TimelineKind.OTHER,
    ]  # fmt: skip
    assert told[0].at is None
    assert (told[3].review, told[3].was) == (3, ReviewState.APPROVED)


def test_a_head_that_was_forced_away_and_back_is_read_again(forge: GitHub, mouth: Mouth) -> None:
    def push(before: str, after: str, by: str) -> dict[str, Any]:
        return {"before": before, "after": after, "actor": account(by), "timestamp": "2026-01-02T03:04:05Z"}

    first = push("0" * 40, HEAD, "author")
    mouth.answers["/activity"] = [first]
    assert len(forge.reading(7).pushes) == 1
    mouth.answers["/activity"] = [push(BASE, HEAD, "author"), push(HEAD, BASE, "reviewer"), first]
    assert len(forge.reading(7).pushes) == 1  # the same two commits, and nobody forced anything
    forced = {"event": "head_ref_force_pushed", "created_at": "2026-01-02T03:04:05Z", "actor": account()}
    mouth.answers["/issues/7/timeline"] = [forced]
    pushes = forge.reading(7).pushes
    assert [push.account.id for push in pushes if push.account] == [1001, 1002, 1001]


def test_an_activity_that_lags_behind_the_head_is_asked_again(forge: GitHub, mouth: Mouth) -> None:
    at = {"actor": account(), "timestamp": "2026-01-02T03:04:05Z"}
    mouth.answers["/activity"] = [{"before": HEAD, "after": BASE, **at}, {"before": "0" * 40, "after": HEAD, **at}]
    assert len(forge.reading(7).pushes) == 2
    mouth.answers["/activity"] = [{"before": BASE, "after": HEAD, **at}, *mouth.answers["/activity"]]
    assert len(forge.reading(7).pushes) == 3


def test_a_head_in_a_fork_is_read_from_the_pull_requests_own_ref(mouth: Mouth) -> None:
    asked: list[str] = []

    def heads(refs: Any) -> dict[str, str]:
        asked.extend(refs)
        return {"refs/pull/7/head": HEAD}

    fork = GitHub(mouth.api, "acme/infra", TOKEN, remote_heads=heads)
    mouth.answers["/pulls/7"] = pull(head={"sha": HEAD, "ref": "main", "repo": {"id": 6}})
    reading = fork.reading(7)
    assert asked == ["refs/heads/main", "refs/pull/7/head"]
    assert (reading.remote_head, reading.remote_base) == (HEAD, None)
    fork.close()


def test_what_did_not_change_is_asked_for_with_its_etag(forge: GitHub, mouth: Mouth) -> None:
    def answer(request: Request) -> Response:
        if request.headers.get("If-None-Match") == '"one"':
            return Response(status=304, headers={"ETag": '"one"'})
        return said(200, pull(), ETag='"one"')

    mouth.answers["/pulls/7"] = answer
    first, second = forge.pull_request(7), forge.pull_request(7)
    assert first == second
    assert [r.headers.get("If-None-Match") for r in mouth.asked] == [None, '"one"']
    mouth.answers["/pulls/7"] = lambda _: said(200, pull(title="Another"), ETag='"two"')
    assert forge.pull_request(7).title == "Another"
    assert forge.pull_request(7).title == "Another"
    assert mouth.asked[-1].headers["If-None-Match"] == '"two"'


def test_a_pull_request_of_which_nothing_changed_is_read_in_six_calls_and_one_for_each_approver(
    forge: GitHub, mouth: Mouth
) -> None:
    mouth.answers["/pulls/7/reviews"] = [review(), review(2, "second")]
    mouth.answers["/collaborators/second/permission"] = permission("second")
    mouth.answers["/activity"] = [
        {"before": "0" * 40, "after": HEAD, "actor": account(), "timestamp": "2026-01-02T03:04:05Z"}
    ]
    assert forge.reading(7).complete
    first = len(mouth.asked)
    assert forge.reading(7).complete
    again = [request.path.removeprefix(REPOSITORY) for request in mouth.asked[first:]]
    assert sorted(again) == [
        "/collaborators/reviewer/permission",
        "/collaborators/second/permission",
        "/issues/7/comments",
        "/issues/7/timeline",
        *["/pulls/7"] * 2,
        *["/pulls/7/reviews"] * 2,
    ]


def test_a_304_that_nobody_asked_for_is_no_answer(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7"] = Response(status=304)
    with pytest.raises(ForgeUnavailable, match="304"):
        forge.pull_request(7)


def test_etags_are_not_shared_between_credentials(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7"] = lambda _: said(200, pull(), ETag='"one"')
    forge.pull_request(7)
    other = GitHub(mouth.api, "acme/infra", "another-token")
    other.pull_request(7)
    assert "If-None-Match" not in mouth.asked[-1].headers
    other.close()


def test_the_version_and_the_credential_are_in_each_request(forge: GitHub, mouth: Mouth) -> None:
    forge.reading(7)
    assert {r.headers["X-GitHub-Api-Version"] for r in mouth.asked} == {"2022-11-28"}
    assert {r.headers["Authorization"] for r in mouth.asked} == {f"token {TOKEN}"}


def comment(body: str) -> dict[str, Any]:
    at = "2026-01-02T03:04:05Z"
    return {"id": 3, "user": account(), "body": body, "created_at": at, "updated_at": at}


def test_the_same_comment_is_not_written_again(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/issues/comments/3"] = comment("a\r\nb")
    mouth.answers["PATCH /issues/comments/3"] = comment("new")
    assert forge.write_comment(7, 3, "a\nb\n").body == "a\r\nb"
    assert mouth.paths("PATCH") == []
    assert forge.write_comment(7, 3, "new").body == "new"
    assert mouth.paths("PATCH") == ["/issues/comments/3"]


def test_a_comment_that_cannot_be_read_is_not_made_twice(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/issues/comments/3"] = said(502, {})
    with pytest.raises(ForgeUnavailable):
        forge.write_comment(7, 3, "new")
    assert mouth.paths("POST") == []


def test_a_credential_that_is_no_apps_posts_statuses_and_remembers_it(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["POST /check-runs"] = said(403, {"message": "Resource not accessible by personal access token"})
    mouth.answers[f"/commits/{HEAD}/status"] = {"statuses": [], "total_count": 0}
    mouth.answers[f"POST /statuses/{HEAD}"] = said(201, {"id": 1})
    for _ in range(2):
        forge.write_status(HEAD, StatusReport("reconciler/plan", "pending", "planning"))
    assert mouth.paths("POST") == ["/check-runs", f"/statuses/{HEAD}", f"/statuses/{HEAD}"]


def test_a_personal_token_does_not_try_check_runs(mouth: Mouth) -> None:
    personal = GitHub(mouth.api, "acme/infra", "github_pat_x")
    mouth.answers[f"/commits/{HEAD}/status"] = {"statuses": [], "total_count": 0}
    mouth.answers[f"POST /statuses/{HEAD}"] = said(201, {"id": 1})
    personal.write_status(HEAD, StatusReport("reconciler/plan", "pending", "planning"))
    assert mouth.paths("POST") == [f"/statuses/{HEAD}"]
    personal.close()


@pytest.mark.parametrize("status", [404, 422, 500])
def test_a_status_that_was_not_taken_raises(forge: GitHub, mouth: Mouth, status: int) -> None:
    mouth.answers["POST /check-runs"] = said(status, {"message": "no"})
    mouth.answers[f"/commits/{HEAD}/status"] = {"statuses": [], "total_count": 0}
    mouth.answers[f"POST /statuses/{HEAD}"] = said(201, {"id": 1})
    with pytest.raises((ForgeUnavailable, NotFound)):
        forge.write_status(HEAD, StatusReport("reconciler/plan", "pending", "planning"))
    assert mouth.paths("POST") == ["/check-runs"]


def test_writes_beyond_the_forges_rate_wait_without_being_sent(
    forge: GitHub, mouth: Mouth, monkeypatch: pytest.MonkeyPatch
) -> None:
    mouth.answers["POST /issues/7/comments"] = said(201, comment("x"))
    for _ in range(github_module.WRITES_PER_MINUTE):
        forge.write_comment(7, None, "x")
    with pytest.raises(Throttled) as caught:
        forge.write_comment(7, None, "x")
    assert 0 < caught.value.retry_after <= 60
    assert len(mouth.paths("POST")) == github_module.WRITES_PER_MINUTE
    assert forge.repository_id() == 5, "reading goes on"


def test_a_proposal_uses_the_proposers_credential_and_shows_it_to_nobody(forge: GitHub, mouth: Mouth) -> None:
    request = NewPullRequest("Roll back", "Because.", "reconciler/x", "main", "proposers-token")
    mouth.answers["POST /pulls"] = said(201, pull())
    assert forge.open_pull_request(request).number == 7
    assert mouth.asked[-1].headers["Authorization"] == "token proposers-token"
    mouth.answers["POST /pulls"] = said(500, {"message": "proposers-token"})
    with pytest.raises(ForgeUnavailable) as caught:
        forge.open_pull_request(request)
    assert "proposers-token" not in str(caught.value)


@pytest.mark.parametrize("api", ["", "api.github.com", "ftp://x.test", "https://token@api.github.com", "https://"])
def test_an_address_that_is_none_is_refused(api: str) -> None:
    with pytest.raises(InvalidInput):
        GitHub(api, "acme/infra", TOKEN)


@pytest.mark.parametrize("name", ["infra", "acme/infra/x", "../x", "acme/", "/infra", "acme/in fra", "acme/infra?x"])
def test_a_repository_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        GitHub("https://api.github.com", name, TOKEN)


@pytest.mark.parametrize("token", ["", "two words", "line\nend", "café"])
def test_a_token_that_is_none_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        GitHub("https://api.github.com", "acme/infra", token)
    assert not token or token not in str(caught.value)


def test_many_threads_read_at_once(forge: GitHub, mouth: Mouth) -> None:
    mouth.answers["/pulls/7"] = lambda _: said(200, pull(), ETag='"one"')
    with ThreadPoolExecutor(8) as pool:
        readings = list(pool.map(lambda _: forge.reading(7), range(16)))
    assert all(reading == readings[0] and reading.complete for reading in readings)
