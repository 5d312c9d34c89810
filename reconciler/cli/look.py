"""`plan`, `status`, `why`, `drift`, `capabilities`: looking, and changing nothing."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.envelope import DIFFERENCES, OK, WAITING, Answer, answering, config_option, text_of
from reconciler.control import access, queries
from reconciler.control.parts import Parts
from reconciler.model.target import EnvironmentName
from reconciler.reports.gate import outcome


@click.command("plan")
@click.option("--pull-request", "number", type=int, help="Plan a pull request, merged with the deploy branch.")
@click.option("--revision", help="Plan a commit (full SHA).")
@click.option("--working-tree", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Plan a directory.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 5 when there is something to do.")
@click.option("--ci", is_flag=True, help="Exit 0 where only an approval is missing.")
@config_option
@answering
def plan_command(
    number: int | None,
    revision: str | None,
    working_tree: Path | None,
    detailed_exitcode: bool,
    ci: bool,
    config: Path,
) -> Answer:
    """Show exactly what would be done, made on the live hosts; nothing is changed or posted."""
    from reconciler.bootstrap import open_parts

    if sum(option is not None for option in (number, revision, working_tree)) != 1:
        raise click.UsageError("name one of --pull-request, --revision, --working-tree")
    with open_parts(config) as parts:
        preview = _preview(parts, number, revision, working_tree)
    code = OK
    if preview.gate is not None and outcome(preview.gate) != "open" and not ci:
        code = WAITING
    if detailed_exitcode and preview.differs:
        code = DIFFERENCES
    return Answer(preview.data, preview.text, code)


def _preview(parts: Parts, number: int | None, revision: str | None, working_tree: Path | None) -> queries.Preview:
    if number is not None:
        return queries.plan_pull_request(parts, number)
    if revision is not None:
        return queries.plan_revision(parts, revision)
    from reconciler.bootstrap import working_tree as read

    return queries.plan_tree(parts, read(working_tree or Path()))


@click.command("status")
@config_option
@answering
def status_command(config: Path) -> Answer:
    """Every environment as the control plane last saw it."""
    from reconciler.bootstrap import open_records

    with open_records(config) as records:
        found = queries.status(records)
    lines = []
    for e in found:
        hold = f"  {e['hold'] or ''} {e['reason']}".rstrip()
        if e["broken_glass"] and e["hold"] != "BrokenGlass":
            hold += f"  (BrokenGlass: {', '.join(each['deployment'] for each in e['broken_glass'])})"
        lines.append(f"{e['environment']:<28} {e['sync']:<10} {e['health']:<12} {(e['revision'] or '-')[:12]}{hold}")
        lines += [f"  {text}" for text in queries.remarks(e)]
    return Answer(found, text_of(lines) or "nothing is known yet; does `reconciler serve` run?")


@click.command("why")
@click.argument("environment")
@config_option
@answering
def why_command(environment: str, config: Path) -> Answer:
    """Why PROJECT/ENVIRONMENT is where it is, and who or what is missing."""
    from reconciler.bootstrap import open_records

    with open_records(config) as records:
        found = queries.why(records, named(environment))
    lines = [f"{found['environment']}: {found['sync']}, {found['health']}, at {found['revision']}"]
    if found["reason"]:
        lines.append(f"  {found['hold'] or 'note'}: {found['reason']}")
    lines += [f"  note: {text}" for text in queries.remarks(found)]
    for each in found["broken_glass"] or ():
        lines.append(f"  glass broken by {' and '.join(each['by'])} at {each['since']}: {each['deployment']}")
        lines.append(f"    why: {each['reason']} ({each['ticket']})")
        lines += [f"    plan: {target} {digest}" for target, digest in sorted(each["plans"].items())]
        if each["review_by"]:
            lines.append(f"    missing: a review by another person until {each['review_by']}")
        if not each["reproduced"]:
            lines.append("    missing: a pull request that reproduces what runs")
    decision = found.get("decision")
    if decision:
        lines.append(f"  gate: {decision['outcome']}")
        lines += [f"    missing: {text}" for text in decision["missing"]]
        lines += [f"    {reason['rule']}: {reason['text']}" for reason in decision["reasons"]]
    return Answer(found, text_of(lines))


@click.command("drift")
@click.argument("environment", required=False)
@config_option
@answering
def drift_command(environment: str | None, config: Path) -> Answer:
    """Compare live hosts with the last approved state, now. Exit 5 when they differ."""
    from reconciler.bootstrap import open_parts
    from reconciler.control.remembering import environments

    with open_parts(config) as parts:
        parts.source.fetch()
        names = (named(environment),) if environment else environments(parts)
        found = queries.drift(parts, names)
    code = DIFFERENCES if any(d.found for d in found) else OK
    return Answer([d.data for d in found], "\n".join(d.text for d in found) or "no environments", code)


@click.command("capabilities")
@answering
def capabilities_command() -> Answer:
    """What can be asked for, and the scope that each needs."""
    data = [{"command": c.command, "scope": c.scope, "changes": c.changes} for c in access.CAPABILITIES]
    text = "\n".join(
        f"{c.command:<20} {c.scope:<20} {'changes' if c.changes else 'reads'}" for c in access.CAPABILITIES
    )
    return Answer(data, text)


def named(text: str) -> EnvironmentName:
    """PROJECT/ENVIRONMENT, or a usage error."""
    try:
        return EnvironmentName.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
