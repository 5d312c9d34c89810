"""Trust over the whole product: the record that each host keeps, a database that is lost, and a reset by root persons.

What is shown of records, databases and keys needs no container, and so most of it runs on simulated hosts: SSH, files,
git, the forge and the signatures are real.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.bootstrap import open_parts, seal_of
from reconciler.control import checkpoints, once, planning, queries, trusting
from reconciler.control.parts import Parts
from reconciler.model.errors import Retryable, Terminal
from reconciler.model.host_record import HostRecord, read_file, read_payload
from reconciler.model.target import Target
from reconciler.storage.schema import environments
from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import FILES, Stage, greet

SPARE_OFF = {"projects/app/spare/environment.yaml": None}
ROOTS = ("keeper", "operator", "reviewer")


@pytest.fixture
def one(make_simulated: StageMaker) -> Stage:
    """One environment on one simulated host, deployed and healthy."""
    return make_simulated(**SPARE_OFF)


def record_file(stage: Stage) -> Path:
    return Path(stage.host().directory) / "targets" / "app%2Fproduction%40web-1.json"


def record(stage: Stage) -> HostRecord:
    """What the host has, read as the product reads it: a real host's files are not this machine's."""
    state = planning.snapshot(stage.parts.source.tree(stage.baseline)).state
    spec = state.host("web-1")
    assert spec is not None
    content = planning.connect(stage.parts, state, spec).read_record(Target("app", "production", "web-1"))
    assert content is not None
    return read_payload(read_file(content).payload)


def state(stage: Stage, name: str) -> list[Path]:
    return sorted((stage.world.root / "state").glob(f"{name}*"))


def lose(stage: Stage, *names: str) -> None:
    """End the control plane, remove files of its state, and start it again."""
    stage.stack.close()
    for name in names:
        for file in state(stage, name):
            file.unlink()
    stage.restart()


def begin_anew(stage: Stage, revision: str) -> dict[str, Any]:
    trusting.init_trust(stage.parts, revision, ())
    report = stage.run()
    assert report["failures"] == []
    return report


def push(stage: Stage, text: str) -> str:
    """A commit on the deploy branch that nobody approved, by somebody who may write."""
    stage.operator.checkout()
    greet(text)(stage.operator.clone)
    head = stage.operator.commit("Past the gate")
    stage.operator.git("push", "--quiet", "origin", "HEAD:main")
    return head


def entries(parts: Parts, kind: str) -> list[dict[str, Any]]:
    return [json.loads(e.body)["data"] for e in parts.ledger.entries() if e.kind == kind]


# -- a database that is lost ----------------------------------------------------------------------------------------


def is_as_before(stage: Stage, revision: str, containers: dict[str, str]) -> None:
    status = stage.status()
    assert (status["sync"], status["hold"], status["revision"]) == ("Synced", None, revision), status
    assert stage.containers() == containers
    assert stage.deployments() == []


def test_a_lost_database_loses_no_workload_and_restarts_nothing(make_stage: StageMaker) -> None:
    """On real engines; the next change then goes its way as if nothing had been."""
    stage = make_stage(**SPARE_OFF)
    landed = stage.land(greet("second"))
    assert not stage.run()["failures"]
    before, deployment = stage.containers(), stage.status()["deployment"]
    assert (record(stage).revision, record(stage).deployment, record(stage).generation) == (landed, deployment, 2)
    signed = stage.parts.checkpoints.newest()
    assert signed is not None
    lose(stage, "reconciler.db")
    begin_anew(stage, stage.baseline)
    (lost,) = entries(stage.parts, "ledger-follows")
    assert lost["anchor"] == signed.signed.checkpoint.anchor, "how far the lost ledger went is on record in the new one"
    is_as_before(stage, landed, before)
    assert stage.status()["deployment"] == deployment
    assert "the database knows nothing" in stage.status()["host_record"]
    (said,) = entries(stage.parts, "host-record")
    assert (said["verified"], said["database"], said["deployment"]) == (landed, None, deployment)
    stage.land(greet("third"), "agent/third")
    (made,) = stage.run()["deployments"]
    assert (made["outcome"], stage.greeting()) == ("succeeded", "third")
    assert (record(stage).generation, stage.status()["host_record"]) == (3, None)


def test_root_persons_may_begin_at_what_is_deployed_instead(one: Stage) -> None:
    landed = one.land(greet("second"))
    one.run()
    before = one.containers()
    tip = one.operator.propose("operator/readme", "Say more", lambda clone: (clone / "README.md").write_text("more\n"))
    one.run()
    one.approve(tip["number"])
    after = one.operator.merge(tip["number"])
    lose(one, "reconciler.db")
    begin_anew(one, after)
    assert record(one).revision == landed
    is_as_before(one, after, before)


def test_a_database_from_an_old_backup_takes_nothing_back(one: Stage) -> None:
    one.stack.close()
    kept = {file: file.read_bytes() for file in state(one, "reconciler.db")}
    one.restart()
    landed = one.land(greet("second"))
    one.run()
    before = one.containers()
    one.stack.close()
    for file in state(one, "reconciler.db"):
        file.unlink()
    for file, content in kept.items():
        file.write_bytes(content)
    one.restart()
    assert one.status()["revision"] == one.baseline
    assert one.run()["deployments"] == []
    assert (one.status()["revision"], one.status()["sync"], one.containers()) == (landed, "Synced", before)
    assert "newer than the database" in one.status()["host_record"]
    # What was said after the backup is missing, and so nothing is deployed before somebody takes that on record.
    one.land(greet("third"), "agent/third")
    (failure,) = one.run()["failures"]
    assert "were signed already" in failure["error"]
    assert one.containers() == before
    lost = checkpoints.begin_anew(one.parts, "the disk was restored from Monday's backup")
    assert lost is not None
    (made,) = one.run()["deployments"]
    assert (made["outcome"], one.greeting()) == ("succeeded", "third")
    assert [entry["anchor"] for entry in entries(one.parts, "ledger-follows")] == [lost.anchor]


# -- a database or a record that somebody changed -------------------------------------------------------------------


def test_a_revision_that_only_the_database_calls_verified_is_not_deployed(one: Stage) -> None:
    """Somebody with the database and the key beside it has what they pushed past the gate look deployed, for a heal."""
    before = one.containers()
    pushed = push(one, "stolen")
    one.stack.close()
    with closing(sqlite3.connect(one.world.root / "state/reconciler.db")) as database:
        name, record = database.execute("select name, record from environments").fetchone()
        row = {"name": name, "record": json.dumps(json.loads(record) | {"verified": pushed})}
        sealed = seal_of(one.world.root / "state").sealed(environments, row)
        database.execute("update environments set record = :record, seal = :seal", sealed)
        database.commit()
    one.restart()
    assert one.run()["deployments"] == []
    status = one.status()
    assert (status["hold"], status["revision"]) == ("Held", one.baseline)
    assert "gate 33" in status["reason"]
    assert one.containers() == before
    assert [e["database"] for e in entries(one.parts, "host-record")] == [pushed]


def test_a_record_that_was_changed_holds_everything_on_that_host(one: Stage) -> None:
    file = record_file(one)
    content = json.loads(file.read_text())
    payload = json.loads(content["payload"]) | {"revision": "f" * 40}
    file.write_text(json.dumps(content | {"payload": json.dumps(payload)}))
    before = one.containers()
    landed = one.land(greet("second"))
    assert [d["outcome"] for d in one.run()["deployments"]] == ["cancelled"], "it is read again under the lock"
    assert "gate 68" in one.status()["reason"]
    one.run()
    status = one.status()
    assert (status["hold"], status["revision"]) == ("Held", one.baseline)
    assert "its signature does not fit (gate 68); docs/how-to/trust.md" in status["reason"]
    assert one.containers() == before
    file.unlink()
    assert [d["outcome"] for d in one.run()["deployments"]] == ["succeeded"], "whoever has root there may take it away"
    assert record(one).revision == landed


# -- two control planes ---------------------------------------------------------------------------------------------


def test_a_second_control_plane_deploys_nothing_beside_the_first(one: Stage) -> None:
    config = yaml.safe_load(one.world.config.read_text()) | {"database": "sqlite:///other/reconciler.db"}
    other_file = one.world.root / "other.yaml"
    other_file.write_text(yaml.safe_dump(config))
    before = one.containers()
    landed = one.land(greet("second"))
    with open_parts(other_file) as other:
        trusting.init_trust(other, one.baseline, ())
        report = once.everything(other)
        (status,) = (queries.environment_data(r) for r in other.states.environments())
        assert (report["deployments"], status["hold"]) == ([], "Held")
        assert "belongs to another installation" in status["reason"]
        assert f"{one.parts.signer.public_key} (gate 67)" in status["reason"]
    assert one.containers() == before
    assert [d["outcome"] for d in one.run()["deployments"]] == ["succeeded"], "the first one goes on"
    assert record(one).revision == landed


# -- root persons ---------------------------------------------------------------------------------------------------


class Keys:
    """A signing key for each of some people, as they would have it at home."""

    def __init__(self, directory: Path, *names: str) -> None:
        self.directory = directory
        for name in names:
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(directory / name)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def public(self, name: str) -> str:
        return " ".join((self.directory / f"{name}.pub").read_text().split()[:2])

    def sign(self, name: str, statement: Path, namespace: str = "reconciler-trust") -> Path:
        """As docs/how-to/trust.md says it."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.directory / name)]
        done = subprocess.run(command, input=statement.read_bytes(), capture_output=True, check=True)
        file = statement.with_name(f"{statement.name}.{name}.sig")
        file.write_bytes(done.stdout)
        return file


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path, *ROOTS, "deployer", "second")


@pytest.fixture
def signed(make_simulated: StageMaker, keys: Keys) -> Stage:
    """One environment, and three root persons with signing keys; the operator has two."""
    principals = yaml.safe_load(FILES["principals.yaml"])
    for name in ROOTS:
        principals["people"][name]["signing_keys"] = [keys.public(name)]
    principals["people"]["operator"]["signing_keys"].append(keys.public("second"))
    return make_simulated(**SPARE_OFF, **{"principals.yaml": yaml.safe_dump(principals)}, deploy=False)


def reset(stage: Stage, statement: Path, *signatures: Path, ok: tuple[int, ...] = (0,)) -> Any:
    options = [option for file in signatures for option in ("--signature", str(file))]
    return stage.world.cli("trust", "reset", "--statement", str(statement), *options, "--yes", ok=ok)


def asked(stage: Stage, revision: str, directory: Path, *more: str) -> Path:
    """The statement in a file, as the shell would write it."""
    names = [option for name in ROOTS for option in ("--root", name)]
    found = stage.world.cli("trust", "reset", "--revision", revision, *names, "--reason", "nobody is left", *more)
    file = directory / "statement"
    file.write_text(found["statement"])
    return file


def status_on(stage: Stage, revision: str, context: str) -> list[dict[str, str]]:
    found = stage.operator.api("GET", f"/commits/{revision}/statuses")
    return [status for status in found if status["context"] == context]


def begins_with_roots(stage: Stage) -> None:
    stage.stack.close()
    for file in state(stage, "reconciler.db"):
        file.unlink()
    stage.restart()
    trusting.init_trust(stage.parts, stage.baseline, ROOTS)
    assert not stage.run()["failures"]


def test_root_persons_pin_another_revision_and_everybody_sees_it(signed: Stage, keys: Keys, tmp_path: Path) -> None:
    begins_with_roots(signed)
    pushed = push(signed, "pinned")
    signed.run()
    assert signed.status()["hold"] == "Held"
    statement = asked(signed, pushed, tmp_path)
    made = reset(signed, statement, keys.sign("keeper", statement), keys.sign("operator", statement))
    assert (made["revision"], made["reset"]["by"]) == (pushed, ["keeper", "operator"])
    told = [(s["state"], s["description"]) for s in status_on(signed, pushed, "reconciler/trust")]
    assert sorted(told) == [
        ("pending", "trust is reset to this commit by keeper, operator: nobody is left"),
        ("success", "trust was reset to this commit by keeper, operator: nobody is left"),
    ]
    (deployment,) = signed.run()["deployments"]
    assert (deployment["authority"], deployment["author"]) == ("trust-reset", "keeper, operator")
    status = signed.status()
    assert (status["sync"], status["hold"], status["revision"]) == ("Synced", None, pushed)
    assert signed.greeting() == "pinned"
    assert status["trust_reset"]["by"] == ["keeper", "operator"]
    command = [sys.executable, "-m", "reconciler", "status", "--config", str(signed.world.config)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "by keeper, operator: nobody is left" in shown
    kinds = [e.kind for e in signed.parts.ledger.entries()]
    assert kinds.index("trust-reset-announced") < len(kinds) - 1 - kinds[::-1].index("trust")
    assert queries.verify_ledger(signed.parts)["valid"]
    with pytest.raises(Retryable, match="it was used already"):
        reset(signed, statement, keys.sign("keeper", statement), keys.sign("operator", statement))
    signed.land(greet("approved"))
    signed.run()
    assert (signed.greeting(), signed.status()["trust_reset"]) == ("approved", None)


def test_nobody_else_pins_anything(signed: Stage, keys: Keys, tmp_path: Path) -> None:
    begins_with_roots(signed)
    pushed = push(signed, "stolen")
    statement = asked(signed, pushed, tmp_path)
    changed = tmp_path / "changed"
    changed.write_text(statement.read_text().replace("nobody is left", "everybody is here"))
    other = tmp_path / "other"
    other.write_text(statement.read_text().replace('"repository": ', '"repository": 9'))
    operator, keeper = keys.sign("operator", statement), keys.sign("keeper", statement)
    attacks: list[tuple[str, Path, tuple[Path, ...]]] = [
        ("gate 3", statement, (operator, keys.sign("deployer", statement))),
        ("gate 3", statement, (operator, keeper, keys.sign("deployer", statement))),
        ("gate 2", statement, (operator, keys.sign("second", statement))),
        ("gate 2", statement, (operator, operator)),
        ("gate 2", statement, ()),
        ("gate 3", changed, (operator, keeper)),
        ("gate 3", statement, (operator, keys.sign("keeper", statement, "reconciler-target"))),
        ("gate 43", other, (keys.sign("operator", other), keys.sign("keeper", other))),
    ]
    for says, text, signatures in attacks:
        with pytest.raises(Retryable, match=says):
            reset(signed, text, *signatures)
    trust = signed.parts.states.trust()
    assert trust is not None
    assert (trust.revision, trust.reset) == (signed.baseline, None)
    refused = entries(signed.parts, "trust-reset-refused")
    assert len(refused) == len(attacks)
    assert entries(signed.parts, "trust-reset-announced") == []
    assert status_on(signed, pushed, "reconciler/trust") == []
    signed.run()
    assert (signed.status()["hold"], signed.greeting()) == ("Held", "first")


def test_a_lost_key_is_replaced_by_root_persons_and_nothing_is_restarted(
    signed: Stage, keys: Keys, tmp_path: Path
) -> None:
    begins_with_roots(signed)
    landed = signed.land(greet("second"))
    signed.run()
    before, former = signed.containers(), signed.parts.signer.public_key
    lose(signed, "reconciler.db", "signing.key", "fingerprint.key")
    trusting.init_trust(signed.parts, signed.baseline, ROOTS)
    assert signed.run()["deployments"] == []
    assert (signed.status()["hold"], "gate 67" in signed.status()["reason"]) == ("Held", True)
    assert former in signed.status()["reason"]
    early = asked(signed, signed.baseline, tmp_path, "--take-over", former)
    reset(signed, early, keys.sign("keeper", early), keys.sign("operator", early))
    signed.run()
    assert (signed.status()["hold"], "gate 39" in signed.status()["reason"]) == ("Held", True), "never backwards"
    statement = asked(signed, landed, tmp_path)
    reset(signed, statement, keys.sign("reviewer", statement), keys.sign("operator", statement))
    (deployment,) = signed.run()["deployments"]
    assert (deployment["outcome"], [o["operation"] for o in deployment["operations"]]) == ("succeeded", [])
    status = signed.status()
    assert (status["sync"], status["hold"], status["revision"]) == ("Synced", None, landed)
    assert signed.containers() == before
    assert read_file(record_file(signed).read_bytes()).key == signed.parts.signer.public_key != former


def test_what_is_pinned_is_pinned_once(one: Stage) -> None:
    with pytest.raises(Terminal, match="trust is pinned already"):
        trusting.init_trust(one.parts, one.baseline, ())
    assert len(entries(one.parts, "trust")) == 1
