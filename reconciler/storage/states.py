"""Trust, what is known of each environment, webhook deliveries and leases in the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import delete, insert, select, update

from reconciler.model.errors import Terminal
from reconciler.model.target import EnvironmentName
from reconciler.ports import EnvironmentRecord, TrustRecord
from reconciler.storage.database import Database
from reconciler.storage.schema import deliveries, environments, leases, trusted

_TRUST = TypeAdapter(TrustRecord)
_ENVIRONMENT = TypeAdapter(EnvironmentRecord)
_NEWEST_TRUST = select(trusted.c.number, trusted.c.record).order_by(trusted.c.number.desc()).limit(1)
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
            self._read[row.number] = _TRUST.validate_json(row.record)
        return self._read[row.number]

    def trust_history(self) -> tuple[TrustRecord, ...]:
        """All that was ever pinned, oldest first."""
        with self.database.reading() as connection:
            values = connection.execute(select(trusted.c.record).order_by(trusted.c.number)).scalars()
            return tuple(_TRUST.validate_json(value) for value in values)

    def set_trust(self, trust: TrustRecord) -> None:
        """Pin the first one; Terminal when something is pinned already."""
        with self.database.writing() as connection:
            if connection.execute(_NEWEST_TRUST).first():
                raise Terminal("trust is pinned already", hint="`reconciler trust reset` is how root persons change it")
            connection.execute(insert(trusted).values(number=1, record=_TRUST.dump_json(trust).decode()))

    def reset_trust(
        self, former: TrustRecord, trust: TrustRecord, mark: Callable[[EnvironmentRecord], EnvironmentRecord]
    ) -> None:
        """Add another one after `former` and mark every environment; Terminal where `former` is not the newest."""
        with self.database.writing() as connection:
            newest = connection.execute(_NEWEST_TRUST).first()
            if newest is None or _TRUST.validate_json(newest.record) != former:
                raise Terminal("another trust is pinned by now", hint="print the statement again and sign that one")
            record = _TRUST.dump_json(trust).decode()
            connection.execute(insert(trusted).values(number=newest.number + 1, record=record))
            for row in connection.execute(select(environments.c.name, environments.c.record)).all():
                marked = _ENVIRONMENT.dump_json(mark(_ENVIRONMENT.validate_json(row.record))).decode()
                connection.execute(update(environments).where(environments.c.name == row.name).values(record=marked))

    def environment(self, name: EnvironmentName) -> EnvironmentRecord | None:
        """What is known of one environment."""
        with self.database.reading() as connection:
            value = connection.execute(select(environments.c.record).where(environments.c.name == str(name))).scalar()
        return _ENVIRONMENT.validate_json(value) if value else None

    def environments(self) -> tuple[EnvironmentRecord, ...]:
        """All of them, sorted by name."""
        with self.database.reading() as connection:
            values = connection.execute(select(environments.c.record).order_by(environments.c.name)).scalars()
            return tuple(_ENVIRONMENT.validate_json(value) for value in values)

    def change_environment(
        self, name: EnvironmentName, change: Callable[[EnvironmentRecord | None], EnvironmentRecord]
    ) -> EnvironmentRecord:
        """In one transaction, so that nothing is lost that another process wrote meanwhile; what is stored then."""
        here = environments.c.name == str(name)
        with self.database.writing() as connection:
            found = connection.execute(select(environments.c.record).where(here)).scalar()
            changed = change(_ENVIRONMENT.validate_json(found) if found else None)
            value = _ENVIRONMENT.dump_json(changed).decode()
            if found is None:
                connection.execute(insert(environments).values(name=str(name), record=value))
            elif found != value:
                connection.execute(update(environments).where(here).values(record=value))
        return changed

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
