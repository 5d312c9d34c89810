"""`break-glass`: deploying past the gate in an emergency, by persons who sign for one plan, and the review of it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from reconciler.cli.envelope import (
    NOT_ALLOWED,
    OK,
    UNVERIFIED,
    Answer,
    answering,
    config_option,
    need_yes,
    text_of,
    yes_option,
)
from reconciler.cli.look import named
from reconciler.control import breaking_glass, queries
from reconciler.control.breaking_glass import Asked, Credentials, Shown
from reconciler.model.deployment import Deployment, DeploymentState
from reconciler.model.target import EnvironmentName
from reconciler.reports.deployment import deployment_text
from reconciler.reports.plan import plan_text

a_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("break-glass")
@click.argument("environment")
@click.option("--revision", help="The commit to deploy (full SHA), on any branch of the repository.")
@click.option("--plan", "plans", multiple=True, help="The whole digest that --dry-run showed, once for each plan.")
@click.option("--reason", help="Why, on one line; it is signed, and shows wherever the environment does.")
@click.option("--ticket", help="Where it is written down.")
@click.option("--issued", help="When the statement was made that another person signed, as --dry-run printed it.")
@click.option(
    "--sign",
    "key",
    type=a_file,
    help="Sign with this SSH key (or the .pub of one that an agent or hardware token holds).",
)
@click.option(
    "--second-signature",
    "--signature",
    "signatures",
    multiple=True,
    type=a_file,
    help="A file with a signature that was made elsewhere over the same statement (namespace reconciler-break-glass).",
)
@click.option("--token-file", type=a_file, help="Your own forge token; never an agent's, and never the server's.")
@click.option(
    "--despite-suspension", is_flag=True, help="Although somebody suspended the environment; it is signed too."
)
@click.option(
    "--forge-is-down", is_flag=True, help="Go on where the forge cannot be asked or told; two persons sign then."
)
@click.option("--dry-run", is_flag=True, help="Show the plan, who has to sign, and the statement; change nothing.")
@click.option("--statement", is_flag=True, help="Only the text to sign, byte for byte; changes nothing.")
@click.option("--review", is_flag=True, help="Review what another person did: sign the same statement, afterwards.")
@config_option
@yes_option
@answering
def break_glass_command(
    environment: str,
    revision: str | None,
    plans: tuple[str, ...],
    reason: str | None,
    ticket: str | None,
    issued: str | None,
    key: Path | None,
    signatures: tuple[Path, ...],
    token_file: Path | None,
    despite_suspension: bool,
    forge_is_down: bool,
    dry_run: bool,
    statement: bool,
    review: bool,
    config: Path,
    yes: bool,
) -> Answer:
    """Deploy a commit to PROJECT/ENVIRONMENT past the gate. People only; announced, recorded, and marked afterwards."""
    name = named(environment)
    if review:
        if dry_run or statement:
            return _due(name, statement, config)
        return _review(name, _credentials(token_file, key, signatures, forge_is_down=False), config, yes)
    if not revision or reason is None or ticket is None:
        raise click.UsageError("--revision, --reason and --ticket say what is done, why, and where it is written down")
    asked = Asked(name, revision, reason, ticket, plans, _moment(issued), despite_suspension)
    if dry_run or statement:
        return _show(asked, statement, config)
    if not plans:
        raise click.UsageError("--plan names what was read; --dry-run shows it")
    if signatures and issued is None:
        raise click.UsageError(
            "--issued names the time of the statement that was signed elsewhere; --dry-run prints it"
        )
    shown = _credentials(token_file, key, signatures, forge_is_down)
    from reconciler import logs
    from reconciler.bootstrap import open_parts

    need_yes(yes, f"deploy {revision[:12]} to {name} past the gate")
    logs.set_up(as_json=not sys.stderr.isatty())
    with open_parts(config) as parts:
        done = breaking_glass.break_glass(parts, asked, shown)
        return _done(done, queries.deployment_data(parts, done))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--issued is no time: '{text}'") from error
    if moment.utcoffset() != timedelta(0) or moment.microsecond:
        raise click.UsageError("--issued is in UTC and whole seconds, as --dry-run printed it")
    return moment.astimezone(UTC)


def _credentials(
    token_file: Path | None, key: Path | None, signatures: tuple[Path, ...], forge_is_down: bool
) -> Credentials:
    from reconciler.bootstrap import personal_key
    from reconciler.settings import read_secret

    if token_file is None or (key is None and not signatures):
        raise click.UsageError("--token-file and --sign (or --signature): a token alone breaks no glass")
    return Credentials(
        token=read_secret(token_file),
        signer=personal_key(key) if key is not None else None,
        signatures=tuple(file.read_text(encoding="ascii", errors="replace") for file in signatures),
        forge_is_down=forge_is_down,
    )


def _show(asked: Asked, statement: bool, config: Path) -> Answer:
    from reconciler.bootstrap import open_parts

    with open_parts(config) as parts:
        shown = breaking_glass.show(parts, asked)
    if statement:
        return Answer({"statement": shown.text}, shown.text.rstrip("\n"), exact=True)
    data: dict[str, Any] = {
        "environment": str(asked.environment),
        "revision": asked.revision,
        "targets": [queries.plan_data(plan) for plan in shown.plans],
        "plans": {str(target): digest for target, digest in shown.statement.plans},
        "issued": shown.statement.issued.isoformat(),
        "statement": shown.text,
        "may": list(shown.may),
        "needs": list(shown.needs),
        "against": [{"rule": each.rule, "text": each.text} for each in shown.against],
    }
    return Answer(data, _preview(shown), NOT_ALLOWED if shown.against else OK)


def _preview(shown: Shown) -> str:
    lines = [plan_text(plan.plan) for plan in shown.plans]
    lines += [text_of(f"  {each.rule}: {each.text}" for each in shown.against)] if shown.against else []
    if shown.may:
        lines.append(text_of([f"may break the glass: {', '.join(shown.may)}", *(f"  {need}" for need in shown.needs)]))
    lines.append(f"The statement, which lives 15 minutes (--issued {shown.statement.issued.isoformat()}):\n")
    lines.append(text_of(f"    {line}" for line in shown.text.splitlines()))
    return "\n".join(lines)


def _done(done: Deployment, data: dict[str, Any]) -> Answer:
    text = deployment_text(done)
    if done.outcome is DeploymentState.SUCCEEDED:
        text += "\nThe environment is marked BrokenGlass until a pull request reproduces what runs now."
    return Answer(data, text, OK if done.outcome is DeploymentState.SUCCEEDED else UNVERIFIED)


def _due(name: EnvironmentName, statement: bool, config: Path) -> Answer:
    from reconciler.bootstrap import open_parts

    with open_parts(config) as parts:
        found = breaking_glass.due(parts, name)
        record = queries.deployment(parts, found.one.deployment)
    if statement:
        return Answer({"statement": found.statement}, found.statement.rstrip("\n"), exact=True)
    data = {"environment": str(name), "deployment": found.one.deployment, "statement": found.statement}
    text = f"{deployment_text(record)}\nreview is due until {found.one.review_by}; the statement that was signed:\n\n"
    return Answer(data | {"review_by": found.one.review_by}, text + found.statement.rstrip("\n"))


def _review(name: EnvironmentName, shown: Credentials, config: Path, yes: bool) -> Answer:
    from reconciler import logs
    from reconciler.bootstrap import open_parts

    need_yes(yes, f"say that you reviewed how the glass of {name} was broken")
    logs.set_up(as_json=not sys.stderr.isatty())
    with open_parts(config) as parts:
        found = breaking_glass.review(parts, name, shown)
        record = parts.states.environment(name)
    data = queries.environment_data(record) if record is not None else {}
    return Answer(data | {"reviewed": found.one.deployment}, f"{found.one.deployment} is reviewed")
