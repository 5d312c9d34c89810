"""Records and what is known of environments, in the file: every field comes back, and a finished record stays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from reconciler.model.deployment import Deployment, DeploymentState, OperationResult
from reconciler.model.errors import Retryable, VerificationFailed
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import EnvironmentRecord, TrustRecord
from reconciler.storage import Database, open_database
from reconciler.storage.deployments import SqlDeployments
from reconciler.storage.ledger import SqlLedger
from reconciler.storage.sealing import Seal
from reconciler.storage.states import SqlStates
from tests.unit.storage import records
from tests.unit.storage.processes import go, process
from tests.unit.storage.records import NOON, SEAL, TARGET, a_deployment, a_result

# The database is one for all examples on purpose: records of different names must not touch each other.
NUMBERS = count()
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


@shared
@given(deployment=records.deployments, context=st.dictionaries(records.texts, records.documents, max_size=3))
def test_every_field_of_a_deployment_comes_back(
    database: Database, deployment: Deployment, context: dict[str, object]
) -> None:
    deployments = SqlDeployments(database)
    deployment = replace(deployment, id=f"d-{next(NUMBERS)}")
    assert deployments.begin(deployment, context)
    assert not deployments.begin(deployment, {})
    assert deployments.context(deployment.id) == context
    assert deployments.of_environment(None, limit=1) == (deployment,)
    assert deployments.of_revision(deployment.revision)[-1] == deployment
    assert deployments.get(deployment.id) == deployment
    assert deployment in deployments.unfinished()
    # Whatever else is asked for this environment waits for its end.
    with pytest.raises(Retryable, match=f"(?s)deployment {deployment.id} of .* is under way"):
        deployments.begin(replace(deployment, id="d-other"), {})
    finished = replace(deployment, outcome=DeploymentState.FAILED)
    deployments.advance(finished)
    assert deployments.get(deployment.id) == finished


@shared
@given(target=records.targets, result=records.results)
def test_every_field_of_a_result_comes_back(database: Database, target: Target, result: OperationResult) -> None:
    deployments = SqlDeployments(database)
    deployments.journal_intent("d-1", target, result.index, result.operation, NOON)
    deployments.journal_outcome("d-1", target, result)
    assert result in deployments.journal("d-1", target)


@shared
@given(record=records.environment_records)
def test_every_field_of_an_environment_comes_back(database: Database, record: EnvironmentRecord) -> None:
    states = SqlStates(database)
    assert states.change_environment(record.name, lambda _: record) == record
    assert states.environment(record.name) == record
    assert record in states.environments()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trust=records.trust_records)
def test_every_field_of_trust_comes_back(database: Database, trust: TrustRecord) -> None:
    states = SqlStates(database)
    former = states.trust()
    if former is None:
        states.set_trust(trust)
    else:
        states.reset_trust(former, trust, lambda record: record)
    assert states.trust() == SqlStates(database).trust() == SqlStates(database).trust_history()[-1] == trust


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trusted SET record = '{}'",
        "DELETE FROM trusted",
        "INSERT OR REPLACE INTO trusted VALUES (1, '{}', '')",
        "INSERT INTO trusted VALUES (3, '{}', '')",
    ],
)
def test_what_was_trusted_is_not_changed_by_mistake(database: Database, file: Path, statement: str) -> None:
    SqlStates(database).set_trust(TrustRecord(1, "a" * 40, (), NOON))
    connection = sqlite3.connect(file, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="what was trusted is never changed"):
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE deployments SET outcome = 'failed' WHERE id = 'd-1'",
        "UPDATE deployments SET final = 0 WHERE id = 'd-1'",
        "DELETE FROM deployments WHERE id = 'd-1'",
        "INSERT OR REPLACE INTO deployments SELECT id,99,'x','x','x','failed',1,NULL,'','','' FROM deployments",
        "INSERT OR REPLACE INTO deployments SELECT 'd-9',number,'x','x','x','failed',1,NULL,'','','' FROM deployments",
    ],
)
def test_a_finished_record_is_not_changed_by_mistake(database: Database, file: Path, statement: str) -> None:
    deployments = SqlDeployments(database)
    deployments.begin(a_deployment(), {})
    deployments.advance(a_deployment(outcome=DeploymentState.SUCCEEDED))
    connection = sqlite3.connect(file, isolation_level=None)
    with pytest.raises(
        sqlite3.IntegrityError, match=r"a (finished )?deployment record (never changes|is not replaced)"
    ):
        connection.execute(statement)
    connection.close()
    assert deployments.get("d-1") == a_deployment(outcome=DeploymentState.SUCCEEDED)


def test_a_process_that_is_killed_leaves_its_deployment_unfinished_and_its_journal(
    database: Database, file: Path
) -> None:
    lines = """
from reconciler.storage.deployments import SqlDeployments
from tests.unit.storage.records import TARGET, a_deployment, a_result
deployments = SqlDeployments(database)
deployments.begin(a_deployment(), {"plans": {}})
deployments.journal_intent("d-1", TARGET, 0, "PullImage", NOON)
deployments.journal_outcome("d-1", TARGET, a_result())
deployments.journal_intent("d-1", TARGET, 1, "RecreateService", NOON)
print("begun", flush=True)
sys.stdin.readline()
"""
    with process(file, "worker", lines) as worker:
        go(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "begun\n"
        worker.kill()
        worker.wait()
    reopened = open_database(f"sqlite:///{file}", SEAL)
    deployments = SqlDeployments(reopened)
    assert deployments.unfinished() == (a_deployment(),)
    assert deployments.context("d-1") == {"plans": {}}
    assert deployments.begun("d-1", TARGET)
    assert deployments.journal("d-1", TARGET) == (a_result(),)
    reopened.close()


# -- the ledger beside the journal -----------------------------------------------------------------------------------


def entries(database: Database, kind: str) -> list[dict[str, Any]]:
    return [json.loads(entry.body)["data"] for entry in SqlLedger(database).find(kind, "d-1")]


def refuse_entries(database: Database) -> None:
    """The ledger takes nothing more, as on a full disk."""
    with database.writing() as connection:
        connection.execute(
            text("CREATE TEMP TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
        )


def test_an_operation_is_in_the_ledger_before_and_after_it_is_done(database: Database) -> None:
    store = SqlDeployments(database)
    for _ in range(2):
        store.journal_intent("d-1", TARGET, 0, "RecreateService", NOON, "web", "image changed in git")
    expected = {
        "attempt": "d-1", "target": str(TARGET), "index": 0, "operation": "RecreateService", "subject": "web",
        "why": "image changed in git",
    }  # fmt: skip
    assert entries(database, "operation-started") == [expected]
    assert entries(database, "operation-finished") == []
    store.journal_outcome("d-1", TARGET, a_result())
    assert entries(database, "operation-finished") == [
        expected | {"outcome": "done", "detail": "", "started_at": NOON.isoformat()}
    ]


def test_an_operation_that_cannot_be_put_on_record_is_not_begun(database: Database) -> None:
    store = SqlDeployments(database)
    refuse_entries(database)
    with pytest.raises(IntegrityError, match="the disk is full"):
        store.journal_intent("d-1", TARGET, 0, "RecreateService", NOON)
    assert store.begun("d-1", TARGET) == {}


def test_an_outcome_is_in_journal_and_ledger_or_in_neither(database: Database) -> None:
    store = SqlDeployments(database)
    store.journal_intent("d-1", TARGET, 0, "RecreateService", NOON)
    refuse_entries(database)
    with pytest.raises(IntegrityError, match="the disk is full"):
        store.journal_outcome("d-1", TARGET, a_result())
    assert store.journal("d-1", TARGET) == ()


def test_a_deployment_is_queued_with_its_entry_or_not_at_all(database: Database) -> None:
    store = SqlDeployments(database)
    assert store.begin(a_deployment(), {}, {"plans": {}})
    assert not store.begin(a_deployment(), {}, {"plans": {}})
    assert entries(database, "deployment-started") == [{"plans": {}}]
    refuse_entries(database)
    with pytest.raises(IntegrityError, match="the disk is full"):
        store.begin(a_deployment("d-2", environment="staging"), {}, {"plans": {}})
    assert store.get("d-2") is None


def test_a_deployment_ends_with_its_entry_or_not_at_all(database: Database) -> None:
    store = SqlDeployments(database)
    ended = a_deployment(outcome=DeploymentState.SUCCEEDED)
    store.begin(a_deployment(), {})
    refuse_entries(database)
    with pytest.raises(IntegrityError, match="the disk is full"):
        store.advance(ended, {"outcome": "succeeded"})
    assert store.unfinished() == (a_deployment(),)
    with database.writing() as connection:
        connection.execute(text("DROP TRIGGER full"))
    store.advance(ended, {"outcome": "succeeded"})
    assert store.get("d-1") == ended
    assert entries(database, "deployment-finished") == [{"outcome": "succeeded"}]


# -- rows that somebody else wrote -----------------------------------------------------------------------------------

PLANTED = {
    "another plan": "UPDATE deployments SET context = '{}'",
    "another revision": "UPDATE deployments SET record = replace(record, 'aaaa', 'cccc')",
    "another environment": "UPDATE deployments SET environment = 'staging'",
    "another number": "UPDATE deployments SET number = 7",
    "undone": "UPDATE deployments SET final = 1",
    "a copy under another name": "INSERT INTO deployments SELECT 'd-2', 2, project, 'x', revision, outcome, final, "
    "reverts, record, context, seal FROM deployments",
    "without a seal": "UPDATE deployments SET seal = ''",
    "a seal that is no text": "UPDATE deployments SET seal = x'ff'",
    "a seal in other letters": "UPDATE deployments SET seal = 'é'",
}


@pytest.mark.parametrize("how", PLANTED)
def test_a_deployment_that_somebody_planted_or_changed_is_not_read(database: Database, file: Path, how: str) -> None:
    store = SqlDeployments(database)
    store.begin(a_deployment(), {"plans": {}})
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute(PLANTED[how])
    connection.close()
    identity = "d-2" if how.startswith("a copy") else "d-1"
    with pytest.raises(VerificationFailed, match=f"deployments {identity} was not written by this installation"):
        store.context(identity)
    with pytest.raises(VerificationFailed):
        store.of_environment(None)


@pytest.mark.parametrize("change", ["result = NULL", "intended_at = '2020-01-01'", "operation_index = 1"])
def test_a_journal_that_somebody_changed_is_not_read(database: Database, file: Path, change: str) -> None:
    store = SqlDeployments(database)
    store.journal_intent("d-1", TARGET, 0, "RecreateService", NOON)
    store.journal_outcome("d-1", TARGET, a_result())
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute(f"UPDATE journal SET {change}")  # noqa: S608 - of this file
    connection.close()
    with pytest.raises(VerificationFailed, match="journal d-1/"):
        store.journal("d-1", TARGET)


def test_an_environment_and_a_trust_that_somebody_changed_are_not_read(database: Database, file: Path) -> None:
    states = SqlStates(database)
    name = EnvironmentName("shop", "production")
    known = EnvironmentRecord(name, "a" * 40, None, None, "", None, "Synced", "Healthy", {}, NOON)
    states.change_environment(name, lambda _: known)
    states.set_trust(TrustRecord(7, "a" * 40, (), NOON))
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("UPDATE environments SET record = replace(record, 'aaaa', 'cccc')")
    connection.execute("DROP TRIGGER trusted_no_update")
    connection.execute("UPDATE trusted SET record = replace(record, 'aaaa', 'cccc')")
    connection.close()
    reads: tuple[Callable[[], object], ...] = (states.environments, lambda: states.environment(name))
    for read in reads:
        with pytest.raises(VerificationFailed, match="environments shop/production"):
            read()
    with pytest.raises(VerificationFailed, match="environments shop/production"):
        states.change_environment(name, lambda now: now or known)
    reads = (states.trust, states.trust_history)
    for read in reads:
        with pytest.raises(VerificationFailed, match="trusted 1"):
            read()


def test_what_another_installation_sealed_is_not_read(database: Database, file: Path) -> None:
    SqlDeployments(database).begin(a_deployment(), {})
    other = open_database(f"sqlite:///{file}", Seal(b"the key of another installation"))
    with pytest.raises(VerificationFailed, match="not written by this installation"):
        SqlDeployments(other).unfinished()
    other.close()
