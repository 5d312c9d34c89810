"""`trust init`, `trust show`, `trust reset`: what this server believes before it believes anything else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from reconciler.cli.envelope import Answer, answering, config_option, need_yes, text_of, yes_option
from reconciler.control import trusting
from reconciler.model.trust import LONGEST, needed_of


@click.group("trust")
def trust_command() -> None:
    """The repository, the root persons and the revision that everything else is measured from."""


root_option = click.option(
    "--root", "roots", multiple=True, help="A person of principals.yaml; all of them by default."
)


@trust_command.command("init")
@click.option(
    "--revision", required=True, help="The first trusted commit (full SHA); history before it is out of scope."
)
@root_option
@config_option
@yes_option
@answering
def init_trust(revision: str, roots: tuple[str, ...], config: Path, yes: bool) -> Answer:
    """Pin the repository, its root persons and the first revision; written once, first entry of the ledger."""
    from reconciler.bootstrap import open_parts

    need_yes(yes, f"trust {_full(revision)[:12]} and deploy what it says")
    with open_parts(config) as parts:
        trust = trusting.init_trust(parts, revision, roots)
    data = trusting.trust_data(trust)
    return Answer(data, text_of(_lines(data)))


@trust_command.command("show")
@config_option
@answering
def show_trust(config: Path) -> Answer:
    """What is pinned now, what was before, and this installation's own public key."""
    from reconciler.bootstrap import open_parts

    with open_parts(config) as parts:
        data = trusting.shown(parts)
    lines = [f"this installation signs with {data['installation']}", *_lines(data["trust"])]
    lines += [f"before that {former['revision'][:12]}, pinned on {former['at']}" for former in reversed(data["former"])]
    return Answer(data, text_of(lines))


@trust_command.command("reset")
@click.option("--revision", help="The commit to trust instead (full SHA).")
@root_option
@click.option("--take-over", "takes_over", multiple=True, help="The public key of an installation that is gone.")
@click.option("--reason", help="Why; it is signed, and shown wherever an environment shows.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the statement into this file instead of printing it.",
)
@click.option(
    "--statement",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The printed statement, to apply it.",
)
@click.option(
    "--signature",
    "signatures",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A root person's: ssh-keygen -Y sign -n reconciler-trust -f KEY STATEMENT",
)
@config_option
@yes_option
@answering
def reset_trust(
    revision: str | None,
    roots: tuple[str, ...],
    takes_over: tuple[str, ...],
    reason: str | None,
    output: Path | None,
    statement: Path | None,
    signatures: tuple[Path, ...],
    config: Path,
    yes: bool,
) -> Answer:
    """Print the statement that root persons sign to pin another revision; with --statement, apply it.

    More than half of the root persons that are pinned now have to sign, at least two, or the only one.
    """
    if statement is None:
        if signatures or not revision or reason is None:
            raise click.UsageError("give --revision and --reason to print a statement, --statement to apply one")
        return _asked(config, _full(revision), roots, takes_over, reason, output)
    if revision or roots or takes_over or output or reason is not None:
        raise click.UsageError("the statement says all there is to say; give --statement and --signature alone")
    need_yes(yes, f"replace what is trusted by what {statement} says")
    return _applied(config, statement, signatures)


def _asked(
    config: Path, revision: str, roots: tuple[str, ...], takes_over: tuple[str, ...], reason: str, output: Path | None
) -> Answer:
    from reconciler.bootstrap import open_parts

    with open_parts(config) as parts:
        asked = trusting.statement(parts, revision, roots, takes_over, reason)
    file = output or Path("STATEMENT")
    click.echo(
        f"SHA-256 {asked.digest}. Within the hour {asked.needed} of {', '.join(asked.persons)} sign it:\n"
        f"  ssh-keygen -Y sign -n reconciler-trust -f KEY {file}\n"
        f"and then: reconciler trust reset --statement {file} --signature {file}.sig … --yes",
        err=True,
    )
    data = {"statement": asked.statement, "digest": asked.digest, "needed": asked.needed, "of": list(asked.persons)}
    if output is not None:
        output.write_bytes(asked.statement.encode())
        return Answer(data, f"{output} is to be signed")
    return Answer(data, asked.statement.removesuffix("\n"), exact=True)


def _applied(config: Path, statement: Path, signatures: tuple[Path, ...]) -> Answer:
    from reconciler import logs
    from reconciler.bootstrap import open_parts

    logs.set_up(as_json=True)
    with statement.open("rb") as file:
        signed = file.read(LONGEST + 1)
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in signatures]
    with open_parts(config) as parts:
        data = trusting.trust_data(trusting.reset_trust(parts, signed, texts))
    return Answer(data, text_of(_lines(data)))


def _full(revision: str) -> str:
    if re.fullmatch(r"[0-9a-f]{40}", revision) is None:
        raise click.UsageError("--revision takes the full SHA of a commit, 40 hex digits")
    return revision


def _lines(data: dict[str, Any]) -> list[str]:
    """What is pinned, for people."""
    names = sorted({root["person"] for root in data["roots"]})
    lines = [
        f"repository {data['repository']} is trusted from {data['revision'][:12]} on, by the word of {', '.join(names)}"
    ]
    if data["reset"]:
        lines.append(f"  reset on {data['at']} by {', '.join(data['reset']['by'])}: {data['reset']['reason']}")
    for root in data["roots"]:
        keys = (
            f"{len(root['keys'])} signing key{'s' if len(root['keys']) != 1 else ''}"
            if root["keys"]
            else "no signing key"
        )
        lines.append(f"  {root['person']}: account {root['account']}, {keys}")
    able = {root["person"] for root in data["roots"] if root["keys"]}
    if len(able) < needed_of(len(names)):
        lines.append(
            f"  only {len(able)} of them can sign: `trust reset` needs {needed_of(len(names))}; add signing_keys to "
            "principals.yaml"
        )
    lines += [f"  takes over from {key}" for key in data["takes_over"]]
    lines.append(f"  trust {data['digest']}")
    return lines
