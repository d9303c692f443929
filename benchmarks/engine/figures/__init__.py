"""Figures: each is a function from a job to its values, run in a process of its own."""

from collections.abc import Callable
from typing import Any, Final

from benchmarks.engine.figures.ingest import ingest
from benchmarks.engine.figures.memory import memory
from benchmarks.engine.figures.mixed import mixed
from benchmarks.engine.figures.reopen import reopen
from benchmarks.engine.figures.search import filtered, search
from benchmarks.engine.jobs import Job

FIGURES: Final[dict[str, Callable[[Job], dict[str, Any]]]] = {
    "ingest": ingest,
    "search": search,
    "filtered": filtered,
    "mixed": mixed,
    "memory": memory,
    "reopen": reopen,
}
