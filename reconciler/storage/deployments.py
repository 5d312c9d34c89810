"""Deployment records and the journal of their operations in the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import func, insert, select, update

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
            connection.execute(
                insert(deployments).values(
                    id=deployment.id,
                    number=number,
                    project=deployment.project,
                    environment=deployment.environment,
                    revision=deployment.revision,
                    outcome=deployment.outcome.value,
                    final=int(deployment.outcome.final),
                    reverts=deployment.reverts,
                    record=_RECORD.dump_json(deployment).decode(),
                    context=json.dumps(dict(context), sort_keys=True),
                )
            )
            if entry is not None:
                append_in(connection, "deployment-started", deployment.id, entry, deployment.started_at)
            return True

    def advance(self, deployment: Deployment) -> None:
        """Store a new state; Terminal when the record is finished already."""
        with self.database.writing() as connection:
            done = connection.execute(
                update(deployments)
                .where(deployments.c.id == deployment.id, deployments.c.final == 0)
                .values(
                    outcome=deployment.outcome.value,
                    final=int(deployment.outcome.final),
                    record=_RECORD.dump_json(deployment).decode(),
                )
            )
            if done.rowcount != 1:
                raise Terminal(f"deployment {deployment.id} is finished or unknown; its record does not change")

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
                connection.execute(
                    insert(journal).values(
                        deployment=deployment,
                        target=str(target),
                        operation_index=index,
                        operation=operation,
                        intended_at=now.isoformat(),
                    )
                )
                said = _operation(deployment, target, index, operation, subject, why)
                append_in(connection, "operation-started", deployment, said, now)

    def begun(self, deployment: str, target: Target) -> Mapping[int, datetime]:
        """When each operation on this target was begun, by index, whatever became of it."""
        query = select(journal.c.operation_index, journal.c.intended_at).where(
            journal.c.deployment == deployment, journal.c.target == str(target)
        )
        with self.database.reading() as connection:
            return {row.operation_index: datetime.fromisoformat(row.intended_at) for row in connection.execute(query)}

    def journal_outcome(self, deployment: str, target: Target, result: OperationResult) -> None:
        """Note in journal and ledger what became of it; Terminal where no intent was noted."""
        with self.database.writing() as connection:
            done = connection.execute(
                update(journal)
                .where(
                    journal.c.deployment == deployment,
                    journal.c.target == str(target),
                    journal.c.operation_index == result.index,
                )
                .values(result=_RESULT.dump_json(result).decode())
            )
            if done.rowcount != 1:
                raise Terminal(f"deployment {deployment}: operation {result.index} on {target} was never begun")
            said = _operation(deployment, target, result.index, result.operation, result.subject, result.why)
            said |= {"outcome": result.outcome, "detail": result.detail, "started_at": result.started_at.isoformat()}
            append_in(connection, "operation-finished", deployment, said, result.finished_at)

    def journal(self, deployment: str, target: Target) -> tuple[OperationResult, ...]:
        """Outcomes so far, by index."""
        query = (
            select(journal.c.result)
            .where(journal.c.deployment == deployment, journal.c.target == str(target), journal.c.result.is_not(None))
            .order_by(journal.c.operation_index)
        )
        with self.database.reading() as connection:
            return tuple(_RESULT.validate_json(row.result) for row in connection.execute(query))

    def get(self, deployment: str) -> Deployment | None:
        """The record of that id."""
        with self.database.reading() as connection:
            row = connection.execute(select(deployments.c.record).where(deployments.c.id == deployment)).first()
        return _RECORD.validate_json(row.record) if row else None

    def context(self, deployment: str) -> Mapping[str, Any]:
        """What `begin` stored for a resumption."""
        with self.database.reading() as connection:
            row = connection.execute(select(deployments.c.context).where(deployments.c.id == deployment)).first()
        if row is None:
            raise NotFound(f"there is no deployment {deployment}")
        context: Mapping[str, Any] = json.loads(row.context)
        return context

    def unfinished(self) -> tuple[Deployment, ...]:
        """Those under way, or cut off, oldest first."""
        query = select(deployments.c.record).where(deployments.c.final == 0).order_by(deployments.c.number)
        with self.database.reading() as connection:
            return tuple(_RECORD.validate_json(row.record) for row in connection.execute(query))

    def of_environment(self, environment: EnvironmentName | None, limit: int = 100) -> tuple[Deployment, ...]:
        """Newest first; of all environments when none is named."""
        query = select(deployments.c.record).order_by(deployments.c.number.desc()).limit(limit)
        if environment is not None:
            query = query.where(
                deployments.c.project == environment.project, deployments.c.environment == environment.environment
            )
        with self.database.reading() as connection:
            return tuple(_RECORD.validate_json(row.record) for row in connection.execute(query))

    def of_revision(self, revision: str) -> tuple[Deployment, ...]:
        """Those of one revision, of all environments, oldest first."""
        query = select(deployments.c.record).where(deployments.c.revision == revision).order_by(deployments.c.number)
        with self.database.reading() as connection:
            return tuple(_RECORD.validate_json(row.record) for row in connection.execute(query))

    def reverted_by(self, deployment: str) -> str | None:
        """The newest succeeded deployment that reverts this one."""
        query = (
            select(deployments.c.id)
            .where(deployments.c.reverts == deployment, deployments.c.outcome == "succeeded")
            .order_by(deployments.c.number.desc())
        )
        with self.database.reading() as connection:
            return connection.execute(query).scalar()


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
