"""Tables of the control plane. Written for any database that SQLAlchemy speaks to: no SQLite-only types or SQL.

Times are integer microseconds since 1970-01-01 UTC. The signing secret is not here: it lives in a file of its own, so
that a copy of the database forges no token.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    event,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Common metadata. Constraints have fixed names, so that a migration can name them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class User(Base):
    """An account. `password_is_default` holds while a published development password is in force."""

    __tablename__ = "users"

    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str | None] = mapped_column(String(254), unique=True)
    full_name: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    plan: Mapped[str] = mapped_column(String(16))
    disabled: Mapped[bool] = mapped_column(Boolean)
    password_hash: Mapped[str] = mapped_column(String(255))
    password_is_default: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    tenant: Mapped[str] = mapped_column(String(64), server_default="default")

    def __repr__(self) -> str:
        return f"User({self.user_id!r}, role={self.role!r})"


class ApiKey(Base):
    """An API key. `digest` is the hexadecimal SHA-256 of the whole key: 256 random bits need no slow hash."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    key_prefix: Mapped[str] = mapped_column(String(16), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    collections: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    rate_limit: Mapped[int | None] = mapped_column(Integer)

    def __repr__(self) -> str:
        return f"ApiKey({self.key_id!r}, owner={self.owner_id!r})"


class LoginSession(Base):
    """One login. Logout, password change and reuse of a refresh token delete the row, and with it the session."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user_id_expires_at", "user_id", "expires_at"),)

    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    refresh_id: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)

    def __repr__(self) -> str:
        return f"LoginSession({self.session_id!r}, user={self.user_id!r})"


class FeedbackSession(Base):
    """One submission of feedback."""

    __tablename__ = "feedback_sessions"
    __table_args__ = (Index("ix_feedback_sessions_user_id_size", "user_id", "size"),)

    feedback_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    collection: Mapped[str] = mapped_column(String(255), index=True)
    query: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(String(64))
    context: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(Integer, server_default="0")


class FeedbackJudgement(Base):
    """One judged hit of a submission; `ordinal` keeps the order in which they came."""

    __tablename__ = "feedback_items"

    feedback_id: Mapped[str] = mapped_column(
        ForeignKey("feedback_sessions.feedback_id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    result_id: Mapped[str] = mapped_column(Text)
    relevance_score: Mapped[int]
    clicked: Mapped[bool] = mapped_column(Boolean)
    position: Mapped[int]
    comment: Mapped[str] = mapped_column(Text)


class AuditEntry(Base):
    """One thing that was done or refused. Triggers in the database refuse every change and removal."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_tenant_entry_id", "tenant", "entry_id"),)

    entry_id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    tenant: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str | None] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(32))
    target: Mapped[str] = mapped_column(String(512))
    outcome: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))


_ONLY_GROWS: Final[Mapping[str, Sequence[str]]] = {
    "sqlite": [
        f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit record only grows'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit record only grows'; END $$",
        "CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()",
    ],
}


@event.listens_for(AuditEntry.__table__, "after_create")
def _forbid_changes(_: object, connection: Connection, **__: object) -> None:
    for statement in _ONLY_GROWS.get(connection.dialect.name, ()):
        connection.exec_driver_sql(statement)


class CollectionOwner(Base):
    """Owner of a collection. The account may be gone: what it stored stays with its tenant."""

    __tablename__ = "collection_owners"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)


class Grid(Base):
    """A grid of tokens. `members` counts its rows in `grid_members`; `revision` rises with each change of them."""

    __tablename__ = "grids"
    __table_args__ = (Index("ix_grids_tenant_grid_id", "tenant", "grid_id", unique=True),)

    grid_key: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    grid_id: Mapped[int]
    bucket_size: Mapped[float] = mapped_column(Double)
    density_threshold: Mapped[float] = mapped_column(Double)
    min_field_nodes: Mapped[int]
    members: Mapped[int]
    revision: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class GridMember(Base):
    """A token of a grid, by its number; the token itself is in the engine."""

    __tablename__ = "grid_members"

    grid_key: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"),
        ForeignKey("grids.grid_key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    token_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class GridNumbers(Base):
    """The last number that was given to a grid of a tenant: no number is given twice."""

    __tablename__ = "grid_numbers"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_id: Mapped[int]


class Development(Base):
    """One row: whether development mode is on, and why it ended."""

    __tablename__ = "development"

    row_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(512))
    changed_at: Mapped[int] = mapped_column(BigInteger)


class CdnaRow(Base):
    """CDNA of one tenant. The columns from `quarantine_started_at` on are null while there is no quarantine."""

    __tablename__ = "cdna_states"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    profile: Mapped[str] = mapped_column(String(16))
    scales: Mapped[list[float]] = mapped_column(JSON)
    changed_at: Mapped[int | None] = mapped_column(BigInteger)
    quarantine_started_at: Mapped[int | None] = mapped_column(BigInteger)
    quarantine_ends_at: Mapped[int | None] = mapped_column(BigInteger)
    profile_before: Mapped[str | None] = mapped_column(String(16))
    scales_before: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True))
    memory_before: Mapped[float | None] = mapped_column(Double)


class CdnaHistoryRow(Base):
    """One action on the CDNA of a tenant."""

    __tablename__ = "cdna_history"
    __table_args__ = (Index("ix_cdna_history_tenant_entry_id", "tenant", "entry_id"),)

    entry_id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))
    at: Mapped[int] = mapped_column(BigInteger)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class Epoch(Base):
    """One row: a number that rises whenever credentials that were good may have ceased to be."""

    __tablename__ = "epoch"

    epoch_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(BigInteger)
