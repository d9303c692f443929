"""The least breadth of search that reaches a recall, so that speeds of different engines are told at the same recall.

Every subject gets the same ladder of breadths (each a quarter more than the one before) and may use any of its
styles; the fastest style that reaches the recall is the one that counts.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from benchmarks.engine.jobs import Budget
from benchmarks.engine.subjects.base import Effort, Subject
from benchmarks.engine.timing import Questions, measured_recall, queries_per_second
from benchmarks.engine.truth import K

_STEP: Final = 1.25
_FIRST_GUESS: Final = 48


@dataclass(frozen=True, slots=True)
class Reached:
    """An effort and the recall it gave; `enough` tells whether that is the recall that was asked for."""

    effort: Effort
    recall: float
    enough: bool


def ladder(limit: int) -> list[int]:
    """Return breadths from k up to `limit`.

    >>> ladder(50)
    [10, 13, 16, 20, 25, 31, 39, 48, 50]
    """
    steps, value = [], float(K)
    while value < limit:
        steps.append(ceil(value))
        value *= _STEP
    return [*steps, limit]


class Sweep:
    """Finds efforts for one subject and one set of questions; recalls that were measured once are remembered."""

    def __init__(self, subject: Subject, questions: Questions, budget: Budget, threads: int) -> None:
        self._subject = subject
        self._questions = questions
        self._budget = budget
        self._threads = threads
        self._ladder = ladder(budget.max_breadth)
        self._recalls: dict[Effort, float] = {}

    def reach(self, target: float, hint: dict[str, Any] | None = None) -> Reached:
        """Return the effort that answers fastest with at least the target recall.

        Args:
            target: recall@10 to reach.
            hint: an effort that an earlier round found; taken when it still reaches the target.

        Returns:
            Where no effort reaches the target, the one with the best recall, with `enough` false.
        """
        if hint is not None:
            effort = Effort(int(hint["breadth"]), str(hint["style"]))
            if self._recall(effort) >= target:
                return Reached(effort, self._recall(effort), True)
        found = [self._least(style, target) for style in self._subject.styles]
        good = [reached for reached in found if reached.enough]
        if not good:
            return max(found, key=lambda reached: reached.recall)
        if len(good) == 1:
            return good[0]
        return max(good, key=lambda reached: self._speed(reached.effort))

    def _least(self, style: str, target: float) -> Reached:
        """Gallop up from a usual breadth, then halve the interval; takes recall to rise with breadth."""
        low, high = -1, self._position(_FIRST_GUESS)
        while self._recall(Effort(self._ladder[high], style)) < target:
            if high == len(self._ladder) - 1:
                effort = Effort(self._ladder[high], style)
                return Reached(effort, self._recall(effort), False)
            low, high = high, min(high + 3, len(self._ladder) - 1)
        while high - low > 1:
            middle = (low + high) // 2
            if self._recall(Effort(self._ladder[middle], style)) >= target:
                high = middle
            else:
                low = middle
        effort = Effort(self._ladder[high], style)
        return Reached(effort, self._recall(effort), True)

    def _position(self, breadth: int) -> int:
        return min(sum(step < breadth for step in self._ladder), len(self._ladder) - 1)

    def _recall(self, effort: Effort) -> float:
        if effort not in self._recalls:
            self._recalls[effort] = measured_recall(self._subject, self._questions, effort, self._budget)
        return self._recalls[effort]

    def _speed(self, effort: Effort) -> float:
        return queries_per_second(self._subject, self._questions, effort, self._budget.seconds / 2, self._threads)
