"""Size of each submission of feedback in bytes, so that sizes can be counted for each account."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, measure what is there, and index what is summed up."""
    op.add_column("feedback_sessions", sa.Column("size", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE feedback_sessions SET size = 512 + length(query) + length(CAST(context AS TEXT)) + "
        "(SELECT coalesce(sum(128 + length(result_id) + length(comment)), 0) FROM feedback_items "
        "WHERE feedback_items.feedback_id = feedback_sessions.feedback_id)"
    )
    op.create_index("ix_feedback_sessions_user_id_size", "feedback_sessions", ["user_id", "size"])
