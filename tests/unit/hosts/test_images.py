"""References, and what counts as the same repository."""

import pytest

from reconciler.hosts.images import _parse, _passes, _Progress, is_reference, repository

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        "nginx",
        "nginx:1.25",
        f"nginx@{DIGEST}",
        f"a/b:1@{DIGEST}",
        "r.test:5000/a/b",
        "r.test:5000/a/b:v1",
        DIGEST,
        "localhost/x",
    ],
)
def test_references_are_recognised(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "../containers/json",
        "a/../b",
        "a b",
        "a?b",
        "a#b",
        "a%2fb",
        f"nginx@{DIGEST}0",
        "nginx@md5:1",
        "/nginx",
        "a//b",
        "a\n",
    ],
)
def test_anything_else_is_never_sent_to_the_engine(text: str) -> None:
    assert not is_reference(text)


def test_short_and_long_names_are_one_repository() -> None:
    assert repository("nginx") == repository("docker.io/library/nginx") == repository("index.docker.io/nginx")
    assert repository("acme/web") == "docker.io/acme/web"
    assert repository("localhost/web") == "localhost/web"
    assert repository("r.test:5000/web") == "r.test:5000/web"


SAID = [
    ("r.test:50275/web", "the engine refused (404): manifest for r.test:50275/web not found: manifest unknown", False),
    ("r.test:5000/web", 'Get "https://r.test:5000/v2/": unauthorized: authentication required', False),
    ("eof.test/timeout/web:502", "manifest for eof.test/timeout/web:502 not found", False),
    (f"r.test/web@sha256:{'502' * 21}0", f"manifest for r.test/web@sha256:{'502' * 21}0 not found", False),
    ("r.test:50275/web", "received unexpected HTTP status: 502 Bad Gateway", True),
    ("r.test/web:1", 'Get "https://r.test/v2/": dial tcp: lookup r.test: no such host', True),
    ("r.test/web:1", 'Get "https://r.test/v2/": EOF', True),
    ("a:502", "received unexpected HTTP status: 502 Bad Gateway", True),
    ("a", "toomanyrequests: too many requests", True),
]


@pytest.mark.parametrize(("text", "said", "passes"), SAID)
def test_only_what_the_registry_says_tells_whether_to_try_again(text: str, said: str, passes: bool) -> None:
    reference = _parse(text)
    assert reference is not None
    assert _passes(said, reference) is passes


def test_a_failure_in_the_middle_of_a_pull_is_seen_however_it_is_cut() -> None:
    stream = b'{"status":"Pulling"}\r\n{"error":"no space left","errorDetail":{}}\r\n'
    for size in (1, 7, 100):
        progress = _Progress()
        for start in range(0, len(stream), size):
            progress.take(stream[start : start + size])
        assert progress.failure == "no space left"
