"""`deployments` and `ledger`: what was done, and that nobody changed the record."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.envelope import Answer, answering, config_option, text_of
from reconciler.model.checkpoint import Claim, read_anchor
from reconciler.model.errors import NotAllowed, VerificationFailed
from reconciler.model.target import EnvironmentName
from reconciler.reports.escape import visible

if TYPE_CHECKING:
    from reconciler.control.verifying import Verified

_FILE = click.Path(path_type=Path, dir_okay=False)


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
    from reconciler.control import queries

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
    from reconciler.control import queries
    from reconciler.reports.deployment import deployment_text

    with open_records(config) as records:
        record = queries.deployment(records, deployment)
        return Answer(queries.deployment_data(records, record), deployment_text(record))


@click.command("prove")
@click.argument("deployment")
@config_option
@click.option(
    "--attestations",
    type=click.Path(path_type=Path, file_okay=False),
    help="A directory for in-toto statements of plan, approvals and deployment, signed by the installation.",
)
@click.option("--offline", is_flag=True, help="Do not ask the witness.")
@answering
def prove_command(deployment: str, config: Path, attestations: Path | None, offline: bool) -> Answer:
    """The evidence for one deployment, from what was proposed to the containers that run.

    Exit 6 where it, or the ledger, does not hold.
    """
    from reconciler import auditing
    from reconciler.bootstrap import open_records, signer_of
    from reconciler.control import attesting, proving, queries, verifying

    with auditing.installation(config, offline) as (found, outside):
        answer = verifying.checked(verifying.verify(found, outside, auditing.signatures()))
    with open_records(config) as records:
        proof = proving.prove(records, queries.deployment(records, deployment))
        if proof.faults:
            for line in proving.proof_text(proof, ()):
                click.echo(visible(line), err=True)
            raise VerificationFailed(f"{proof.deployment.id} is not proven: {'; '.join(proof.faults)}")
        shown = _verified_text(answer).split("\n")
        if answer.covered is not None and answer.covered < proof.last:
            shown.append(f"entries {answer.covered + 1} to {proof.last} of these are not signed yet")
        files = attesting.envelopes(proof, signer_of(records)) if attestations is not None else {}
    if attestations is not None:
        attestations.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (attestations / name).write_bytes(content)
        shown.append(f"attested in {attestations}: {', '.join(sorted(files))}")
    data = proving.proof_data(proof, {"valid": True, **asdict(answer)}) | {"attestations": sorted(files)}
    return Answer(data, text_of(proving.proof_text(proof, shown)))


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
    from reconciler.control import queries

    with open_records(config) as records:
        entries = queries.ledger_tail(records, limit)
    text = text_of(f"{e['sequence']:>6}  {e['at'][:19]}  {e['kind']:<22} {e['subject']}" for e in entries)
    return Answer(entries, text or "the ledger is empty")


@ledger_command.command("verify")
@config_option
@click.option("--file", "export", type=_FILE, help="Verify an export instead, without configuration and database.")
@click.option("--database", type=_FILE, help="Verify a copy of a database instead, without configuration.")
@click.option("--checkpoint", "checkpoints", type=_FILE, multiple=True, help="Compare with an exported checkpoint.")
@click.option("--anchor", "anchors", multiple=True, metavar="SIZE:ROOT", help="Compare with what a status shows.")
@click.option("--key", type=_FILE, help="The key that signs checkpoints; the installation's own by default.")
@click.option("--offline", is_flag=True, help="Do not ask the witness.")
@answering
def verify_ledger(
    config: Path,
    export: Path | None,
    database: Path | None,
    checkpoints: tuple[Path, ...],
    anchors: tuple[str, ...],
    key: Path | None,
    offline: bool,
) -> Answer:
    """Compare the ledger with its checkpoints, the witness and what you bring. Exit 0 when it holds, 6 when it was
    tampered with, 1 when that cannot be told: something is missing or cannot be read.
    """
    from reconciler import auditing
    from reconciler.control import verifying

    claims = _claims(anchors)
    with ExitStack() as stack:
        if export is not None and database is not None:
            raise click.UsageError("--file and --database are two ledgers; name one")
        if export is not None:
            found, outside = auditing.export(export)
        elif database is not None:
            found, outside = stack.enter_context(auditing.database(database))
        else:
            found, outside = stack.enter_context(auditing.installation(config, offline))
        brought = replace(
            outside,
            key=auditing.public_key(key) if key is not None else outside.key,
            checkpoints=(*outside.checkpoints, *map(auditing.checkpoint, checkpoints)),
            anchors=claims,
        )
        answer = verifying.checked(verifying.verify(found, brought, auditing.signatures()))
    data = {"valid": True, **asdict(answer)}
    return Answer(data, _verified_text(answer))


def _verified_text(answer: Verified) -> str:
    lines = [f"the ledger holds: {answer.size} entries, head {answer.head}"]
    if answer.covered is None:
        lines.append(
            "no signed checkpoint speaks for it: nothing tells whether its end was cut off or all written anew"
        )
    else:
        lines.append(f"signed checkpoints speak for {answer.covered} of them")
    lines += [f"it agrees with {where}" for where in answer.compared]
    return text_of(lines)


def _claims(anchors: tuple[str, ...]) -> tuple[Claim, ...]:
    try:
        return tuple(map(read_anchor, anchors))
    except ValueError as error:
        raise click.UsageError(f"--anchor: {error}") from error


@ledger_command.command("checkpoint")
@config_option
@answering
def checkpoint_ledger(config: Path) -> Answer:
    """Sign the ledger's head now and give it to the witness; what `serve` does after each deployment and by time."""
    from reconciler import logs
    from reconciler.bootstrap import open_parts
    from reconciler.control import checkpoints

    logs.set_up(as_json=True)
    with open_parts(config) as parts:
        signed = checkpoints.make(parts)
        checkpoints.bear_witness(parts)
    found = signed.checkpoint
    data = {**asdict(found), "anchor": found.anchor, "text": signed.text}
    return Answer(data, f"{found.origin}: {found.size} entries, root {found.root}\nanchor {found.anchor}")


@ledger_command.command("restored")
@click.option("--reason", required=True, help="Why entries are missing, e.g. which backup it is.")
@config_option
@answering
def restored_ledger(reason: str, config: Path) -> Answer:
    """Go on with a ledger that was restored from a backup: what was signed beyond it is set aside and on record.

    Nothing is deployed before that, because what was said or decided may be missing.
    """
    from reconciler import logs
    from reconciler.bootstrap import open_parts
    from reconciler.control import checkpoints

    logs.set_up(as_json=True)
    with open_parts(config) as parts:
        lost = checkpoints.begin_anew(parts, reason)
        if lost is None:
            raise NotAllowed("the ledger holds all that was signed, so there is nothing to go on from")
        found = checkpoints.make(parts).checkpoint
    data = {"lost": asdict(lost), **asdict(found), "anchor": found.anchor}
    return Answer(
        data, f"{lost.anchor} of {lost.origin} is set aside; {found.origin} goes on with {found.size} entries"
    )


@ledger_command.command("export")
@config_option
@click.option("--output", type=_FILE, help="A file; stdout by default.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="A directory for ledger.jsonl, the newest checkpoint and allowed_signers.",
)
@answering
def export_ledger(config: Path, output: Path | None, directory: Path | None) -> Answer:
    """One stored entry per line, byte for byte: the SHA-256 of a line is the `previous` of the next."""
    from reconciler.bootstrap import open_records, public_key_of
    from reconciler.control import queries

    if output is not None and directory is not None:
        raise click.UsageError("--output and --directory are two places; name one")
    with open_records(config) as records:
        lines = queries.export_lines(records)
        if directory is not None:
            files = queries.export_files(records, lines, public_key_of(records))
            directory.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (directory / name).write_bytes(content)
            data = {"directory": str(directory), "entries": len(lines), "files": sorted(files)}
            missing = "" if "checkpoint" in files else "; there is no checkpoint yet: `reconciler ledger checkpoint`"
            return Answer(data, f"{len(lines)} entries in {directory}{missing}")
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
