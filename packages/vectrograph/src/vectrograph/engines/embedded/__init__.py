"""The embedded engine: SQLite for truth, exact search in memory, one directory per database."""

from vectrograph.engines.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
