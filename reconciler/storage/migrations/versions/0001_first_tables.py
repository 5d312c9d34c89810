"""The first tables, and the triggers that keep what was recorded as it is.

INSERT OR REPLACE deletes without asking a delete trigger: what is added must be new, and next in its order.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

LEDGER = "the ledger is append-only"
CHECKPOINTS = "checkpoints are append-only"
DEPLOYMENTS = "a finished deployment record never changes"
TRUSTED = "what was trusted is never changed"


def seal() -> sa.Column[str]:
    """Who wrote the row."""
    return sa.Column("seal", sa.String(64), nullable=False)


def guard(name: str, when: str, refusal: str) -> None:
    """A trigger that refuses what was named."""
    op.execute(f"CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{refusal}'); END")


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
        seal(),
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
        seal(),
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
        seal(),
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "trusted",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("record", sa.Text, nullable=False),
        seal(),
    )
    op.create_table(
        "environments",
        sa.Column("name", sa.String(400), primary_key=True),
        sa.Column("record", sa.Text, nullable=False),
        seal(),
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
        guard(f"ledger_no_{verb.lower()}", f"{verb} ON ledger", LEDGER)
        guard(f"checkpoints_no_{verb.lower()}", f"{verb} ON checkpoints", CHECKPOINTS)
        guard(f"deployments_no_{verb.lower()}", f"{verb} ON deployments WHEN OLD.final = 1", DEPLOYMENTS)
        guard(f"trusted_no_{verb.lower()}", f"{verb} ON trusted", TRUSTED)
    guard(
        "ledger_next_only",
        "INSERT ON ledger WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM ledger) "
        "OR NEW.previous IS NOT "
        "coalesce((SELECT hash FROM ledger ORDER BY sequence DESC LIMIT 1), printf('%064d', 0))",
        LEDGER,
    )
    guard(
        "checkpoints_next_only",
        "INSERT ON checkpoints WHEN NEW.size <= coalesce((SELECT max(size) FROM checkpoints), -1)",
        CHECKPOINTS,
    )
    guard(
        "deployments_new_only",
        "INSERT ON deployments WHEN EXISTS (SELECT 1 FROM deployments WHERE id = NEW.id OR number = NEW.number)",
        "a deployment record is not replaced",
    )
    guard(
        "trusted_next_only",
        "INSERT ON trusted WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM trusted)",
        TRUSTED,
    )


def downgrade() -> None:
    """A ledger is not taken back."""
    raise RuntimeError("there is nothing before the first tables")
