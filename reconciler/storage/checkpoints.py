"""The ledger's signed checkpoints in the database, and a copy of the newest beside the installation's key.

The copy is for who has the database and nothing else: the ledger and its checkpoints made anew in there do not agree
with it.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, insert, select

from reconciler.model.checkpoint import SignedCheckpoint, read_checkpoint
from reconciler.model.errors import Retryable, VerificationFailed
from reconciler.ports import KeptCheckpoint
from reconciler.storage.database import Database
from reconciler.storage.schema import checkpoints
from reconciler.storage.stored import read_copy


@dataclass(frozen=True, slots=True)
class SqlCheckpoints:
    """Implements ports.Checkpoints."""

    database: Database
    copy_file: Path

    def add(self, signed: SignedCheckpoint, now: datetime) -> bool:
        """Keep it, in the database and in the copy; False where one of as many entries or more is kept already."""
        size = signed.checkpoint.size
        with self.database.writing() as connection:
            newest = connection.execute(select(func.max(checkpoints.c.size))).scalar()
            if newest is not None and newest >= size:
                return False
            connection.execute(insert(checkpoints).values(size=size, at=now.isoformat(), text=signed.text))
        self._copy(signed.text)
        return True

    def newest(self) -> KeptCheckpoint | None:
        """The newest in the database; VerificationFailed where what is there is none."""
        kept = self.after(-1, newest_only=True)
        return kept[0] if kept else None

    def after(self, size: int, *, newest_only: bool = False) -> tuple[KeptCheckpoint, ...]:
        """Those of more entries than `size`, oldest first."""
        query = select(checkpoints).where(checkpoints.c.size > size).order_by(checkpoints.c.size)
        if newest_only:
            query = query.order_by(None).order_by(checkpoints.c.size.desc()).limit(1)
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(_kept(row.size, row.text, row.at) for row in rows)

    def copy(self) -> SignedCheckpoint | None:
        """The copy outside of the database, None where there is none; VerificationFailed where it is no checkpoint."""
        return read_copy(self.copy_file)

    def set_aside(self) -> SignedCheckpoint | None:
        """Keep the copy under another name, because the ledger that it speaks of is lost; what it says."""
        lost = self.copy()
        if lost is not None:
            size, root = lost.checkpoint.size, lost.checkpoint.root
            self.copy_file.replace(self.copy_file.with_name(f"{self.copy_file.name}.lost-{size}-{root[:12]}"))
        return lost

    def _copy(self, text: str) -> None:
        """Whole or not at all: a crash leaves the one before. Retryable where it cannot be written."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self.copy_file.parent, prefix=f".{self.copy_file.name}-")
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(self.copy_file)
        except OSError as error:
            said = f"the copy of the newest checkpoint cannot be written: {error.strerror}"
            raise Retryable(said, where=str(self.copy_file)) from error


def _kept(size: int, text: str, at: str) -> KeptCheckpoint:
    try:
        signed, when = read_checkpoint(text), datetime.fromisoformat(at)
        if signed.checkpoint.size != size:
            raise ValueError(f"says it is of {signed.checkpoint.size} entries")
    except (TypeError, ValueError) as error:
        raise VerificationFailed(f"the ledger was tampered with: checkpoint {size} {error}") from error
    return KeptCheckpoint(signed, when)
