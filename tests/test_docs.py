"""What the pages say is so: the reference equals the code, links lead somewhere, commands exist, examples are valid."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from reconciler import cli
from reconciler.localforge.seed import load_seed
from reconciler.reports import statuses
from reconciler.settings import read_settings

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
        ROOT / "desired_state/README.md",
    ]
)
REFERENCE = runpy.run_path(str(ROOT / "scripts/reference"))
TOP = ("reconciler", "docs", "tests", "examples", "desired_state", "scripts", "benchmarks", ".ci")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
STATUSES = {statuses.PLAN, statuses.POLICY, statuses.APPROVAL, statuses.DEPLOY, statuses.TRUST}


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


# -- the reference --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(REFERENCE["MAKERS"]))
def test_the_reference_says_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
    assert written == REFERENCE["pages"]()[name], "run .venv/bin/python scripts/reference"


def test_there_is_no_page_of_the_reference_that_nothing_writes() -> None:
    assert {page.name for page in (ROOT / "docs/reference").glob("*.md")} == set(REFERENCE["MAKERS"])


def test_every_number_of_the_gate_has_one_answer() -> None:
    row = re.compile(r"^\| (\d+) \|", re.MULTILINE)
    text = (ROOT / "docs/reference/gate.md").read_text(encoding="utf-8")
    assert [int(n) for n in row.findall(text)] == list(range(1, 86))


# -- links and paths ------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors that a forge gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path, text: str) -> Iterator[str]:
    """Links to files that do not exist or lie outside the tree, and to headings that are not there."""
    for link in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT) or not target.exists():
            yield f"{link}: no such file in the tree"
        elif anchor:
            there = text if target == page else target.read_text(encoding="utf-8")
            if anchor not in anchors(there):
                yield f"{link}: no such heading"


def dead_paths(text: str) -> Iterator[str]:
    """Paths in backticks that begin like a directory of the tree and are not there; names of statuses are not paths."""
    for word in INLINE.findall(prose(text)):
        if word in STATUSES or not re.fullmatch(rf"({'|'.join(map(re.escape, TOP))})/[\w./-]+", word):
            continue
        if not (ROOT / word).exists():
            yield word


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_and_path_leads_to_something_in_the_tree(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert list(dead_links(page, text)) == []
    assert list(dead_paths(text)) == []


@pytest.mark.parametrize(
    "link", ["nowhere.md", "../outside.md", "README.md#no-such-heading", "#no-such-heading", "/etc/passwd"]
)
def test_a_dead_link_is_found(link: str) -> None:
    assert list(dead_links(ROOT / "README.md", f"# Title\n\n[text]({link})\n")) != []
    assert list(dead_links(ROOT / "README.md", "# Title\n\n[text](#title) [text](pyproject.toml)\n")) == []


def test_a_dead_path_is_found() -> None:
    assert list(dead_paths("`reconciler/control/nowhere.py` `reconciler/control/pipeline.py`")) == [
        "reconciler/control/nowhere.py"
    ]


# -- commands -------------------------------------------------------------------------------------------------------


def command_lines(text: str) -> Iterator[list[str]]:
    """Every `reconciler …` of a page's shell blocks, as arguments."""
    for language, block in FENCE.findall(text):
        if language != "sh":
            continue
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for index, word in enumerate(words):
                if Path(word).name == "reconciler" and "=" not in word:
                    yield list(takewhile(lambda word: word not in ("&", "|", ">"), words[index + 1 :]))
                    break


def fault(arguments: list[str]) -> str | None:
    """What is wrong with the arguments of a `reconciler` command line, None when it would be understood."""
    command: click.Command = cli.main
    context = click.Context(command, info_name="reconciler", **command.context_settings)  # click caches help by it
    rest = list(arguments)
    while isinstance(command, click.Group):
        found = command.get_command(context, rest[0]) if rest else None
        if found is None:
            return f"no such command: {' '.join(arguments)}"
        command, context = found, click.Context(found, context, info_name=rest.pop(0))
    if set(rest) <= {"-h", "--help"} and rest:
        return None
    try:
        given, surplus, _ = command.make_parser(context).parse_args(rest)
    except click.UsageError as error:
        return error.format_message()
    if surplus:
        return f"surplus arguments: {surplus}"
    missing = [p.name for p in command.params if p.required and not isinstance(given.get(p.name or ""), str | bool)]
    return f"missing: {missing}" if missing else None


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    faults = [(line, said) for line in command_lines(text) if (said := fault(line)) is not None]
    assert faults == []
    for code in INLINE.findall(prose(text)):
        words = code.split()
        if words[0] == "reconciler" and len(words) > 1 and words[1].isalpha() and words[1].islower():
            assert words[1] in cli.COMMANDS, code


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_make_target_that_is_shown_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(block for language, block in FENCE.findall(text) if language == "sh")
    shown = re.findall(r"^(?:[A-Z]+=\S+ )*make ([a-z]+)", blocks, re.MULTILINE)
    shown += [code.split()[1] for code in INLINE.findall(prose(text)) if re.match(r"make [a-z]", code)]
    assert set(shown) <= targets


@pytest.mark.parametrize(
    "line",
    [
        "valdate .",
        "deployments",
        "deployments lst",
        "plan --pull-requests 3",
        "rollback",
        "trust init --yes",
        "status x",
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    assert fault(line.split()) is not None


def test_commands_are_found_in_shell_blocks() -> None:
    text = (
        "```sh\nmake demo\nX=1 .venv/bin/reconciler plan \\\n  --pull-request 3 # why\n```\n```\nreconciler no\n```\n"
    )
    assert list(command_lines(text)) == [["plan", "--pull-request", "3"]]
    assert fault(["plan", "--pull-request", "3"]) is None


# -- files that are shown -------------------------------------------------------------------------------------------


def yaml_blocks(first_key: str) -> list[tuple[str, str]]:
    """Page and text of every YAML block that begins with this key."""
    return [
        (named(page), block)
        for page in PAGES
        for language, block in FENCE.findall(page.read_text(encoding="utf-8"))
        if language == "yaml" and re.search(r"^(?!#)(\w+):", block, re.MULTILINE)[1] == first_key  # type: ignore[index]
    ]


@pytest.mark.parametrize(("page", "block"), yaml_blocks("forge"))
def test_every_server_configuration_that_is_shown_is_valid(page: str, block: str, tmp_path: Path) -> None:
    file = tmp_path / "reconciler-server.yaml"
    file.write_text(block, encoding="utf-8")
    read_settings(file)


@pytest.mark.parametrize(("page", "block"), yaml_blocks("users"))
def test_every_seed_that_is_shown_is_valid(page: str, block: str, tmp_path: Path) -> None:
    document = yaml.safe_load(block)
    for repository in document["repositories"]:
        if "from" in repository:
            (tmp_path / repository["from"]).mkdir(exist_ok=True)
            (tmp_path / repository["from"] / "file").touch()
    file = tmp_path / "seed.yaml"
    file.write_text(block, encoding="utf-8")
    load_seed(file)


# -- examples -------------------------------------------------------------------------------------------------------


def validate(directory: Path) -> Result:
    return CliRunner().invoke(cli.main, ["validate", str(directory)])


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_every_example_is_valid_and_says_how_to_run_it(example: Path) -> None:
    result = validate(example)
    assert result.exit_code == 0, result.output
    assert re.match(r"\d\d-", example.name)
    commands = list(command_lines((example / "README.md").read_text(encoding="utf-8")))
    script = example / "ci/validate"
    assert ["validate", named(example)] in commands or script.exists()


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_the_output_that_an_example_shows_is_what_comes(example: Path) -> None:
    shown = re.findall(r"^valid: .*$", (example / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert shown in ([], [validate(example).output.strip()])


@pytest.mark.parametrize(
    ("example", "file", "before", "after", "said"),
    [
        ("01-one-host", "projects/blog/production/environment.yaml", "production", "produktion", "does not admit"),
        ("01-one-host", "projects/blog/production/compose.yaml", "    restart:", "    restrat:", "restrat"),
        ("01-one-host", "policy.yaml", "approvals: 1", "approvals: 3", "3 approvals"),
        ("02-environments-and-policy", "policy.yaml", "approvals: 2", "approvals: 4", "4 approvals"),
        ("02-environments-and-policy", "policy.yaml", "from_group: operators", "from_group: operator", "operators"),
        ("02-environments-and-policy", "projects/shop/staging/environment.yaml", "tier: s", "tier: prod-s", "admit"),
        ("02-environments-and-policy", "projects/shop/staging/staging.env", "GREETING", "GREETINGS", "GREETING"),
        ("03-rollback", "hosts/home.yaml", "host_key", "hostkey", "host_key"),
        ("03-rollback", "projects/notes/production/compose.yaml", "source: httpd,", "source: http,", "http"),
        ("04-ci-check", "reconciler.yaml", "format: 1", "format: 2", "format"),
    ],
)  # fmt: skip
def test_an_edit_that_breaks_an_example_is_caught(
    example: str, file: str, before: str, after: str, said: str, tmp_path: Path
) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(ROOT / "examples" / example, copy)
    text = (copy / file).read_text(encoding="utf-8")
    assert before in text
    (copy / file).write_text(text.replace(before, after), encoding="utf-8")
    result = validate(copy)
    assert result.exit_code == 1
    assert said in result.output


def test_the_ci_check_passes_a_good_repository_and_fails_a_bad_one(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(ROOT / "examples/04-ci-check", copy)
    program = Path(sys.executable).with_name("reconciler")

    def check() -> int:
        environment = {"RECONCILER": str(program), "PATH": "/usr/bin:/bin"}
        return subprocess.run([copy / "ci/validate"], env=environment, capture_output=True, check=False).returncode

    assert check() == 0
    (copy / "policy.yaml").unlink()
    assert check() == 1
