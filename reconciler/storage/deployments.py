"""Deployment records and the journal of their operations in the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, Select, func, insert, select, update

from reconciler.model.deployment import Deployment, OperationResult
from reconciler.model.errors import NotFound, Retryable, Terminal
from reconciler.model.target import EnvironmentName, Target
from reconciler.storage.database import Database
from reconciler.storage.ledger import append_in
from reconciler.storage.schema import deployments, journal

_RECORD = TypeAdapter(Deployment)
_RESULT = TypeAdapter(OperationResult)


@dataclass(frozen=True, slots=True)
class SqlDeployments:
    """Implements ports.Deployments."""

    database: Database

    def begin(self, deployment: Deployment, context: Mapping[str, Any], entry: Mapping[str, Any] | None = None) -> bool:
        """Store a queued deployment; False, and nothing stored, when its id is there already.

        `entry` is what the ledger keeps of it, in the same transaction: neither is ever there without the other.
        Retryable while another one of the environment is under way.
        """
        with self.database.writing() as connection:
            if connection.execute(select(deployments.c.id).where(deployments.c.id == deployment.id)).first():
                return False
            under_way = connection.execute(
                select(deployments.c.id).where(
                    deployments.c.project == deployment.project,
                    deployments.c.environment == deployment.environment,
                    deployments.c.final == 0,
                )
            ).scalar()
            if under_way is not None:
                name = f"{deployment.project}/{deployment.environment}"
                raise Retryable(f"deployment {under_way} of {name} is under way; another one waits for its end")
            number = connection.execute(select(func.coalesce(func.max(deployments.c.number), 0))).scalar_one() + 1
            row = {
                **_state(deployment),
                "id": deployment.id,
                "number": number,
                "project": deployment.project,
                "environment": deployment.environment,
                "revision": deployment.revision,
                "reverts": deployment.reverts,
                "context": json.dumps(dict(context), sort_keys=True),
            }
            connection.execute(insert(deployments).values(self.database.seal.sealed(deployments, row)))
            if entry is not None:
                append_in(
                    connection, self.database.seal, "deployment-started", deployment.id, entry, deployment.started_at
                )
            return True

    def advance(self, deployment: Deployment, entry: Mapping[str, Any] | None = None) -> None:
        """Store a new state, and what the ledger keeps of it in the same transaction; Terminal when the record is
        finished already.
        """
        here = deployments.c.id == deployment.id
        with self.database.writing() as connection:
            row = connection.execute(select(deployments).where(here)).first()
            if row is None or row.final:
                raise Terminal(f"deployment {deployment.id} is finished or unknown; its record does not change")
            changed = {**self._checked(row)._mapping, **_state(deployment)}
            connection.execute(update(deployments).where(here).values(self.database.seal.sealed(deployments, changed)))
            if entry is not None:
                now = deployment.finished_at or deployment.started_at
                append_in(connection, self.database.seal, "deployment-finished", deployment.id, entry, now)

    def journal_intent(
        self,
        deployment: str,
        target: Target,
        index: int,
        operation: str,
        now: datetime,
        subject: str = "",
        why: str = "",
    ) -> None:
        """Note in journal and ledger that an operation is about to begin; noting it again after a restart changes
        nothing.
        """
        key = (journal.c.deployment == deployment, journal.c.target == str(target), journal.c.operation_index == index)
        with self.database.writing() as connection:
            if connection.execute(select(journal.c.deployment).where(*key)).first() is None:
                row = {
                    "deployment": deployment,
                    "target": str(target),
                    "operation_index": index,
                    "operation": operation,
                    "intended_at": now.isoformat(),
                    "result": None,
                }
                connection.execute(insert(journal).values(self.database.seal.sealed(journal, row)))
                said = _operation(deployment, target, index, operation, subject, why)
                append_in(connection, self.database.seal, "operation-started", deployment, said, now)

    def begun(self, deployment: str, target: Target) -> Mapping[int, datetime]:
        """When each operation on this target was begun, by index, whatever became of it."""
        return {
            row.operation_index: datetime.fromisoformat(row.intended_at) for row in self._journal(deployment, target)
        }

    def journal_outcome(self, deployment: str, target: Target, result: OperationResult) -> None:
        """Note in journal and ledger what became of it; Terminal where no intent was noted."""
        with self.database.writing() as connection:
            here = (
                journal.c.deployment == deployment,
                journal.c.target == str(target),
                journal.c.operation_index == result.index,
            )
            row = connection.execute(select(journal).where(*here)).first()
            if row is None:
                raise Terminal(f"deployment {deployment}: operation {result.index} on {target} was never begun")
            seal = self.database.seal
            changed = {**seal.checked(journal, row)._mapping, "result": _RESULT.dump_json(result).decode()}
            connection.execute(update(journal).where(*here).values(seal.sealed(journal, changed)))
            said = _operation(deployment, target, result.index, result.operation, result.subject, result.why)
            said |= {"outcome": result.outcome, "detail": result.detail, "started_at": result.started_at.isoformat()}
            append_in(connection, self.database.seal, "operation-finished", deployment, said, result.finished_at)

    def journal(self, deployment: str, target: Target) -> tuple[OperationResult, ...]:
        """Outcomes so far, by index."""
        rows = self._journal(deployment, target)
        return tuple(_RESULT.validate_json(row.result) for row in rows if row.result is not None)

    def _journal(self, deployment: str, target: Target) -> list[Row[Any]]:
        query = select(journal).where(journal.c.deployment == deployment, journal.c.target == str(target))
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(journal.c.operation_index)).all()
        return [self.database.seal.checked(journal, row) for row in rows]

    def get(self, deployment: str) -> Deployment | None:
        """The record of that id."""
        row = self._row(deployment)
        return _record(row) if row is not None else None

    def context(self, deployment: str) -> Mapping[str, Any]:
        """What `begin` stored for a resumption."""
        row = self._row(deployment)
        if row is None:
            raise NotFound(f"there is no deployment {deployment}")
        context: Mapping[str, Any] = json.loads(row.context)
        return context

    def unfinished(self) -> tuple[Deployment, ...]:
        """Those under way, or cut off, oldest first."""
        return self._records(select(deployments).where(deployments.c.final == 0).order_by(deployments.c.number))

    def of_environment(self, environment: EnvironmentName | None, limit: int = 100) -> tuple[Deployment, ...]:
        """Newest first; of all environments when none is named."""
        query = select(deployments).order_by(deployments.c.number.desc()).limit(limit)
        if environment is not None:
            query = query.where(
                deployments.c.project == environment.project, deployments.c.environment == environment.environment
            )
        return self._records(query)

    def of_revision(self, revision: str) -> tuple[Deployment, ...]:
        """Those of one revision, of all environments, oldest first."""
        return self._records(
            select(deployments).where(deployments.c.revision == revision).order_by(deployments.c.number)
        )

    def reverted_by(self, deployment: str) -> str | None:
        """The newest succeeded deployment that reverts this one."""
        query = (
            select(deployments)
            .where(deployments.c.reverts == deployment, deployments.c.outcome == "succeeded")
            .order_by(deployments.c.number.desc())
        )
        found = self._records(query.limit(1))
        return found[0].id if found else None

    def _row(self, deployment: str) -> Row[Any] | None:
        with self.database.reading() as connection:
            row = connection.execute(select(deployments).where(deployments.c.id == deployment)).first()
        return self._checked(row) if row is not None else None

    def _records(self, query: Select[Any]) -> tuple[Deployment, ...]:
        with self.database.reading() as connection:
            return tuple(_record(self._checked(row)) for row in connection.execute(query))

    def _checked(self, row: Row[Any]) -> Row[Any]:
        return self.database.seal.checked(deployments, row)


def _record(row: Row[Any]) -> Deployment:
    return _RECORD.validate_json(row.record)


def _state(deployment: Deployment) -> dict[str, Any]:
    """The columns that change while it is under way."""
    return {
        "outcome": deployment.outcome.value,
        "final": int(deployment.outcome.final),
        "record": _RECORD.dump_json(deployment).decode(),
    }


def _operation(deployment: str, target: Target, index: int, operation: str, subject: str, why: str) -> dict[str, Any]:
    """What both entries about an operation say; the attempt is the deployment's id, which names no other attempt."""
    return {
        "attempt": deployment,
        "target": str(target),
        "index": index,
        "operation": operation,
        "subject": subject,
        "why": why,
    }
