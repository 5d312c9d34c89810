"""Tables, as SQLAlchemy Core sees them; migrations/ creates them."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

REVISION = "0001"  # the newest migration; a database that has it needs none

metadata = MetaData()


def _seal() -> Column[str]:
    """Who wrote the row: see sealing."""
    return Column("seal", String(64), nullable=False)


ledger = Table(
    "ledger",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("previous", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("at", String(40), nullable=False),
    Column("kind", String(60), nullable=False, index=True),
    Column("subject", String(400), nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    _seal(),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("text", Text, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("project", String(200), nullable=False),
    Column("environment", String(200), nullable=False),
    Column("revision", String(64), nullable=False, index=True),
    Column("outcome", String(20), nullable=False, index=True),
    Column("final", Integer, nullable=False),
    Column("reverts", String(80), nullable=True, index=True),
    Column("record", Text, nullable=False),
    Column("context", Text, nullable=False),
    _seal(),
    Index("one_under_way", "project", "environment", unique=True, sqlite_where=text("final = 0")),
)

journal = Table(
    "journal",
    metadata,
    Column("deployment", String(80), primary_key=True),
    Column("target", String(400), primary_key=True),
    Column("operation_index", Integer, primary_key=True),
    Column("operation", String(100), nullable=False),
    Column("intended_at", String(40), nullable=False),
    Column("result", Text, nullable=True),
    _seal(),
)

trusted = Table(
    "trusted",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),
    _seal(),
)

environments = Table(
    "environments",
    metadata,
    Column("name", String(400), primary_key=True),
    Column("record", Text, nullable=False),
    _seal(),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("at", Float, nullable=False, index=True),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(400), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("until", Float, nullable=False),
)
