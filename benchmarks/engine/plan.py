"""Plan of a run: jobs, order and effort."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.engine.conditions import PLACES
from benchmarks.engine.datasets import Cell
from benchmarks.engine.jobs import Budget
from benchmarks.engine.subjects import LIMITS, OURS, PEERS, SUBJECTS
from benchmarks.engine.subjects.base import Durability

FIGURES: Final = ("ingest", "search", "threads", "filtered", "mixed", "memory", "reopen", "growth")
"""Names that `--only` takes, in the order in which they run."""

SEARCH_TARGETS: Final = (0.95, 0.99)
FILTER_TARGETS: Final = (0.98,)
FASTEST: Final = "fastest two peers"
"""Stands for the two peers with the most queries a second in this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One figure in one cell, for some subjects.

    name: of the figure in the results. figure: the function that measures it. build: the collection has to be filled
    first, by a job of its own that does not count. rounds: at most so many.
    """

    name: str
    figure: str
    cell: Cell
    subjects: tuple[str, ...]
    threads: int
    build: bool = False
    filterable: bool = False
    keep: bool = False
    rounds: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Rows of each data set, and the effort."""

    tokens: int
    patches: int
    reopened: int
    growth: tuple[int, ...]
    distances: tuple[str, ...]
    percents: tuple[int, ...]
    budget: Budget
    timeout: float


FULL: Final = Sizes(
    tokens=31_000,
    patches=60_000,
    reopened=100_000,
    growth=(10_000, 100_000, 1_000_000),
    distances=("cosine", "dot", "euclidean"),
    percents=(1, 10, 50),
    budget=Budget(),
    timeout=3_600,
)
QUICK: Final = Sizes(
    tokens=2_000,
    patches=0,
    reopened=5_000,
    growth=(1_000, 5_000),
    distances=("cosine",),
    percents=(10,),
    budget=Budget(queries=60, seconds=0.2, recall_seconds=0.4, least_queries=10, max_breadth=512),
    timeout=120,
)

_EVERYONE: Final = tuple(SUBJECTS)
_DATABASES: Final = (OURS, *PEERS)
_GROWING: Final = (OURS, FASTEST, LIMITS[0])


def steps(sizes: Sizes, only: Sequence[str] = FIGURES) -> list[Step]:
    """Return the steps of a run in their order.

    >>> {step.name for step in steps(QUICK, ["reopen"])}
    {'reopen'}
    """
    makers = {
        "ingest": _ingest,
        "search": lambda sizes: _search("search", 1, sizes),
        "threads": lambda sizes: _search("threads", 2, sizes),
        "filtered": _filtered,
        "mixed": _mixed,
        "memory": _memory,
        "reopen": _reopen,
        "growth": _growth,
    }
    return [step for name in FIGURES if name in only for step in makers[name](sizes)]


def _cells(sizes: Sizes) -> list[Cell]:
    """Return the two real data sets, each under its own distance."""
    cells = [Cell("tokens", sizes.tokens, "cosine"), Cell("patches", sizes.patches, "euclidean")]
    return [cell for cell in cells if cell.rows]


def _ingest(sizes: Sizes) -> list[Step]:
    from benchmarks.engine.subjects import subject_class

    flushed = tuple(name for name in PEERS if subject_class(name).durability is Durability.REQUEST)
    return [
        step
        for cell in _cells(sizes)
        for step in (
            Step(name="ingest", figure="ingest", cell=cell, subjects=_EVERYONE, threads=2, keep=True),
            Step(
                name="ingest flushed",
                figure="ingest",
                cell=cell,
                subjects=flushed,
                threads=2,
                options={"flush": True},
            ),
        )
    ]


def _search(name: str, threads: int, sizes: Sizes) -> list[Step]:
    cells = [Cell("tokens", sizes.tokens, distance) for distance in sizes.distances]
    if sizes.patches:
        cells.append(Cell("patches", sizes.patches, "euclidean"))
    return [
        Step(
            name=name,
            figure="search",
            cell=cell,
            subjects=_EVERYONE,
            threads=threads,
            build=True,
            options={"targets": list(SEARCH_TARGETS)},
        )
        for cell in cells
    ]


def _filtered(sizes: Sizes) -> list[Step]:
    return [
        Step(
            name=f"filtered {place} {percent} %",
            figure="filtered",
            cell=cell,
            subjects=_DATABASES,
            threads=1,
            build=True,
            filterable=True,
            options={"targets": list(FILTER_TARGETS), "place": place, "percent": percent},
        )
        for cell in _cells(sizes)
        for place in PLACES
        for percent in sizes.percents
    ]


def _mixed(sizes: Sizes) -> list[Step]:
    return [
        Step(
            name="mixed",
            figure="mixed",
            cell=Cell(cell.source, cell.rows // 2, cell.distance),
            subjects=_DATABASES,
            threads=2,
            options={"rows": cell.rows},
        )
        for cell in _cells(sizes)
    ]


def _memory(sizes: Sizes) -> list[Step]:
    return [Step(name="memory", figure="memory", cell=cell, subjects=_EVERYONE, threads=2) for cell in _cells(sizes)]


def _reopen(sizes: Sizes) -> list[Step]:
    cell = Cell("clustered", sizes.reopened, "euclidean")
    return [Step(name="reopen", figure="reopen", cell=cell, subjects=_DATABASES, threads=2, build=True)]


def _growth(sizes: Sizes) -> list[Step]:
    """Fill each size once: an hour's work must not be done three times to time its answers."""
    cells = [Cell("clustered", rows, "euclidean") for rows in sizes.growth]
    filling = [
        Step(name="growth insert", figure="ingest", cell=cell, subjects=_GROWING, threads=2, keep=True, rounds=1)
        for cell in cells
    ]
    asking = [
        Step(
            name="growth search",
            figure="search",
            cell=cell,
            subjects=_GROWING,
            threads=1,
            build=True,
            options={"targets": [SEARCH_TARGETS[0]]},
        )
        for cell in cells
    ]
    return filling + asking
