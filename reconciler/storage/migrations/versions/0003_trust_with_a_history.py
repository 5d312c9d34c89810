"""What is trusted, one row after the other: `trust reset` adds one, and none is ever changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table, and bring over what `trust init` pinned."""
    op.create_table(
        "trusted",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.execute("INSERT INTO trusted (number, record) SELECT 1, value FROM settings WHERE name = 'trust'")
    op.execute("DELETE FROM settings WHERE name = 'trust'")
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER trusted_no_{verb.lower()} BEFORE {verb} ON trusted "
            "BEGIN SELECT RAISE(ABORT, 'what was trusted is never changed'); END"
        )
    op.execute(
        "CREATE TRIGGER trusted_next_only BEFORE INSERT ON trusted WHEN "
        "NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM trusted) "
        "BEGIN SELECT RAISE(ABORT, 'what was trusted is never changed'); END"
    )


def downgrade() -> None:
    """The newest one holds there, and the others are lost."""
    op.execute("DROP TRIGGER trusted_no_delete")
    op.execute("INSERT INTO settings (name, value) SELECT 'trust', record FROM trusted ORDER BY number DESC LIMIT 1")
    op.drop_table("trusted")
