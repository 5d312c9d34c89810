"""`trust init`: what this server believes before it believes anything else."""

from __future__ import annotations

import re
from pathlib import Path

import click

from reconciler.cli.envelope import Answer, answering, config_option, need_yes, yes_option
from reconciler.control import actions


@click.group("trust")
def trust_command() -> None:
    """The repository, the root persons and the revision that everything else is measured from."""


@trust_command.command("init")
@click.option(
    "--revision", required=True, help="The first trusted commit (full SHA); history before it is out of scope."
)
@click.option("--root", "roots", multiple=True, help="A person of principals.yaml; all of them by default.")
@config_option
@yes_option
@answering
def init_trust(revision: str, roots: tuple[str, ...], config: Path, yes: bool) -> Answer:
    """Pin the repository, its root persons and the first revision; written once, first entry of the ledger."""
    from reconciler.bootstrap import open_parts

    if re.fullmatch(r"[0-9a-f]{40}", revision) is None:
        raise click.UsageError("--revision takes the full SHA of a commit, 40 hex digits")
    need_yes(yes, f"trust {revision[:12]} and deploy what it says")
    with open_parts(config) as parts:
        trust = actions.init_trust(parts, revision, roots)
    data = actions.trust_data(trust)
    names = ", ".join(sorted({name for name, _, _ in trust.roots}))
    return Answer(
        data, f"repository {trust.repository} is trusted from {trust.revision[:12]} on, by the word of {names}"
    )
