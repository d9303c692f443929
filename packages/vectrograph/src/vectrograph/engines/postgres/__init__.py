"""The PostgreSQL engine: the same database for many servers, over PostgreSQL with pgvector."""

from vectrograph.engines.postgres.engine import PostgresEngine

__all__ = ["PostgresEngine"]
