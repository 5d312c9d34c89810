"""The git command is closed: what it may reach, what it is told, and what its errors show."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from reconciler.model.errors import ForgeUnavailable, InvalidInput
from reconciler.sources import GitMirror, command
from reconciler.sources.command import run_git, scheme_of

URL = "https://forge.example.test/acme/infra.git"


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called git that writes down how it was called, and says its environment as an error."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    record = tmp_path / "record.json"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "if sys.argv[1:] == ['version']: print('git version 2.39.5'); sys.exit()\n"
        f"json.dump([sys.argv, dict(os.environ)], open({str(record)!r}, 'w'))\n"
        "sys.exit(repr(dict(os.environ)))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    command._version.cache_clear()
    return record


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        (URL, "https"),
        ("http://127.0.0.1:3000/acme/infra.git", "http"),
        ("ssh://git@forge.example.test/acme/infra.git", "ssh"),
        ("git@forge.example.test:acme/infra.git", "ssh"),
        ("/srv/infra.git", "file"),
        ("file:///srv/infra.git", "file"),
    ],
)
def test_a_url_has_one_protocol(url: str, scheme: str) -> None:
    assert scheme_of(url) == scheme


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x", "--upload-pack=touch", "git://forge.example.test/x", "relative/path", "",
        "https://", "https://user:secret@forge.example.test/x", "https://secret@forge.example.test/x",
        "https://forge.example.test/x\nhost=evil", "fd::1", "file://host/path",
    ],
)  # fmt: skip
def test_other_urls_are_refused_without_showing_a_secret(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        GitMirror(tmp_path / "mirror", url, "main")
    assert "secret" not in str(caught.value)


def test_a_token_is_sent_to_its_url_only_and_never_an_argument_or_an_error(recorder: Path, tmp_path: Path) -> None:
    mirror = GitMirror(tmp_path / "mirror", URL, "main", token="s3cret-token")
    with pytest.raises(ForgeUnavailable) as caught:
        mirror.fetch()
    arguments, environment = json.loads(recorder.read_text())
    assert "s3cret" not in " ".join(arguments)
    assert environment["GIT_CONFIG_KEY_0"] == f"http.{URL}.extraHeader"
    assert environment["GIT_CONFIG_VALUE_0"].startswith("Authorization: Basic ")
    basic = environment["GIT_CONFIG_VALUE_0"].rsplit(" ", 1)[1]
    assert "GIT_CONFIG_VALUE_0" in str(caught.value), "the error carries what git said"
    assert "s3cret-token" not in str(caught.value)
    assert basic not in str(caught.value)


def test_a_secret_is_asked_for_at_each_use(recorder: Path, tmp_path: Path) -> None:
    class Rotating:
        asked = 0

        def reveal(self) -> str:
            self.asked += 1
            return f"token-{self.asked}"

    secret = Rotating()
    mirror = GitMirror(tmp_path / "mirror", URL, "main", token=secret)
    assert secret.asked == 0
    for _ in range(2):
        with pytest.raises(ForgeUnavailable):
            mirror.remote_heads(("refs/heads/main",))
    assert secret.asked == 2


def test_git_gets_none_of_our_environment_and_only_the_protocol_of_its_url(
    recorder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_SSH_COMMAND", "GIT_EXEC_PATH", "GIT_TRACE", "GIT_ASKPASS", "GIT_PROXY_COMMAND", "SECRET_VALUE"):
        monkeypatch.setenv(name, "evil")
    run_git(tmp_path, "fetch", url=URL, timeout=10)
    arguments, environment = json.loads(recorder.read_text())
    assert "evil" not in environment.values()
    assert environment["GIT_ALLOW_PROTOCOL"] == "https"
    assert environment["GIT_NO_REPLACE_OBJECTS"] == "1"
    assert environment["GIT_TERMINAL_PROMPT"] == "0"
    assert (environment["GIT_CONFIG_SYSTEM"], environment["GIT_CONFIG_GLOBAL"]) == ("/dev/null", "/dev/null")
    assert environment["HOME"] == str(tmp_path)
    for setting in ("core.hooksPath=/dev/null", "fetch.fsckObjects=true", "transfer.fsckObjects=true",
                    "http.followRedirects=false", "credential.helper="):  # fmt: skip
        assert arguments[arguments.index(setting) - 1] == "-c"


def test_a_command_without_a_url_may_use_no_protocol(recorder: Path, tmp_path: Path) -> None:
    run_git(tmp_path, "merge-tree", timeout=10)
    assert json.loads(recorder.read_text())[1]["GIT_ALLOW_PROTOCOL"] == "none"


def test_a_git_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    pids = tmp_path / "pids"
    program.write_text(
        '#!/bin/sh\n[ "$1" = version ] && { echo git version 2.39.5; exit; }\n'
        f"sleep 600 &\necho $$ $! > {pids}\nwait\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    command._version.cache_clear()
    with pytest.raises(ForgeUnavailable, match="did not finish within 1 seconds"):
        run_git(tmp_path, "fetch", url=URL, timeout=1)
    for pid in pids.read_text().split():
        assert _has_ended(int(pid))


def _has_ended(pid: int) -> bool:
    """Gone, or dead and only waiting for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.fixture(autouse=True)
def _real_version_again() -> object:
    yield
    command._version.cache_clear()
