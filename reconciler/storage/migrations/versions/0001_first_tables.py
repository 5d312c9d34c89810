"""The first tables, and the triggers that keep the ledger append-only and a finished record as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "ledger",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("previous", sa.String(64), nullable=False, unique=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(60), nullable=False, index=True),
        sa.Column("subject", sa.String(400), nullable=False, index=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "deployments",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("environment", sa.String(200), nullable=False),
        sa.Column("revision", sa.String(64), nullable=False, index=True),
        sa.Column("outcome", sa.String(20), nullable=False, index=True),
        sa.Column("final", sa.Integer, nullable=False),
        sa.Column("reverts", sa.String(80), nullable=True, index=True),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
    )
    op.create_index(
        "one_under_way", "deployments", ["project", "environment"], unique=True, sqlite_where=sa.text("final = 0")
    )
    op.create_table(
        "journal",
        sa.Column("deployment", sa.String(80), primary_key=True),
        sa.Column("target", sa.String(400), primary_key=True),
        sa.Column("operation_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("operation", sa.String(100), nullable=False),
        sa.Column("intended_at", sa.String(40), nullable=False),
        sa.Column("result", sa.Text, nullable=True),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.String(60), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "environments",
        sa.Column("name", sa.String(400), primary_key=True),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("at", sa.Float, nullable=False, index=True),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(400), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER ledger_no_{verb.lower()} BEFORE {verb} ON ledger "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )
        op.execute(
            f"CREATE TRIGGER deployments_no_{verb.lower()} BEFORE {verb} ON deployments WHEN OLD.final = 1 "
            "BEGIN SELECT RAISE(ABORT, 'a finished deployment record never changes'); END"
        )


def downgrade() -> None:
    """A ledger is not taken back."""
    raise RuntimeError("there is nothing before the first tables")
