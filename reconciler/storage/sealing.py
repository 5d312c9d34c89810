"""The seal on every row that decides anything: what somebody else wrote into the database is not believed (gate 68).

Called by the adapters of this package, which seal what they write and check what they read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, Table

from reconciler.model.errors import VerificationFailed

COLUMN = "seal"


@dataclass(frozen=True, slots=True)
class Seal:
    """HMAC-SHA-256 under a key of the installation that is kept outside of the database."""

    key: bytes = field(repr=False)

    def sealed(self, table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
        """A whole row with its seal, to be stored."""
        return {**values, COLUMN: self._of(table, values)}

    def checked(self, table: Table, row: Row[Any]) -> Row[Any]:
        """The row, where this installation wrote exactly that; VerificationFailed otherwise."""
        values = dict(row._mapping)
        found = str(values[COLUMN]).encode("utf-8", "surrogateescape")  # texts are only compared where they are ASCII
        if not hmac.compare_digest(found, self._of(table, values).encode()):
            name = "/".join(str(values[column.name]) for column in table.primary_key)
            raise VerificationFailed(
                f"the database was changed: {table.name} {name} was not written by this installation (gate 68)",
                hint="docs/how-to/trust.md says how to go on without it",
            )
        return row

    def _of(self, table: Table, values: Mapping[str, Any]) -> str:
        """Kind and length go before each value, so that nothing moves from one column to the next."""
        digest = hmac.new(self.key, table.name.encode(), hashlib.sha256)
        for column in table.columns:
            if column.name == COLUMN:
                continue
            value = values[column.name]
            content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
            digest.update(f"\n{column.name} {type(value).__name__} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()
