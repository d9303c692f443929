"""Spoilt bytes: files are flipped, cut, overwritten or emptied at random, and the database is opened on them.

Derived files may change no answer at all. Where SQLite's own files are spoilt, a collection is set aside or answers
rightly, and all others serve; what slips through unread must be found by `verify`.
"""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from torture import oracle
from torture.haste import hastened, open_hastily, walking
from torture.story import DIMENSION, DOCS, NUMBERS, Clock, Story
from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionState
from vectrograph.domain.errors import CollectionQuarantined
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.reference import ReferenceEngine

STEPS: Final = 40
_USED: Final = 4096 + 256 * 4 * DIMENSION
DERIVED: Final = ("index.graph", "vectors-*.f32")
_FINE: Final = ("set aside", "right")
TRUTH: Final = ("points.sqlite", "points.sqlite-wal", "manifest.json")


class Wrong(AssertionError):
    """A wrong answer, or a crash."""


@dataclass(slots=True)
class Outcomes:
    """How often what came of it, by file and outcome."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


class Victim:
    """A database as a killed process left it, and what it must answer.

    Args:
        home: an empty directory.
        seed: of its story.
    """

    def __init__(self, home: Path, seed: int) -> None:
        self._home = home
        self._clock = Clock()
        self._model = ReferenceEngine(self._clock)
        self._states: list[dict[str, Any]] = []
        self.picture = home / "picture"
        story = Story(seed)
        with hastened(), closing(open_hastily(home / "data", self._clock)) as engine:
            for side in (engine, self._model):
                story.begin(side)
            for self._clock.step in range(1, STEPS + 1):
                for side in (engine, self._model):
                    story.step(side, self._clock.step)
                self._states.append(oracle.state(self._model))
            engine.maintain(MaintenanceTask.FLUSH)
            engine._background.worker.close()
            for collection in engine._catalog.all():
                collection.upkeep.save(lambda: None)
            # The log has what came last, and the file has not.
            shutil.copytree(home / "data", self.picture)
        self.state = self._states[-1]
        self.answers = oracle.answers(self._model, seed, exact=True)
        self._seed = seed

    def spoil(self, chance: random.Random, patterns: tuple[str, ...]) -> tuple[Path, Path, str]:
        """A fresh copy with one file spoilt; the copy, the file, and what was done to it."""
        copy = self._home / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.picture, copy)
        files = [path for pattern in patterns for path in sorted(copy.glob(f"collections/*/{pattern}"))]
        path = chance.choice([path for path in files if path.stat().st_size])
        return copy, path, _spoil(path, chance)

    def look(self, copy: Path, *, walk: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """State and answers of a copy that must serve whole."""
        with ExitStack() as stack:
            stack.enter_context(hastened())
            engine = stack.enter_context(closing(open_hastily(copy, Clock(STEPS))))
            state = oracle.state(engine)
            if walk:
                engine.maintain(MaintenanceTask.FLUSH)
                stack.enter_context(walking(engine))
            return state, oracle.answers(engine, self._seed, exact=False)

    def judge(self, copy: Path) -> str:
        """What became of a copy whose truth is spoilt: "right", "set aside", "as it was earlier", "found by verify".

        Raises:
            Wrong: a wrong answer that verify does not find either.
        """
        with hastened(), closing(open_hastily(copy, Clock(STEPS))) as engine:
            verdicts = {self._one(engine, str(ref), ref) for ref in (DOCS, NUMBERS)}
            healthy = engine.maintain(MaintenanceTask.VERIFY).healthy
        wrong = [verdict for verdict in verdicts if verdict not in (*_FINE, "as it was earlier")]
        if wrong and healthy:
            raise Wrong(wrong[0])
        if wrong:
            return "found by verify"
        return next(verdict for verdict in ("as it was earlier", *_FINE) if verdict in verdicts)

    def _one(self, engine: EmbeddedEngine, name: str, ref: Any) -> str:
        listed = {str(info.spec.ref): info.state for info in engine.list("default")}
        if listed.get(name) is CollectionState.QUARANTINED:
            return "set aside"
        if name not in listed:
            aside = any(state is CollectionState.QUARANTINED for state in listed.values())
            return "set aside" if aside else f"{name} is gone"
        try:
            found = oracle.collection(engine, ref)
            given = oracle.answers(engine, self._seed, exact=False, refs=(ref,))
        except CollectionQuarantined:
            return "set aside"
        wanted = {question: hits for question, hits in self.answers.items() if question in given}
        unlike = oracle.difference(found, self.state[name]) or oracle.difference(given, wanted)
        if unlike and any(oracle.difference(found, state.get(name)) is None for state in self._states):
            # The last transaction of a log is as if the power had gone in it.
            return "as it was earlier"
        return f"{name}: {unlike}" if unlike else "right"


def _spoil(path: Path, chance: random.Random) -> str:
    size = path.stat().st_size
    # Files of vectors are mostly room to grow, which holds nothing.
    at = chance.randrange(min(size, _USED) if path.suffix == ".f32" and chance.random() < 0.8 else size)
    way = chance.choice(["flip", "flip", "flip", "cut", "overwrite", "empty", "grow"])
    with path.open("r+b") as file:
        file.seek(at)
        match way:
            case "flip":
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << chance.randrange(8)]))
            case "cut":
                file.truncate(at)
            case "overwrite":
                file.write(chance.randbytes(min(512, size - at)))
            case "empty":
                file.truncate(0)
            case "grow":
                file.seek(size)
                file.write(chance.randbytes(chance.randrange(1, 5000)))
    return f"{way} at {at} of {size}"


def spoil_derived(victim: Victim, chance: random.Random, count: int, progress: Callable[[int], None]) -> None:
    """So many times a derived file is spoilt: the state and every answer stay.

    Raises:
        Wrong: one did not.
    """
    for number in range(1, count + 1):
        copy, path, way = victim.spoil(chance, DERIVED)
        state, answers = victim.look(copy, walk=number % 2 == 0)
        unlike = oracle.difference(state, victim.state) or oracle.difference(answers, victim.answers)
        if unlike:
            raise Wrong(f"{path.name}, {way}: {unlike}")
        progress(number)


def spoil_truth(victim: Victim, chance: random.Random, count: int, progress: Callable[[int], None]) -> Outcomes:
    """So many times a file of SQLite or a manifest is spoilt: set aside, or right, or found by verify.

    Raises:
        Wrong: none of these.
    """
    outcomes = Outcomes()
    for number in range(1, count + 1):
        copy, path, way = victim.spoil(chance, TRUTH)
        try:
            outcomes.counts[path.name, victim.judge(copy)] += 1
        except Wrong as wrong:
            raise Wrong(f"{path.name}, {way}: {wrong}") from wrong
        progress(number)
    return outcomes
