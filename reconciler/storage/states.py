"""Trust, what is known of each environment, webhook deliveries and leases in the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, delete, insert, select, update

from reconciler.model.errors import Terminal
from reconciler.model.target import EnvironmentName
from reconciler.ports import EnvironmentRecord, TrustRecord
from reconciler.storage.database import Database
from reconciler.storage.ledger import append_in
from reconciler.storage.schema import deliveries, environments, leases, trusted

_TRUST = TypeAdapter(TrustRecord)
_ENVIRONMENT = TypeAdapter(EnvironmentRecord)
_NEWEST_TRUST = select(trusted).order_by(trusted.c.number.desc()).limit(1)
DELIVERIES_KEPT = timedelta(days=7)
_RELEASED = 0.0


@dataclass(frozen=True, slots=True)
class SqlStates:
    """Implements ports.States."""

    database: Database
    _read: dict[int, TrustRecord] = field(default_factory=dict, init=False, repr=False)

    def trust(self) -> TrustRecord | None:
        """What is pinned now, None before `trust init`. Asked each time, because another process may reset it; what
        stands under a number is never changed, and so read once.
        """
        with self.database.reading() as connection:
            row = connection.execute(_NEWEST_TRUST).first()
        if row is None:
            return None
        if row.number not in self._read:
            self._read[row.number] = self._trust(row)
        return self._read[row.number]

    def trust_history(self) -> tuple[TrustRecord, ...]:
        """All that was ever pinned, oldest first."""
        with self.database.reading() as connection:
            return tuple(map(self._trust, connection.execute(select(trusted).order_by(trusted.c.number))))

    def set_trust(self, trust: TrustRecord, entry: Mapping[str, Any] | None = None) -> None:
        """Pin the first one, and what the ledger keeps of it; Terminal when something is pinned already."""
        with self.database.writing() as connection:
            if connection.execute(_NEWEST_TRUST).first():
                raise Terminal("trust is pinned already", hint="`reconciler trust reset` is how root persons change it")
            self._pin(connection, 1, trust, entry)

    def reset_trust(
        self,
        former: TrustRecord,
        trust: TrustRecord,
        mark: Callable[[EnvironmentRecord], EnvironmentRecord],
        entry: Mapping[str, Any] | None = None,
    ) -> None:
        """Add another one after `former` and mark every environment; Terminal where `former` is not the newest."""
        with self.database.writing() as connection:
            newest = connection.execute(_NEWEST_TRUST).first()
            if newest is None or self._trust(newest) != former:
                raise Terminal("another trust is pinned by now", hint="print the statement again and sign that one")
            self._pin(connection, newest.number + 1, trust, entry)
            for row in connection.execute(select(environments)).all():
                self._replace(connection, mark(self._environment(row)))

    def environment(self, name: EnvironmentName) -> EnvironmentRecord | None:
        """What is known of one environment."""
        with self.database.reading() as connection:
            row = connection.execute(select(environments).where(environments.c.name == str(name))).first()
        return self._environment(row) if row is not None else None

    def environments(self) -> tuple[EnvironmentRecord, ...]:
        """All of them, sorted by name."""
        with self.database.reading() as connection:
            return tuple(map(self._environment, connection.execute(select(environments).order_by(environments.c.name))))

    def change_environment(
        self, name: EnvironmentName, change: Callable[[EnvironmentRecord | None], EnvironmentRecord]
    ) -> EnvironmentRecord:
        """In one transaction, so that nothing is lost that another process wrote meanwhile; what is stored then."""
        with self.database.writing() as connection:
            row = connection.execute(select(environments).where(environments.c.name == str(name))).first()
            found = self._environment(row) if row is not None else None
            changed = change(found)
            if found is None:
                connection.execute(insert(environments).values(self._row(changed)))
            elif found != changed:
                self._replace(connection, changed)
        return changed

    def _trust(self, row: Row[Any]) -> TrustRecord:
        return _TRUST.validate_json(self.database.seal.checked(trusted, row).record)

    def _pin(self, connection: Connection, number: int, trust: TrustRecord, entry: Mapping[str, Any] | None) -> None:
        seal = self.database.seal
        row = {"number": number, "record": _TRUST.dump_json(trust).decode()}
        connection.execute(insert(trusted).values(seal.sealed(trusted, row)))
        if entry is not None:
            append_in(connection, seal, "trust", f"repository/{trust.repository}", entry, trust.created_at)

    def _environment(self, row: Row[Any]) -> EnvironmentRecord:
        return _ENVIRONMENT.validate_json(self.database.seal.checked(environments, row).record)

    def _row(self, known: EnvironmentRecord) -> dict[str, Any]:
        row = {"name": str(known.name), "record": _ENVIRONMENT.dump_json(known).decode()}
        return self.database.seal.sealed(environments, row)

    def _replace(self, connection: Connection, known: EnvironmentRecord) -> None:
        here = environments.c.name == str(known.name)
        connection.execute(update(environments).where(here).values(self._row(known)))

    def delivery_seen(self, delivery: str, now: datetime) -> bool:
        """Whether this delivery id came before; notes it, and forgets those older than a week."""
        with self.database.writing() as connection:
            if connection.execute(select(deliveries.c.id).where(deliveries.c.id == delivery)).first():
                return True
            connection.execute(delete(deliveries).where(deliveries.c.at < (now - DELIVERIES_KEPT).timestamp()))
            connection.execute(insert(deliveries).values(id=delivery, at=now.timestamp()))
            return False


@dataclass(frozen=True, slots=True)
class SqlLeases:
    """Implements ports.Leases."""

    database: Database

    def acquire(self, key: str, owner: str, seconds: float, now: datetime) -> int | None:
        """A new generation when the lease is free or has run out, else None."""
        with self.database.writing() as connection:
            row = connection.execute(select(leases).where(leases.c.name == key)).first()
            until = now.timestamp() + seconds
            if row is None:
                connection.execute(insert(leases).values(name=key, owner=owner, generation=1, until=until))
                return 1
            if row.until > now.timestamp():
                return None
            generation: int = row.generation + 1
            connection.execute(
                update(leases).where(leases.c.name == key).values(owner=owner, generation=generation, until=until)
            )
            return generation

    def renew(self, key: str, owner: str, generation: int, seconds: float, now: datetime) -> bool:
        """Hold on to it; False when it is lost, and then the holder must stop.

        One that has run out and that nobody took since is still held: whoever takes it changes the generation.
        """
        return self._change(key, owner, generation, now.timestamp() + seconds)

    def release(self, key: str, owner: str, generation: int) -> None:
        """Give it back; the generation stays, so that the next one is higher."""
        self._change(key, owner, generation, _RELEASED)

    def _change(self, key: str, owner: str, generation: int, until: float) -> bool:
        with self.database.writing() as connection:
            done = connection.execute(
                update(leases)
                .where(
                    leases.c.name == key,
                    leases.c.owner == owner,
                    leases.c.generation == generation,
                    leases.c.until != _RELEASED,
                )
                .values(until=until)
            )
            return done.rowcount == 1
