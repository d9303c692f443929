"""Sample of recent queries, by which an index is judged.

They are judged without their filters: a walk under a filter finds what one without finds whose beam has as many nodes
as matches were met (`index.effort.trustworthy`), so the beam that is judged is the one that filters widen.
"""

from collections import deque
from typing import Final

import numpy as np

from vectrograph.domain.points import Vector

# Queries of which one is kept: noting the others costs next to nothing.
_SAMPLING_INTERVAL: Final = 16
# Queries kept. Chosen: recall is judged with 100.
_MAX_QUERIES: Final = 128
# Bytes of all queries kept: fewer are kept of long vectors, and 16 at least.
_MAX_BYTES: Final = 1 << 20
# Factor of the number of queries between two judgements.
_INTERVAL_GROWTH: Final = 8
_MAX_INTERVAL_GROWTH: Final = 64
"""Judging costs an exact scan for each question kept: after each time eight times as many queries have to come, but at
most 64 times as many as for the first, when a query pays a hundredth of its own cost for it."""


class QuerySample:
    """Every sixteenth query vector, the latest of them; any number of threads.

    Args:
        dimension: of the vectors.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._kept: deque[Vector] = deque(maxlen=max(16, min(_MAX_QUERIES, _MAX_BYTES // (4 * dimension))))
        self._count = 0
        self._judge_at = self._apart = _SAMPLING_INTERVAL * (self._kept.maxlen or 1)
        self._most = _MAX_INTERVAL_GROWTH * self._apart

    def note(self, queries: Vector) -> bool:
        """Take notice of queries, shape (m, dimension); whether there are enough new ones to judge by."""
        # Two threads may count one query once: which are kept is of no importance.
        self._count += 1
        if self._count % _SAMPLING_INTERVAL:
            return False
        self._kept.append(queries[0].copy())
        return self._count >= self._judge_at

    def vectors(self) -> Vector:
        """Return those kept, shape (n, dimension)."""
        kept = list(self._kept)
        return np.stack(kept) if kept else np.empty((0, self._dimension), np.float32)

    def mark_judged(self) -> None:
        """Record that the sample was used; the next time is after many more queries."""
        self._apart = min(_INTERVAL_GROWTH * self._apart, self._most)
        self._judge_at = self._count + self._apart
