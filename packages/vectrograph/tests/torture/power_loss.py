"""Power failures: a story is told over a recorded disk, and at random moments the power goes.

Nothing has to die for it: the record holds every call in order, so each moment's disk can be made afterwards, as it
would have been found. `kill -9` shows none of this, because the kernel writes what a dead process left unsynced.
"""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torture import oracle
from torture.disk import Disk, Loss
from torture.haste import hastened, open_hastily, walking
from torture.seam import Event, observed
from torture.sqlite_seam import vfs
from torture.story import Clock, Story
from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.errors import CollectionQuarantined, DomainError
from vectrograph.domain.points import WriteResult
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.reference import ReferenceEngine

REOPENINGS = 3
"""Times that a story's engine is closed and opened again."""


class Lost(AssertionError):
    """State left behind that is neither the last acknowledged one nor that of the step under way."""


@dataclass(slots=True)
class Record:
    """A story as the disk saw it.

    Attributes:
        events: all calls, in order.
        acknowledged: after how many calls each step was acknowledged, from step 0 (the beginning) on.
        states: everything that could be seen after each of them.
    """

    events: list[Event] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    results: list[WriteResult | None] = field(default_factory=list)

    def before(self, event: Event) -> None:
        """Nothing yet."""

    def after(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def steps_before(self, moment: int) -> int:
        """Return the last step that was acknowledged before a moment; -1 for none."""
        return sum(1 for place in self.acknowledged if place <= moment) - 1


def record(home: Path, story: Story, steps: int) -> Record:
    """Tell a story over a recorded disk."""
    kept = Record()
    clock = Clock()
    model = ReferenceEngine(clock)
    root = home / "data"
    with hastened(), observed(home, kept) as seam, vfs(seam) as name:
        engine = open_hastily(root, clock, vfs=name)
        try:
            for side in (engine, model):
                story.begin(side)
            _acknowledge(kept, model, None)
            for number in range(1, steps + 1):
                clock.step = number
                result = story.step(engine, number)
                if result != story.step(model, number):
                    raise AssertionError(f"step {number}: the engine answered {result}")
                _acknowledge(kept, model, result)
                if number % (steps // (REOPENINGS + 1)) == 0:
                    engine.close()
                    engine = open_hastily(root, clock, vfs=name)
        finally:
            engine.close()
    return kept


def _acknowledge(kept: Record, model: ReferenceEngine, result: WriteResult | None) -> None:
    kept.acknowledged.append(len(kept.events))
    kept.states.append(oracle.state(model))
    kept.results.append(result)


@dataclass(frozen=True, slots=True)
class Outage:
    """The power goes after a number of calls."""

    moment: int
    loss: Loss


def outages(kept: Record, chance: random.Random, count: int) -> list[Outage]:
    """Random moments, every kind of loss as often.

    Half of them are right before or after a step was acknowledged, where promises are made.
    """
    first, last = kept.acknowledged[0], len(kept.events)
    found = []
    losses = list(Loss)
    for number in range(count):
        moment = chance.randrange(first, last + 1)
        if chance.random() < 0.5:
            moment = min(last, max(first, chance.choice(kept.acknowledged) + chance.randrange(-1, 3)))
        found.append(Outage(moment, losses[number % len(losses)]))
    return sorted(found, key=lambda outage: outage.moment)


def survive(kept: Record, story: Story, chosen: list[Outage], chance: random.Random, home: Path) -> Iterator[Outage]:
    """Open what each outage leaves and compare it; yields every outage that lost nothing.

    Raises:
        Lost: one lost something.
    """
    disk, made = Disk(str(home)), 0
    for outage in chosen:
        for event in kept.events[made : outage.moment]:
            disk.apply(event)
        made = max(made, outage.moment)
        with tempfile.TemporaryDirectory(prefix="outage-", dir=home) as directory:
            disk.after_power_loss(outage.loss, chance, Path(directory))
            _check(Path(directory) / "data", kept, story, outage)
        yield outage


def _check(home: Path, kept: Record, story: Story, outage: Outage) -> None:
    done = kept.steps_before(outage.moment)
    try:
        with hastened(), closing(open_hastily(home, Clock(done + 1))) as engine:
            _compare(engine, kept, story, outage, done)
    except CollectionQuarantined as error:
        raise Lost(f"{outage}: after step {done}: {error.problem}") from error
    except DomainError as error:
        raise Lost(f"{outage}: after step {done}: {error}") from error


def _compare(engine: EmbeddedEngine, kept: Record, story: Story, outage: Outage, done: int) -> None:
    found = oracle.state(engine)
    wrong = [oracle.difference(found, state) for state in kept.states[done : done + 2]]
    if all(wrong):
        raise Lost(f"{outage}: after step {done}, compared with it: {wrong[0]}; with the next: {wrong[-1]}")
    report = engine.maintain(MaintenanceTask.VERIFY)
    if not report.healthy:
        raise Lost(f"{outage}: after step {done}, verify says {report.details}")
    with walking(engine):
        if strange := oracle.Walks().add(engine, engine, done):
            raise Lost(f"{outage}: after step {done}, walking along the graph: {strange}")
    again = story.repeat(engine, done)
    if again is not None:
        wanted = kept.results[done]
        if wanted is None or (again.replayed, again.seq, again.outcomes) != (True, wanted.seq, wanted.outcomes):
            raise Lost(f"{outage}: step {done} was acknowledged and is not remembered")


def run(seed: int, steps: int, count: int, home: Path, progress: Callable[[int, Outage], None]) -> Record:
    """Record one story and let the power go so many times; `progress` hears of each outage that lost nothing.

    Raises:
        Lost: one lost something.
    """
    chance = random.Random(seed)
    story = Story(seed)
    kept = record(home, story, steps)
    chosen = outages(kept, chance, count)
    for number, outage in enumerate(survive(kept, story, chosen, chance, home), 1):
        progress(number, outage)
    return kept
