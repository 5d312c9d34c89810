"""The database: ledger, deployment records, what is known of environments, leases. SQLite by default."""

from reconciler.storage.database import Database, open_database

__all__ = ["Database", "open_database"]
