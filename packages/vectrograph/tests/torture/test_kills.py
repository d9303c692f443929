"""A few processes die by kill -9; `make torture` lets hundreds die."""

import random
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from torture import kills
from torture.kills import Database, Lost, Tally
from torture.seeds import seed
from torture.story import Story
from vectrograph.engines.embedded.truth.store import Store

pytestmark = pytest.mark.slow


def test_processes_die(tmp_path: Path) -> None:
    tally = kills.run(seed(), 4, tmp_path, lambda *_: None)
    assert tally.deaths.total() == 4
    assert tally.steps > 0


def test_processes_die_while_a_log_is_shortened(tmp_path: Path) -> None:
    """Neither a change that is kept is missing then, nor is one there behind a gap."""
    places = ("stage trim", "before trimming", "after trimming")
    database = Database(tmp_path / "data", Story(5), random.Random(5))
    database._chance = _Never(5)
    tally = Tally()
    for place in places:
        with mock.patch.object(kills, "POINTS", (place,)):
            database.die(tally)
    assert tally.deaths == dict.fromkeys(places, 1)


def test_a_lost_write_is_noticed(tmp_path: Path) -> None:
    """Comparison of what the parent finds with what the child acknowledged: one write fewer, and it fails."""
    database = Database(tmp_path / "data", Story(3), random.Random(3))
    with mock.patch.object(kills, "POINTS", ("after commit",)), mock.patch.object(kills, "usual_turns", return_value=9):
        database._chance = _Never(3)
        database.die(Tally())
        header = Store.header

        def forgetful(self: Store) -> Any:
            self.writer.execute("DELETE FROM changes WHERE seq = (SELECT max(seq) FROM changes)")
            return header(self)

        with mock.patch.object(Store, "header", forgetful), pytest.raises(Lost, match="log"):
            database.die(Tally())


class _Never(random.Random):
    """Chooses places, not times."""

    def random(self) -> float:
        return 0.9
