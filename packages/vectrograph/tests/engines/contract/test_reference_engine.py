"""The reference engine passes the conformance suite."""

from collections.abc import Iterator

import pytest

from vectrograph.engines.base import Engine
from vectrograph.engines.contract import EngineContract, LogRetentionContract
from vectrograph.engines.contract.retention import Retaining
from vectrograph.engines.reference import ReferenceEngine


class TestRetention(LogRetentionContract):
    """A log that is bounded."""

    @pytest.fixture
    def retaining(self) -> Retaining:
        """Provide engines in memory."""
        return lambda retention, clock: ReferenceEngine(clock, retention)


class TestReferenceEngine(EngineContract):
    """Every part but durability, which it does not declare."""

    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        """Provide a fresh one."""
        engine = ReferenceEngine()
        yield engine
        engine.close()
