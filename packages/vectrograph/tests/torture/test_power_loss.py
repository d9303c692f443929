"""The power goes at random moments: what was acknowledged is there, and a forgotten sync would be caught."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from control.quick import memory

from torture.disk import Loss
from torture.power_loss import Lost, run
from torture.seeds import seed
from vectrograph.engines.embedded.collection import catalog
from vectrograph.engines.embedded.disk import durable
from vectrograph.engines.embedded.truth import connections, store

pytestmark = pytest.mark.slow

STEPS = 48
OUTAGES = 28


@pytest.fixture
def home() -> Iterator[Path]:
    """Provide a directory for a database and what outages leave of it; in memory, since the lost disk is a simulated
    one.
    """
    with tempfile.TemporaryDirectory(prefix="vectrograph-", dir=memory()) as directory:
        yield Path(directory)


def test_the_power_goes(home: Path) -> None:
    seen: Counter[Loss] = Counter()
    run(seed(), STEPS, OUTAGES, home, lambda _, outage: seen.update([outage.loss]))
    assert seen.total() == OUTAGES
    assert len(seen) == len(Loss)


# ------------------------------------------------------------ without a sync the test must fail


def commits_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    open_writer = connections.open_writer

    def relaxed(*args: Any, **options: Any) -> apsw.Connection:
        connection = open_writer(*args, **options)
        connection.pragma("synchronous", "normal")
        return connection

    patch.setattr(store, "open_writer", relaxed)


def nothing_of_sqlite_is_synced(patch: pytest.MonkeyPatch) -> None:
    open_writer = connections.open_writer

    def relaxed(*args: Any, **options: Any) -> apsw.Connection:
        connection = open_writer(*args, **options)
        connection.pragma("synchronous", "off")
        return connection

    patch.setattr(store, "open_writer", relaxed)


def directories_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    for module in (durable, catalog):
        patch.setattr(module, "sync_directory", lambda _: None)


def files_are_renamed_unsynced(patch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def only_directories(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            sync(descriptor)

    class Careless:
        """`os` with an fsync that forgets files."""

        fsync = staticmethod(only_directories)

        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

    patch.setattr(durable, "os", Careless())


@pytest.mark.parametrize(
    "mistake",
    [
        commits_are_not_synced,
        nothing_of_sqlite_is_synced,
        directories_are_not_synced,
        files_are_renamed_unsynced,
    ],
    ids=lambda mistake: mistake.__name__,
)
def test_a_missing_sync_is_noticed(
    home: Path, monkeypatch: pytest.MonkeyPatch, mistake: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mistake(monkeypatch)
    with pytest.raises(Lost):
        run(5, STEPS, 500, home, lambda *_: None)
