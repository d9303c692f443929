"""Steps that change a database: the same story for the engine, its model, and a process that will die.

Each step is one call, so that after a crash it happened or it did not. A step depends on the seed and its number alone.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance, IdKind
from vectrograph.domain.filters.evaluation import Range
from vectrograph.domain.points import (
    KEEP,
    Delete,
    DeleteWhere,
    IdempotencyKey,
    Op,
    Patch,
    Put,
    Vector,
    WriteResult,
)
from vectrograph.engines.base import Engine

DIMENSION: Final = 8
DOCS: Final = CollectionRef("default", "docs")
NUMBERS: Final = CollectionRef("default", "numbers")
SIDES: Final = tuple(CollectionRef("default", f"side {n}") for n in range(3))
NAMES: Final = 200
"""Points of `docs` have one of so many ids."""
EPOCH: Final = 1_700_000_000_000_000
"""Microseconds since 1970 at step 0; a step takes one."""

_CYCLE: Final = 12
"""A side collection is made, filled and dropped in so many steps."""


@dataclass(slots=True)
class Clock:
    """Time as the story tells it, so that both sides store the same times."""

    step: int = 0

    def __call__(self) -> int:
        return EPOCH + self.step


@dataclass(frozen=True, slots=True)
class Story:
    """A story without end.

    Args:
        seed: of all that is random in it.
        distance: of the collections that are there throughout.
    """

    seed: int
    distance: Distance = Distance.EUCLIDEAN

    def begin(self, engine: Engine) -> None:
        """Return the state before step 1."""
        engine.create(CollectionSpec.dense(DOCS, DIMENSION, self.distance))
        engine.create(CollectionSpec.dense(NUMBERS, DIMENSION, self.distance, ids=IdKind.SERIAL))

    def step(self, engine: Engine, number: int) -> WriteResult | None:
        """Do one step; what a write answered.

        Raises:
            DomainError: as the engine does.
        """
        chance = self._chance(number)
        side, phase = SIDES[number // _CYCLE % len(SIDES)], number % _CYCLE
        if phase == 1:
            engine.create(CollectionSpec.dense(side, 2, Distance.DOT))
        elif phase == 5:
            return engine.write(side, self._few(chance), idempotency=key(number))
        elif phase == 9:
            engine.drop(side)
        elif phase == 11 and not chance.randrange(2):
            _maintain(engine, chance)
        elif phase in (3, 7):
            return engine.write(NUMBERS, self._numbered(chance), idempotency=key(number))
        else:
            return engine.write(DOCS, list(self._batch(chance, number)), idempotency=key(number))
        return None

    def repeat(self, engine: Engine, number: int) -> WriteResult | None:
        """Send the write of a step again, if it was one of `docs`."""
        if number < 1 or number % _CYCLE in (1, 3, 5, 7, 9, 11):
            return None
        return engine.write(DOCS, list(self._batch(self._chance(number), number)), idempotency=key(number))

    def _chance(self, number: int) -> random.Random:
        return random.Random(self.seed * 1_000_003 + number)

    def _batch(self, chance: random.Random, number: int) -> Iterator[Op]:
        for _ in range(chance.randrange(1, 40)):
            name = f"p{chance.randrange(NAMES)}"
            payload = {"n": chance.randrange(100), "even": bool(number % 2), "fill": "x" * chance.randrange(300)}
            match chance.randrange(9):
                case 0 | 1:
                    yield Delete(id=name)
                case 2:
                    yield Patch(id=name, payload=payload, text=f"patched {number}")
                case 3:
                    yield Put(id=name, vector=place(chance), payload=KEEP, text=KEEP)
                case _:
                    yield Put(id=name, vector=place(chance), payload=payload, text=f"text {number}")
        if chance.random() < 0.15:
            yield DeleteWhere(filter=Range(("n",), lt=chance.randrange(8)))

    def _numbered(self, chance: random.Random) -> list[Op]:
        new: list[Op] = [Put(id=None, vector=place(chance), text="numbered") for _ in range(chance.randrange(1, 6))]
        return [*new, *(Delete(id=f"{chance.randrange(1, 60)}") for _ in range(chance.randrange(4)))]

    def _few(self, chance: random.Random) -> list[Op]:
        return [Put(id=f"s{n}", vector=place(chance)[:2].copy()) for n in range(chance.randrange(1, 9))]


def place(chance: random.Random) -> Vector:
    """Return a vector of small whole numbers: scores are exact and there are ties and duplicates; now and then
    a zero.
    """
    return np.array([chance.randrange(-3, 4) for _ in range(DIMENSION)], np.float32) * bool(chance.randrange(40))


def key(number: int) -> IdempotencyKey:
    """Return the name of the write of a step."""
    return IdempotencyKey(principal="torture", operation="write", key=f"step {number}", body_hash=f"{number}")


def _maintain(engine: Engine, chance: random.Random) -> None:
    offered = sorted({MaintenanceTask.CHECKPOINT, MaintenanceTask.FLUSH} & engine.capabilities.maintenance)
    if offered:
        engine.maintain(chance.choice(offered))


def tell(
    engine: Engine, clock: Clock, story: Story, first: int, told: Callable[[int, WriteResult | None], bool]
) -> None:
    """Do steps from a number on; `told` hears of each that was acknowledged, and ends the story by False."""
    number = first
    while True:
        clock.step = number
        if not told(number, story.step(engine, number)):
            return
        number += 1
