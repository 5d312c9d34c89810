"""Signed checkpoints of the ledger, append-only as the ledger is, and each of more entries than the one before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table and its triggers."""
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER checkpoints_no_{verb.lower()} BEFORE {verb} ON checkpoints "
            "BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END"
        )
    op.execute(
        "CREATE TRIGGER checkpoints_next_only BEFORE INSERT ON checkpoints WHEN "
        "NEW.size <= coalesce((SELECT max(size) FROM checkpoints), -1) "
        "BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END"
    )


def downgrade() -> None:
    """A ledger's checkpoints are not taken back."""
    raise RuntimeError("checkpoints are append-only")
