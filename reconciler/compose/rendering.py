"""Renders one environment with the official Compose in a sandbox; implements ports.Renderer, called by control.

The sandbox (gate 73, 82): a private directory with only the files that the compose files reach, no environment but the
declared variables, neither our network nor, for root, our rights where the machine lets us take them away (`unshare`),
bounded time, memory and output. Remote and outside sources are refused before it runs in any case. Answers are kept by
the digest of their inputs.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import re
import shutil
import subprocess
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.compose import process
from reconciler.compose.admission import (
    MOST_UPWARD,
    OUR_ENVIRONMENT,
    Admission,
    admit,
    locate,
    passed_through,
    undeclared,
)
from reconciler.compose.driving import wheel_binary
from reconciler.model.canonical import digest, digest_bytes
from reconciler.model.desired import Rendered, RenderInput
from reconciler.model.errors import InvalidInput, Retryable, Terminal
from reconciler.model.location import Location, Problem
from reconciler.model.redaction import printable

_RULES = 3  # raise it whenever admission becomes stricter: kept answers must not outlive the check
_OUTPUT = 16 << 20
_EXACT = 2**53 - 1  # beyond it RFC 8785, and so the digest, has no number
_NOBODY = 65534  # the id that no file should belong to
_UNSET = re.compile(r'The \\?"([A-Za-z_][A-Za-z0-9_]*)\\?" variable is not set')
_LOG_LINE = re.compile(r'^time="[^"]*" level=\w+ msg=')
_KEYS = re.compile(r"\b(services|networks|volumes|configs|secrets)\.([\w.\-]+)")
_SERVICE = re.compile(r'\bservice "([^"]+)"')
_LINES = (re.compile(r"line (\d+): mapping key"), re.compile(r"\bL(\d+)\.C\d+"), re.compile(r"\bline (\d+)"))
_OF_THE_SANDBOX = frozenset({"DOCKER_CONFIG", "PWD"})
_TREE = "/".join(["t"] * (MOST_UPWARD + 2))  # so deep that no admitted path climbs out of the sandbox


class SandboxRenderer:
    """Implements ports.Renderer. `cache` is a directory of ours for answers (None: memory only), `timeout` in
    seconds, `memory_bytes` the most that Compose may allocate. Safe to share between threads.
    """

    def __init__(
        self,
        cache: Path | None,
        binary: Path | None = None,
        timeout: float = 20,
        memory_bytes: int = 1 << 30,
        kept: int = 256,
    ) -> None:
        self._cache = cache
        self._binary = binary or wheel_binary()
        self._timeout = timeout
        self._memory_bytes = memory_bytes
        self._processor_seconds = int(timeout) + 1
        self._kept = kept
        self._answers: OrderedDict[str, Rendered] = OrderedDict()
        self._lock = threading.Lock()
        self._name: str | None = None
        self._isolation: _Isolation | None = None

    def render(self, inputs: RenderInput) -> Rendered:
        """Raises InvalidInput with repository file names, Retryable when the machine let it down."""
        renderer = self._renderer()
        key = _inputs_digest(inputs, renderer)
        kept = self._recall(key, renderer)
        if kept is not None:
            return kept
        admission = admit(inputs)
        if admission.problems:
            raise _refusal(admission.problems)
        rendered = Rendered(self._run(inputs, admission), key, renderer)
        self._keep(rendered)
        return rendered

    def _run(self, inputs: RenderInput, admission: Admission) -> Mapping[str, Any]:
        with tempfile.TemporaryDirectory(prefix="reconciler-render-") as name:
            sandbox = Path(name)
            tree, home = sandbox / _TREE, sandbox / "home"
            home.mkdir(mode=0o700)
            for path, content in admission.files.items():
                file = tree / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            directory = tree / inputs.working_directory
            directory.mkdir(parents=True, exist_ok=True)
            files = [posixpath.relpath(path, inputs.working_directory or ".") for path in inputs.compose]
            isolation = self._isolate()
            vector = [*isolation.prefix, str(self._binary), "--env-file", "/dev/null", "-p", inputs.compose_project]
            vector += ["--project-directory", "."]
            for file_name in files:
                vector += ["-f", file_name]
            vector += ["config", "--format", "json", "--no-path-resolution"]
            if isolation.user is not None:
                for entry in (sandbox, *sandbox.rglob("*")):
                    os.chown(entry, isolation.user, isolation.user)
            # Without HOME, so that ${HOME} is undeclared like any other; DOCKER_CONFIG keeps it from /etc/passwd's.
            environment = {"DOCKER_CONFIG": str(home), **dict(inputs.variables)}
            bounds = process.Bounds(self._timeout, _OUTPUT)
            if not isolation.limited:
                bounds = process.Bounds(self._timeout, _OUTPUT, self._memory_bytes, self._processor_seconds)
            try:
                finished = process.run(vector, environment, directory, b"", bounds)
            except OSError as error:
                raise Retryable(f"Compose does not start: {error}", where=str(self._binary)) from error
            return self._judge(inputs, admission, finished, str(sandbox))

    def _judge(
        self, inputs: RenderInput, admission: Admission, finished: process.Finished, sandbox: str
    ) -> Mapping[str, Any]:
        main = inputs.compose[0]
        errors = finished.stderr.decode("utf-8", "replace")
        if finished.timed_out:
            raise InvalidInput(f"rendering took longer than {self._timeout:g} s and was stopped", where=main)
        if "runtime: out of memory" in errors or "cannot allocate memory" in errors:
            raise InvalidInput(f"rendering needs more than {self._memory_bytes >> 20} MiB of memory", where=main)
        if finished.exit_code < 0:
            raise InvalidInput(f"rendering was ended by signal {-finished.exit_code}", where=main)
        declared = frozenset(name for name, _ in inputs.variables)
        problems = undeclared(admission, inputs, frozenset(_UNSET.findall(errors)) - declared)
        problems += passed_through(admission, declared)
        if finished.exit_code != 0:
            problems.append(_translate(errors, admission, main, sandbox))
        elif finished.overflowed:
            raise InvalidInput(f"the rendered model is larger than {_OUTPUT >> 20} MiB", where=main)
        if problems:
            raise _refusal(problems)
        model = _parse(finished.stdout, main)
        problems = _valueless(model, admission, main)
        if sandbox in finished.stdout.decode("utf-8", "replace"):
            problems += undeclared(admission, inputs, _OF_THE_SANDBOX - declared, only_used=True)
            text = "takes PWD or DOCKER_CONFIG from the machine that renders it"
            problems.append(Problem(Location(main), text, "declare it under another name", OUR_ENVIRONMENT))
        if problems:
            raise _refusal(problems)
        return model

    def _renderer(self) -> str:
        with self._lock:
            if self._name is None:
                try:
                    with tempfile.TemporaryDirectory(prefix="reconciler-render-") as home:
                        finished = process.run(
                            (str(self._binary), "version", "--short"),
                            {"DOCKER_CONFIG": home},
                            Path(home),
                            b"",
                            process.Bounds(self._timeout, 4096),
                        )
                except OSError as error:
                    raise Terminal(f"Compose does not start: {error}", where=str(self._binary)) from error
                version = finished.stdout.decode("utf-8", "replace").strip().removeprefix("v")
                if finished.exit_code != 0 or not re.fullmatch(r"[0-9A-Za-z.+~-]{1,64}", version):
                    raise Terminal("does not say its version like Compose", where=str(self._binary))
                self._name = f"docker-compose v{version}"
            return self._name

    def _isolate(self) -> _Isolation:
        """What this machine allows, found out once."""
        with self._lock:
            if self._isolation is None:
                self._isolation = _find_isolation(self._binary, self._memory_bytes, self._processor_seconds)
            return self._isolation

    @property
    def network_isolated(self) -> bool:
        """Whether Compose runs without any network here; otherwise refusing remote sources beforehand has to do."""
        return bool(self._isolate().prefix)

    def _recall(self, key: str, renderer: str) -> Rendered | None:
        with self._lock:
            if (answer := self._answers.get(key)) is not None:
                self._answers.move_to_end(key)
                return answer
        if self._cache is None:
            return None
        try:
            stored = json.loads((self._cache / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(stored, dict) or not isinstance(model := stored.get("model"), dict):
            return None
        if stored.get("renderer") != renderer or stored.get("digest") != digest(model):
            return None
        rendered = Rendered(model, key, renderer)
        self._remember(rendered)
        return rendered

    def _keep(self, rendered: Rendered) -> None:
        self._remember(rendered)
        if self._cache is None:
            return
        document = {"renderer": rendered.renderer, "digest": digest(rendered.model), "model": rendered.model}
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
            self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=self._cache, prefix=".new-")
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(document).encode())
            Path(temporary).replace(self._cache / f"{rendered.inputs_digest}.json")

    def _remember(self, rendered: Rendered) -> None:
        with self._lock:
            self._answers[rendered.inputs_digest] = rendered
            self._answers.move_to_end(rendered.inputs_digest)
            while len(self._answers) > self._kept:
                self._answers.popitem(last=False)


def _refusal(problems: list[Problem]) -> InvalidInput:
    ordered = sorted(set(problems), key=lambda p: (p.location.file, p.location.line or 0, p.text))
    return InvalidInput("the Compose files cannot be rendered", tuple(ordered))


def _inputs_digest(inputs: RenderInput, renderer: str) -> str:
    return digest(
        {
            "renderer": renderer,
            "rules": _RULES,
            "compose_project": inputs.compose_project,
            "working_directory": inputs.working_directory,
            "compose": list(inputs.compose),
            "variables": [list(pair) for pair in inputs.variables],
            "files": {path: digest_bytes(content) for path, content in inputs.files.items()},
        }
    )


@dataclass(frozen=True, slots=True)
class _Isolation:
    """What is put before the command, and the user id that it then runs as (None: ours); `limited` where the prefix
    sets the limits, because afterwards we may not.
    """

    prefix: tuple[str, ...]
    user: int | None = None
    limited: bool = False


def _find_isolation(binary: Path, memory_bytes: int, processor_seconds: int) -> _Isolation:
    """The strictest of three that works with this binary here; nothing where none does."""
    unshare, prlimit = shutil.which("unshare"), shutil.which("prlimit")
    if unshare is None:
        return _Isolation(())
    candidates = [_Isolation((unshare, "--net", "--")), _Isolation((unshare, "--map-root-user", "--net", "--"))]
    if prlimit is not None:
        limits = (prlimit, f"--data={memory_bytes}", f"--cpu={processor_seconds}", "--")
        nobody = (unshare, "--net", "--setgid", str(_NOBODY), "--setuid", str(_NOBODY), "--")
        candidates.insert(0, _Isolation((*limits, *nobody), _NOBODY, limited=True))
    for candidate in candidates:
        if _works(candidate, binary):
            return candidate
    return _Isolation(())


def _works(isolation: _Isolation, binary: Path) -> bool:
    """Whether the program starts under it and a file of a sandbox can be read (TMPDIR may be closed to others)."""
    with tempfile.TemporaryDirectory(prefix="reconciler-render-") as name:
        file = Path(name) / "file"
        file.touch(mode=0o600)
        try:
            if isolation.user is not None:
                for entry in (Path(name), file):
                    os.chown(entry, isolation.user, isolation.user)
            for command in (("/bin/cat", str(file)), (str(binary), "version", "--short")):
                tried = [*isolation.prefix, *command]
                environment = {"DOCKER_CONFIG": "/nonexistent"}
                if subprocess.run(tried, env=environment, capture_output=True, timeout=5, check=False).returncode != 0:
                    return False
        except (OSError, subprocess.TimeoutExpired):
            return False
    return True


def _parse(output: bytes, main: str) -> Mapping[str, Any]:
    def exact(digits: str) -> int:
        number = int(digits) if len(digits) <= len(str(_EXACT)) + 1 else _EXACT + 1
        if abs(number) > _EXACT:
            raise InvalidInput(f"a number is larger than {_EXACT}: {digits[:40]}", where=main)
        return number

    try:
        model = json.loads(output, parse_int=exact)
    except ValueError as error:
        raise InvalidInput(f"Compose did not answer with JSON: {error}", where=main) from error
    if not isinstance(model, dict):
        raise InvalidInput("Compose did not answer with a model", where=main)
    return model


def _valueless(model: Mapping[str, Any], admission: Admission, main: str) -> list[Problem]:
    """Environment variables without a value: Compose would take them from our own environment."""
    problems = []
    for service, definition in (model.get("services") or {}).items():
        for name, value in (definition.get("environment") or {}).items():
            if value is None:
                place = locate(admission, main, ("services", service, "environment", name))
                problems.append(
                    Problem(
                        place,
                        f"'{name}' of service '{service}' has no value and is not a declared variable",
                        f'declare it, or write {name}: ""',
                        OUR_ENVIRONMENT,
                    )
                )
    return problems


def _translate(errors: str, admission: Admission, main: str, sandbox: str) -> Problem:
    """What Compose said, with the repository's file names and, where it can be found, the line."""
    lines = [line for line in printable(errors).splitlines() if line.strip() and not _LOG_LINE.match(line)]
    text = " ".join(line.strip() for line in lines) or "Compose refused the files without a word"
    text = text.replace(f"{sandbox}/{_TREE}/", "").replace(f"{sandbox}/{_TREE}", ".").replace(sandbox, "")
    text = text[:2000]
    named = next((path for path in sorted(admission.files, key=len, reverse=True) if path in text), None)
    for pattern in _LINES:
        if (line := pattern.search(text)) is not None:
            return Problem(Location(named or main, int(line[1])), text)
    keys: tuple[str, ...] = ()
    if (match := _KEYS.search(text)) is not None:
        keys = (match[1], *match[2].rstrip(".").split("."))
    elif (match := _SERVICE.search(text)) is not None:
        keys = ("services", match[1])
    if keys:
        place = locate(admission, named or main, keys)
        return Problem(place, text)
    return Problem(Location(named or main), text)
