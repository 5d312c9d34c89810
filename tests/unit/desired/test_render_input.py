"""What the renderer may see, and env files."""

import pytest

from reconciler.desired import load, render_input
from reconciler.desired.env_files import read_env_file
from reconciler.model.target import EnvironmentName
from tests.unit.desired.repositories import edited, sample, with_files


def test_an_environment_sees_its_project_and_not_the_other_environments() -> None:
    environment = load(sample()).environment(EnvironmentName("shop", "production"))
    assert environment is not None
    inputs = render_input(sample(), environment)
    assert inputs.working_directory == "projects/shop"
    assert "projects/shop/www/index.html" in inputs.files
    assert "projects/shop/production/production.env" in inputs.files
    assert not [path for path in inputs.files if "staging" in path or not path.startswith("projects/shop/")]


def test_a_file_of_another_environment_is_seen_when_it_is_named() -> None:
    put = "env_files: [production.env, ../staging/staging.env]"
    edit = {"file": "projects/shop/production/environment.yaml", "find": "env_files: [production.env]", "put": put}
    tree = edited(sample(), [edit])
    environment = load(tree).environment(EnvironmentName("shop", "production"))
    assert environment is not None
    inputs = render_input(tree, environment)
    assert [path for path in inputs.files if "staging" in path] == ["projects/shop/staging/staging.env"]
    assert dict(inputs.variables)["GREETING"] == "Hello, staging"


def test_variables_count_more_than_env_files_and_nothing_else_counts() -> None:
    tree = with_files(sample(), {"projects/shop/production/production.env": "GREETING=a\nTAG=0\n"})
    environment = load(tree).environment(EnvironmentName("shop", "production"))
    assert environment is not None
    assert render_input(tree, environment).variables == (("GREETING", "a"), ("TAG", "1.0"), ("WEB_PORT", "18080"))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("A=b c # comment", "b c"),
        ("A=b#c", "b#c"),
        ("A= # comment", ""),
        ("A='it is $HOME \\n'", "it is $HOME \\n"),
        ('A="x\\ny \\"z\\" \\\\"', 'x\ny "z" \\'),
        ("  A=b  ", "b"),
        ("A=b=c", "b=c"),
        ("A=b\r", "b"),
    ],
)
def test_a_line_of_an_env_file_has_one_reading(line: str, value: str) -> None:
    entries, problems = read_env_file("a.env", f"# first\n\n{line}\n".encode())
    assert not problems
    assert [(entry.name, entry.value, entry.line) for entry in entries] == [("A", value, 3)]
