"""The server's configuration file: what is wrong with one is said with its line, and secrets are never shown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.model.errors import InvalidInput
from reconciler.settings import Settings, read_secret, read_settings

WHOLE = """\
forge: {kind: github, api: "http://127.0.0.1:3000/api/v3", repository: acme/infra, token_file: token, webhook_secret_file: secret}
git: {url: "http://127.0.0.1:3000/acme/infra.git"}
database: "sqlite:///state/reconciler.db"
ssh: {key_file: id_ed25519}
listen: 127.0.0.1:8080
poll: 15s
resync: 60s
"""  # noqa: E501 - as the documentation has it


def settings_of(directory: Path, text: str) -> Settings:
    file = directory / "reconciler-server.yaml"
    file.write_text(text)
    return read_settings(file)


def refused(directory: Path, text: str) -> list[str]:
    """The problems, with the file's name alone."""
    with pytest.raises(InvalidInput) as error:
        settings_of(directory, text)
    assert error.value.where == str(directory / "reconciler-server.yaml")
    return [str(problem).removeprefix(f"{directory}/") for problem in error.value.problems]


def edited(find: str, put: str) -> str:
    assert WHOLE.count(find) == 1
    return WHOLE.replace(find, put)


def test_the_file_that_the_documentation_shows_is_read(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, WHOLE)
    assert (settings.forge.kind, settings.forge.repository) == ("github", "acme/infra")
    assert (settings.git.url, settings.git.branch) == ("http://127.0.0.1:3000/acme/infra.git", "main")
    assert settings.listen == "127.0.0.1:8080"
    assert (settings.poll, settings.resync) == (timedelta(seconds=15), timedelta(seconds=60))
    assert settings.ssh.connect_timeout == timedelta(seconds=10)
    assert settings.proposer is None


def test_paths_are_relative_to_the_file_wherever_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reconciler-server.yaml").write_text(WHOLE)
    monkeypatch.chdir(tmp_path)
    settings = read_settings(Path("reconciler-server.yaml"))
    monkeypatch.chdir("/")
    assert settings.resolve(settings.forge.token_file) == tmp_path / "token"
    assert settings.resolve(Path("/etc/token")) == Path("/etc/token")
    assert settings.database_url == f"sqlite:///{tmp_path}/state/reconciler.db"
    assert settings.state_directory == tmp_path / "state"


def test_an_absolute_database_stays_where_it_is_and_state_may_be_elsewhere(tmp_path: Path) -> None:
    text = edited("sqlite:///state/reconciler.db", "sqlite:////srv/reconciler.db")
    assert settings_of(tmp_path, text).database_url == "sqlite:////srv/reconciler.db"
    assert settings_of(tmp_path, text).state_directory == Path("/srv")
    assert settings_of(tmp_path, text + "state: kept\n").state_directory == tmp_path / "kept"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (edited("poll:", "pol:"), "reconciler-server.yaml:6: unknown key 'pol' (did you mean 'poll'?)"),
        (edited("git: {url", "git: {brnch: x, url"),
         "reconciler-server.yaml:2: unknown key 'git.brnch' (did you mean 'branch'?)"),
        (edited("key_file:", "keyfile:"), "reconciler-server.yaml:4: unknown key 'ssh.keyfile' (did you mean "),
        (edited("resync: 60s", "poll: 60s"), "reconciler-server.yaml:7: "),
        (WHOLE + "directory: /elsewhere\n", "reconciler-server.yaml:8: unknown key 'directory'"),
        (edited("repository: acme/infra, ", ""), "reconciler-server.yaml:1: 'forge.repository' is missing"),
        (edited('database: "sqlite:///state/reconciler.db"\n', ""), "reconciler-server.yaml:1: 'database' is missing"),
        (edited("ssh: {key_file: id_ed25519}", "ssh: id_ed25519"), "reconciler-server.yaml:4: 'ssh' "),
        (edited("listen: 127.0.0.1:8080", "listen: [8080]"), "reconciler-server.yaml:5: 'listen' should be text"),
        (edited("key_file: id_ed25519", "key_file: [a]"), "reconciler-server.yaml:4: 'ssh.key_file' "),
        (edited("poll: 15s", "poll: 15"), "reconciler-server.yaml:6: 'poll' should be a duration like 15s, 5m or 1h"),
        ("- a\n- b\n", "reconciler-server.yaml:1: is not a mapping of keys to values"),
        ("forge: [\n", "reconciler-server.yaml:2: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line_and_the_nearest_word(tmp_path: Path, text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in refused(tmp_path, text)), refused(tmp_path, text)


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = edited("poll: 15s", "poll: soon").replace("resync", "resink").replace("kind: github, ", "")
    problems = refused(tmp_path, text)
    assert [problem.split(" ")[0] for problem in problems] == [
        "reconciler-server.yaml:1:",
        "reconciler-server.yaml:6:",
        "reconciler-server.yaml:7:",
    ]


def test_an_empty_file_says_that_it_is_empty(tmp_path: Path) -> None:
    assert refused(tmp_path, "") != []


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15), ("250ms", 0.25), ("1m30s", 90), ("2h", 7200), ("168h", 7 * 24 * 3600)]
)
def test_a_duration_has_a_number_and_a_unit(tmp_path: Path, text: str, seconds: float) -> None:
    assert settings_of(tmp_path, edited("15s", text)).poll == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["15", "s", "-1s", "0s", "15 s", "15d", "soon", "[15s]", "null", "1e3s", "9" * 400 + "h", "169h", "٣s"]
)
def test_what_is_no_duration_is_refused(tmp_path: Path, text: str) -> None:
    (problem,) = refused(tmp_path, edited("15s", text))
    assert problem.startswith("reconciler-server.yaml:6: 'poll' should be a duration like 15s, 5m or 1h")


def test_half_a_character_is_said_and_not_quoted(tmp_path: Path) -> None:
    problems = refused(tmp_path, edited("15s", '"\\ud800"'))
    assert any("has a character that no text has" in problem for problem in problems)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as missing:
        read_settings(tmp_path / "none.yaml")
    assert str(missing.value) == f"{tmp_path}/none.yaml: there is no such file"
    with pytest.raises(InvalidInput) as directory:
        read_settings(tmp_path)
    assert str(directory.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"database: caf\xe9\n")
    with pytest.raises(InvalidInput, match="is not UTF-8 text"):
        read_settings(tmp_path / "latin.yaml")


# -- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"token-agent", b"token-agent\n", b"  token-agent \r\n\n"])
def test_a_secret_is_the_one_line_of_its_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert read_secret(tmp_path / "token") == "token-agent"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n \n", b"hunter2\nhunter3\n", b"hunter2\rhunter3", b"hunter2\x00", b"hunter2\xff", b"hunter2\xc2\x85x"],
)  # fmt: skip
def test_what_is_no_secret_on_one_line_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(InvalidInput) as error:
        read_secret(tmp_path / "token")
    assert str(error.value) == f"{tmp_path}/token: must hold the secret, as text on one line"
    assert error.value.__cause__ is None


def test_a_secret_file_that_is_missing_or_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as missing:
        read_secret(tmp_path / "token")
    assert str(missing.value) == f"{tmp_path}/token: there is no such file"
    with pytest.raises(InvalidInput) as directory:
        read_secret(tmp_path)
    assert str(directory.value) == f"{tmp_path}: cannot be read: Is a directory"
