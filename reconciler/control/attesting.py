"""Attestations of one deployment, made from what the ledger holds of it: for `prove --attestations`.

Three kinds (docs/how-to/verify-the-ledger.md): `plan`, one `approval` for each that counted, and `deployment`. Each
says by which entry of the ledger it can be looked up.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.control.proving import Line, Proof
from reconciler.model.errors import NotAllowed, VerificationFailed
from reconciler.model.statement import NAMESPACE, PAYLOAD_TYPE, Statement, Subject, envelope, pae
from reconciler.ports import Signer


def envelopes(proof: Proof, signer: Signer) -> dict[str, bytes]:
    """Signed DSSE envelopes by file name. VerificationFailed where the proof does not hold; NotAllowed before the
    deployment has ended.
    """
    if proof.faults:
        raise VerificationFailed(f"nothing is attested of {proof.deployment.id}: {proof.faults[0]}")
    if not proof.deployment.outcome.final:
        raise NotAllowed(f"{proof.deployment.id} is under way", hint="it is attested when it has ended")
    key = key_id(signer.public_key)
    files = dict[str, bytes]()
    for name, statement in statements(proof):
        payload = statement.payload
        made = envelope(payload, [(key, signer.sign(pae(PAYLOAD_TYPE, payload), NAMESPACE))])
        files[f"{name}.dsse.json"] = json.dumps(made, indent=1).encode() + b"\n"
    return files


def key_id(public_key: str) -> str:
    """As `ssh-keygen -l` names a key: SHA256 and the base64 of the digest of its bytes."""
    digest = hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def statements(proof: Proof) -> Iterator[tuple[str, Statement]]:
    """Name and statement of each attestation."""
    steps = {line.step: line for line in proof.lines}
    started, decided = steps["started"], steps.get("decision")
    plans = tuple(Subject(target, "sha256", digest) for target, digest in sorted(started.data["plans"].items()))
    yield "plan", Statement("plan", plans, _plan(steps))
    if decided is not None:
        for given in decided.data["facts"]["decision"]["approvals"]:
            head = Subject(f"pull request {decided.data['facts']['pull_request']}", "gitCommit", _head(decided))
            yield f"approval-{given['review']}", Statement("approval", (head, *plans), _approval(given, decided))
    revision = Subject(started.data["environment"], "gitCommit", proof.deployment.revision)
    yield "deployment", Statement("deployment", (revision, *plans), _deployment(proof, steps))


def _head(decided: Line) -> str:
    return str(decided.data["facts"]["head"])


def _plan(steps: Mapping[str, Line]) -> dict[str, Any]:
    started, posted, decided = steps["started"], steps.get("plan posted"), steps.get("decision")
    facts = decided.data["facts"] if decided is not None else {}
    landing = facts.get("landing") or {}
    return {
        "base": landing.get("first_parent"),
        "base_ref": posted.data["base_ref"] if posted is not None else None,
        "head": facts.get("head"),
        "tree": landing.get("tree"),
        "before": started.data.get("before"),
        "plans": started.data["plans"],
        "images": started.data.get("images"),
        "engines": started.data.get("engines"),
        "policies": facts.get("policies"),
        "waived": facts.get("waived"),
        "posted": {**posted.place, "comment": posted.data["comment"], "at": posted.data["updated_at"]}
        if posted is not None
        else None,
        "ledger": started.place,
    }


def _approval(given: Mapping[str, Any], decided: Line) -> dict[str, Any]:
    return {
        "person": given["person"],
        "account": given["account"],
        "groups": given.get("groups"),
        "review": given["review"],
        "commit_id": given.get("head"),
        "submitted_at": given.get("submitted_at"),
        "pull_request": decided.data["facts"]["pull_request"],
        "author": decided.data["facts"].get("author"),
        "evidence": [{"request": name, "sha256": digest} for name, digest in decided.data["answers"]],
        "attestation": decided.data.get("attestation"),
        "ledger": decided.place,
    }


def _deployment(proof: Proof, steps: Mapping[str, Line]) -> dict[str, Any]:
    started, verified = steps["started"], steps["verified"]
    return {
        "id": proof.deployment.id,
        "kind": started.data["kind"],
        "rollback_of": started.data["reverts"],
        "result": verified.data["outcome"],
        "reason": verified.data["reason"],
        "health": verified.data["health"],
        "containers": verified.data["containers"],
        "operations": [
            {name: line.data.get(name) for name in ("target", "index", "operation", "subject", "outcome")} | line.place
            for line in proof.of("operation")
        ],
        "started": started.place,
        "finished": verified.place,
    }
