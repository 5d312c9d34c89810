"""What `break-glass` wants to be told before it looks at anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli import main

SAID = ("--revision", "a" * 40, "--reason", "down", "--ticket", "OPS-1")


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["break-glass", *arguments])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing argument"),
        (("shop",), "PROJECT/ENVIRONMENT"),
        (("shop/production",), "--revision, --reason and --ticket"),
        (("shop/production", *SAID[:4]), "--revision, --reason and --ticket"),
        (("shop/production", *SAID), "--plan names what was read"),
        (("shop/production", *SAID, "--plan", "f" * 64), "a token alone breaks no glass"),
        (("shop/production", *SAID, "--plan", "f" * 64, "--token-file", "TOKEN"), "a token alone breaks no glass"),
        (("shop/production", *SAID, "--plan", "f" * 64, "--signature", "TOKEN"), "--issued names the time"),
        (("shop/production", *SAID, "--issued", "noon", "--dry-run"), "--issued is no time"),
        (("shop/production", *SAID, "--issued", "2026-01-01T12:00:00", "--dry-run"), "in UTC and whole seconds"),
        (("shop/production", *SAID, "--issued", "2026-01-01T12:00:00+01:00", "--dry-run"), "in UTC and whole seconds"),
        (
            ("shop/production", *SAID, "--issued", "2026-01-01T12:00:00.5+00:00", "--dry-run"),
            "in UTC and whole seconds",
        ),
        (("shop/production", "--review", "--token-file", "TOKEN"), "a token alone breaks no glass"),
    ],
)
def test_what_is_missing_is_said(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    code, output = run(*(str(token) if word == "TOKEN" else word for word in arguments))
    assert (code, says in " ".join(output.split())) == (2, True), output


def test_without_a_yes_nothing_is_opened(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    files = ("--token-file", str(token), "--sign", str(token))
    code, output = run("shop/production", *SAID, "--plan", "f" * 64, *files, "--config", str(tmp_path / "none.yaml"))
    assert (code, "not confirmed" in output) == (3, True), output
    code, output = run("shop/production", "--review", *files, "--config", str(tmp_path / "none.yaml"))
    assert (code, "not confirmed" in output) == (3, True), output
