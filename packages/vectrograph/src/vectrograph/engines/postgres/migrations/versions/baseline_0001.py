"""Tables of the whole database: cluster, collections, idempotency records."""

from uuid import uuid4

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; the search path names the schema."""
    op.execute("CREATE TABLE cluster (id text PRIMARY KEY)")
    op.get_bind().execute(text("INSERT INTO cluster (id) VALUES (:id)"), {"id": uuid4().hex})
    op.execute(
        """CREATE TABLE collections (
            uid text PRIMARY KEY, tenant bytea NOT NULL, name bytea NOT NULL,
            dimension integer NOT NULL, distance text NOT NULL, model bytea, ids text NOT NULL,
            quantisation text NOT NULL, created_at bigint NOT NULL,
            seq bigint NOT NULL DEFAULT 0, next_serial bigint NOT NULL DEFAULT 1, count bigint NOT NULL DEFAULT 0,
            at bigint NOT NULL DEFAULT 0, has_special boolean NOT NULL DEFAULT false,
            has_opaque boolean NOT NULL DEFAULT false, longest double precision NOT NULL DEFAULT 0,
            replies bigint NOT NULL DEFAULT 0, reply_bytes bigint NOT NULL DEFAULT 0,
            indexed boolean NOT NULL DEFAULT false, index_problem text,
            UNIQUE (tenant, name)) WITH (fillfactor = 50)"""
    )
    op.execute(
        """CREATE TABLE replies (
            uid text NOT NULL, name bytea NOT NULL, body_hash bytea NOT NULL, result bytea NOT NULL,
            at bigint NOT NULL, PRIMARY KEY (uid, name))"""
    )
    op.execute("CREATE INDEX replies_at ON replies (uid, at)")
