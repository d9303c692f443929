"""Shared state of background work, and its schedule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.distances import Norms
from vectrograph.domain.log_retention import UNLIMITED_LOG, LogRetention
from vectrograph.domain.threads import ThreadPlacement
from vectrograph.engines.embedded.index.float32_arithmetic import LONGEST, SHORTEST
from vectrograph.engines.embedded.index.graph import Graph, ServedGraph
from vectrograph.engines.embedded.index.recall import tune
from vectrograph.engines.embedded.index.refine import Originals
from vectrograph.engines.embedded.rows.memory_budget import Budget
from vectrograph.engines.embedded.rows.view import Mask, Rows
from vectrograph.engines.embedded.upkeep.foreground import Foreground
from vectrograph.engines.embedded.upkeep.worker import Worker

Tune: TypeAlias = Callable[[Graph, Originals, Mask, Rows, ServedGraph | None, Cancellation], ServedGraph]
"""From a new graph to how it is served; see `recall.tune`.

Called with the graph, the originals, the live bits by row, live rows that are not in the graph, the graph that it
extends if any, and the cancellation of the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Schedule of work on the index of a collection.

    Attributes:
        first_floats: components (rows times dimension) from which on a graph is quicker than a scan …
        first_rows: … within these bounds of rows: fewer are never worth a graph, more always are.
        swap_rows: rows that may wait: their exact scan takes some tenths of a millisecond.
        swap_share: or this share of the rows covered, so that copying a large graph stays a small part of the work.
        lag_rows: rows waiting beyond which writers are slowed, or …
        lag_floats: … components, whichever are more rows.
        idle_seconds: without a write, after which even a few rows are indexed and what has changed is saved.
        dead_share: of rows past which the collection is compacted and its graph built anew.
        cut_share: of components beyond the range of the codes, on top of the share in the sample the range was made
            for, past which the graph is built anew; under dot also of vectors that are too long for it.
        save_share: growth after which the index is saved.
        trim_seconds: from a write that makes the log of changes too long to the removal of the oldest, so that many
            small writes share one transaction.
        ageing_seconds: between two looks for changes that are too old: short beside the days that they are kept.
    """

    first_floats: int = 1_000_000
    first_rows: tuple[int, int] = (2_000, 20_000)
    swap_rows: int = 4_096
    swap_share: float = 0.01
    lag_rows: int = 32_768
    lag_floats: int = 16_000_000
    idle_seconds: float = 1.0
    dead_share: float = 0.25
    cut_share: float = 0.005
    save_share: float = 0.25
    trim_seconds: float = 1.0
    ageing_seconds: float = 600.0

    def first(self, dimension: int) -> int:
        """Return rows from which on there is a graph."""
        least, most = self.first_rows
        return max(least, min(most, self.first_floats // dimension))

    def swap(self, covered: int) -> int:
        """Return rows that may wait when a graph covers so many."""
        return max(self.swap_rows, int(covered * self.swap_share))

    def lag(self, dimension: int) -> int:
        """Return rows waiting beyond which writers are slowed."""
        return max(self.lag_rows, self.lag_floats // dimension)

    def outgrown(self, graph: Graph, lengths: Norms) -> bool:
        """Return whether too much of what a graph covers is beyond the range of its codes.

        Args:
            graph: that one.
            lengths: of the vectors, by row.
        """
        if graph.cut_share > 2 * graph.space.outside + self.cut_share:
            return True
        if not graph.space.products:
            # What has no place under the others, such as zero under cosine, would have none in a new graph either.
            return False
        longer = lengths[graph.unplaced]
        return int(np.count_nonzero((longer >= SHORTEST) & (longer <= LONGEST))) > self.cut_share * graph.covered


USUAL: Final = Rhythm()
"""The rhythm of an engine that is given no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Background state that all collections of an engine share.

    Attributes:
        worker: does the work.
        clock: microseconds since 1970.
        foreground: those it must not disturb.
        placement: where threads run.
        rhythm: when it is done.
        budget: of memory.
        tune: decides how a new graph is served.
        retention: of the log of changes of each collection.
        reached: called with the name of each stage that is reached: "extend", "build", "compact", "publish",
            "save", "trim". Tests end the process there.
    """

    worker: Worker
    clock: Callable[[], int]
    foreground: Foreground
    rhythm: Rhythm = USUAL
    budget: Budget = field(default_factory=Budget)
    tune: Tune = tune
    retention: LogRetention = UNLIMITED_LOG
    reached: Callable[[str], None] = lambda _: None
    placement: ThreadPlacement = field(default_factory=ThreadPlacement)
