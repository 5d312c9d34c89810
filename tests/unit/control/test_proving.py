"""The chain of evidence for one deployment: whole where all is as it was, and a fault for each link that is not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.control import attesting, proving
from reconciler.control.parts import Parts
from reconciler.model.canonical import canonical
from reconciler.model.deployment import Approval, Authority, Deployment, DeploymentKind, DeploymentState
from reconciler.model.errors import NotAllowed, VerificationFailed
from reconciler.model.health import Health
from reconciler.model.ledger_entry import LedgerEntry
from reconciler.model.statement import NAMESPACE
from reconciler.ports import Checkpoints, Deployments, Ledger, States
from reconciler.storage import Database
from tests.unit.control.deployed import AT, TARGET, deployed
from tests.unit.control.plane import parts_of

Change = Callable[[dict[str, Any]], None]
STEPS = [
    "trust", "proposed", "plan posted", "review", "decision", "answer", "landed", "started", "operation", "operation",
    "verified", "runs", "told",
]  # fmt: skip


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Parts:
    return parts_of(database, keys=tmp_path)


@dataclass
class Altered:
    """A ledger of which an entry's data is changed, or the entry is gone; whether the chain holds is another matter."""

    ledger: Ledger
    kind: str
    change: Change | None

    def find(self, kind: str, subject: str) -> tuple[LedgerEntry, ...]:
        return tuple(self._changed(self.ledger.find(kind, subject)))

    def latest(self, kind: str, subject: str) -> LedgerEntry | None:
        found = self.find(kind, subject)
        return found[-1] if found else None

    def _changed(self, entries: tuple[LedgerEntry, ...]) -> Iterator[LedgerEntry]:
        for entry in entries:
            if entry.kind != self.kind:
                yield entry
            elif self.change is not None:
                body = json.loads(entry.body)
                self.change(body["data"])
                yield replace(entry, body=canonical(body))


@dataclass
class Records:
    ledger: Ledger
    checkpoints: Checkpoints
    deployments: Deployments
    states: States


def altered(parts: Parts, kind: str, change: Change | None) -> Records:
    ledger: Any = Altered(parts.ledger, kind, change)
    return Records(ledger, parts.checkpoints, parts.deployments, parts.states)


def test_every_step_from_the_pull_request_to_the_container_is_there_with_its_entry(parts: Parts) -> None:
    proof = proving.prove(parts, deployed(parts))
    assert proof.faults == ()
    assert [line.step for line in proof.lines] == STEPS
    stored = {entry.sequence: entry.hash for entry in parts.ledger.entries()}
    assert all(stored[line.entry.sequence] == line.entry.hash for line in proof.lines)
    text = "\n".join(proving.proof_text(proof, ["the ledger holds"]))
    for said in (
        "pull request 12", "by author (account", "reviewer (account", "squash to", "sha256 ", "PullImage demo:2",
        "succeeded: healthy, and equal to git; Healthy", "shop-production-web-1: container cccccccccccc",
    ):  # fmt: skip
        assert said in text


def test_the_json_has_every_line_with_number_hash_and_what_the_ledger_says(parts: Parts) -> None:
    proof = proving.prove(parts, deployed(parts))
    data = json.loads(json.dumps(proving.proof_data(proof, {"covered": proof.last})))
    assert [line["step"] for line in data["lines"]] == STEPS
    assert data["covered"] is True
    assert proving.proof_data(proof, {"covered": proof.last - 1})["covered"] is False
    assert proving.proof_data(proof, {"covered": None})["covered"] is False
    decision = next(line for line in data["lines"] if line["step"] == "decision")
    assert decision["data"]["answers"][0][0] == "pull_request"


def set_(*path: Any, to: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        inner: Any = data
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = to

    return change


def by_the_author(data: dict[str, Any]) -> None:
    data["facts"]["author"]["account"] = data["facts"]["decision"]["approvals"][0]["account"]


GATE = ("facts", "decision")
EARLY = datetime(2020, 1, 1, tzinfo=AT.tzinfo).isoformat()
FAULTS: dict[str, tuple[str, Change | None, str]] = {
    "never started": ("deployment-started", None, "no entry that d-0123456789abcdef was started"),
    "another revision was started": ("deployment-started", set_("revision", to="0" * 40), "record's revision"),
    "other plans were started": ("deployment-started", set_("plans", str(TARGET), to="0" * 64), "not what was decided"),
    "no decision": ("gate", None, "no decision with the attestation"),
    "a decision of another attestation": ("gate", set_("attestation", to="0" * 64), "no decision with the attestation"),
    "a decision that was not open": ("gate", set_(*GATE, "outcome", to="waiting"), "the decision was waiting"),
    "a decision on another pull request": ("gate", set_("facts", "pull_request", to=99), "another pull request"),
    "approvals that the record does not name": ("gate", set_(*GATE, "approvals", to=[]), "names other approvals"),
    "an approval of another head": ("gate", set_(*GATE, "approvals", 0, "head", to="0" * 40), "approved 000000000000"),
    "an approval by the author": ("gate", by_the_author, "a change of their own"),
    "an approval before the plan": ("gate", set_(*GATE, "approvals", 0, "submitted_at", to=EARLY), "before the plan"),
    "a landing that ends elsewhere": ("gate", set_("facts", "landing", "commits", to=["0" * 40]), "ends at another"),
    "a landing of another tree": ("gate", set_("facts", "landing", "tree", to="0" * 40), "not the merge"),
    "no plan posted": ("plan-posted", None, "no plan was posted"),
    "another plan posted": ("plan-posted", set_("digests", str(TARGET), to="0" * 64), "no plan was posted"),
    "a plan posted for another head": ("plan-posted", set_("head_sha", to="0" * 40), "no plan was posted"),
    "an operation never begun": ("operation-started", None, "was finished and never begun"),
    "an operation never finished": ("operation-finished", None, "the ledger has no outcome"),
    "another outcome of an operation": ("operation-finished", set_("outcome", to="failed"), "record's operations"),
    "never finished": ("deployment-finished", None, "no entry that it is"),
    "another outcome": ("deployment-finished", set_("outcome", to="failed"), "something else than the ledger: outcome"),
    "an entry that says nothing": ("gate", lambda data: data["facts"].clear(), "does not say what it should"),
    "other containers": ("deployment-finished", set_("containers", to={}), "than the ledger: containers"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_the_ledger_does_not_bear_out_is_a_fault(parts: Parts, what: str) -> None:
    kind, change, said = FAULTS[what]
    proof = proving.prove(altered(parts, kind, change), deployed(parts))
    assert any(said in fault for fault in proof.faults), proof.faults


def approved_by(deployment: Deployment, person: str) -> Deployment:
    given = replace(deployment.authority.approvals[0], person=person)
    return replace(deployment, authority=replace(deployment.authority, approvals=(given,)))


RECORDS: dict[str, tuple[Callable[[Deployment], Deployment], str]] = {
    "another approver": (lambda d: approved_by(d, "nobody"), "other approvals"),
    "another author": (lambda d: replace(d, authority=replace(d.authority, author="x")), "author"),
    "another outcome": (lambda d: replace(d, outcome=DeploymentState.FAILED), "outcome"),
    "another reason": (lambda d: replace(d, reason="because"), "reason"),
    "another plan": (lambda d: replace(d, plan_digest="0" * 64), "plan_digest"),
    "another kind": (lambda d: replace(d, kind=DeploymentKind.ROLLBACK), "kind"),
    "fewer operations": (lambda d: replace(d, targets=(replace(d.targets[0], operations=()),)), "operations"),
    "another health": (lambda d: replace(d, targets=(replace(d.targets[0], health=Health.DEGRADED),)), "health"),
    "another pull request": (lambda d: replace(d, authority=replace(d.authority, pull_request=1)), "pull request"),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_that_was_changed_beside_the_ledger_is_a_fault(parts: Parts, what: str) -> None:
    change, said = RECORDS[what]
    proof = proving.prove(parts, change(deployed(parts)))
    assert any(said in fault for fault in proof.faults), proof.faults


def test_a_deployment_that_is_under_way_is_shown_as_far_as_it_is(parts: Parts) -> None:
    finished = deployed(parts)
    queued = replace(finished, id="d-2", outcome=DeploymentState.QUEUED, targets=(), reason="", finished_at=None)
    plans = {"plans": {str(TARGET): finished.plan_digest}}
    summary = json.loads(parts.ledger.find("deployment-started", finished.id)[0].body)["data"]
    parts.deployments.begin(queued, {}, summary | plans)
    parts.deployments.journal_intent("d-2", TARGET, 0, "PullImage", AT, "demo:2", "git changed")
    proof = proving.prove(parts, queued)
    assert proof.faults == ()
    assert "under way" in "\n".join(proving.proof_text(proof, ()))
    with pytest.raises(NotAllowed):
        attesting.envelopes(proof, parts.signer)


def test_what_was_deployed_by_the_word_of_root_persons_says_so(parts: Parts) -> None:
    finished = deployed(parts)
    genesis = replace(finished, authority=Authority("genesis", None, "keeper", (), "keeper", ""))
    assert "not of the revision that was trusted first" in " ".join(proving.prove(parts, genesis).faults)
    trusted = proving.prove(altered(parts, "trust", set_("revision", to=finished.revision)), genesis)
    assert "not of the revision" not in " ".join(trusted.faults)


def test_an_approval_holds_what_the_record_of_it_needs() -> None:
    assert {"person", "account", "review", "head_sha", "submitted_at"} <= set(Approval.__dataclass_fields__)


# -- attestations ---------------------------------------------------------------------------------------------------


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """As the DSSE specification writes it: PAE(type, body)."""
    parts = [b"DSSEv1", str(len(kind.encode())).encode(), kind.encode(), str(len(payload)).encode(), payload]
    return b" ".join(parts)


def opened(content: bytes) -> tuple[dict[str, Any], bytes, str]:
    """Statement, signed bytes and signature of an envelope, by its specification alone."""
    envelope = json.loads(content)
    assert set(envelope) == {"payloadType", "payload", "signatures"}
    payload = base64.b64decode(envelope["payload"], validate=True)
    (signature,) = envelope["signatures"]
    armored = base64.b64decode(signature["sig"], validate=True).decode()
    return json.loads(payload), pre_authentication(envelope["payloadType"], payload), armored


def test_plan_approval_and_deployment_are_attested_and_signed_over_their_pae(parts: Parts) -> None:
    finished = deployed(parts)
    files = attesting.envelopes(proving.prove(parts, finished), parts.signer)
    review = finished.authority.approvals[0].review
    assert sorted(files) == [f"approval-{review}.dsse.json", "deployment.dsse.json", "plan.dsse.json"]
    key = parts.signer.public_key
    for content in files.values():
        statement, signed, armored = opened(content)
        assert json.loads(content)["payloadType"] == "application/vnd.in-toto+json"
        assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        assert parts.signatures.signer_of(signed, armored, NAMESPACE, [key]) == key
        assert parts.signatures.signer_of(signed + b" ", armored, NAMESPACE, [key]) is None
        assert parts.signatures.signer_of(signed, armored, "reconciler-checkpoint", [key]) is None


def test_the_statements_say_what_the_ledger_holds(parts: Parts) -> None:
    finished = deployed(parts)
    files = attesting.envelopes(proving.prove(parts, finished), parts.signer)
    given = finished.authority.approvals[0]
    plan, _, _ = opened(files["plan.dsse.json"])
    approval, _, _ = opened(files[f"approval-{given.review}.dsse.json"])
    deployment, _, _ = opened(files["deployment.dsse.json"])
    digest = {"name": str(TARGET), "digest": {"sha256": finished.plan_digest}}
    assert plan["subject"] == [digest]
    assert plan["predicate"]["images"] == {str(TARGET): {"demo:2": "sha256:1"}}
    assert approval["subject"] == [{"name": "pull request 12", "digest": {"gitCommit": given.head_sha}}, digest]
    said = approval["predicate"]
    assert (said["person"], said["account"], said["review"], said["commit_id"], said["submitted_at"]) == (
        given.person, given.account, given.review, given.head_sha, given.submitted_at.isoformat(),
    )  # fmt: skip
    assert said["evidence"][0]["request"] == "pull_request"
    assert deployment["subject"][0] == {"name": "shop/production", "digest": {"gitCommit": finished.revision}}
    assert deployment["predicate"]["result"] == "succeeded"
    assert [o["subject"] for o in deployment["predicate"]["operations"]] == ["demo:2", "web"]
    stored = {entry.sequence: entry.hash for entry in parts.ledger.entries()}
    for place in (plan["predicate"]["ledger"], said["ledger"], deployment["predicate"]["finished"]):
        assert stored[place["sequence"]] == place["hash"]


def test_nothing_is_attested_of_what_is_not_proven(parts: Parts) -> None:
    proof = proving.prove(parts, approved_by(deployed(parts), "nobody"))
    with pytest.raises(VerificationFailed, match="nothing is attested"):
        attesting.envelopes(proof, parts.signer)
