"""Lines of each figure, and their bars."""

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.engine import bars
from benchmarks.engine.bars import Line, Reader, Values, judge, key
from benchmarks.engine.datasets import Cell
from benchmarks.engine.plan import FILTER_TARGETS, SEARCH_TARGETS
from benchmarks.engine.subjects import KERNELS, LIMITS, OURS, PEERS


def _insert(reader: Reader) -> Iterator[Line]:
    for cell in reader.results.cells("ingest"):
        plain = reader.numbers("ingest", cell, key("acknowledged"))
        # Collecting rows in a list, as bare indexes do, is not acknowledging anything.
        plain = {name: value for name, value in plain.items() if name not in (*LIMITS, *KERNELS)}
        failed = reader.errors("ingest", cell)
        durable = reader.numbers("ingest", cell, _durable) | reader.numbers("ingest flushed", cell, _durable)
        notes = failed | {name: "no fsync" for name in plain if name not in durable}
        notes |= dict.fromkeys(reader.numbers("ingest flushed", cell, _durable), "flush each")
        yield judge("insert, fsync per batch", cell, "rows/s", durable, bars.INSERT, notes=notes)
        asked = {name: "no fsync" for name in plain if not reader.results.median("ingest", cell, name)["durable"]}
        yield judge("insert, as each acknowledges", cell, "rows/s", plain, None, notes=failed | asked)
        indexed = reader.numbers("ingest", cell, key("indexed"))
        yield judge("insert until indexed", cell, "rows/s", indexed, bars.INDEXED, notes=failed)


def _durable(values: Values) -> float | None:
    return float(values["acknowledged"]) if values.get("durable") else None


def _search(reader: Reader) -> Iterator[Line]:
    for name, title in (("search", "queries/s, one thread"), ("threads", "queries/s, two threads")):
        for target in SEARCH_TARGETS:
            for cell in reader.results.cells(name):
                speeds, notes = reader.at_recall(name, cell, f"{target}")
                yield judge(f"{title}, recall ≥ {target}", cell, "1/s", speeds, bars.SEARCH, notes=notes)


def _filtered(reader: Reader) -> Iterator[Line]:
    for name in reader.results.names():
        if name.startswith("filtered"):
            for cell in reader.results.cells(name):
                speeds, notes = reader.at_recall(name, cell, f"{FILTER_TARGETS[0]}")
                title = f"{name}, recall ≥ {FILTER_TARGETS[0]}"
                yield judge(title, cell, "1/s", speeds, bars.FILTERED, notes=notes)


def _mixed(reader: Reader) -> Iterator[Line]:
    for cell in reader.results.cells("mixed"):
        failed = reader.errors("mixed", cell)
        counts = reader.numbers("mixed", cell, key("searches"))
        notes = failed | {name: f"of {count:,.0f}" for name, count in counts.items()}
        inserting = reader.numbers("mixed", cell, key("p99"))
        yield judge("p99 of search while inserting", cell, "ms", inserting, bars.MIXED, notes=notes)
        indexing = reader.numbers("mixed", cell, key("indexed_p99"))
        yield judge("p99 until indexed", cell, "ms", indexing, None, notes=failed, lower=True)
        worst = reader.numbers("mixed", cell, key("indexed_worst"))
        yield judge("worst search until indexed", cell, "ms", worst, None, notes=failed, lower=True)
        rate = reader.numbers("mixed", cell, key("rate"))
        yield judge("rows acknowledged meanwhile", cell, "rows/s", rate, None, notes=failed)


def _memory(reader: Reader) -> Iterator[Line]:
    for cell in reader.results.cells("memory"):
        failed = reader.errors("memory", cell)
        anonymous = reader.numbers("memory", cell, key("anonymous"))
        mapped = reader.numbers("memory", cell, key("mapped"))
        in_memory = [name for name in PEERS if reader.results.median("memory", cell, name).get("in_memory")]
        title = "memory per vector, anonymous"
        yield judge(title, cell, "bytes", anonymous, bars.MEMORY, notes=failed, among=in_memory)
        yield judge("mapped pages per vector", cell, "bytes", mapped, None, notes=failed, lower=True)


def _reopen(reader: Reader) -> Iterator[Line]:
    for cell in reader.results.cells("reopen"):
        seconds = reader.numbers("reopen", cell, key("seconds"))
        failed = reader.errors("reopen", cell)
        yield judge("reopen and answer", cell, "s", seconds, bars.REOPEN, notes=failed)
        importing = reader.numbers("reopen", cell, key("importing"))
        yield judge("of which import", cell, "s", importing, None, notes=failed, lower=True)


def _against_faiss(reader: Reader) -> Iterator[Line]:
    for target in SEARCH_TARGETS:
        for cell in reader.results.cells("search"):
            speeds, notes = reader.at_recall("search", cell, f"{target}")
            some = {name: speed for name, speed in speeds.items() if name == OURS or name in LIMITS}
            notes = {name: note for name, note in notes.items() if name == OURS or name in LIMITS}
            title = f"queries/s against bare faiss, recall ≥ {target}"
            yield judge(title, cell, "1/s", some, bars.FAISS, notes=notes)


def _growth(reader: Reader) -> Iterator[Line]:
    inserted: dict[Cell, dict[str, float]] = {}
    asked: dict[Cell, dict[str, float]] = {}
    for cell in reader.results.cells("growth insert"):
        inserted[cell] = reader.numbers("growth insert", cell, key("indexed"))
        failed = reader.errors("growth insert", cell)
        yield judge("growth: insert until indexed", cell, "rows/s", inserted[cell], None, notes=failed)
    for cell in reader.results.cells("growth search"):
        asked[cell], notes = reader.at_recall("growth search", cell, f"{SEARCH_TARGETS[0]}")
        yield judge(f"growth: queries/s, recall ≥ {SEARCH_TARGETS[0]}", cell, "1/s", asked[cell], None, notes=notes)
    for title, values in (("insert rate kept", inserted), ("queries/s kept", asked)):
        if len(values) > 1:
            yield _kept(f"growth: {title}", values)


def _kept(title: str, values: dict[Cell, dict[str, float]]) -> Line:
    """Return the share of the smallest size's rate that is left at the greatest."""
    small, large = min(values, key=lambda cell: cell.rows), max(values, key=lambda cell: cell.rows)
    both = values[small].keys() & values[large].keys()
    kept = {name: values[large][name] / values[small][name] for name in values[small] if name in both}
    return judge(title, f"{small.rows:,} → {large.rows:,}", "share", kept, bars.GROWTH)


MAKERS: Final[tuple[Callable[[Reader], Iterator[Line]], ...]] = (
    _insert,
    _search,
    _filtered,
    _mixed,
    _memory,
    _reopen,
    _against_faiss,
    _growth,
)
