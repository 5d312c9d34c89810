"""The database: ledger, deployment records, what is known of environments, leases. SQLite by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.storage.database import Database, open_database

__all__ = ["Database", "open_database"]


def __getattr__(name: str) -> Any:
    """SQLAlchemy takes half a second to import, which verifying a stored ledger does without."""
    if name not in __all__:
        raise AttributeError(name)
    from reconciler.storage import database

    return getattr(database, name)
