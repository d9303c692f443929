"""State of development mode: one row, which an end of the mode changes for good."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table with its row. The next start decides the state from the accounts that are there."""
    table = op.create_table(
        "development",
        sa.Column("row_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_development")),
    )
    op.bulk_insert(table, [{"row_id": 1, "state": "undecided", "reason": "", "changed_at": 0}])
