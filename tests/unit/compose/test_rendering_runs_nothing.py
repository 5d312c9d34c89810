"""Rendering asks Compose for its configuration and for nothing else, with nothing of ours around it (gate 82)."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.compose.rendering import SandboxRenderer
from reconciler.model.desired import RenderInput

TELLTALE = """\
#!/bin/sh
case "$1" in version) echo v5.6.1; exit;; esac
names=$(/usr/bin/env | /usr/bin/cut -d= -f1 | /usr/bin/sort | /usr/bin/tr '\\n' ' ')
printf '{"services": {}, "asked": "%s", "names": "%s"}' "$*" "$names"
"""
"""In Compose's place: says what it was asked and which variables it was given."""


@pytest.fixture
def renderer(tmp_path: Path) -> SandboxRenderer:
    binary = tmp_path / "docker-compose"
    binary.write_text(TELLTALE)
    binary.chmod(0o755)
    return SandboxRenderer(None, binary)


def test_it_is_asked_for_the_configuration_alone(renderer: SandboxRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://evil.example.test")
    monkeypatch.setenv("RECONCILER_TOKEN", "secret")
    files = {
        "p/compose.yaml": b"services: {web: {image: x, build: .}, db: {provider: {type: ./run}}}\n",
        "p/run": b"#!",
    }
    model = renderer.render(RenderInput("shop", "p", ("p/compose.yaml",), (("TAG", "1"),), files)).model
    assert model["asked"] == (
        "--env-file /dev/null -p shop --project-directory . -f compose.yaml config --format json --no-path-resolution"
    )
    assert set(model["names"].split()) - {"PWD", "SHLVL", "_", "OLDPWD"} == {"DOCKER_CONFIG", "TAG"}


def test_only_what_compose_reads_lies_around_it(tmp_path: Path) -> None:
    binary = tmp_path / "docker-compose"
    listing = "found=$(/usr/bin/find . -type f | /usr/bin/sort | /usr/bin/tr '\\n' ' ')\n"
    binary.write_text(
        TELLTALE.partition("names=")[0] + listing + 'printf \'{"services": {}, "found": "%s"}\' "$found"\n'
    )
    binary.chmod(0o755)
    files = {"p/compose.yaml": b"services: {web: {image: x, env_file: a.env}}\n", "p/a.env": b"A=1\n"}
    files |= {"p/run.sh": b"touch ran\n", "p/.env": b"B=2\n", "p/Dockerfile": b"RUN true\n"}
    model = SandboxRenderer(None, binary).render(RenderInput("shop", "p", ("p/compose.yaml",), (), files)).model
    assert model["found"].split() == ["./a.env", "./compose.yaml"]
