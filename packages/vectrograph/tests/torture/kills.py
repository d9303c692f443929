"""kill -9: processes die at random times and at named places, and what they leave is compared with the model."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torture import oracle
from torture.child import checksum
from torture.fault_points import POINTS, usual_turns
from torture.haste import hastened, open_hastily, walking
from torture.oracle import Walks
from torture.story import Clock, Story
from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import Distance
from vectrograph.domain.points import WriteResult
from vectrograph.engines.base import Engine
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.reference import ReferenceEngine

LIVES: Final = 20
"""Deaths that one database sees before a new one is begun."""
_PATIENCE: Final = 60.0
_LONGEST: Final = 0.4
_RECALL: Final = 0.98


class Lost(AssertionError):
    """State left behind that is neither the last acknowledged one nor that of the step under way."""


@dataclass(slots=True)
class Tally:
    """Counts of a run: deaths by place, steps acknowledged in all, steps found that were under way, walks."""

    deaths: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    under_way: int = 0
    walks: Walks = field(default_factory=Walks)


@dataclass(slots=True)
class _Told:
    """Report of a child: the last acknowledged step, checksums of the answers, where it died ("": it did not)."""

    last: int
    answers: dict[int, int]
    place: str


class Database:
    """One database and its model, through many deaths.

    Args:
        directory: of the database; it does not exist yet.
        story: what happens.
        chance: of times and places.
    """

    def __init__(self, directory: Path, story: Story, chance: random.Random) -> None:
        self._directory = directory
        self._story = story
        self._chance = chance
        self._clock = Clock()
        self._model = ReferenceEngine(self._clock)
        self._done = 0
        self._results: dict[int, WriteResult | None] = {}
        engine: Engine = EmbeddedEngine.open(directory, clock=self._clock)
        for side in (engine, self._model):
            story.begin(side)
        engine.close()

    def die(self, tally: Tally) -> None:
        """Let a process work on it and die, and look at what it left.

        Raises:
            Lost: something is missing, half there, or not as it was acknowledged.
        """
        told = self._run()
        before = self._done
        while self._done < told.last:
            self._advance()
        for number, answer in told.answers.items():
            if checksum(self._results[number]) != answer:
                raise Lost(f"step {number} was answered otherwise than {self._results[number]}")
        self._clock.step = self._done + 1
        with hastened(), closing(open_hastily(self._directory, self._clock)) as engine:
            tally.under_way += self._compare(engine, told, tally)
        if told.place:
            tally.deaths[told.place] += 1
        tally.steps += self._done - before

    def _advance(self) -> None:
        self._done += 1
        self._clock.step = self._done
        self._results[self._done] = self._story.step(self._model, self._done)

    def _compare(self, engine: EmbeddedEngine, told: _Told, tally: Tally) -> bool:
        """Return whether the step that was under way is there, whole."""
        where = f"{told.place}, after step {self._done}"
        found = oracle.state(engine)
        wrong = oracle.difference(found, oracle.state(self._model))
        if wrong:
            self._advance()
            also = oracle.difference(found, oracle.state(self._model))
            if also:
                raise Lost(f"{where}: {wrong}; compared with the step under way: {also}")
        self._search(engine, where, tally.walks)
        report = engine.maintain(MaintenanceTask.VERIFY)
        if not report.healthy:
            raise Lost(f"{where}: verify says {report.details}")
        self._repeat(engine, where)
        return bool(wrong)

    def _search(self, engine: EmbeddedEngine, where: str, walks: Walks) -> None:
        """Exactly, as the planner likes, by the graph as it was found, and by one that covers everything."""
        seed = self._chance.randrange(1 << 30)
        wanted = oracle.answers(self._model, seed, exact=True)
        for flush in (False, True):
            if flush:
                engine.maintain(MaintenanceTask.FLUSH)
            for exact in (True, False):
                given = oracle.answers(engine, seed, exact=exact)
                if unlike := oracle.difference(given, wanted):
                    raise Lost(f"{where}: searching (exact={exact}, flushed={flush}): {unlike}")
            with walking(engine):
                if strange := walks.add(engine, self._model, seed):
                    raise Lost(f"{where}: walking (flushed={flush}): {strange}")

    def _repeat(self, engine: Engine, where: str) -> None:
        """Send the last writes again: they are remembered, and answered as they were."""
        for number in range(max(1, self._done - 3), self._done + 1):
            again, wanted = self._story.repeat(engine, number), self._results[number]
            if again is None or wanted is None:
                continue
            if (again.replayed, again.seq, again.outcomes) != (True, wanted.seq, wanted.outcomes):
                raise Lost(f"{where}: the write of step {number} is not remembered")

    # ------------------------------------------------------------ the process

    def _run(self) -> _Told:
        arguments = [str(self._directory), str(self._story.seed), self._story.distance.value, str(self._done + 1)]
        by_time = self._chance.random() < 0.4
        if not by_time:
            point = self._chance.choice(POINTS)
            arguments += [point, str(self._chance.randrange(1, usual_turns(point) + 1))]
        child = subprocess.Popen(
            [sys.executable, "-m", "torture.child", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            return self._listen(child, by_time)
        finally:
            child.kill()
            child.communicate()

    def _listen(self, child: "subprocess.Popen[bytes]", by_time: bool) -> _Told:
        assert child.stdout is not None
        assert child.stderr is not None
        told = _Told(self._done, {}, "at a random time" if by_time else "")
        killer = threading.Timer(_PATIENCE, child.kill)
        killer.start()
        for line in child.stdout:
            words = line.decode().split(maxsplit=2)
            if words[0] == "open" and by_time:
                killer.cancel()
                killer = threading.Timer(self._chance.random() * _LONGEST, child.kill)
                killer.start()
            elif words[0] == "step" and line.endswith(b"\n"):
                told.last = int(words[1])
                told.answers[told.last] = int(words[2])
            elif words[0] == "died":
                told.place = line.decode().strip().removeprefix("died ")
        killer.cancel()
        killer.join()
        complaint = child.stderr.read().decode()
        if child.wait() not in (0, -signal.SIGKILL):
            raise Lost(f"the process failed: {complaint}")
        return told


def run(seed: int, deaths: int, home: Path, progress: Callable[[int, Tally], None]) -> Tally:
    """Let so many processes die; one that did not reach its place within a hundred steps ended in good order.

    Args:
        seed: of stories, times and places.
        deaths: how many.
        home: an empty directory for databases.
        progress: hears of every death that lost nothing.

    Raises:
        Lost: one lost something.
    """
    chance = random.Random(seed)
    tally = Tally()
    number = 0
    while tally.deaths.total() < deaths:
        story = Story(chance.randrange(1 << 20), chance.choice(list(Distance)))
        database = Database(home / f"database {number}", story, chance)
        number += 1
        for _ in range(LIVES):
            database.die(tally)
            progress(tally.deaths.total(), tally)
            if tally.deaths.total() >= deaths:
                break
    if tally.walks.recall() < _RECALL:
        raise Lost(f"walks along the graph found {tally.walks.recall():.3f} of the neighbours")
    return tally
