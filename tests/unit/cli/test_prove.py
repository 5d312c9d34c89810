"""`reconciler prove`, and the auditor's page: its own commands, run by bash, on a good export and on tampered ones."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.bootstrap import open_parts
from reconciler.model.statement import PAYLOAD_TYPE
from reconciler.signatures import InstallationKey
from reconciler.storage.schema import deployments
from tests.unit.cli.test_ledger import (
    Installation,
    anew,
    configure,
    edit_and_make_good,
    forget_checkpoints,
    seal_anew,
    tampered,
)
from tests.unit.control.deployed import deployed

PAGE = Path(__file__).parents[3] / "docs/how-to/verify-the-ledger.md"
DEPLOYMENT = "d-0123456789abcdef"
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="the page's commands need jq")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One deployment, exported and attested, with the anchor of its status."""
    directory = tmp_path_factory.mktemp("installation")
    configure(directory)
    made = Installation(directory, directory / "audit", "")
    with open_parts(made.config) as parts:
        deployed(parts)
    made.anchor = made.answer("ledger", "checkpoint")["data"]["anchor"]
    made.append("hold")
    made.answer("ledger", "export", "--directory", str(made.outside))
    made.answer("prove", DEPLOYMENT, "--attestations", str(made.outside))
    return made


@pytest.fixture
def installation(model: Installation, tmp_path: Path) -> Installation:
    directory = tmp_path / "installation"
    shutil.copytree(model.directory, directory)
    return Installation(directory, directory / "audit", model.anchor)


# -- prove ----------------------------------------------------------------------------------------------------------


def test_a_deployment_is_proven_with_the_ledger_that_it_stands_in(installation: Installation) -> None:
    answer = installation.answer("prove", DEPLOYMENT[:6])
    data = answer["data"]
    assert (data["deployment"], data["outcome"], data["covered"]) == (DEPLOYMENT, "succeeded", True)
    assert data["ledger"]["valid"] is True
    assert [line["step"] for line in data["lines"]][:4] == ["trust", "proposed", "plan posted", "review"]
    text = installation.run("prove", DEPLOYMENT).stdout
    assert f"[{data['lines'][0]['sequence']} {data['lines'][0]['hash'][:16]}]" in text
    assert "the ledger holds: " in text


def test_what_is_not_covered_by_a_checkpoint_yet_is_said(installation: Installation) -> None:
    connection = sqlite3.connect(installation.database, isolation_level=None)
    tampered(connection, lambda c: (c.execute("DELETE FROM checkpoints WHERE size > 9"), None)[1])
    connection.close()
    installation.without_the_copy()
    assert installation.answer("prove", DEPLOYMENT)["data"]["covered"] is False
    assert "are not signed yet" in installation.run("prove", DEPLOYMENT).stdout


def test_a_ledger_that_was_tampered_with_proves_nothing(installation: Installation) -> None:
    connection = sqlite3.connect(installation.database, isolation_level=None)
    tampered(connection, edit_and_make_good)
    connection.close()
    answer = installation.answer("prove", DEPLOYMENT, code=6)
    assert answer["code"] == "VERIFICATION_FAILED"
    assert "written anew" in answer["error"]


def test_a_record_that_was_changed_beside_the_ledger_proves_nothing(installation: Installation) -> None:
    connection = sqlite3.connect(installation.database, isolation_level=None)
    tampered(
        connection,
        lambda c: (c.execute("UPDATE deployments SET record = replace(record, 'reviewer', 'somebody')"), None)[1],
    )
    done = installation.run("prove", DEPLOYMENT)
    assert done.exit_code == 6
    assert "was not written by this installation" in done.stderr
    tampered(connection, lambda c: seal_anew(installation, c, deployments))
    connection.close()
    assert installation.verify()["data"]["valid"], "the ledger itself is as it was"
    done = installation.run("prove", DEPLOYMENT)
    assert done.exit_code == 6
    assert "the record names other approvals than the decision" in done.stderr
    assert installation.run("prove", DEPLOYMENT, "--attestations", str(installation.directory / "no")).exit_code == 6
    assert not (installation.directory / "no").exists()


def test_a_deployment_that_nobody_knows_is_an_error(installation: Installation) -> None:
    assert installation.answer("prove", "d-7", code=1)["code"] == "NOT_FOUND"


# -- the auditor's page ---------------------------------------------------------------------------------------------


def audit(installation: Installation, **changes: str) -> subprocess.CompletedProcess[str]:
    """The page's commands, as it says to run them."""
    environment = {"PATH": os.environ["PATH"], "ANCHOR": installation.anchor} | changes
    return subprocess.run(
        ["bash", "-c", "set -euo pipefail\n" + "\n".join(BLOCKS)],
        cwd=installation.outside, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def rewritten(installation: Installation, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = change(installation.lines.read_bytes().splitlines())
    installation.lines.write_bytes(b"".join(line + b"\n" for line in lines))


def foreign(installation: Installation) -> InstallationKey:
    return InstallationKey(installation.directory / "theirs")


def sign_anew(installation: Installation) -> None:
    """The whole export anew, signed by a key of their own."""
    rewritten(installation, anew)
    origin, size, _ = installation.checkpoint.read_text().split("\n")[:3]
    lines = installation.lines.read_bytes().splitlines()
    body = f"{origin}\n{size}\n{_hash(lines[int(size) - 1])}\n"
    signature = foreign(installation).sign(body.encode(), "reconciler-checkpoint")
    installation.checkpoint.write_text(f"{body}\n{signature}")


def _hash(line: bytes) -> str:
    return subprocess.run(["sha256sum"], input=line, capture_output=True, check=True).stdout.decode()[:64]


def attest_anew(installation: Installation, by: str) -> None:
    """Another predicate in the deployment's attestation, signed by nobody or by a key of their own."""
    file = installation.outside / "deployment.dsse.json"
    envelope = json.loads(file.read_text())
    payload = base64.b64decode(envelope["payload"]).replace(b'"succeeded"', b'"perfect"')
    envelope["payload"] = base64.b64encode(payload).decode()
    if by == "them":
        kind = PAYLOAD_TYPE.encode()
        encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        signature = foreign(installation).sign(encoded, "reconciler-attestation")
        envelope["signatures"][0]["sig"] = base64.b64encode(signature.encode()).decode()
    file.write_text(json.dumps(envelope))


TAMPERING: dict[str, Callable[[Installation], None]] = {
    "edit": lambda i: rewritten(i, lambda lines: [lines[0].replace(b"keeper", b"nobody"), *lines[1:]]),
    "insert": lambda i: rewritten(i, lambda lines: [lines[0], lines[0], *lines[1:]]),
    "delete": lambda i: rewritten(i, lambda lines: [*lines[:2], *lines[3:]]),
    "reorder": lambda i: rewritten(i, lambda lines: [lines[1], lines[0], *lines[2:]]),
    "gap": lambda i: rewritten(
        i, lambda lines: [*lines[:-1], re.sub(rb'"sequence":\d+', b'"sequence":99', lines[-1])]
    ),
    "cut at the head": lambda i: rewritten(i, lambda lines: lines[1:]),
    "cut at the tail": lambda i: rewritten(i, lambda lines: lines[:-3]),
    "emptied": lambda i: rewritten(i, lambda _: []),
    "torn": lambda i: (i.lines.write_bytes(i.lines.read_bytes()[:-9]), None)[1],
    "rewritten from scratch": lambda i: rewritten(i, anew),
    "rewritten and signed by another key": sign_anew,
    "another key in allowed_signers": lambda i: (
        i.key.write_text(f"{i.key.read_text().split()[0]} {foreign(i).public_key}\n"), None
    )[1],
    "an attestation changed": lambda i: attest_anew(i, "nobody"),
    "an attestation signed by another key": lambda i: attest_anew(i, "them"),
}  # fmt: skip


@needs_jq
def test_the_pages_commands_verify_a_good_export(installation: Installation) -> None:
    assert len(BLOCKS) == 4
    done = audit(installation)
    assert done.returncode == 0, done.stderr
    entries = len(installation.lines.read_bytes().splitlines())
    assert f"{entries} entries follow one from the other" in done.stdout
    assert f"{entries - 1} entries are signed" in done.stdout
    assert "is the one that the forge was told about" in done.stdout
    assert done.stdout.count('Good "reconciler-attestation" signature') == 3


@needs_jq
@pytest.mark.parametrize("how", TAMPERING)
def test_the_pages_commands_find_tampering(installation: Installation, how: str) -> None:
    TAMPERING[how](installation)
    assert audit(installation).returncode != 0


@needs_jq
def test_the_pages_commands_find_another_ledger_by_what_the_forge_was_told(installation: Installation) -> None:
    size = installation.anchor.split(":")[0]
    done = audit(installation, ANCHOR=f"{size}:{'0' * 32}")
    assert done.returncode != 0
    assert "the forge was told about another ledger" in done.stderr


@needs_jq
def test_an_attestation_of_another_ledger_is_found_by_the_entries_that_it_names(installation: Installation) -> None:
    """Signed by the right key, and about entries that this ledger does not have."""
    file = installation.outside / "deployment.dsse.json"
    envelope = json.loads(file.read_text())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["predicate"]["finished"]["hash"] = "0" * 64
    content = json.dumps(payload).encode()
    kind = PAYLOAD_TYPE.encode()
    key = InstallationKey(installation.directory / "state" / "signing.key")
    signature = key.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(content), content), "reconciler-attestation")
    envelope["payload"] = base64.b64encode(content).decode()
    envelope["signatures"][0]["sig"] = base64.b64encode(signature.encode()).decode()
    file.write_text(json.dumps(envelope))
    assert audit(installation).returncode != 0


def test_what_was_forgotten_inside_is_still_there_outside(installation: Installation) -> None:
    """The database has no checkpoint any more; the exported one still says what it said."""
    connection = sqlite3.connect(installation.database, isolation_level=None)
    tampered(connection, forget_checkpoints)
    connection.close()
    installation.without_the_copy()
    found = installation.verify("--checkpoint", str(installation.checkpoint))["data"]
    assert found["compared"] == [str(installation.checkpoint)]
