"""What the renderer refuses before Compose sees it, and what it lets through."""

import pytest

from reconciler.compose.admission import admit, undeclared
from reconciler.model.desired import RenderInput


def inputs(files: dict[str, str], compose: tuple[str, ...] = ("p/compose.yaml",), **variables: str) -> RenderInput:
    return RenderInput(
        "shop", "p", compose, tuple(sorted(variables.items())), {k: v.encode() for k, v in files.items()}
    )


def problems(files: dict[str, str], **variables: str) -> list[str]:
    return [str(problem) for problem in admit(inputs(files, **variables)).problems]


def service(line: str) -> dict[str, str]:
    return {"p/compose.yaml": f"services:\n  web:\n    image: x\n    {line}\n"}


def test_everything_that_compose_reads_is_reached_and_nothing_else() -> None:
    admission = admit(
        inputs(
            {
                "p/compose.yaml": (
                    "include: [{path: [../parts/a.yaml, ../parts/b.yaml], env_file: part.env}]\n"
                    "x-common: &common {env_file: [web.env, {path: missing.env, required: false}]}\n"
                    "services:\n  web:\n    <<: *common\n    extends: {file: ../base/base.yaml, service: base}\n"
                    "    label_file: labels\n"
                ),
                "parts/a.yaml": "services: {a: {image: x, env_file: a.env}}",
                "parts/b.yaml": "services: {}",
                "parts/a.env": "A=1",
                "base/base.yaml": "services: {base: {image: x, env_file: ./base.env}}",
                "base/base.env": "B=1",
                "p/part.env": "",
                "p/web.env": "",
                "p/labels": "l=1",
                "p/.env": "SECRET=1",
                "p/secret.key": "never",
            }
        )
    )
    assert admission.problems == []
    assert sorted(admission.files) == [
        "base/base.env",
        "base/base.yaml",
        "p/compose.yaml",
        "p/labels",
        "p/part.env",
        "p/web.env",
        "parts/a.env",
        "parts/a.yaml",
        "parts/b.yaml",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "https://example.test/compose.yaml",
        "oci://example.test/app",
        "git@example.test:acme/app.git",
        "github.com/acme/app",
        "ssh://example.test/x",
        "../p/app.git#main",
    ],
)
def test_a_remote_source_is_refused_with_file_and_line(source: str) -> None:
    for files in (
        {"p/compose.yaml": f"services: {{}}\ninclude:\n  - {source}\n"},
        {"p/compose.yaml": f"services: {{}}\ninclude:\n  - path: ['{source}']\n"},
        {"p/compose.yaml": f"services:\n  web:\n    extends: {{file: '{source}', service: x}}\n"},
        {"p/compose.yaml": f"services:\n  web:\n    env_file:\n      - {{path: '{source}', required: false}}\n"},
    ):
        (problem,) = problems(files)
        assert problem.startswith("p/compose.yaml:")
        assert "is remote" in problem
        assert source in problem


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("env_file: /etc/passwd", "p/compose.yaml:4: env_file '/etc/passwd' is not a relative path"),
        ("env_file: ../../x.env", "p/compose.yaml:4: env_file '../../x.env' leads out of the repository"),
        ("env_file: [a/../../../x]", "p/compose.yaml:4: env_file 'a/../../../x' leads out of the repository"),
        ("env_file: '${WHICH}.env'", "p/compose.yaml:4: env_file '${WHICH}.env' holds a variable"),
        ("label_file: ~/labels", "p/compose.yaml:4: label_file '~/labels' is not a relative path"),
        ("env_file: gone.env", "p/compose.yaml:4: p/gone.env is not in the repository"),
        ("extends: {file: gone.yaml}", "p/compose.yaml:4: p/gone.yaml is not in the repository"),
        ("env_file: {}", "p/compose.yaml:4: env_file has no path"),
        ("command: !python/name:os.system x", "p/compose.yaml:4: tag '!python/name:os.system' is not one"),
        ("command: !!binary eA==", "p/compose.yaml:4: tag 'tag:yaml.org,2002:binary' is not one"),
    ],
)
def test_a_file_that_must_not_be_read_is_refused(line: str, expected: str) -> None:
    (problem,) = problems(service(line))
    assert problem.startswith(expected)


def test_a_source_hidden_behind_an_alias_or_a_merge_key_is_found() -> None:
    text = "x-a: &a {env_file: /etc/passwd}\nservices:\n  web:\n    <<: [*a]\n    env_file: ok.env\n"
    (problem,) = problems({"p/compose.yaml": text, "p/ok.env": ""})
    assert problem.startswith("p/compose.yaml:1: env_file '/etc/passwd'")


def test_what_an_included_file_includes_is_checked_too() -> None:
    files = {"p/compose.yaml": "include: [inner/a.yaml]\n", "p/inner/a.yaml": "include:\n  - oci://example.test/x\n"}
    (problem,) = problems(files)
    assert problem.startswith("p/inner/a.yaml:2: include 'oci://example.test/x' is remote")


def test_files_that_include_each_other_end() -> None:
    files = {"p/compose.yaml": "include: [b.yaml]\n", "p/b.yaml": "include: [compose.yaml]\n"}
    assert problems(files) == []


def test_a_path_that_climbs_and_comes_back_many_times_is_refused() -> None:
    (problem,) = problems(service("env_file: " + "a/../" * 21 + "x.env"))
    assert "climbs too far" in problem


def test_a_dot_env_beside_an_include_is_refused_because_compose_reads_it_unasked() -> None:
    files = {"p/compose.yaml": "include:\n  - ../q/a.yaml\n", "q/a.yaml": "services: {}", "q/.env": "X=1"}
    (problem,) = problems(files)
    assert problem.startswith("p/compose.yaml:2: Compose would read q/.env")
    files["p/compose.yaml"] = "include:\n  - {path: ../q/a.yaml, env_file: ../q/.env}\n"
    assert problems(files) == []


def test_nested_aliases_are_refused_by_what_they_would_unfold_to() -> None:
    lines = ["x-a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"x-{name}: &{name} [{','.join(['*' + before] * 9)}]")
    (problem,) = problems({"p/compose.yaml": "\n".join(lines)})
    assert "once its aliases are written out" in problem


def test_few_aliases_are_welcome() -> None:
    text = "x-a: &a {image: x}\nservices:\n" + "".join(f"  s{i}:\n    <<: *a\n" for i in range(200))
    assert problems({"p/compose.yaml": text}) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x: " + "[" * 65 + "]" * 65, "p/compose.yaml:1: nested deeper than 64"),
        ("a: &a\n  b: *a\n", "p/compose.yaml:2: alias '*a' stands inside what it names"),
        ("services: {}\n---\nservices: {}\n", "p/compose.yaml:2: a second YAML document"),
        ("services:\n  a: [\n", "p/compose.yaml:3: not YAML"),
        ("x: '" + "y" * (1 << 20) + "'", "p/compose.yaml: larger than"),
    ],
    ids=["depth", "recursion", "documents", "syntax", "size"],
)
def test_a_document_that_is_not_one_plain_document_is_refused(text: str, expected: str) -> None:
    (problem,) = problems({"p/compose.yaml": text})
    assert problem.startswith(expected)


@pytest.mark.parametrize("hidden", ["\u2028", "\u0085", "\ufeff", "\u202e", "\u200b", "\r", "\x0c"])
def test_a_character_that_another_reader_could_take_for_a_line_break_or_not_see_is_refused(hidden: str) -> None:
    (problem,) = problems({"p/compose.yaml": f"services:\n  # note{hidden}x\n  web: {{image: x}}\n"})
    assert problem.startswith(f"p/compose.yaml:2: holds the invisible character U+{ord(hidden):04X}")
    assert problems({"p/compose.yaml": "services:\r\n  web: {image: x}\r\n"}) == []


def test_text_that_is_not_utf8_is_refused_with_its_line() -> None:
    bad = RenderInput("shop", "p", ("p/compose.yaml",), (), {"p/compose.yaml": b"a: 1\nb: \xff\n"})
    assert [str(p) for p in admit(bad).problems] == ["p/compose.yaml:2: not UTF-8 text (gate 76)"]


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "a//b", "a\nb", "a\\b"])
def test_a_file_name_outside_the_repository_is_never_written(path: str) -> None:
    given = RenderInput("shop", "p", ("p/compose.yaml",), (), {"p/compose.yaml": b"", path: b""})
    (problem,) = admit(given).problems
    assert "not a path inside the repository" in str(problem)


@pytest.mark.parametrize("name", ["COMPOSE_FILE", "DOCKER_HOST", "HOME", "PATH", "LD_PRELOAD", "OTEL_SERVICE_NAME"])
def test_a_variable_that_steers_compose_cannot_be_declared(name: str) -> None:
    (problem,) = problems({"p/compose.yaml": "services: {}"}, **{name: "x"})
    assert f"'{name}' cannot be declared" in problem


def test_an_unset_variable_is_shown_where_it_is_used() -> None:
    given = inputs(
        {"p/compose.yaml": "services:\n  # $TAG\n  a: {image: 'x:$TAG', user: $$TAG}\n  b: {image: '${TAG}'}\n"}
    )
    found = undeclared(admit(given), given, frozenset({"TAG"}))
    assert [str(p.location) for p in found] == ["p/compose.yaml:3", "p/compose.yaml:4"]


def merged_from_afar(steps: int) -> dict[str, str]:
    """A service that gets its env_file through that many merges, in a file that only an include names."""
    chain = "".join(f"x-{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, steps))
    text = f"x-0: &a0 {{env_file: /etc/os-release}}\n{chain}services:\n  web:\n    <<: *a{steps - 1}\n"
    return {"p/compose.yaml": "include: [deep.yaml]\n", "p/deep.yaml": text}


def test_a_source_behind_more_merges_than_anybody_would_follow_is_refused_and_not_overlooked() -> None:
    (problem,) = problems(merged_from_afar(70))
    assert "nested deeper than 64 once its aliases are written out" in problem
    (problem,) = problems(merged_from_afar(60))
    assert "env_file '/etc/os-release' is not a relative path" in problem


@pytest.mark.parametrize("value", ["a\0b", "half \ud800"])
def test_a_value_that_no_program_takes_is_refused_before_one_is_started(value: str) -> None:
    (problem,) = problems({"p/compose.yaml": "services: {}"}, NOTE=value)
    assert "variable 'NOTE' holds a character that no text has" in problem
    (problem,) = problems({"p/compose.yaml": 'services:\n  web: {image: x, hostname: "a\\0b"}\n'})
    assert problem.startswith("p/compose.yaml:2: a character that no text has")


def test_variables_that_the_kernel_would_not_hand_on_are_refused() -> None:
    (problem,) = problems({"p/compose.yaml": "services: {}"}, LONG="x" * 70_000)
    assert "variable 'LONG' is longer than 65536 bytes" in problem
    many = {f"V{number}": "x" * 60_000 for number in range(9)}
    (problem,) = problems({"p/compose.yaml": "services: {}"}, **many)
    assert "the variables have more than 524288 bytes together" in problem
