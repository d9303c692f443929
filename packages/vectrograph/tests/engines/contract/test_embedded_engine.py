"""The embedded engine passes the conformance suite and behaves like the reference engine."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from vectrograph.domain.log_retention import LogRetention
from vectrograph.engines.base import Engine
from vectrograph.engines.contract import DurabilityContract, EngineContract, LogRetentionContract, engine_machine
from vectrograph.engines.contract.retention import Retaining
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.upkeep.background import Rhythm


class TestEmbeddedEngine(EngineContract, DurabilityContract):
    """Every part."""

    @pytest.fixture
    def engine(self, scratch: Path) -> Iterator[Engine]:
        """Provide a fresh one in its own directory."""
        engine = EmbeddedEngine.open(scratch / "data")
        yield engine
        engine.close()

    @pytest.fixture
    def reopen(self, scratch: Path) -> Iterator[Callable[[Engine], Engine]]:
        """Close and open the same directory."""
        opened: list[Engine] = []

        def again(engine: Engine) -> Engine:
            engine.close()
            opened.append(EmbeddedEngine.open(scratch / "data"))
            return opened[-1]

        yield again
        for engine in opened:
            engine.close()


class TestRetention(LogRetentionContract):
    """A log that is bounded; it is shortened in the background, quickly here."""

    @pytest.fixture
    def retaining(self, scratch: Path) -> Iterator[Retaining]:
        """Provide one in its own directory."""
        engines: list[EmbeddedEngine] = []

        def open_engine(retention: LogRetention, clock: Callable[[], int]) -> Engine:
            rhythm = Rhythm(trim_seconds=0.0, ageing_seconds=0.01)
            engines.append(EmbeddedEngine.open(scratch / "data", retention=retention, clock=clock, rhythm=rhythm))
            return engines[-1]

        yield open_engine
        for engine in engines:
            engine.close()


class TemporaryEngine(EmbeddedEngine):
    """An engine whose directory goes with it, unless it is reopened."""

    directory: Path

    @classmethod
    def fresh(cls) -> Engine:
        """In a new directory."""
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - fsync costs nothing there
        return cls.at(Path(tempfile.mkdtemp(prefix="vectrograph-machine-", dir=memory)))

    @classmethod
    def at(cls, directory: Path) -> Engine:
        """In this directory."""
        engine = cls.open(directory)
        assert isinstance(engine, TemporaryEngine)
        engine.directory = directory
        return engine

    def close(self) -> None:
        """Close, and remove everything."""
        super().close()
        shutil.rmtree(self.directory)

    def reopened(self) -> Engine:
        """Close, and open what is there."""
        super().close()
        return type(self).at(self.directory)


def _reopen(engine: Engine) -> Engine:
    assert isinstance(engine, TemporaryEngine)
    return engine.reopened()


TestEmbeddedBehavesLikeReference = pytest.mark.slow(engine_machine(TemporaryEngine.fresh, reopen=_reopen).TestCase)
TestEmbeddedBehavesLikeReference.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
