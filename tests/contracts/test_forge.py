"""What every Forge must do, as control and the gate rely on it. The GitHub adapter runs it on the embedded forge.

Whatever another person does is done as that person would: over the REST API or by git push, with their token.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pygit2.enums import FileMode

from reconciler.forges import FORGES, GitHub, github
from reconciler.model.errors import ForgeUnavailable, InvalidInput, NotAllowed, NotFound
from reconciler.model.pull_request import PullRequest, PullRequestReading, ReviewState, TimelineKind
from reconciler.ports import Forge, NewPullRequest, RevertProposal, StatusReport
from reconciler.sources import GitMirror
from reconciler.sources.command import run_git
from tests.git_remotes import Content, Remote

pytestmark = pytest.mark.integration

ENGINE, AGENT = "token-engine", "token-agent"

SEED = """
users:
  - {login: acme, id: 1, email: acme@example.test, tokens: [{value: token-owner, scopes: [repo]}]}
  - {login: author, id: 1001, email: author@example.test, tokens: [{value: token-author, scopes: [repo]}]}
  - {login: reviewer, id: 1002, email: reviewer@example.test, tokens: [{value: token-reviewer, scopes: [repo]}]}
  - {login: reader, id: 1003, email: reader@example.test, tokens: [{value: token-reader, scopes: [repo]}]}
  - login: engine
    id: 1004
    email: engine@example.test
    tokens:
      - {value: token-engine, scopes: ["contents:read", "pull_requests:write", "issues:write", "statuses:write"]}
  - login: "engine-app[bot]"
    id: 1005
    type: Bot
    tokens:
      - value: token-app
        scopes: ["contents:read", "pull_requests:write", "issues:write", "checks:write"]
        app: {id: 77, slug: engine-app}
  - login: "deployer[bot]"
    id: 1006
    type: Bot
    tokens: [{value: token-agent, scopes: ["contents:write", "pull_requests:write"], branches: ["reconciler/*"]}]
repositories:
  - name: acme/infra
    default_branch: main
    from: ./content
    collaborators: {author: write, reviewer: maintain, reader: read, engine: write, "engine-app[bot]": write,
                    "deployer[bot]": write}
"""


@dataclass(slots=True)
class Served:
    """The embedded forge as its own process, and a clone to make commits in."""

    url: str
    clone: Remote
    directory: Path

    @property
    def api(self) -> str:
        return f"{self.url}/api/v3"

    @property
    def git_url(self) -> str:
        return f"{self.url}/acme/infra.git"

    def request(self, method: str, path: str, who: str = "author", expect: int = 200, **body: Any) -> Any:
        """A call as a person, with their token."""
        answer = httpx.request(
            method,
            f"{self.api}/repos/acme/infra{path}",
            headers={"Authorization": f"token token-{who}"},
            json=body or None,
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    def push(self, sha: str, ref: str, who: str = "author", *options: str) -> str:
        done = run_git(
            self.clone.path, "push", "--quiet", *options, self.git_url, f"{sha}:{ref}",
            url=self.git_url, token=f"token-{who}", timeout=30,
        )  # fmt: skip
        assert done.status == 0, done.error
        return sha

    def pull(self) -> None:
        done = run_git(
            self.clone.path, "fetch", "--quiet", self.git_url, "+refs/heads/*:refs/heads/*",
            url=self.git_url, token="token-author", timeout=30,
        )  # fmt: skip
        assert done.status == 0, done.error

    def main(self) -> str:
        self.pull()
        return self.clone.head("refs/heads/main") or ""

    def commit(self, branch: str, files: dict[str, Content], *parents: str, message: str = "Change\n") -> str:
        sha = self.clone.commit(files, *(parents or (self.main(),)), ref=None, message=message)
        return self.push(sha, f"refs/heads/{branch}")

    def propose(self, branch: str, base: str = "main", title: str = "A change", who: str = "author") -> int:
        return int(self.request("POST", "/pulls", who, 201, title=title, head=branch, base=base)["number"])

    def review(self, number: int, event: str, commit: str | None = None, who: str = "reviewer") -> int:
        given: dict[str, Any] = {"commit_id": commit} if commit else {}
        made = self.request("POST", f"/pulls/{number}/reviews", who, event=event, body=f"{event} by {who}", **given)
        return int(made["id"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("forge")
    (directory / "content").mkdir()
    (directory / "content" / "app.txt").write_text("1\n")
    (directory / "seed.yaml").write_text(SEED)
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler.localforge", "--data", str(directory / "data"),
         "--listen", "127.0.0.1:0", "--seed", str(directory / "seed.yaml")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["ok"], ready
        yield Served(ready["data"]["url"], Remote.make(directory / "clone.git"), directory)
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def mirror(served: Served, tmp_path: Path) -> GitMirror:
    return GitMirror(tmp_path / "mirror", served.git_url, "main", token="token-engine")


def adapter(served: Served, mirror: GitMirror | None, token: str = ENGINE) -> GitHub:
    return FORGES["github"](
        served.api,
        "acme/infra",
        token,
        remote_heads=mirror.remote_heads if mirror else None,
        local_commits=mirror.commits_between if mirror else None,
        is_clean_update=mirror.is_clean_update if mirror else None,
    )


@pytest.fixture
def forge(served: Served, mirror: GitMirror) -> Iterator[Forge]:
    made = adapter(served, mirror)
    yield made
    made.close()


def states(reading: PullRequestReading) -> list[tuple[int | None, ReviewState, str | None]]:
    return [(r.account.id if r.account else None, r.state, r.commit) for r in reading.reviews]


def test_it_knows_itself_and_its_repository(forge: Forge, served: Served) -> None:
    assert forge.who() == (1004, "engine")
    assert forge.repository_id() == served.request("GET", "")["id"]


def test_a_pull_request_is_read_as_it_is(forge: Forge, served: Served) -> None:
    base = served.main()
    head = served.commit("as-it-is", {"app.txt": "2\n"})
    number = served.propose("as-it-is")
    pull = forge.pull_request(number)
    assert pull.repository == pull.base_repository == pull.head_repository == forge.repository_id()
    assert (pull.number, pull.title, pull.state, pull.draft, pull.merged) == (number, "A change", "open", False, False)
    assert pull.author is not None
    assert (pull.author.id, pull.author.login, pull.author.kind) == (1001, "author", "User")
    assert (pull.head_sha, pull.head_ref, pull.base_sha, pull.base_ref) == (head, "as-it-is", base, "main")
    assert pull.commit_count == 1
    assert pull.updated_at.utcoffset() is not None
    assert pull.url.startswith(served.url)


def test_it_names_who_pushed_whatever_the_commits_say(forge: Forge, served: Served) -> None:
    first = served.commit("named", {"app.txt": "named\n"})
    number = served.propose("named")
    second = served.clone.commit({"app.txt": "more\n"}, first, ref=None)
    served.push(second, "refs/heads/named", "reviewer")
    reading = forge.reading(number)
    assert [(push.account.login if push.account else None, push.after) for push in reading.pushes] == [
        ("reviewer", second),
        ("author", first),
    ]
    assert reading.lacks == ()


def test_a_command_that_was_edited_in_its_own_second_is_known_to_be(forge: Forge, served: Served) -> None:
    """Its times say nothing of it; what is no command is not asked for."""
    served.commit("edited", {"app.txt": "edited\n"})
    number = served.propose("edited")
    for body in ("/reconciler approve 0123456789ab", "no command", "/reconciler reject"):
        served.request("POST", f"/issues/{number}/comments", "reviewer", 201, body=body)
    said = served.request("POST", f"/issues/{number}/comments", "reviewer", 201, body="looks odd")
    served.request("PATCH", f"/issues/comments/{said['id']}", "author", body="/reconciler approve 0123456789ab")
    reading = forge.reading(number)
    found = [(comment.edited, comment.updated_at != comment.created_at) for comment in reading.comments]
    assert found[:3] == [(False, False), (None, False), (False, False)]
    assert found[3] in ((True, False), (None, True))
    assert len([name for name, _ in reading.raw_digests if name.startswith("edits of")]) == 1


def test_a_review_that_was_edited_is_known_to_be_where_its_text_may_approve(forge: Forge, served: Served) -> None:
    """Whoever may write can edit it, and no time of REST says so."""
    served.commit("rewritten", {"app.txt": "rewritten\n"})
    number = served.propose("rewritten")
    reviews = [served.review(number, "APPROVE") for _ in range(3)]
    for review, who in zip(reviews[1:], ("reviewer", "author"), strict=True):
        served.request("PUT", f"/pulls/{number}/reviews/{review}", who, body="0123456789ab")
    reading = forge.reading(number)
    assert [review.edited for review in reading.reviews] == [None, True, True]
    assert len([name for name, _ in reading.raw_digests if name.startswith("edits of")]) == 1


def moved(served: Served, branch: str, times: int) -> int:
    """A pull request whose branch the reviewer made, and the author moved as often."""
    first = served.clone.commit({"app.txt": f"{branch}\n"}, served.main(), ref=None)
    other = served.clone.commit({"app.txt": f"{branch} too\n"}, first, ref=None)
    served.push(first, f"refs/heads/{branch}", "reviewer")
    number = served.propose(branch)
    for turn in range(times):
        served.push((other, first)[turn % 2], f"refs/heads/{branch}", "author", "--force")
    return number


def test_every_push_is_read_since_the_branch_was_made(
    forge: Forge, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "PER_PAGE", 5)
    reading = forge.reading(moved(served, "busy", 11))
    assert len(reading.pushes) == 12
    assert reading.pushes[-1].account is not None
    assert (reading.pushes[-1].account.login, reading.pushes[-1].before) == ("reviewer", "0" * 40)
    assert reading.gaps == ()
    pages = [name for name, _ in reading.raw_digests if name.startswith("activity of busy")]
    assert pages == ["activity of busy", "activity of busy?page=2", "activity of busy?page=3"]


def test_a_branch_that_was_moved_too_often_is_not_whole(
    forge: Forge, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "PER_PAGE", 5)
    monkeypatch.setattr(github, "MOST_PUSHES", 10)
    reading = forge.reading(moved(served, "restless", 11))
    assert reading.gaps == ("restless was moved more than 10 times: propose it on a new branch",)


def test_a_commit_and_a_branch_name_their_hands_without_a_pull_request(forge: Forge, served: Served) -> None:
    first = served.commit("direct", {"app.txt": "direct\n"})
    second = served.clone.commit({"app.txt": "pushed\n"}, first, ref=None)
    served.push(second, "refs/heads/direct", "reviewer")
    commit = forge.commit(second)
    assert (commit.sha, commit.parents, commit.author_email) == (second, (first,), "a@example.test")
    assert [
        (push.account.login if push.account else None, push.before, push.after) for push in forge.pushes("direct")
    ] == [
        ("reviewer", first, second),
        ("author", "0" * 40, first),
    ]
    assert forge.pushes("nowhere") == ()
    with pytest.raises(NotFound):
        forge.commit("0" * 39 + "1")


def test_comments_are_read_and_whoever_commands_is_looked_up(forge: Forge, served: Served) -> None:
    served.commit("said", {"app.txt": "said\n"})
    number = served.propose("said")
    for who, body in (("reader", "/reconciler approve 0123456789ab"), ("reviewer", "what a /reconciler approve")):
        served.request("POST", f"/issues/{number}/comments", who, 201, body=body)
    reading = forge.reading(number)
    assert [(c.account.login if c.account else None, c.body[:11]) for c in reading.comments] == [
        ("reader", "/reconciler"),
        ("reviewer", "what a /rec"),
    ]
    assert [(permission.account, permission.role) for permission in reading.permissions] == [(1003, "read")]


def test_a_second_reading_asks_six_times_and_once_per_speaker(
    served: Served, mirror: GitMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.commit("cheap", {"app.txt": "cheap\n"})
    number = served.propose("cheap")
    served.review(number, "APPROVE")
    forge = adapter(served, mirror)
    first = forge.reading(number)
    asked: list[str] = []
    send = httpx.HTTPTransport.handle_request

    def counting(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.partition("/acme/infra/")[2])
        return send(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", counting)
    again = forge.reading(number)
    forge.close()
    pull, issue = f"pulls/{number}", f"issues/{number}"
    once = [f"{issue}/comments", f"{issue}/timeline", "collaborators/reviewer/permission"]
    assert sorted(asked) == sorted([pull, pull, f"{pull}/reviews", f"{pull}/reviews", *once])
    assert replace(again, raw_digests=()) == replace(first, raw_digests=())
    names = [[name for name, _ in reading.raw_digests] for reading in (first, again)]
    assert names[0] == names[1], "and what was not asked again is attested again"


def test_a_review_that_comes_while_it_reads_makes_the_reading_incomplete(
    served: Served, mirror: GitMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = served.commit("race", {"app.txt": "race\n"})
    number = served.propose("race")
    forge = adapter(served, mirror)
    timeline = GitHub._timeline

    def meanwhile(forge: GitHub, number: int, digests: list[tuple[str, str]]) -> Any:
        served.review(number, "REQUEST_CHANGES", head)
        return timeline(forge, number, digests)

    monkeypatch.setattr(GitHub, "_timeline", meanwhile)
    reading = forge.reading(number)
    forge.close()
    assert not reading.complete
    assert "the reviews changed while they were read" in reading.gaps


def test_a_person_reviews_and_comments_with_a_token_of_theirs(forge: Forge, served: Served) -> None:
    head = served.commit("own-token", {"app.txt": "own token\n"})
    number = served.propose("own-token")
    review = forge.review(number, True, head, "yes", "token-reviewer")
    comment = forge.say(number, "and more", "token-reviewer")
    reading = forge.reading(number)
    assert [(r.id, r.state, r.commit) for r in reading.reviews] == [(review, ReviewState.APPROVED, head)]
    assert [(c.id, c.body) for c in reading.comments] == [(comment.id, "and more")]
    with pytest.raises(NotAllowed, match="own pull request"):
        forge.review(number, True, head, "yes", "token-author")
    with pytest.raises(NotAllowed):
        forge.say(number, "nothing", "token-nobody")


def test_a_test_merge_is_never_taken_for_the_merge_commit(forge: Forge, served: Served) -> None:
    served.commit("test-merge", {"test-merge": "1"})
    number = served.propose("test-merge")
    for _ in range(3):
        assert forge.pull_request(number).merge_commit is None
    assert served.request("GET", f"/pulls/{number}")["merge_commit_sha"] is not None, "the forge does make one"


def test_only_open_ones_into_the_branch_are_listed(forge: Forge, served: Served) -> None:
    served.push(served.main(), "refs/heads/release")
    for branch in ("one", "two", "three"):
        served.commit(f"list-{branch}", {branch: "1"})
    into_main = served.propose("list-one")
    into_release = served.propose("list-two", base="release")
    closed = served.propose("list-three")
    served.request("PATCH", f"/pulls/{closed}", state="closed")
    numbers = [pull.number for pull in forge.open_pull_requests("main")]
    assert into_main in numbers
    assert not {into_release, closed} & set(numbers)
    assert numbers == sorted(numbers)
    assert [pull.number for pull in forge.open_pull_requests("release")] == [into_release]
    assert forge.open_pull_requests("no-such-branch") == ()


def test_a_whole_reading_of_a_reviewed_pull_request(forge: Forge, served: Served) -> None:
    base = served.main()
    first = served.commit("reviewed", {"reviewed": "1"})
    number = served.propose("reviewed")
    served.review(number, "COMMENT")
    served.review(number, "REQUEST_CHANGES")
    approval = served.review(number, "APPROVE")
    served.review(number, "APPROVE", who="reader")
    reading = forge.reading(number)
    assert (reading.complete, reading.gaps) == (True, ())
    assert reading.pull_request == reading.again
    assert states(reading) == [
        (1002, ReviewState.COMMENTED, first),
        (1002, ReviewState.CHANGES_REQUESTED, first),
        (1002, ReviewState.APPROVED, first),
        (1003, ReviewState.APPROVED, first),
    ]
    assert reading.reviews[2].id == approval
    assert reading.reviews[2].body == "APPROVE by reviewer"
    assert reading.reviews[2].submitted_at is not None
    assert {(p.account, p.role) for p in reading.permissions} == {(1002, "maintain"), (1003, "read")}
    assert [(c.sha, c.parents) for c in reading.commits] == [(first, (base,))]
    assert (reading.remote_head, reading.remote_base) == (first, base)
    names = [name for name, _ in reading.raw_digests]
    assert len(set(names)) == len(names)
    assert {
        f"pulls/{number}",
        f"pulls/{number}/reviews?page=1",
        f"pulls/{number}/commits?page=1",
        f"issues/{number}/timeline?page=1",
        "collaborators/reviewer/permission",
        f"pulls/{number} again",
    } <= set(names)
    assert all(len(digest) == 64 for _, digest in reading.raw_digests)


def test_a_push_leaves_the_approval_on_the_old_commit(forge: Forge, served: Served) -> None:
    first = served.commit("pushed", {"pushed": "1"})
    number = served.propose("pushed")
    served.review(number, "APPROVE")
    assert forge.reading(number).pull_request.head_sha == first
    second = served.commit("pushed", {"pushed": "2"}, first)
    reading = forge.reading(number)
    assert states(reading) == [(1002, ReviewState.APPROVED, first)]
    assert reading.pull_request.head_sha == reading.remote_head == second
    assert [c.sha for c in reading.commits] == [first, second]
    assert reading.complete


def test_a_dismissal_shows_in_the_state_and_who_did_it(forge: Forge, served: Served) -> None:
    served.commit("dismissed", {"dismissed": "1"})
    number = served.propose("dismissed")
    review = served.review(number, "REQUEST_CHANGES")
    served.request("PUT", f"/pulls/{number}/reviews/{review}/dismissals", "author", message="never mind")
    reading = forge.reading(number)
    assert [r.state for r in reading.reviews] == [ReviewState.DISMISSED]
    events = [e for e in reading.timeline if e.kind is TimelineKind.REVIEW_DISMISSED]
    assert [(e.account.id if e.account else None, e.review) for e in events] == [(1001, review)]
    assert events[0].at is not None


def test_force_pushes_retargets_and_reopenings_are_in_the_timeline_with_their_time(
    forge: Forge, served: Served
) -> None:
    served.push(served.main(), "refs/heads/elsewhere")
    first = served.commit("moved", {"moved": "1"})
    number = served.propose("moved")
    other = served.clone.commit({"moved": "2"}, served.main(), ref=None)
    served.push(other, "refs/heads/moved", "author", "--force")
    served.push(first, "refs/heads/moved", "author", "--force")
    served.request("PATCH", f"/pulls/{number}", base="elsewhere")
    served.request("PATCH", f"/pulls/{number}", state="closed")
    served.request("PATCH", f"/pulls/{number}", state="open")
    reading = forge.reading(number)
    told = [e for e in reading.timeline if e.kind not in (TimelineKind.OTHER, TimelineKind.COMMITTED)]
    assert [e.kind for e in told] == [
        TimelineKind.HEAD_FORCE_PUSHED, TimelineKind.HEAD_FORCE_PUSHED, TimelineKind.BASE_CHANGED, TimelineKind.REOPENED
    ]  # fmt: skip
    assert all(e.at is not None and e.account is not None and e.account.id == 1001 for e in told)
    assert reading.pull_request.base_ref == "elsewhere"


def test_whoever_a_trailer_names_is_resolved_or_nobody(forge: Forge, served: Served) -> None:
    message = (
        "Change\n\n"
        "Co-authored-by: R <1002+reviewer@users.noreply.github.com>\n"
        "co-authored-by: D <reader@users.noreply.github.com>\n"
        "Suggested-by: A <AUTHOR@example.test>\n"
        "Co-authored-by: X <stranger@example.test>\n"
        "Co-authored-by: N <no-such-login@users.noreply.github.com>\n"
        "Co-authored-by: Evil <1002+reviewer@users.noreply.github.com.evil.test>\n"
        "Co-authored-by: nothing\n"
    )
    sha = served.clone.commit({"co": "1"}, served.main(), ref=None, message=message)
    own = served.clone.commit({"own": "1"}, sha, ref=None, email="author@example.test")
    served.push(own, "refs/heads/co")
    reading = forge.reading(served.propose("co"))
    assert reading.commits[0].trailers[0] == ("R <1002+reviewer@users.noreply.github.com>", 1002)
    assert [account for _, account in reading.commits[0].trailers] == [1002, 1003, 1001, None, None, None, None]
    assert reading.commits[0].author is None, "a@example.test is nobody's address"
    assert reading.commits[1].author is not None
    assert reading.commits[1].author.id == 1001
    assert reading.commits[1].author_email == "author@example.test"


def test_bringing_the_base_in_is_told_from_an_evil_merge(forge: Forge, mirror: GitMirror, served: Served) -> None:
    base = served.main()
    topic = served.commit("update", {"update": "1"})
    number = served.propose("update")
    main = served.push(served.clone.commit({"on-main": "1"}, base, ref=None), "refs/heads/main")
    served.request("PUT", f"/pulls/{number}/update-branch", expect=202, expected_head_sha=topic)
    mirror.fetch()
    reading = forge.reading(number)
    assert reading.commits[-1].parents == (topic, main)
    assert [c.empty_update_merge for c in reading.commits] == [False, True]
    evil = served.clone.commit({"on-main": "1", "evil": "1"}, topic, main, ref=None)
    served.push(evil, "refs/heads/update", "author", "--force")
    mirror.fetch()
    assert [c.empty_update_merge for c in forge.reading(number).commits] == [False, False]


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_a_landing_is_found_by_its_commit(forge: Forge, served: Served, method: str) -> None:
    head = served.commit(f"land-{method}", {f"land-{method}": "1"})
    number = served.propose(f"land-{method}")
    served.request("PUT", f"/pulls/{number}/merge", "reviewer", merge_method=method, sha=head)
    landed = served.main()
    (found,) = forge.pull_requests_of(landed)
    assert found == forge.pull_request(number)
    assert (found.number, found.merged, found.merge_commit, found.state) == (number, True, landed, "closed")
    assert found.merged_by is not None
    assert found.merged_by.id == 1002
    assert found.merged_at is not None
    reading = forge.reading(number)
    assert reading.complete
    assert (reading.remote_head, reading.remote_base) == (head, landed)
    assert TimelineKind.MERGED in {e.kind for e in reading.timeline}


def test_a_direct_push_belongs_to_no_pull_request(forge: Forge, served: Served) -> None:
    sha = served.push(served.clone.commit({"direct": "1"}, served.main(), ref=None), "refs/heads/main")
    assert forge.pull_requests_of(sha) == ()


def test_what_is_not_there_is_not_found(forge: Forge) -> None:
    for call in (
        lambda: forge.pull_request(99_999),
        lambda: forge.reading(99_999),
        lambda: forge.pull_requests_of("0" * 40),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_comment_is_made_edited_in_place_and_made_again_when_deleted(forge: Forge, served: Served) -> None:
    served.commit("comment", {"comment": "1"})
    number = served.propose("comment")
    made = forge.write_comment(number, None, "# Plan\n\n* one\n")
    assert made.account is not None
    assert made.account.id == 1004
    assert forge.write_comment(number, made.id, "# Plan\n\n* one\n") == made
    edited = forge.write_comment(number, made.id, "# Plan\n\n* two\n")
    assert edited.id == made.id
    assert [(c.id, c.body) for c in forge.comments(number)] == [(made.id, edited.body)]
    served.request("DELETE", f"/issues/comments/{made.id}", "owner", 204)
    again = forge.write_comment(number, made.id, "# Plan\n\n* two\n")
    assert again.id != made.id
    assert [c.id for c in forge.comments(number)] == [again.id]


def test_a_comment_that_the_forge_would_refuse_is_not_sent(forge: Forge) -> None:
    with pytest.raises(InvalidInput, match="65536"):
        forge.write_comment(1, None, "x" * 65_537)


def test_a_status_is_posted_once_and_again_when_it_changes(forge: Forge, served: Served) -> None:
    sha = served.commit("status", {"status": "1"})
    waiting = StatusReport("reconciler/plan", "pending", "planning " * 30, "https://example.test/plan")
    for report in (waiting, waiting, replace(waiting, context="reconciler/policy")):
        forge.write_status(sha, report)
    forge.write_status(sha, StatusReport("reconciler/plan", "success", "1 change"))
    posted = served.request("GET", f"/commits/{sha}/statuses")
    assert [(s["context"], s["state"]) for s in reversed(posted)] == [
        ("reconciler/plan", "pending"), ("reconciler/policy", "pending"), ("reconciler/plan", "success")
    ]  # fmt: skip
    assert posted[-1]["description"] == ("planning " * 30)[:140]
    assert posted[-1]["target_url"] == "https://example.test/plan"
    assert posted[0]["creator"]["id"] == 1004


def test_an_app_posts_check_runs(served: Served, mirror: GitMirror) -> None:
    sha = served.commit("checks", {"checks": "1"})
    app = adapter(served, mirror, "token-app")
    for state in ("pending", "pending", "success", "success", "failure", "error"):
        app.write_status(sha, StatusReport("reconciler/approval", state, f"it is {state}"))
    runs = served.request("GET", f"/commits/{sha}/check-runs?filter=all")["check_runs"]
    told = sorted((run["id"], run["status"], run["conclusion"], run["output"]["title"]) for run in runs)
    assert [run[1:] for run in told] == [
        ("in_progress", None, "it is pending"),
        ("completed", "success", "it is success"),
        ("completed", "failure", "it is failure"),
        ("completed", "failure", "it is error"),
    ]
    assert {run["app"]["id"] for run in runs} == {77}
    assert served.request("GET", f"/commits/{sha}/statuses") == []
    app.close()


def proposal(branch: str, token: str = AGENT, title: str = "Roll back") -> NewPullRequest:
    return NewPullRequest(title, "Because.", branch, "main", token)


def test_a_proposal_is_its_proposers(forge: Forge, served: Served, mirror: GitMirror) -> None:
    head = served.push(served.clone.commit({"p": "1"}, served.main(), ref=None), "refs/heads/reconciler/p", "agent")
    pull = forge.open_pull_request(proposal("reconciler/p"))
    assert pull == forge.pull_request(pull.number)
    assert pull.author is not None
    assert (pull.author.id, pull.author.kind, pull.head_sha, pull.body) == (1006, "Bot", head, "Because.")


def test_proposing_the_same_twice_gives_the_one_that_is_open(forge: Forge, served: Served) -> None:
    served.commit("reconciler/same", {"same": "1"})
    once = forge.open_pull_request(proposal("reconciler/same"))
    assert forge.open_pull_request(proposal("reconciler/same")).number == once.number
    with pytest.raises(InvalidInput, match="already exists"):
        forge.open_pull_request(proposal("reconciler/same", title="Something else"))


def test_a_proposal_that_cannot_be_is_refused(forge: Forge, served: Served) -> None:
    served.push(served.main(), "refs/heads/reconciler/nothing")
    with pytest.raises(InvalidInput, match="No commits between"):
        forge.open_pull_request(proposal("reconciler/nothing"))
    with pytest.raises(NotAllowed):
        forge.open_pull_request(proposal("reconciler/nothing", token="token-wrong"))


def test_a_wrong_credential_is_no_answer_and_is_not_shown(served: Served) -> None:
    stranger = GitHub(served.api, "acme/infra", "token-s3cret")
    for call in (stranger.who, stranger.repository_id, lambda: stranger.reading(1)):
        with pytest.raises((ForgeUnavailable, NotFound)) as caught:
            call()
        assert "s3cret" not in str(caught.value)


def test_more_commits_than_the_forge_lists_come_from_the_mirror(
    forge: Forge, mirror: GitMirror, served: Served
) -> None:
    base = sha = served.main()
    line = [sha := served.clone.commit({"many": str(number)}, sha, ref=None) for number in range(252)]
    line.append(served.clone.commit({"many": "x"}, sha, ref=None, message="Last\n\nCo-authored-by: X <x@y.test>\n"))
    served.push(line[-1], "refs/heads/many")
    number = served.propose("many")
    blind = forge.reading(number)
    assert not blind.complete, "the mirror has not fetched yet"
    mirror.fetch()
    reading = forge.reading(number)
    assert (reading.complete, reading.gaps) == (True, ())
    assert [c.sha for c in reading.commits] == line
    assert reading.commits[-1].trailers == (("X <x@y.test>", None),)
    assert reading.commits[0].parents == (base,)
    without = adapter(served, None).reading(number)
    assert not without.complete
    assert any("no mirror" in gap for gap in without.gaps)
    assert any("ls-remote" in gap for gap in without.gaps)


def test_more_than_one_page_of_everything_is_read(forge: Forge, served: Served) -> None:
    sha = served.main()
    for number in range(101):
        sha = served.clone.commit({"pages": str(number)}, sha, ref=None)
    served.push(sha, "refs/heads/pages")
    number = served.propose("pages")
    for count in range(101):
        served.request("POST", f"/issues/{number}/comments", "author", 201, body=f"comment {count}")
    last = served.review(number, "APPROVE")
    reading = forge.reading(number)
    assert reading.complete
    assert len(reading.commits) == 101
    assert len(reading.timeline) > 200
    assert [r.id for r in reading.reviews] == [last]
    assert [c.body for c in forge.comments(number)][-1] == "comment 100"


def test_git_and_the_api_agree_on_a_revert(forge: Forge, mirror: GitMirror, served: Served) -> None:
    before = served.main()
    head = served.commit("undo", {"undo": (FileMode.BLOB, b"1")})
    number = served.propose("undo")
    served.request("PUT", f"/pulls/{number}/merge", "reviewer", merge_method="merge", sha=head)
    landed = served.main()
    mirror.fetch()
    sha = mirror.propose_revert(
        RevertProposal(
            before, landed, landed, "reconciler/undo", "Undo\n", "Agent", "agent@example.test", "token-agent"
        )
    )
    pull: PullRequest = forge.open_pull_request(proposal("reconciler/undo"))
    assert pull.head_sha == sha
    mirror.fetch()
    assert mirror.commit(sha).tree == mirror.commit(before).tree
    with pytest.raises(NotAllowed):
        mirror.propose_revert(
            RevertProposal(before, landed, landed, "reconciler/other", "U\n", "A", "a@example.test", "token-reader")
        )
