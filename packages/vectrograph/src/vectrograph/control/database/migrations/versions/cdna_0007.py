"""CDNA of each tenant, and the history of its changes."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "cdna_states",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("profile", sa.String(16), nullable=False),
        sa.Column("scales", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("quarantine_started_at", sa.BigInteger(), nullable=True),
        sa.Column("quarantine_ends_at", sa.BigInteger(), nullable=True),
        sa.Column("profile_before", sa.String(16), nullable=True),
        sa.Column("scales_before", sa.JSON(), nullable=True),
        sa.Column("memory_before", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_cdna_states")),
    )
    op.create_table(
        "cdna_history",
        sa.Column("entry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_cdna_history")),
    )
    op.create_index("ix_cdna_history_tenant_entry_id", "cdna_history", ["tenant", "entry_id"])
