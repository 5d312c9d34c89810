"""`approvals list|show|approve|reject`: consent from a terminal, as a review or a comment of whose token it is; and
`approvals adopt`, which proposes to take over what came without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from reconciler.cli.envelope import OK, WAITING, Answer, answering, config_option, need_yes, text_of, yes_option
from reconciler.cli.look import named
from reconciler.control import approving, queries
from reconciler.control.parts import Parts
from reconciler.model.errors import NotAllowed
from reconciler.reports.gate import QUOTED_DIGITS, outcome

token_option = click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Your own forge token; never an agent's, and never the server's.",
)
plan_option = click.option(
    "--plan",
    "plans",
    multiple=True,
    help="The digest that you read (its first 12 digits do), once for each plan; asked for where there is a terminal.",
)


@click.group("approvals")
def approvals_command() -> None:
    """Plans that wait for a person. What is said here is a review or a comment on the forge, and counts as such."""


@approvals_command.command("list")
@config_option
@answering
def list_approvals(config: Path) -> Answer:
    """Every pull request on which a decision is open, and who or what is missing."""
    from reconciler.bootstrap import open_parts

    with open_parts(config) as parts:
        found = approving.waiting(parts)
    return Answer(found, text_of(line for row in found for line in _row(row)) or "nothing waits for anybody")


def _row(row: dict[str, Any]) -> Sequence[str]:
    decision = row["decision"] or {"outcome": "not judged yet", "missing": []}
    return (
        f"{row['pull_request']:>5}  {decision['outcome']:<10} {row['head'][:12]}  {row['title']}",
        *(f"       {sentence}" for sentence in decision.get("missing", ())),
    )


@approvals_command.command("show")
@click.argument("number", type=int)
@click.option("--statement", is_flag=True, help="Only the text to sign, byte for byte.")
@config_option
@answering
def show_approval(number: int, statement: bool, config: Path) -> Answer:
    """The plan of a pull request, made now, what the gate says, and the text that a signature is over."""
    from reconciler.bootstrap import open_parts

    with open_parts(config) as parts:
        parts.source.fetch()
        what = approving.asked(parts, number)
        signed = approving.statement_of(parts, what).decode()
        if statement:
            return Answer({"statement": signed}, signed.rstrip("\n"), exact=True)
        data: dict[str, Any] = {
            "pull_request": number,
            "head": what.shown.head_sha,
            "merged": what.pull_request.merged,
            "plans": {str(target): digest for target, digest in what.shown.digests},
            "statement": signed,
        }
        if what.pull_request.merged:
            lines = [f"pull request {number} has landed; the plan that was shown last:"]
            lines += [f"  {target} {digest}" for target, digest in what.shown.digests]
            return Answer(data, text_of(lines))
        preview = queries.plan_pull_request(parts, number)
    code = OK if preview.gate is not None and outcome(preview.gate) == "open" else WAITING
    return Answer(data | preview.data, preview.text, code)


@approvals_command.command("approve")
@click.argument("number", type=int)
@plan_option
@token_option
@click.option(
    "--sign",
    "key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Sign with this SSH key (or the .pub of one that your agent or hardware token holds).",
)
@click.option(
    "--signature",
    type=click.File("r"),
    help="A signature made elsewhere over `approvals show NUMBER --statement` (namespace reconciler-approval).",
)
@config_option
@yes_option
@answering
def approve_plan(
    number: int,
    plans: tuple[str, ...],
    token_file: Path,
    key: Path | None,
    signature: Any,
    config: Path,
    yes: bool,
) -> Answer:
    """Approve the plan of a pull request, as a person: by a review, or signed, or after the merge, by a comment."""
    from reconciler.bootstrap import open_parts, personal_key
    from reconciler.settings import read_secret

    if key is not None and signature is not None:
        raise click.UsageError("--sign makes a signature, --signature brings one: name one of them")
    with open_parts(config) as parts:
        parts.source.fetch()
        what = approving.asked(parts, number)
        _read(what, plans, yes, f"approve pull request {number}")
        signer = personal_key(key) if key is not None else None
        armored = signature.read() if signature is not None else None
        said = approving.approve(parts, what, read_secret(token_file), signer, armored)
        return _told(parts, what, said, "approved")


@approvals_command.command("reject")
@click.argument("number", type=int)
@click.option("--reason", required=True, help="Why, on one line; it shows wherever the change waits.")
@plan_option
@token_option
@config_option
@yes_option
@answering
def reject_plan(number: int, reason: str, plans: tuple[str, ...], token_file: Path, config: Path, yes: bool) -> Answer:
    """Reject the plan of a pull request, as a person: by a review that asks for changes, or a comment."""
    from reconciler.bootstrap import open_parts
    from reconciler.settings import read_secret

    with open_parts(config) as parts:
        parts.source.fetch()
        what = approving.asked(parts, number)
        _read(what, plans, yes, f"reject pull request {number}")
        said = approving.reject(parts, what, read_secret(token_file), reason)
        return _told(parts, what, said, "rejected")


@approvals_command.command("adopt")
@click.argument("commit")
@click.option("--why", required=True, help="The reason, on one line; it stays in the repository.")
@click.option(
    "--environment",
    "environments",
    multiple=True,
    help="PROJECT/ENVIRONMENT, once for each; all that the commit holds where none is named.",
)
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The proposer's forge token; whose it is cannot approve the adoption.",
)
@config_option
@yes_option
@answering
def adopt_commit(
    commit: str, why: str, environments: tuple[str, ...], token_file: Path, config: Path, yes: bool
) -> Answer:
    """Open a pull request that takes over COMMIT, which came to the deploy branch without an approved one. It needs its
    own approval, by nobody who made or pushed the commit; nothing is deployed before.
    """
    from reconciler.bootstrap import open_parts
    from reconciler.control import adopting
    from reconciler.settings import read_secret

    names = tuple(sorted({named(name) for name in environments}))
    need_yes(yes, f"open a pull request that adopts {commit}")
    with open_parts(config) as parts:
        pull, adoption = adopting.propose(parts, commit, why, names, read_secret(token_file))
    data = {
        "pull_request": pull.number,
        "url": pull.url,
        "head": pull.head_sha,
        "adopts": adoption.commit,
        "environments": [str(name) for name in adoption.environments],
    }
    text = f"pull request {pull.number} adopts {adoption.commit[:12]}: {pull.url}"
    return Answer(data, text + "\nIt needs an approval of its own before anything happens.")


def _read(what: approving.Asked, plans: tuple[str, ...], yes: bool, intent: str) -> None:
    """Whoever speaks names what they read: on the command line, or by saying yes to it at a terminal."""
    shown = ", ".join(f"{name} {digest[:QUOTED_DIGITS]}" for name, digest in what.read)
    if plans:
        short = [plan for plan in plans if len(plan) < QUOTED_DIGITS]
        if short or not what.named_by(plans):
            raise NotAllowed(
                f"--plan does not name exactly what stands there: {shown}", hint="read `approvals show` again"
            )
    elif yes:
        raise NotAllowed("--yes without --plan would approve what nobody read", hint=f"what stands there: {shown}")
    need_yes(yes, f"{intent} ({shown})")


def _told(parts: Parts, what: approving.Asked, said: approving.Said, word: str) -> Answer:
    number = what.pull_request.number
    data: dict[str, Any] = {
        "pull_request": number,
        "form": said.form.value,
        "id": said.id,
        "person": said.person,
        "signed": said.signed,
        "plans": {str(target): digest for target, digest in what.shown.digests},
    }
    text = f"{word} by {said.person}: {said.form.value} {said.id}{', signed' if said.signed else ''}"
    if what.pull_request.merged:
        return Answer(data, f"{text}\nThe environments concerned look again at once when `serve` runs.")
    preview = queries.plan_pull_request(parts, number)
    code = OK if preview.gate is not None and outcome(preview.gate) == "open" else WAITING
    return Answer(data | {"gate": preview.data["gate"]}, f"{text}\n{preview.text}", code)
