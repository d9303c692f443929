"""The reference engine: dictionaries and exact search in memory. The oracle of the tests; evidently right, not fast."""

from vectrograph.engines.reference.engine import ReferenceEngine

__all__ = ["ReferenceEngine"]
