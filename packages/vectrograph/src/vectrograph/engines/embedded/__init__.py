"""The embedded engine: SQLite for truth, exact search in memory, one directory per database."""

from vectrograph.engines.embedded.engine import EmbeddedEngine
from vectrograph.engines.embedded.quota import Quota

__all__ = ["EmbeddedEngine", "Quota"]
