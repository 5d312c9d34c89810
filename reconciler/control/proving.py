"""The chain of evidence for one deployment, from what was proposed to the containers that run: for `prove`.

Each line is an entry of the ledger. What the database says beside it (the record, its operations) must say the same,
and the links between the lines must hold: the plan that was shown is the plan that was approved and carried out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler.control import remembering
from reconciler.control.queries import Records
from reconciler.model.deployment import Deployment, DeploymentKind, DeploymentState
from reconciler.model.ledger_entry import LedgerEntry


@dataclass(frozen=True, slots=True)
class Line:
    """One step, in words, and the entry that it is read from."""

    step: str
    text: str
    entry: LedgerEntry
    data: Mapping[str, Any]

    @property
    def place(self) -> dict[str, Any]:
        """Where the entry is: its number and its hash."""
        return {"sequence": self.entry.sequence, "hash": self.entry.hash}


@dataclass(frozen=True, slots=True)
class Proof:
    """The lines in order, and everything that does not fit. `ends` says where the deployment is."""

    deployment: Deployment
    lines: tuple[Line, ...]
    faults: tuple[str, ...]

    @property
    def last(self) -> int:
        """The number of the newest entry among the lines."""
        return max((line.entry.sequence for line in self.lines), default=0)

    def of(self, *steps: str) -> Iterator[Line]:
        """The lines of some steps."""
        return (line for line in self.lines if line.step in steps)


@dataclass(slots=True)
class _Case:
    """What is found while the evidence is gone through."""

    records: Records
    deployment: Deployment
    lines: list[Line] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def say(self, step: str, text: str, entry: LedgerEntry) -> None:
        self.lines.append(Line(step, text, entry, entry.data))

    def expect(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)

    def newest(
        self, kind: str, subject: str, before: int, fits: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> LedgerEntry | None:
        """The newest entry before a number that fits."""
        found = self.records.ledger.find(kind, subject)
        return next((e for e in reversed(found) if e.sequence < before and fits(e.data)), None)


def prove(records: Records, deployment: Deployment) -> Proof:
    """Go through all that the ledger has about a deployment. Nothing that is missing is made up."""
    case = _Case(records, deployment)
    started = records.ledger.latest("deployment-started", deployment.id)
    if started is None:
        return Proof(deployment, (), (f"the ledger has no entry that {deployment.id} was started",))
    try:
        _authority(case, started)
        _begin(case, started)
        _operations(case, started)
        _end(case, started)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # an entry is somebody else's word
        case.faults.append(f"an entry does not say what it should: {type(error).__name__} {error}")
    return Proof(deployment, tuple(case.lines), tuple(case.faults))


# -- by what right --------------------------------------------------------------------------------------------------


def _authority(case: _Case, started: LedgerEntry) -> None:
    trust = records_of(case, "trust", started.sequence)
    if trust is not None:
        said = trust.data
        roots = ", ".join(sorted({root["person"] for root in said["roots"]}))
        text = f"repository {said['repository']} is trusted from {said['revision'][:12]} on, by the word of {roots}"
        case.say("trust", text, trust)
    kind = case.deployment.authority.kind
    if kind == "break-glass":
        announced = case.newest("break-glass-announced", _environment(case.deployment), started.sequence)
        case.expect(announced is not None, "the ledger has no announcement that the glass would be broken")
        if announced is not None:
            case.say(
                "announced", "the glass was broken past the gate, as announced; what was signed is there", announced
            )
        return
    if kind in ("genesis", "trust-reset"):
        revision = trust.data["revision"] if trust is not None else None
        case.expect(revision == case.deployment.revision, "it is not of the revision that was trusted first")
        return
    if kind == "heal":
        drift = case.newest("drift", _environment(case.deployment), started.sequence)
        case.expect(drift is not None, "the ledger has no drift before this heal")
        if drift is not None:
            changes = drift.data["changes"]
            what = "; ".join(sorted({f"{c['subject']} {c['field']}".strip() for c in changes})[:5])
            case.say("drift", f"what ran differed from what was approved: {what}", drift)
        healed = _healed(case)
        if healed is None or healed.authority.kind != "approval":
            return
        _approval(case, healed, started, same_plan=False)
        return
    _approval(case, case.deployment, started, same_plan=True)


def records_of(case: _Case, kind: str, before: int) -> LedgerEntry | None:
    """The newest entry of a kind about the repository before a number."""
    trust = case.records.states.trust()
    return case.newest(kind, f"repository/{trust.repository}", before) if trust is not None else None


def _healed(case: _Case) -> Deployment | None:
    """The deployment whose state a heal brought back."""
    attestation = case.deployment.authority.attestation
    name = remembering.environment_of(case.deployment)
    for earlier in case.records.deployments.of_environment(name, 1000):
        if earlier.kind is not DeploymentKind.HEAL and earlier.authority.attestation == attestation:
            return earlier
    case.expect(not attestation, "there is no record of the deployment whose approval this heal goes by")
    return None


def _approval(case: _Case, approved: Deployment, started: LedgerEntry, *, same_plan: bool) -> None:
    """The pull request by which it was approved: what was proposed, shown, consented to, decided and merged."""
    subject = f"landing/{approved.revision}/{_environment(approved)}"
    attestation = approved.authority.attestation
    gate = case.newest("gate", subject, started.sequence, lambda said: said.get("attestation") == attestation)
    gate = gate or case.newest("gate", subject, started.sequence, lambda said: "attestation" not in said)
    if gate is None:
        case.faults.append("the ledger has no decision with the attestation that the record names")
        return
    said = gate.data
    facts, number = said["facts"], said["facts"]["pull_request"]
    case.expect(number == approved.authority.pull_request, "the decision is about another pull request")
    _proposed(case, facts, gate)
    plans = facts["plans"]
    shown = [
        entry
        for entry in case.records.ledger.find("plan-posted", f"pull-request/{number}")
        if entry.sequence < gate.sequence and _shows(entry.data, facts["head"], plans)
    ]
    case.expect(bool(shown), f"no plan was posted for {facts['head'][:12]} that is the one that was decided on")
    if shown:
        there = shown[0].data
        text = ", ".join(f"{target} {digest[:12]}" for target, digest in sorted(there["digests"].items()))
        case.say("plan posted", f"comment {there['comment']} at {there['updated_at']}: {text}", shown[0])
    _reviews(case, facts, shown[0] if shown else None, gate)
    decision = facts["decision"]
    case.expect(decision["outcome"] == "open", f"the decision was {decision['outcome']}")
    text = f"open, from {len(said['answers'])} answers of the forge; attestation {attestation[:12]}"
    case.say("decision", text, gate)
    for request, digest in said["answers"]:
        case.say("answer", f"{request} sha256 {digest}", gate)
    _landing(case, approved, facts, gate)
    if same_plan:
        case.expect(plans == started.data["plans"], "what was started is not what was decided on")


def _shows(said: Mapping[str, Any], head: str, plans: Mapping[str, str]) -> bool:
    """Whether what was posted is for this head, and holds these plans."""
    return said["head_sha"] == head and all(said["digests"].get(target) == digest for target, digest in plans.items())


def _proposed(case: _Case, facts: Mapping[str, Any], gate: LedgerEntry) -> None:
    author = facts.get("author") or {}
    who = f"{author.get('login', 'an account that is gone')} (account {author.get('account')})"
    commits = facts.get("commits", [])
    names = ", ".join(commit["sha"][:12] for commit in commits[:5]) + (", …" if len(commits) > 5 else "")
    text = f"pull request {facts['pull_request']} at {facts['head'][:12]} by {who}; commits {names}"
    case.say("proposed", text, gate)


def _reviews(case: _Case, facts: Mapping[str, Any], posted: LedgerEntry | None, gate: LedgerEntry) -> None:
    approvals = facts["decision"]["approvals"]
    author = (facts.get("author") or {}).get("account")
    recorded = [(a.person, a.account, a.review) for a in case.deployment.authority.approvals]
    counted = [(a["person"], a["account"], a["review"]) for a in approvals]
    case.expect(recorded == counted, "the record names other approvals than the decision")
    for given in approvals:
        case.expect(given["account"] != author, f"{given['person']} approved a change of their own")
        if "head" not in given:
            continue  # an older version did not keep it
        case.expect(given["head"] == facts["head"], f"{given['person']} approved {given['head'][:12]}")
        if posted is not None:
            seen = datetime.fromisoformat(posted.data["updated_at"])
            after = datetime.fromisoformat(given["submitted_at"]) >= seen
            case.expect(after, f"{given['person']} approved before the plan was posted")
        who = f"{given['person']} (account {given['account']})"
        text = f"{who} approved {given['head'][:12]} at {given['submitted_at']}"
        text += f", {given.get('form', 'review')} {given['review']}"
        case.say("review", text, gate)


def _landing(case: _Case, approved: Deployment, facts: Mapping[str, Any], gate: LedgerEntry) -> None:
    landing = facts.get("landing")
    if landing is None:
        return
    case.expect(landing["commits"][-1:] == [approved.revision], "the landing ends at another commit")
    case.expect(landing["tree"] == landing["expected_tree"], "what landed is not the merge of what was approved")
    text = f"{landing['method']} to {approved.revision[:12]} by {approved.authority.merged_by}"
    case.say("landed", f"{text}; its tree {landing['tree'][:12]} is that of merging what was approved", gate)


# -- what was done --------------------------------------------------------------------------------------------------


def _begin(case: _Case, started: LedgerEntry) -> None:
    said = started.data
    plans = ", ".join(f"{target} {digest[:12]}" for target, digest in sorted(said["plans"].items()))
    case.say("started", f"{said['kind']} of {said['environment']} at {said['revision'][:12]}: {plans}", started)
    if case.deployment.kind is DeploymentKind.HEAL:
        return
    record = case.deployment
    for name, value in (
        ("revision", record.revision),
        ("plan_digest", record.plan_digest),
        ("kind", record.kind.value),
    ):
        case.expect(said[name] == value, f"the record's {name} is not the one that was started")


def _operations(case: _Case, started: LedgerEntry) -> None:
    """Each operation was announced before it was done, and each that was announced came to an end."""
    deployment = case.deployment
    begun = {_key(e): e for e in case.records.ledger.find("operation-started", deployment.id)}
    ended = {_key(e): e for e in case.records.ledger.find("operation-finished", deployment.id)}
    for key, entry in sorted(begun.items(), key=lambda pair: pair[1].sequence):
        case.expect(entry.sequence > started.sequence, f"operation {key} was begun before the deployment")
        said, end = entry.data, ended.get(key)
        text = f"{said['target']} {said['operation']} {said['subject']}".rstrip()
        if end is None:
            case.expect(not deployment.outcome.final, f"{text} was begun, and the ledger has no outcome")
            case.say("operation", f"{text}: under way ({said['why']})", entry)
            continue
        outcome = end.data
        case.expect(end.sequence > entry.sequence, f"{text} was finished before it was begun")
        case.say("operation", f"{text}: {outcome['outcome']} ({said['why']})", end)
    for key in sorted(set(ended) - set(begun)):
        case.faults.append(f"operation {key} was finished and never begun")
    if "attempt" in started.data and deployment.outcome.final:
        recorded = {
            (str(t.target), o.index): (o.operation, o.outcome) for t in deployment.targets for o in t.operations
        }
        kept = {key: (e.data["operation"], e.data["outcome"]) for key, e in ended.items()}
        case.expect(recorded == kept, "the record's operations are not those of the ledger")


def _key(entry: LedgerEntry) -> tuple[str, int]:
    said = entry.data
    return str(said["target"]), int(said["index"])


def _end(case: _Case, started: LedgerEntry) -> None:
    deployment = case.deployment
    finished = case.records.ledger.latest("deployment-finished", deployment.id)
    if finished is None:
        case.expect(not deployment.outcome.final, "the record is finished, and the ledger has no entry that it is")
        return
    said = finished.data
    case.expect(finished.sequence > started.sequence, "it was finished before it was started")
    case.say("verified", f"{said['outcome']}: {said['reason']}; {said['health']}", finished)
    if deployment.outcome.final:
        now = json.loads(json.dumps(remembering.summary(deployment)))
        wrong = sorted(name for name in said if name in now and now[name] != said[name])
        case.expect(not wrong, f"the record says something else than the ledger: {', '.join(wrong)}")
    for target, containers in sorted(said["containers"].items()):
        for name, container in sorted(containers.items()):
            case.say("runs", f"{target} {name}: container {str(container)[:12]}", finished)
    status = case.newest("deploy-status", deployment.revision, _AFTER_ALL)
    if status is not None and deployment.outcome is DeploymentState.SUCCEEDED and status.sequence > finished.sequence:
        anchor = status.data.get("anchor")
        text = status.data["description"] + (f"; anchor {anchor}" if anchor else "")
        case.say("told", f"the status of the commit says: {text}", status)


_AFTER_ALL = 2**63


def _environment(deployment: Deployment) -> str:
    return f"{deployment.project}/{deployment.environment}"


# -- as others see it -----------------------------------------------------------------------------------------------


def proof_data(proof: Proof, ledger: Mapping[str, Any]) -> dict[str, Any]:
    """The proof for --json; `ledger` is what verifying it found."""
    return {
        "deployment": proof.deployment.id,
        "outcome": proof.deployment.outcome.value,
        "finished": proof.deployment.outcome.final,
        "lines": [
            {"step": line.step, "text": line.text, "at": line.entry.at.isoformat(), "kind": line.entry.kind,
             **line.place, "data": line.data}
            for line in proof.lines
        ],
        "ledger": dict(ledger),
        "covered": ledger.get("covered") is not None and int(ledger["covered"]) >= proof.last,
    }  # fmt: skip


def proof_text(proof: Proof, ledger: Sequence[str]) -> list[str]:
    """The proof as lines for people, each with the number and the hash of its entry."""
    shown = [f"deployment {proof.deployment.id}"]
    for line in proof.lines:
        shown.append(f"  {line.step:<12} {line.text}  [{line.entry.sequence} {line.entry.hash[:16]}]")
    if not proof.deployment.outcome.final:
        shown.append("  it is under way; this is what there is so far")
    return [*shown, *ledger]
