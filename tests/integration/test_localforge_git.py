"""The forge driven by the real git over HTTP: clone, push, force-push, delete, and what may not be pushed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.localforge.forge import Forge
from reconciler.localforge.server import running
from tests.unit.localforge.forge_under_test import REPOSITORY, TOKENS, Api, seed

pytestmark = pytest.mark.integration

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Author",
    "GIT_AUTHOR_EMAIL": "author@example.test",
    "GIT_COMMITTER_NAME": "Author",
    "GIT_COMMITTER_EMAIL": "author@example.test",
}


class Clone:
    """A working clone, pushing as one account."""

    def __init__(self, forge: Forge, directory: Path, who: str) -> None:
        self.directory = directory
        host = forge.base_url.removeprefix("http://")
        self.url = f"http://x-access-token:{TOKENS[who]}@{host}/acme/infra.git"
        subprocess.run(["git", "clone", "-q", self.url, str(directory)], env=ENVIRONMENT, check=True)

    def git(self, *arguments: str) -> str:
        return self.attempt(*arguments, check=True).stdout.strip()

    def attempt(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *arguments], cwd=self.directory, env=ENVIRONMENT, capture_output=True, text=True, check=check
        )

    def commit(self, path: str, text: str, message: str = "Change") -> str:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.git("add", path)
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "compose.yaml").write_text("services: {}\n")
    with running(tmp_path / "data", seed(source)) as forge:
        yield forge


@pytest.fixture
def api(forge: Forge) -> Iterator[Api]:
    with httpx.Client(base_url=forge.base_url) as client:
        yield Api(client, TOKENS["author"])


@pytest.fixture
def clone(forge: Forge, tmp_path: Path) -> Clone:
    return Clone(forge, tmp_path / "clone", "author")


def test_a_pushed_branch_becomes_a_pull_request_and_its_merge_can_be_pulled(clone: Clone, api: Api) -> None:
    clone.git("checkout", "-q", "-b", "change")
    head = clone.commit("a.txt", "a\n")
    clone.git("push", "-q", "origin", "change")
    number = api.open_pull("change")
    assert api.get(f"{REPOSITORY}/pulls/{number}")["head"]["sha"] == head
    merged = api.put(f"{REPOSITORY}/pulls/{number}/merge", sha=head)
    clone.git("checkout", "-q", "main")
    clone.git("pull", "-q", "--ff-only")
    assert clone.git("rev-parse", "HEAD") == merged["sha"]
    tree = clone.git("merge-tree", "--write-tree", f"{merged['sha']}^1", head)
    assert clone.git("rev-parse", "HEAD^{tree}") == tree


def test_the_pull_request_knows_of_a_push_before_git_returns(clone: Clone, api: Api) -> None:
    clone.git("checkout", "-q", "-b", "change")
    clone.commit("a.txt", "a\n")
    clone.git("push", "-q", "origin", "change")
    number = api.open_pull("change")
    for round_ in range(3):
        head = clone.commit("a.txt", f"{round_}\n")
        clone.git("push", "-q", "origin", "change")
        assert api.get(f"{REPOSITORY}/pulls/{number}")["head"]["sha"] == head
        assert clone.git("ls-remote", "origin", f"refs/pull/{number}/head").split()[0] == head


def test_a_force_push_there_and_back_leaves_its_traces(clone: Clone, api: Api) -> None:
    clone.git("checkout", "-q", "-b", "change")
    first = clone.commit("a.txt", "a\n")
    clone.git("push", "-q", "origin", "change")
    number = api.open_pull("change")
    clone.git("reset", "-q", "--hard", "HEAD~1")
    second = clone.commit("a.txt", "b\n")
    clone.git("push", "-q", "--force", "origin", "change")
    clone.git("push", "-q", "--force", "origin", f"{first}:change")
    assert api.get(f"{REPOSITORY}/pulls/{number}")["head"]["sha"] == first
    timeline = api.get(f"{REPOSITORY}/issues/{number}/timeline")
    forced = [event["commit_id"] for event in timeline if event["event"] == "head_ref_force_pushed"]
    assert forced == [second, first]
    activity = api.get(f"{REPOSITORY}/activity?ref=refs/heads/change")
    assert [(one["activity_type"], one["actor"]["login"]) for one in activity] == [
        ("force_push", "author"),
        ("force_push", "author"),
        ("branch_creation", "author"),
    ]
    clone.git("fetch", "-q", "origin", second)  # what was pushed over can still be read


def test_a_direct_push_to_the_default_branch_is_recorded(clone: Clone, api: Api) -> None:
    pushed = clone.commit("a.txt", "a\n")
    clone.git("push", "-q", "origin", "main")
    assert api.get(f"{REPOSITORY}/activity")[0]["after"] == pushed
    assert api.get(f"{REPOSITORY}/commits/{pushed}/pulls") == []


def test_the_forges_own_refs_and_others_cannot_be_pushed(clone: Clone, api: Api) -> None:
    clone.git("checkout", "-q", "-b", "change")
    clone.commit("a.txt", "a\n")
    clone.git("push", "-q", "origin", "change")
    api.open_pull("change")
    before = clone.git("ls-remote", "origin")
    for ref in ("refs/pull/1/head", "refs/pull/1/merge", "refs/pull/2/head", "refs/replace/x", "refs/notes/x"):
        refused = clone.attempt("push", "origin", f"HEAD~1:{ref}", "--force")
        assert refused.returncode != 0, ref
        assert "deny updating a hidden ref" in refused.stderr
    assert clone.git("ls-remote", "origin") == before


def test_a_token_for_some_branches_pushes_no_other_and_all_or_nothing(forge: Forge, tmp_path: Path) -> None:
    clone = Clone(forge, tmp_path / "agent", "agent")
    clone.commit("a.txt", "a\n")
    refused = clone.attempt("push", "origin", "HEAD:main", "HEAD:agent/one")
    assert "this token may push only agent/*" in refused.stderr
    assert "agent/one" not in clone.git("ls-remote", "origin")
    clone.git("push", "-q", "origin", "HEAD:agent/one")
    assert "refs/heads/agent/one" in clone.git("ls-remote", "origin")
    assert clone.attempt("push", "origin", ":main").returncode != 0


def test_a_reader_clones_and_does_not_push(forge: Forge, tmp_path: Path) -> None:
    clone = Clone(forge, tmp_path / "reader", "reader")
    clone.commit("a.txt", "a\n")
    assert "403" in clone.attempt("push", "origin", "HEAD:x").stderr


def test_a_stranger_and_a_wrong_path_see_nothing(forge: Forge) -> None:
    def status(path: str, token: str | None) -> int:
        auth = ("x", token) if token else None
        return httpx.get(f"{forge.base_url}{path}", auth=auth).status_code

    refs = "/acme/infra.git/info/refs?service=git-upload-pack"
    assert status(refs, None) == 401
    assert status(refs, "wrong") == 401
    assert status(refs, TOKENS["stranger"]) == 404
    assert status(refs, TOKENS["reader"]) == 200
    assert status("/acme/infra.git/info/refs?service=git-evil", TOKENS["reader"]) == 403
    for path in (
        "/acme/infra.git/config",
        "/acme/infra.git/HEAD",
        "/acme/infra.git/objects/info/packs",
        "/acme/..%2f..%2fforge.db/info/refs?service=git-upload-pack",
        "/acme/%2e%2e/forge.db",
        "/../forge.db",
    ):
        assert status(path, TOKENS["admin"]) in (403, 404), path


def test_a_large_push_arrives_whole(clone: Clone, api: Api) -> None:
    (clone.directory / "big").write_bytes(os.urandom(3_000_000))  # above git's http.postBuffer: chunked, with a probe
    clone.git("add", "big")
    clone.git("commit", "-q", "-m", "Add a large file")
    clone.git("push", "-q", "origin", "HEAD:big")
    assert api.get(f"{REPOSITORY}/git/ref/heads/big")["object"]["sha"] == clone.git("rev-parse", "HEAD")


def test_branches_of_a_push_are_all_followed(clone: Clone, api: Api) -> None:
    one = clone.commit("a.txt", "a\n")
    two = clone.commit("b.txt", "b\n")
    clone.git("push", "-q", "origin", f"{one}:refs/heads/one", f"{two}:refs/heads/two")
    assert {entry["ref"] for entry in api.get(f"{REPOSITORY}/activity")} == {"refs/heads/one", "refs/heads/two"}
    number = api.open_pull("two", base="one")
    clone.git("push", "-q", "origin", ":one")
    assert api.get(f"{REPOSITORY}/pulls/{number}")["state"] == "closed"


def test_an_existing_repository_is_taken_with_its_history(tmp_path: Path) -> None:
    source = tmp_path / "existing"
    subprocess.run(["git", "init", "-q", "-b", "main", str(source)], env=ENVIRONMENT, check=True)
    for text in ("1", "2"):
        (source / "a.txt").write_text(text)
        subprocess.run(["git", "-C", str(source), "add", "."], env=ENVIRONMENT, check=True)
        subprocess.run(["git", "-C", str(source), "commit", "-q", "-m", text], env=ENVIRONMENT, check=True)
    with running(tmp_path / "data", seed(source)) as forge:
        clone = Clone(forge, tmp_path / "clone", "author")
        assert clone.git("log", "--format=%s") == "2\n1"


def test_the_program_tells_its_address_keeps_its_state_and_ends_on_sigterm(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("a\n")
    (tmp_path / "seed.yaml").write_text(
        "users: [{login: author, id: 1, tokens: [{value: token-author, scopes: [repo]}]}]\n"
        "repositories: [{name: acme/infra, from: source, collaborators: {author: admin}}]\n"
    )
    arguments = ["--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--seed", str(tmp_path / "seed.yaml")]
    seen = []
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "reconciler.localforge", *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = httpx.Response(200, text=line).json()["data"]["url"]
            headers = {"Authorization": "token token-author"}
            seen.append(httpx.get(f"{url}/api/v3{REPOSITORY}/git/ref/heads/main", headers=headers).json()["object"])
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
    assert seen[0]["sha"] == seen[1]["sha"]


def test_a_bad_seed_ends_the_program_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "seed.yaml").write_text("userz: []\n")
    done = subprocess.run(
        [sys.executable, "-m", "reconciler.localforge", "--data", str(tmp_path), "--seed", str(tmp_path / "seed.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "userz" in httpx.Response(200, text=done.stdout).json()["error"]


def test_commits_that_are_not_utf_8_can_be_read(clone: Clone, api: Api) -> None:
    clone.git("checkout", "-q", "-b", "odd")
    (clone.directory / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"caf\xe9\n")
    clone.git("add", "-A")
    environment = {**ENVIRONMENT, "GIT_AUTHOR_NAME": os.fsdecode(b"Ren\xe9")}
    subprocess.run(
        ["git", "-c", "i18n.commitEncoding=utf-8", "commit", "-q", "-F", "-"],
        cwd=clone.directory,
        env=environment,
        input=b"Caf\xe9\n\nCo-authored-by: Ren\xe9 <rene@example.test>\n",
        check=True,
    )
    head = clone.git("rev-parse", "HEAD")
    clone.git("push", "-q", "origin", "odd")
    number = api.open_pull("odd")
    for path in ("", "/commits", "/files"):
        api.get(f"{REPOSITORY}/pulls/{number}{path}")
    api.get(f"{REPOSITORY}/issues/{number}/timeline")
    api.get(f"{REPOSITORY}/commits/{head}")
    api.get(f"{REPOSITORY}/git/trees/{head}?recursive=1")
    merged = api.put(f"{REPOSITORY}/pulls/{number}/merge", merge_method="squash")
    assert "rene@example.test" not in api.get(f"{REPOSITORY}/commits/{merged['sha']}")["commit"]["author"]["email"]
