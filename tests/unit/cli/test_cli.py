"""The command line as people and scripts meet it: help, the envelope, exit codes, errors, hostile text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from reconciler.bootstrap import Records, open_records
from reconciler.cli import main
from reconciler.control.access import CAPABILITIES
from reconciler.model.deployment import Authority, Deployment, DeploymentKind, DeploymentState
from reconciler.model.target import EnvironmentName
from reconciler.ports import EnvironmentRecord
from reconciler.sources import GitMirror
from tests.git_remotes import Remote

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PRODUCTION = EnvironmentName("shop", "production")
HOSTILE = "red\x1b[31m\x9b2J\nfake: Synced\rback\u202egnp\u200b\x07"
REPOSITORY = {
    "reconciler.yaml": "format: 1\ndeploy_branch: main\n",
    "principals.yaml": "people: {author: {github: 1001}}\n",
    "policy.yaml": "rules: []\n",
    "hosts/web-1.yaml": "address: 192.0.2.1\nuser: r\ntiers: [production]\nhost_key: ssh-ed25519 "
    "AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW\n",
    "projects/shop/production/compose.yaml": "services: {web: {image: 'demo:1'}}\n",
    "projects/shop/production/environment.yaml": "hosts: [web-1]\ntier: production\ncompose: [compose.yaml]\n",
}


@dataclass(slots=True)
class Installation:
    """A configuration with a real database and mirror; the forge is not asked."""

    config: Path
    remote: Remote

    def run(self, *arguments: str) -> Result:
        return run(*arguments, "--config", str(self.config))

    def answer(self, *arguments: str, code: int = 0) -> Any:
        """The one JSON document on stdout; the exit code is `code`."""
        done = self.run(*arguments, "--json")
        assert done.exit_code == code, done.output
        assert done.stdout.endswith("\n")
        assert done.stdout.count("\n") == 1
        return json.loads(done.stdout)

    @contextmanager
    def records(self) -> Iterator[Records]:
        with open_records(self.config) as records:
            yield records


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    remote = Remote.make(tmp_path / "remote.git")
    remote.commit(REPOSITORY)
    for name in ("token", "id"):
        (tmp_path / name).write_text("text\n")
    config = tmp_path / "server.yaml"
    config.write_text(
        f"forge: {{kind: github, api: 'http://forge.invalid/api/v3', repository: acme/infra, token_file: token}}\n"
        f"git: {{url: '{remote.path}'}}\ndatabase: 'sqlite:///state/reconciler.db'\nssh: {{key_file: id}}\n"
    )
    GitMirror(tmp_path / "state" / "mirror.git", str(remote.path), "main").fetch()
    return Installation(config, remote)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reconciler", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group by its words."""

    def below(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from below((*words, name), found)

    return below((), main)


COMMANDS = dict(commands())
LEAVES = [words for words, command in COMMANDS.items() if not isinstance(command, click.Group)]


def an_environment(**changes: Any) -> EnvironmentRecord:
    values: dict[str, Any] = {
        "name": PRODUCTION, "verified": "a" * 40, "deployment": "d-1", "hold": None, "hold_reason": "",
        "hold_commit": None, "sync": "Synced", "health": "Healthy", "detail": {}, "updated_at": NOON,
    }  # fmt: skip
    return EnvironmentRecord(**{**values, **changes})


def a_deployment(**changes: Any) -> Deployment:
    values: dict[str, Any] = {
        "id": "d-0123456789abcdef", "kind": DeploymentKind.CHANGE, "project": "shop", "environment": "production",
        "hosts": ("web-1",), "revision": "a" * 40, "plan_digest": "f" * 64,
        "authority": Authority("approval", 5, "author", (), "reviewer", ""), "started_at": NOON,
        "finished_at": None, "outcome": DeploymentState.QUEUED, "reason": "", "targets": (), "reverts": None,
    }  # fmt: skip
    return Deployment(**{**values, **changes})


# -- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "reconciler")
def test_help_says_what_every_command_does(words: tuple[str, ...]) -> None:
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: main {' '.join(words)}".rstrip())
    text = " ".join((COMMANDS[words].help or "").split())
    assert len(text) > 15
    assert text.split(".")[0][:40] in " ".join(done.stdout.split())
    assert run(*words, "-h").stdout == done.stdout


def test_the_list_of_commands_is_that_of_the_modules() -> None:
    listed = run("--help").stdout
    for words in COMMANDS:
        if len(words) == 1:
            assert f"  {words[0]} " in listed


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_takes_json(words: tuple[str, ...]) -> None:
    assert "--json" in {option for parameter in COMMANDS[words].params for option in parameter.opts}


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_what_changes_something_outside_asks_for_a_yes(words: tuple[str, ...]) -> None:
    options = {option for parameter in COMMANDS[words].params for option in parameter.opts}
    asks = {tuple(c.command.split()) for c in CAPABILITIES if c.changes and c.scope != "server:run"}
    assert ("--yes" in options) is (words in asks)


# -- what is said, and where -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["stauts"], "status"),
        (["deployment"], "deployments"),
        (["ledger", "verfy"], "verify"),
        (["trust", "int"], "init"),
        (["status", "--confg", "x"], "--config"),
        (["plan", "--pull-requst", "1"], "--pull-request"),
    ],
)
def test_a_word_that_does_not_exist_is_answered_with_the_nearest(arguments: list[str], nearest: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert nearest in done.stderr.splitlines()[-1]
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "--pull-request", "1", "--revision", "a"],
        ["plan", "--pull-request", "x"],
        ["why"],
        ["why", "shop"],
        ["rollback", "shop/production/more", "--yes"],
        ["suspend", "shop/production"],
        ["trust", "init", "--revision", "main"],
        ["ledger", "show", "--limit", "0"],
        ["deployments", "list", "--limit", "-1"],
        ["deployments", "list", "nonsense"],
        ["ledger", "verify", "--file", "a", "--database", "b"],
        ["ledger", "verify", "--anchor", "3"],
        ["ledger", "export", "--output", "a", "--directory", "b"],
        ["forge", "serve", "--data", "x", "--listen", "nowhere"],
        ["forge", "serve", "--data", "x", "--listen", "127.0.0.1:99999"],
        ["reconcile"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_and_says_so_on_stderr(installation: Installation, arguments: list[str]) -> None:
    done = installation.run(*arguments) if "forge" not in arguments else run(*arguments)
    assert done.exit_code == 2, done.output
    assert "Error: " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status"], 0),
        (["deployments", "list"], 0),
        (["deployments", "list", "shop/production"], 0),
        (["ledger", "show"], 0),
        (["ledger", "export"], 0),
        (["hosts", "list"], 0),
        (["drift"], 0),
        (["drift", "shop/production"], 0),
        (["resume", "shop/production", "--yes"], 0),
        (["suspend", "shop/production", "--reason", "why not", "--yes"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_an_answer_is_one_document_and_exit_0(installation: Installation, arguments: list[str], code: int) -> None:
    answer = installation.answer(*arguments, code=code)
    assert answer["ok"] is True
    assert set(answer) == {"ok", "data"}
    text = installation.run(*arguments)
    assert text.exit_code == code
    assert text.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["why", "shop/nothing"], 1, "NOT_FOUND"),
        (["deployments", "show", "d-nothing"], 1, "NOT_FOUND"),
        (["hosts", "check", "web-9"], 1, "NOT_FOUND"),
        (["suspend", "shop/nothing", "--reason", "x", "--yes"], 1, "NOT_FOUND"),
        (["suspend", "shop/production", "--reason", "x"], 3, "NOT_ALLOWED"),
        (["suspend", "shop/production", "--reason", " ", "--yes"], 1, "INVALID"),
        (["resume", "shop/production"], 3, "NOT_ALLOWED"),
        (["rollback", "shop/production"], 3, "NOT_ALLOWED"),
        (["rollback", "shop/production", "--yes"], 3, "NOT_ALLOWED"),
        (["trust", "init", "--revision", "a" * 40], 3, "NOT_ALLOWED"),
        (["trust", "init", "--revision", "a" * 40, "--yes"], 1, "NOT_FOUND"),
        (["plan", "--pull-request", "1"], 3, "NOT_ALLOWED"),
        (["plan", "--revision", "a" * 40], 1, "NOT_FOUND"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_refusal_has_its_code_its_exit_and_no_traceback(
    installation: Installation, arguments: list[str], exit_code: int, code: str
) -> None:
    answer = installation.answer(*arguments, code=exit_code)
    assert answer["ok"] is False
    assert answer["code"] == code
    assert answer["error"]
    text = installation.run(*arguments)
    assert text.exit_code == exit_code
    assert text.stdout == ""
    assert text.stderr.startswith("error: ")
    assert "Traceback" not in text.stderr


def test_what_cannot_be_reached_is_an_error_that_may_be_tried_again(installation: Installation) -> None:
    text = installation.config.read_text().replace(str(installation.remote.path), "/nowhere/infra.git")
    installation.config.write_text(text)
    answer = installation.answer("hosts", "list", code=1)
    assert (answer["ok"], answer["code"]) == (False, "FORGE_UNAVAILABLE")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("forge: [", "is not YAML"),
        ("forge: {kind: github}", "forge.api"),
        ("nonsense: 1", "nonsense"),
    ],
)
def test_a_configuration_that_is_wrong_is_an_error_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(text)
    done = run("status", "--config", str(file))
    assert done.exit_code == 1
    assert said in done.stderr
    assert str(file) in done.stderr
    assert done.stdout == ""


def test_what_nobody_foresaw_is_said_in_one_line(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    from reconciler.control import queries

    def surprise(_: object) -> None:
        raise ZeroDivisionError("never\x1b[31m thought of")

    monkeypatch.setattr(queries, "status", surprise)
    monkeypatch.delenv("RECONCILER_TRACEBACK", raising=False)
    done = installation.run("status")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ZeroDivisionError: never<U+001B>[31m thought of")
    assert "Traceback" not in done.stderr
    assert installation.answer("status", code=1)["code"] == "FAILED"
    monkeypatch.setenv("RECONCILER_TRACEBACK", "1")
    assert isinstance(installation.run("status").exception, ZeroDivisionError)


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(installation: Installation, tmp_path: Path) -> None:
    done = installation.run("ledger", "export", "--output", str(tmp_path / "no" / "such" / "directory"))
    assert done.exit_code == 1
    assert done.stderr == f"error: {tmp_path / 'no' / 'such' / 'directory'}: No such file or directory\n"


# -- records ---------------------------------------------------------------------------------------------------------


def test_a_ledger_that_was_tampered_with_exits_6(installation: Installation, tmp_path: Path) -> None:
    with installation.records() as records:
        for number in range(3):
            records.ledger.append("test", "x", {"number": number}, NOON)
    export = tmp_path / "ledger.jsonl"
    assert installation.answer("ledger", "export", "--output", str(export))["data"]["entries"] == 3
    assert installation.answer("ledger", "verify", "--file", str(export))["data"]["size"] == 3
    export.write_bytes(export.read_bytes().replace(b'"number":1', b'"number":7'))
    assert installation.answer("ledger", "verify", "--file", str(export), code=6)["code"] == "VERIFICATION_FAILED"
    assert installation.answer("ledger", "verify")["data"]["valid"] is True


def test_an_export_is_the_stored_bytes_whatever_is_in_them(installation: Installation, tmp_path: Path) -> None:
    with installation.records() as records:
        records.ledger.append("test", "x", {"text": HOSTILE}, NOON)
        stored = [entry.body for entry in records.ledger.entries()]
    export = tmp_path / "ledger.jsonl"
    installation.run("ledger", "export", "--output", str(export))
    assert export.read_bytes() == stored[0] + b"\n"
    assert installation.run("ledger", "export").stdout_bytes == stored[0] + b"\n"


def test_limits_take_the_newest(installation: Installation) -> None:
    with installation.records() as records:
        for number in range(5):
            records.ledger.append("test", "x", {"number": number}, NOON)
    found = installation.answer("ledger", "show", "--limit", "2")["data"]
    assert [entry["data"]["number"] for entry in found] == [3, 4]


def test_a_deployment_is_found_by_the_beginning_of_its_id(installation: Installation) -> None:
    with installation.records() as records:
        records.deployments.begin(a_deployment(), {})
    shown = installation.answer("deployments", "show", "d-0123")["data"]
    assert shown["id"] == "d-0123456789abcdef"
    assert installation.answer("deployments", "list")["data"][0] == shown


# -- hostile text ----------------------------------------------------------------------------------------------------


def fill_with_hostile_text(installation: Installation) -> None:
    with installation.records() as records:
        reason = f"drift {HOSTILE}"
        held = an_environment(hold="Held", hold_reason=reason, hold_commit="c" * 40, sync="OutOfSync")
        records.states.change_environment(held.name, lambda _: held)
        decision = {
            "outcome": "refused", "missing": [f"somebody {HOSTILE}"], "reasons": [{"rule": 1, "text": HOSTILE}],
        }  # fmt: skip
        subject = f"landing/{'c' * 40}/{PRODUCTION}"
        records.ledger.append("gate", subject, {"facts": {"decision": decision}}, NOON)
        records.ledger.append("test", f"subject {HOSTILE}", {}, NOON)
        records.deployments.begin(
            a_deployment(
                reason=HOSTILE,
                authority=Authority("approval", 5, f"author{HOSTILE}", (), f"reviewer{HOSTILE}", ""),
            ),
            {},
        )


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"], ["why", "shop/production"], ["deployments", "list"], ["deployments", "show", "d-0123"],
        ["ledger", "show"], ["drift", "shop/production"], ["deployments", "show", f"d-{HOSTILE}"],
        ["why", f"shop/{HOSTILE}"],
    ],
    ids=repr,
)  # fmt: skip
def test_what_others_wrote_cannot_speak_to_the_terminal(installation: Installation, arguments: list[str]) -> None:
    fill_with_hostile_text(installation)
    done = CliRunner().invoke(main, [*arguments, "--config", str(installation.config)], color=True)
    said = done.stdout + done.stderr
    for character in HOSTILE:
        if not character.isprintable() and character != "\n":
            assert character not in said, (character, said)
    if done.exit_code == 0:
        assert not any(line.startswith("fake: ") for line in said.splitlines()), "a value made a line of its own"
    assert installation.run(*arguments, "--json").stdout.isascii()


# -- terminals and pipes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1", "FORCE_COLOR": "", "TERM": "xterm-256color"}], ids=str)
def test_without_a_terminal_there_are_no_escape_codes(installation: Installation, environment: dict[str, str]) -> None:
    for arguments in (["--help"], ["status", "--config", str(installation.config)], ["stauts"]):
        done = program(*arguments, **environment)
        assert "\x1b" not in done.stdout + done.stderr


def test_a_reader_that_leaves_early_gets_no_complaint(installation: Installation) -> None:
    with installation.records() as records:
        for _ in range(3000):
            records.ledger.append("test", "x", {"text": "y" * 100}, NOON)
    command = [sys.executable, "-m", "reconciler", "ledger", "export", "--config", str(installation.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1)


def imported_by(arguments: Sequence[str]) -> set[str]:
    """The modules that the program has loaded when it has answered."""
    code = (
        "import sys\nfrom reconciler.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout
    return set(done.stderr.split())


HEAVY = ("paramiko", "githubkit", "pygit2", "sqlalchemy", "pydantic", "httpx", "uvicorn", "starlette", "rich", "yaml")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]], ids=str)
def test_a_quick_question_imports_little(arguments: list[str]) -> None:
    loaded = imported_by(arguments)
    assert "reconciler.cli" in loaded
    assert not loaded & {*HEAVY, "reconciler.bootstrap", "reconciler.control.parts"}


def test_python_m_reconciler_is_the_program() -> None:
    from reconciler import __version__

    done = program("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"reconciler, version {__version__}\n", "")


# -- repositories ----------------------------------------------------------------------------------------------------


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_what_init_writes_is_valid(tmp_path: Path) -> None:
    for options in ([], ["--solo"]):
        directory = tmp_path / f"new{len(options)}"
        assert run("init", str(directory), *options).exit_code == 0
        done = run("validate", str(directory), "--no-render", "--json")
        assert (done.exit_code, json.loads(done.stdout)["ok"]) == (0, True)


@pytest.mark.parametrize("there", ["policy.yaml", "hosts", "projects/hello"])
def test_init_writes_nothing_where_something_is_in_the_way(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine\n")
    before = contents(tmp_path)
    done = run("init", str(tmp_path), "--json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert answer["code"] == "INVALID"
    assert "nothing was written" in answer["error"]
    assert contents(tmp_path) == before


def test_init_follows_no_link_out_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "policy.yaml").symlink_to(tmp_path / "elsewhere")
    assert run("init", str(tmp_path / "new")).exit_code == 1
    assert not (tmp_path / "elsewhere").exists()
    assert contents(tmp_path) == {}, "nothing was written"


def test_init_beside_other_files_leaves_them_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    assert run("init", str(tmp_path)).exit_code == 0
    assert (tmp_path / "README.md").read_text() == "mine\n"


def test_validate_shows_every_problem_with_file_and_line(tmp_path: Path) -> None:
    run("init", str(tmp_path))
    (tmp_path / "policy.yaml").write_text("rules:\n  - {id: a, efect: deny}\n")
    (tmp_path / "reconciler.yaml").write_text('format: 1\ndeploy_branch: main\n"red\\e[31m": 1\n')
    environment = next(tmp_path.glob("projects/*/*/environment.yaml"))
    environment.write_text(environment.read_text() + "drfit: heal\n")
    done = run("validate", str(tmp_path), "--no-render", "--json")
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["ok"], answer["code"]) == (1, False, "INVALID")
    files = {problem["file"] for problem in answer["problems"]}
    assert files >= {"policy.yaml", "reconciler.yaml", str(environment.relative_to(tmp_path))}
    text = run("validate", str(tmp_path), "--no-render")
    assert (text.exit_code, text.stdout) == (1, "")
    for problem in answer["problems"]:
        assert f"{problem['file']}:{problem['line']}" in text.stderr
    assert "did you mean 'drift'" in text.stderr
    assert "red<U+001B>[31m" in text.stderr
    assert "\x1b" not in CliRunner().invoke(main, ["validate", str(tmp_path), "--no-render"], color=True).stderr
