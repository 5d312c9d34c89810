"""`init` and `validate`: a desired-state repository on disk, without a server."""

from __future__ import annotations

import os
from pathlib import Path

import click

from reconciler import desired
from reconciler.cli.envelope import Answer, answering
from reconciler.model.errors import InvalidInput
from reconciler.model.location import Problem


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--solo", is_flag=True, help="One person and their agents: the owner of an agent may approve it.")
@answering
def init_command(directory: Path, solo: bool) -> Answer:
    """Write a desired-state repository into DIRECTORY; files that exist are an error, and nothing is written then."""
    files = desired.starter(solo)
    there = sorted(path for path in files if _in_the_way(directory, path))
    if there:
        raise InvalidInput(f"already there: {', '.join(there[:5])}; nothing was written", where=str(directory))
    for path, content in files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as stream:  # never what appeared meanwhile
            stream.write(content)
    text = "\n".join(
        [*(f"created {path}" for path in sorted(files)), "", "Next: reconciler validate " + str(directory)]
    )
    return Answer({"directory": str(directory), "files": sorted(files)}, text)


def _in_the_way(directory: Path, path: str) -> bool:
    """Whether the file, or something else in the place of one of its directories, is there; a dead link is, too."""
    above = (parent for parent in (directory / path).parents if parent != directory and directory in parent.parents)
    return os.path.lexists(directory / path) or any(os.path.lexists(p) and not p.is_dir() for p in above)


@click.command("validate")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path())
@click.option("--render/--no-render", default=True, help="Also let Compose render every environment.")
@answering
def validate_command(directory: Path, render: bool) -> Answer:
    """Check DIRECTORY; exit 0 when nothing is wrong, 1 with every problem by file and line."""
    from reconciler.bootstrap import local_renderer, working_tree

    tree = working_tree(directory)
    state = desired.load(tree)
    services = 0
    if render:
        renderer = local_renderer()
        problems: list[Problem] = []
        for environment in state.environments:
            try:
                rendered = renderer.render(desired.render_input(tree, environment))
                services += len(rendered.model.get("services", {}))
            except InvalidInput as error:
                problems.extend(error.problems or ())
                if not error.problems:
                    raise
        if problems:
            raise InvalidInput("the repository is not valid", tuple(problems), where=str(directory))
    data = {
        "environments": [str(e.name) for e in state.environments],
        "hosts": [h.name for h in state.hosts],
        "services": services,
    }
    text = f"valid: {len(state.environments)} environments on {len(state.hosts)} hosts" + (
        f", {services} services" if render else ""
    )
    return Answer(data, text)
