"""`deployments` and `ledger`: what was done, and that nobody changed the record."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.envelope import Answer, answering, config_option, text_of
from reconciler.control import queries
from reconciler.model.errors import VerificationFailed
from reconciler.model.target import EnvironmentName
from reconciler.reports.deployment import deployment_text


@click.group("deployments")
def deployments_command() -> None:
    """Deployment records: who, what, by whose consent, and how it ended."""


@deployments_command.command("list")
@click.argument("environment", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@config_option
@answering
def list_deployments(environment: str | None, limit: int, config: Path) -> Answer:
    """Newest first, of PROJECT/ENVIRONMENT or of all."""
    from reconciler.bootstrap import open_records

    with open_records(config) as records:
        found = queries.deployments(records, _environment(environment), limit)
    text = text_of(
        f"{d['id']}  {d['outcome']:<13} {d['kind']:<9} {d['project']}/{d['environment']}  "
        f"{d['revision'][:12]}  {d['started_at']}"
        for d in found
    )
    return Answer(found, text or "no deployments yet")


@deployments_command.command("show")
@click.argument("deployment")
@config_option
@answering
def show_deployment(deployment: str, config: Path) -> Answer:
    """One record, whole."""
    from reconciler.bootstrap import open_records

    with open_records(config) as records:
        record = queries.deployment(records, deployment)
        return Answer(queries.deployment_data(records, record), deployment_text(record))


@click.group("ledger")
def ledger_command() -> None:
    """The append-only record of every decision and every deployment."""


@ledger_command.command("show")
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True)
@config_option
@answering
def show_ledger(limit: int, config: Path) -> Answer:
    """The newest entries, oldest of them first."""
    from reconciler.bootstrap import open_records

    with open_records(config) as records:
        entries = queries.ledger_tail(records, limit)
    text = text_of(f"{e['sequence']:>6}  {e['at'][:19]}  {e['kind']:<22} {e['subject']}" for e in entries)
    return Answer(entries, text or "the ledger is empty")


@ledger_command.command("verify")
@config_option
@click.option("--file", "export", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="An export.")
@answering
def verify_ledger(config: Path, export: Path | None) -> Answer:
    """Walk the chain. Exit 0 when it holds, 6 when it was tampered with, 1 when it cannot be read."""
    from reconciler.bootstrap import open_records

    if export is not None:
        found = queries.verify_export(export.read_bytes())
    else:
        with open_records(config) as records:
            found = queries.verify_ledger(records)
    if not found["valid"]:
        raise VerificationFailed(f"the ledger was tampered with: entry {found['broken_at']} {found['reason']}")
    return Answer(found, f"the ledger holds: {found['size']} entries, head {found['head']}")


@ledger_command.command("export")
@config_option
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; stdout by default.")
@answering
def export_ledger(config: Path, output: Path | None) -> Answer:
    """One stored entry per line, byte for byte: the SHA-256 of a line is the `previous` of the next."""
    from reconciler.bootstrap import open_records

    with open_records(config) as records:
        lines = queries.export_lines(records)
    if output is not None:
        output.write_bytes(b"".join(line + b"\n" for line in lines))
        return Answer({"file": str(output), "entries": len(lines)}, f"{len(lines)} entries in {output}")
    text = "\n".join(line.decode() for line in lines)
    return Answer({"entries": [line.decode() for line in lines]}, text, exact=True)


def _environment(text: str | None) -> EnvironmentName | None:
    if text is None:
        return None
    try:
        return EnvironmentName.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
