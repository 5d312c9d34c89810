"""INSERT OR REPLACE deletes without asking a delete trigger: what is added must be new, and the ledger's next entry."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the triggers."""
    op.execute(
        "CREATE TRIGGER ledger_next_only BEFORE INSERT ON ledger WHEN "
        "NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM ledger) OR NEW.previous IS NOT "
        "coalesce((SELECT hash FROM ledger ORDER BY sequence DESC LIMIT 1), printf('%064d', 0)) "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    )
    op.execute(
        "CREATE TRIGGER deployments_new_only BEFORE INSERT ON deployments WHEN "
        "EXISTS (SELECT 1 FROM deployments WHERE id = NEW.id OR number = NEW.number) "
        "BEGIN SELECT RAISE(ABORT, 'a deployment record is not replaced'); END"
    )


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP TRIGGER ledger_next_only")
    op.execute("DROP TRIGGER deployments_new_only")
