"""`rollback`, `suspend`, `resume`: asking for a change. A rollback is a pull request like any other."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.envelope import Answer, answering, config_option, need_yes, yes_option
from reconciler.cli.look import named
from reconciler.control import actions, queries
from reconciler.model.errors import NotAllowed


@click.command("rollback")
@click.argument("environment")
@click.option("--to", "to", help="The deployment whose state shall come back; the one before the current by default.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The proposer's forge token; that of the configuration by default.",
)
@config_option
@yes_option
@answering
def rollback_command(environment: str, to: str | None, token_file: Path | None, config: Path, yes: bool) -> Answer:
    """Open the revert pull request for PROJECT/ENVIRONMENT. It needs its own approval; nothing is deployed before."""
    from reconciler.bootstrap import open_parts
    from reconciler.settings import read_secret, read_settings

    name = named(environment)
    need_yes(yes, f"open a revert pull request for {name}")
    settings = read_settings(config)
    if token_file is None and settings.proposer is None:
        raise NotAllowed(
            "no proposer's token: the engine's own credential never writes code",
            hint="give --token-file, or set proposer.token_file in the configuration",
        )
    file = token_file or settings.resolve(settings.proposer.token_file if settings.proposer else Path())
    with open_parts(config) as parts:
        done = actions.rollback(parts, name, to, read_secret(file))
    data = {
        "pull_request": done.pull_request.number,
        "url": done.pull_request.url,
        "head": done.pull_request.head_sha,
        "undoes": done.undoes.id,
        "back_to": done.back_to.id,
    }
    text = f"pull request {done.pull_request.number} undoes {done.undoes.id}: {done.pull_request.url}"
    return Answer(data, text + "\nIt needs an approval of its own before anything happens.")


@click.command("suspend")
@click.argument("environment")
@click.option("--reason", required=True, help="Why; shown wherever the environment shows.")
@config_option
@yes_option
@answering
def suspend_command(environment: str, reason: str, config: Path, yes: bool) -> Answer:
    """Stop deploying and healing PROJECT/ENVIRONMENT until it is resumed."""
    from reconciler import logs
    from reconciler.bootstrap import open_parts

    name = named(environment)
    need_yes(yes, f"suspend {name}")
    logs.set_up(as_json=True)
    with open_parts(config) as parts:
        record = actions.suspend(parts, name, reason)
    return Answer(queries.environment_data(record), f"{name} is suspended: {reason}")


@click.command("resume")
@click.argument("environment")
@config_option
@yes_option
@answering
def resume_command(environment: str, config: Path, yes: bool) -> Answer:
    """Let PROJECT/ENVIRONMENT go on."""
    from reconciler import logs
    from reconciler.bootstrap import open_parts

    name = named(environment)
    need_yes(yes, f"resume {name}")
    logs.set_up(as_json=True)
    with open_parts(config) as parts:
        record = actions.resume(parts, name)
    return Answer(queries.environment_data(record), f"{name} goes on")
