"""Grids of tokens and their members."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "grids",
        sa.Column("grid_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("grid_id", sa.Integer(), nullable=False),
        sa.Column("bucket_size", sa.Double(), nullable=False),
        sa.Column("density_threshold", sa.Double(), nullable=False),
        sa.Column("min_field_nodes", sa.Integer(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("grid_key", name=op.f("pk_grids")),
    )
    op.create_index("ix_grids_tenant_grid_id", "grids", ["tenant", "grid_id"], unique=True)
    op.create_table(
        "grid_members",
        sa.Column("grid_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["grid_key"], ["grids.grid_key"], name=op.f("fk_grid_members_grid_key_grids"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("grid_key", "token_id", name=op.f("pk_grid_members")),
    )
    op.create_table(
        "grid_numbers",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_grid_numbers")),
    )
