"""What a simulated process does is read from its command."""

import pytest

from reconciler.simulation.process import Output, check_exit_code, simulated_process

ENVIRONMENT = {"RELEASE": "1.4"}


@pytest.mark.parametrize(
    ("arguments", "ends_after", "exit_code"),
    [
        (["nginx", "-g", "daemon off;"], None, 0),
        (["sleep", "infinity"], None, 0),
        (["sleep", "2147483647"], None, 0),
        (["sleep", "2"], 2.0, 0),
        (["true"], 0.0, 0),
        (["/bin/false"], 0.0, 1),
        (["busybox", "false"], 0.0, 1),
        (["sh"], None, 0),
        (["sh", "-c", "exit 3"], 0.0, 3),
        (["sh", "-c", "sleep 1; sleep 0.5; exit 300"], 1.5, 300 & 255),
        (["/bin/sh", "-c", "mkdir -p /data && exec serve --data /data"], None, 0),
        (["sh", "-c", "false && exit 9"], 0.0, 1),
        (["sh", "-c", "false || exit 9"], 0.0, 9),
        (["sh", "-c", "true || exit 9"], 0.0, 0),
        (["sh", "-c", "echo a\nexit 4"], 0.0, 4),
        (["sh", "-c", "while true; do sleep 1; done"], None, 0),
        (["sh", "-c", "migrate | tee log; exit 1"], None, 0),
        (["sh", "-c", "echo 'no end"], None, 0),
    ],
)
def test_a_process_ends_as_its_command_says_and_else_never(
    arguments: list[str], ends_after: float | None, exit_code: int
) -> None:
    process = simulated_process(arguments, ENVIRONMENT, {})
    assert (process.ends_after, process.exit_code) == (ends_after, exit_code)


def test_echo_writes_to_either_stream_with_variables_put_in() -> None:
    script = 'echo "release $RELEASE${NOTHING}"; sleep 1; echo trouble >&2; echo kept > /file'
    assert simulated_process(["sh", "-c", script], ENVIRONMENT, {}).outputs == (
        Output(0.0, "stdout", "release 1.4\n"),
        Output(1.0, "stderr", "trouble\n"),
    )


@pytest.mark.parametrize("given", ["variable", "label"])
def test_a_variable_or_label_ends_any_process(given: str) -> None:
    forced = {"SIMULATED_EXIT": "7"}
    process = simulated_process(["serve"], forced if given == "variable" else {}, forced if given == "label" else {})
    assert (process.ends_after, process.exit_code) == (0.1, 7)


@pytest.mark.parametrize(
    ("arguments", "init", "answer"),
    [
        (["serve"], False, 0),
        (["sleep", "60"], False, None),
        (["sh", "-c", "while true; do sleep 1; done"], False, None),
        (["sh", "-c", "trap 'exit 5' TERM; while true; do sleep 1; done"], False, 5),
        (["sh", "-c", "trap '' TERM; sleep 60"], False, None),
        (["sh", "-c", "trap 'exit 5' INT; sleep 60"], False, None),
        (["sh", "-c", "exec serve"], False, 0),
        (["sleep", "60"], True, 143),
    ],
)
def test_process_one_answers_sigterm_only_where_something_handles_it(
    arguments: list[str], init: bool, answer: int | None
) -> None:
    assert simulated_process(arguments, {}, {}, init).on_terminate == answer


@pytest.mark.parametrize(
    ("test", "code"),
    [
        (["CMD", "true"], 0),
        (["CMD", "false"], 1),
        (["CMD-SHELL", "exit 1"], 1),
        (["CMD-SHELL", "wget -q -O- localhost || exit 1"], 0),
        (["CMD", "pg_isready"], 0),
    ],
)
def test_a_health_check_fails_only_where_its_command_says_so(test: list[str], code: int) -> None:
    assert check_exit_code(test, {"SIMULATED_EXIT": "1"}) == code
