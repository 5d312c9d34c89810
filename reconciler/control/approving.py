"""What a person says about a plan from the command line: the same review or comment as in the browser, with their own
credential. Nothing here decides; the gate reads what the forge shows afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.approvals import statement
from reconciler.control import changes, evidence, remembering
from reconciler.control.parts import Parts
from reconciler.model.approval import Form, PostedPlan
from reconciler.model.errors import InvalidInput, NotAllowed, NotFound
from reconciler.model.principal import Person
from reconciler.model.pull_request import PullRequest
from reconciler.ports import Signer
from reconciler.reports.gate import QUOTED_DIGITS, command


@dataclass(frozen=True, slots=True)
class Asked:
    """A plan that waits for consent: the pull request, and the plan that stands on it now."""

    pull_request: PullRequest
    shown: PostedPlan

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(digest for _, digest in self.shown.digests)

    @property
    def read(self) -> tuple[tuple[str, str], ...]:
        """What a person names to show that they read it, and what it is: every plan, or the head where rules change
        and nothing is deployed.
        """
        plans = tuple((str(target), digest) for target, digest in self.shown.digests)
        return plans or (("no plan, head", self.shown.head_sha),)

    def named_by(self, prefixes: Sequence[str]) -> bool:
        """Whether the person named every plan, and nothing else."""
        return len(prefixes) == len(self.read) and all(
            any(digest.startswith(prefix) for prefix in prefixes) for _, digest in self.read
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What was put on the forge: which form it took, its number there, and who said it."""

    form: Form
    id: int
    person: str
    signed: bool


def waiting(parts: Parts) -> list[dict[str, Any]]:
    """Every pull request on which a decision is open: open ones, and merged ones that an environment waits for."""
    found = []
    for pull in parts.forge.open_pull_requests(parts.branch):
        decided = parts.ledger.latest("gate", evidence.subject(pull.number))
        facts = decided.data["facts"] if decided is not None else {}
        found.append(_row(pull.number, pull.title, pull.head_sha, facts.get("decision")))
    for record in parts.states.environments():
        if record.hold_commit is None:
            continue
        landed = parts.ledger.latest("gate", f"landing/{record.hold_commit}/{record.name}")
        if landed is not None:
            facts = landed.data["facts"]
            row = _row(facts["pull_request"], f"landed, {record.name} waits", facts["head"], facts["decision"])
            found.append(row | {"environment": str(record.name), "commit": record.hold_commit})
    return found


def _row(number: int, title: str, head: str, decision: Any) -> dict[str, Any]:
    return {"pull_request": number, "title": title, "head": head, "decision": decision}


def asked(parts: Parts, number: int) -> Asked:
    """What a pull request asks consent for now. NotFound where no plan stands on it for its head."""
    reading = parts.forge.reading(number)
    pull = reading.pull_request
    shown = [plan for plan in evidence.posted(parts, reading) if plan.head_sha == pull.head_sha]
    if not shown:
        raise NotFound(f"no plan for {pull.head_sha[:12]} stands on pull request {number} yet", hint="try again soon")
    return Asked(pull, shown[-1])


def statement_of(parts: Parts, what: Asked) -> bytes:
    """The text to sign (`ssh-keygen -Y sign -n reconciler-approval`)."""
    shown = what.shown
    return statement.statement(
        remembering.pinned(parts).repository, what.pull_request.number, shown.head_sha, shown.base_ref, shown.digests
    )


def approve(parts: Parts, what: Asked, token: str, signer: Signer | None, signature: str | None) -> Said:
    """Say yes with a person's token: by a review while the pull request is open, else, or signed, by a comment.

    NotAllowed for an agent's token or that of somebody who is not registered; InvalidInput for a signature that is not
    by a key of theirs over this.
    """
    person = speaker(parts, token)
    if signer is not None:
        signature = signer.sign(statement_of(parts, what), statement.NAMESPACE)
    if signature is not None:
        by = parts.signatures.signer_of(statement_of(parts, what), signature, statement.NAMESPACE, person.signing_keys)
        if by is None:
            raise InvalidInput(
                f"this is no signature over the plan by a key that principals.yaml has for {person.name}"
            )
    said = command([digest[:QUOTED_DIGITS] for digest in what.digests])
    if signature is None and not what.pull_request.merged:
        number = parts.forge.review(what.pull_request.number, True, what.shown.head_sha, said, token)
        return Said(Form.REVIEW, number, person.name, signed=False)
    body = said if signature is None else f"{said}\n\n```\n{signature.strip()}\n```\n"
    comment = parts.forge.say(what.pull_request.number, body, token)
    return Said(Form.COMMENT, comment.id, person.name, signed=signature is not None)


def reject(parts: Parts, what: Asked, token: str, reason: str) -> Said:
    """Say no, and why: by a review that asks for changes while the pull request is open, else by a comment."""
    if not reason.strip() or len(reason.splitlines()) != 1:
        raise InvalidInput("a rejection says why, on one line")
    person = speaker(parts, token)
    if not what.pull_request.merged:
        number = parts.forge.review(what.pull_request.number, False, what.shown.head_sha, reason.strip(), token)
        return Said(Form.REVIEW, number, person.name, signed=False)
    digests = " ".join(digest[:QUOTED_DIGITS] for digest in what.digests)
    comment = parts.forge.say(what.pull_request.number, f"/reconciler reject {digests} {reason.strip()}", token)
    return Said(Form.COMMENT, comment.id, person.name, signed=False)


def speaker(parts: Parts, token: str) -> Person:
    """The person behind a forge token, by the rules that were accepted last. NotAllowed for anybody else."""
    account, login = parts.forge.who(token)
    at = changes.accepted_now(parts, remembering.trusted(parts))
    agent = at.state.principals.agent_of(account)
    if agent is not None:
        raise NotAllowed(f"{login} is the agent {agent.name}; agents never approve", hint="a person does, with theirs")
    person = at.state.principals.person_of(account)
    if person is None:
        raise NotAllowed(f"{login} (account {account}) is nobody in principals.yaml")
    return person
