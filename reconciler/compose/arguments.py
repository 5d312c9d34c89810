"""Argument vectors for Compose, one service per call; called by driving.ComposeProgram.

Each vector was found to do exactly one thing with v5.6 against a real engine. Do not add `create`, `start`, bare
`restart`, `scale`, `--remove-orphans`, `--wait` or `--yes`: each touches more than the service that it names.
"""

from __future__ import annotations

from typing import assert_never

from reconciler.model.plan import (
    CreateService,
    RecreateService,
    RunJob,
    ScaleService,
    ServiceOperation,
    StartService,
)


def arguments(operation: ServiceOperation, compose_project: str, directory: str) -> tuple[str, ...]:
    """The arguments after the program's name; the execution model is read from standard input.

    `directory` only names the project directory: the model holds no relative path, so nothing is read there.
    """
    prefix = ("--env-file", "/dev/null", "-p", compose_project, "--project-directory", directory, "-f", "-")
    return prefix + _command(operation)


def _command(operation: ServiceOperation) -> tuple[str, ...]:
    name = operation.service
    keep = ("up", "-d", "--no-deps", "--no-recreate", "--pull", "never", "--no-build")
    replace = ("up", "-d", "--no-deps", "--force-recreate", "--pull", "never", "--no-build")
    match operation:
        case CreateService() | StartService():
            return (*keep, name)
        case RecreateService() | RunJob():
            return (*replace, name)
        case ScaleService(replicas=replicas):
            return (*keep, "--scale", f"{name}={replicas}", name)
        case _:
            assert_never(operation)
