"""The mirror over HTTP, as it meets GitHub: credentials, redirects, silence. The other end says what a test wants."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from reconciler.model.errors import ForgeUnavailable, NotAllowed
from reconciler.ports import RevertProposal
from reconciler.sources import GitMirror
from tests.git_remotes import Remote

pytestmark = pytest.mark.integration

TOKEN = "s3cret-token"
ANY = re.compile(".*")


@pytest.fixture
def elsewhere() -> Iterator[HTTPServer]:
    server = HTTPServer()
    server.start()
    yield server
    server.clear()
    server.stop()


def mirror(directory: Path, server: HTTPServer, timeout: float = 20) -> GitMirror:
    return GitMirror(directory / "mirror", server.url_for("/acme/infra.git"), "main", TOKEN, timeout)


def test_the_credential_is_sent_at_once_and_as_github_wants_it(httpserver: HTTPServer, tmp_path: Path) -> None:
    asked: list[str | None] = []

    def refuse(request: Request) -> Response:
        asked.append(request.headers.get("Authorization"))
        return Response(status=403)

    httpserver.expect_request(ANY).respond_with_handler(refuse)
    with pytest.raises(ForgeUnavailable, match="check the credential"):
        mirror(tmp_path, httpserver).fetch()
    assert asked == ["Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()]


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_refusal_shows_no_credential(httpserver: HTTPServer, tmp_path: Path, status: int) -> None:
    httpserver.expect_request(ANY).respond_with_response(
        Response(f"no, {TOKEN}", status, {"WWW-Authenticate": f'Basic realm="{TOKEN}"'} if status == 401 else {})
    )
    source = mirror(tmp_path, httpserver)
    for call in (source.fetch, lambda: source.remote_heads(("refs/heads/main",))):
        with pytest.raises(ForgeUnavailable) as caught:
            call()
        assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(httpserver: HTTPServer, elsewhere: HTTPServer, tmp_path: Path, status: int) -> None:
    elsewhere.expect_request(ANY).respond_with_response(Response(status=500))
    target = elsewhere.url_for("/acme/infra.git/info/refs?service=git-upload-pack")
    httpserver.expect_request(ANY).respond_with_response(Response(status=status, headers={"Location": target}))
    with pytest.raises(ForgeUnavailable):
        mirror(tmp_path, httpserver).fetch()
    assert elsewhere.log == []


def test_a_remote_that_says_nothing_is_given_up(httpserver: HTTPServer, tmp_path: Path) -> None:
    free = threading.Event()

    def wait(_: Request) -> Response:
        free.wait(20)
        return Response(status=500)

    httpserver.expect_request(ANY).respond_with_handler(wait)
    try:
        with pytest.raises(ForgeUnavailable, match="did not finish within 1 seconds"):
            mirror(tmp_path, httpserver, timeout=1).fetch()
    finally:
        free.set()


@pytest.mark.parametrize(("status", "error"), [(401, NotAllowed), (403, NotAllowed), (502, ForgeUnavailable)])
def test_a_push_that_is_refused_raises_with_the_proposers_credential_hidden(
    httpserver: HTTPServer, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    remote = Remote.make(tmp_path / "remote.git")
    first = remote.commit({"a": "1\n"})
    landed = remote.commit({"a": "2\n"}, first)
    remote.mirror(tmp_path / "mirror")
    asked: list[str | None] = []

    def refuse(request: Request) -> Response:
        asked.append(request.headers.get("Authorization"))
        return Response("proposers-token", status)

    httpserver.expect_request(ANY).respond_with_handler(refuse)
    with pytest.raises(error) as caught:
        mirror(tmp_path, httpserver).propose_revert(
            RevertProposal(first, landed, landed, "reconciler/x", "m", "A", "a@example.test", "proposers-token")
        )
    assert "proposers-token" not in str(caught.value)
    assert asked[0] == "Basic " + base64.b64encode(b"x-access-token:proposers-token").decode()
