"""What the process of a simulated container does: pure, from its arguments. Called by the engine when it starts one.

A process runs forever unless its command says otherwise. Understood are `true`, `false`, `echo`, `sleep N`, and
`sh -c` with simple commands joined by `;`, `&&` and `||`, with `exit N`, `echo … >&2` and `trap 'exit N' TERM`. A
variable or label SIMULATED_EXIT=CODE ends any process with that code, after a tenth of a second. A program below
/nonexistent or /no/such is not there; any other is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

EXIT_VARIABLE = "SIMULATED_EXIT"
SIGNAL_NUMBERS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15, "CONT": 18, "STOP": 19, "WINCH": 28,
}  # fmt: skip

_SHELLS = frozenset({"sh", "ash", "bash", "dash"})
# Programs that end at once; what is in neither list is taken for a server.
_SHORT = frozenset({
    ":", "[", "cat", "cd", "chmod", "chown", "cp", "date", "env", "export", "grep", "id", "ln", "ls", "mkdir",
    "mv", "printf", "pwd", "rm", "sed", "set", "test", "touch",
})  # fmt: skip
_FOREVER = 10_000_000.0
# Process 1 has no default handlers: busybox's sleep and a shell without a trap do not react to SIGTERM.
_WITHOUT_HANDLER = frozenset({"sleep", "tail", "cat"})


@dataclass(frozen=True, slots=True)
class Output:
    """A line that the process writes, `after` seconds from its start, to `stdout` or `stderr`."""

    after: float
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Process:
    """`ends_after` seconds it ends with `exit_code` (None: never by itself); `on_terminate` is the code with which it
    answers SIGTERM and its like, None when it does not react.
    """

    outputs: tuple[Output, ...] = ()
    ends_after: float | None = None
    exit_code: int = 0
    on_terminate: int | None = 0


def simulated_process(
    arguments: Sequence[str], environment: Mapping[str, str], labels: Mapping[str, str], init: bool = False
) -> Process:
    """What a container's process does when it is started with these arguments. `init`: a real init is process 1."""
    forced = environment.get(EXIT_VARIABLE) or labels.get(EXIT_VARIABLE)
    if forced:
        return Process(ends_after=0.1, exit_code=int(forced) & 255)
    program = PurePosixPath(arguments[0]).name
    rest = list(arguments[1:])
    if program == "busybox" and rest:
        program, rest = rest[0], rest[1:]
    if program in _SHELLS and len(rest) >= 2 and rest[0] == "-c":
        return _script(rest[1], environment, init)
    run = _Run(environment)
    code = run.command([program, *rest])
    handled = 143 if init else (None if program in _SHELLS or program in _WITHOUT_HANDLER else 0)
    return Process(tuple(run.outputs), run.elapsed if code is not None else None, code or 0, handled)


def missing_program(arguments: Sequence[str]) -> str | None:
    """The program that a container's command names and its image does not have, None where all is well."""
    return arguments[0] if arguments[0].startswith(("/nonexistent/", "/no/such/")) else None


def check_exit_code(test: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit code of a health check's command; one that is not understood counts as passed."""
    arguments = ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else list(test[1:])
    process = simulated_process(arguments, {k: v for k, v in environment.items() if k != EXIT_VARIABLE}, {})
    return process.exit_code if process.ends_after is not None else 0


def _script(script: str, environment: Mapping[str, str], init: bool) -> Process:
    run = _Run(environment)
    handled: int | None = 143 if init else None
    code: int | None = 0
    for joint, words in _commands(script):
        if (joint == "&&" and code != 0) or (joint == "||" and code == 0):
            continue
        if words[0] == "exit":
            code = int(words[1]) & 255 if len(words) > 1 else code
            return Process(tuple(run.outputs), run.elapsed, code or 0, handled)
        if words[0] == "trap":
            handled = _trapped(words, handled)
            code = 0
            continue
        if words[0] == "exec":
            words = words[1:] or [":"]
            handled = 143 if init else (None if words[0] in _WITHOUT_HANDLER else 0)
        code = run.command(words)
        if code is None:
            return Process(tuple(run.outputs), None, 0, handled)
    return Process(tuple(run.outputs), run.elapsed, code or 0, handled)


def _trapped(words: Sequence[str], handled: int | None) -> int | None:
    if len(words) < 3 or not {"TERM", "SIGTERM", "15"} & set(words[2:]):
        return handled
    found = re.fullmatch(r"\s*exit(?:\s+(\d+))?\s*;?\s*", words[1])
    return (int(found.group(1) or 0) & 255) if found else None


def _commands(script: str) -> list[tuple[str, list[str]]]:
    """The simple commands of a script, each with what joins it to the one before (`;`, `&&`, `||`)."""
    lexer = shlex.shlex(script.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "", True
    commands: list[tuple[str, list[str]]] = []
    joint, words = ";", list[str]()
    try:
        tokens = list(lexer)
    except ValueError:  # a quote without its end: not for us to run
        return [(";", ["while"])]
    for token in [*tokens, ";"]:
        if token in {";", "&&", "||"}:
            if words:
                commands.append((joint, words))
            joint, words = token, []
        else:
            words.append(token)
    return commands


class _Run:
    """One pass through a command: what was written so far and how much time went by."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.outputs: list[Output] = []
        self.elapsed = 0.0
        self._environment = environment

    def command(self, words: Sequence[str]) -> int | None:
        """The exit code of a simple command; None for one that runs on."""
        if any(word in {"|", "&", "<", "(", ")"} for word in words):
            return None
        program = PurePosixPath(words[0]).name
        if program == "sleep":
            seconds = _seconds(words[1:])
            self.elapsed += seconds
            return 0 if seconds < _FOREVER else None
        if program == "echo":
            return self._echo(list(words[1:]))
        if program == "false":
            return 1
        if program == "true" or program in _SHORT or re.match(r"\w+=", words[0]):
            return 0
        return None

    def _echo(self, words: list[str]) -> int:
        stream = "stdout"
        for index, word in enumerate(words):
            if word in {">", ">>", ">&"}:
                target = words[index + 1] if index + 1 < len(words) else ""
                if word != ">&":
                    return 0  # into a file, which a simulated container does not have
                stream = "stderr" if target == "2" else "stdout"
                words = words[:index]
                break
        text = re.sub(r"\$\{?(\w+)\}?", lambda found: self._environment.get(found.group(1), ""), " ".join(words))
        self.outputs.append(Output(self.elapsed, stream, text + "\n"))
        return 0


def _seconds(words: Sequence[str]) -> float:
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return _FOREVER
