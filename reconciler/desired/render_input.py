"""What the renderer may see of one environment: its project's files, its variables, and nothing else.

Called by control before a render. Files of the project's other environments stay out, so that a change there leaves
this one's inputs, and so its digest, alone.
"""

from __future__ import annotations

import posixpath

from reconciler.desired.env_files import read_env_file
from reconciler.model.desired import EnvironmentSpec, RenderInput
from reconciler.model.errors import InvalidInput
from reconciler.model.location import Problem
from reconciler.model.revision import FileKind, Tree


def render_input(tree: Tree, environment: EnvironmentSpec) -> RenderInput:
    """The inputs of one render. Variables are those of the env files in their order, then `variables` over them.

    Relative paths count from the directory of the first Compose file, as plain Compose has it.
    Raises InvalidInput where an env file cannot be read (`load` reports the same earlier).
    """
    variables: dict[str, str] = {}
    problems: list[Problem] = []
    for file in environment.env_files:
        entries, found = read_env_file(file, tree.files[file].content)
        problems.extend(found)
        variables.update({entry.name: entry.value for entry in entries})
    if problems:
        raise InvalidInput(f"the env files of {environment.name} cannot be read", tuple(problems))
    variables.update(environment.variables)
    return RenderInput(
        compose_project=environment.compose_project,
        working_directory=working_directory(environment),
        compose=environment.compose,
        variables=tuple(sorted(variables.items())),
        files=_visible_files(tree, environment),
    )


def working_directory(environment: EnvironmentSpec) -> str:
    """The repository directory that relative paths of the Compose files count from."""
    return posixpath.dirname(environment.compose[0])


def project_directory(environment: EnvironmentSpec) -> str:
    """The repository directory of the environment's project; nothing outside of it is read or mounted."""
    return posixpath.dirname(environment.directory)


def _visible_files(tree: Tree, environment: EnvironmentSpec) -> dict[str, bytes]:
    project = project_directory(environment)
    others = tuple(
        f"{posixpath.dirname(path)}/"
        for path in tree.files
        if path.startswith(f"{project}/")
        and path.count("/") == 3
        and posixpath.basename(path) == "environment.yaml"
        and posixpath.dirname(path) != environment.directory
    )
    named = {*environment.compose, *environment.env_files}
    return {
        path: entry.content
        for path, entry in sorted(tree.files.items())
        if entry.kind in (FileKind.FILE, FileKind.EXECUTABLE)
        and path.startswith(f"{project}/")
        and (path in named or not path.startswith(others))
    }
