"""Resources that callers can make the engine spend: FINDINGS B4 (file descriptors) and B5 (filters, memory)."""

import errno
import functools
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import numpy as np
import pytest

from vectrograph.domain.cancellation import CancelledWhen
from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import (
    Cancelled,
    CollectionQuarantined,
    IdempotencyConflict,
    OutOfSpace,
    Overloaded,
    QuotaExceeded,
)
from vectrograph.domain.filters import evaluation as filters
from vectrograph.domain.filters.evaluation import (
    AnyElement,
    Compare,
    Comparison,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Substring,
)
from vectrograph.domain.points import Delete, DeleteWhere, IdempotencyKey, Put
from vectrograph.domain.queries import DenseLeg, Order, ScrollRequest, SearchRequest
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.collection import content
from vectrograph.engines.embedded.columns import store as store_module
from vectrograph.engines.embedded.columns.column import OBJECT_BYTES
from vectrograph.engines.embedded.columns.store import MAX_COLUMNS
from vectrograph.engines.embedded.disk import open_files as open_files_module
from vectrograph.engines.embedded.disk.open_files import OpenFiles
from vectrograph.engines.embedded.query import point_reads
from vectrograph.engines.embedded.rows.memory_budget import available_memory
from vectrograph.engines.embedded.truth.batch import Batch
from vectrograph.engines.embedded.truth.reply_limits import ReplyLimits
from vectrograph.engines.embedded.truth.store import Store
from vectrograph.engines.quotas import Quota

pytestmark = pytest.mark.slow

DOCS = CollectionRef("default", "docs")
ROWS = 5_000
QUERY = np.array([[1.0, 0.0]], np.float32)


def unknown(count: int, prefix: str = "unknown") -> Filter:
    return Or(tuple(Compare((f"{prefix} {number}",), Comparison.EQ, 1) for number in range(count)))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EmbeddedEngine]:
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0)
    fill(opened)
    yield opened
    opened.close()


def fill(engine: EmbeddedEngine, rows: int = ROWS) -> None:
    engine.create(CollectionSpec.dense(DOCS, 2, Distance.COSINE))
    vector = QUERY[0]
    engine.write(DOCS, [Put(id=str(n), vector=vector, payload={"n": n, "s": f"word {n}"}) for n in range(rows)])


# ---------------------------------------------------------------- filters

COSTLY: dict[str, Filter] = {
    "unknown paths": unknown(200),
    "a needle": Substring(("s",), "ord 4999", fold_case=True),
    "arrays": Not(AnyElement(("tags",), Exists(("a",)))),
    "too many paths for columns": unknown(MAX_COLUMNS + 1),
}
VERBS: dict[str, Callable[[EmbeddedEngine, Filter], object]] = {
    "search": lambda engine, condition: engine.search(
        DOCS, SearchRequest(legs=(DenseLeg(vectors=QUERY),), k=3, filter=condition)
    ),
    "count": lambda engine, condition: engine.count(DOCS, condition),
    "scroll": lambda engine, condition: engine.scroll(DOCS, ScrollRequest(limit=3, filter=condition)),
    "delete_where": lambda engine, condition: engine.write(DOCS, [DeleteWhere(filter=condition)]),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", COSTLY)
def test_work_for_a_filter_ends_with_its_caller(engine: EmbeddedEngine, verb: str, kind: str) -> None:
    asked = 0

    def gone() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with CancelledWhen(gone), pytest.raises(Cancelled):
        VERBS[verb](engine, COSTLY[kind])
    assert asked == 3, "it went on after it was told"
    assert engine.count(DOCS) == ROWS


@pytest.mark.parametrize("verb", ["search", "count", "scroll"])
def test_work_for_a_filter_ends_with_the_engine(tmp_path: Path, verb: str) -> None:
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0)
    fill(opened)

    def close() -> bool:
        opened._closed = True
        return False

    with CancelledWhen(close), pytest.raises(Exception, match="The engine is closed"):
        VERBS[verb](opened, unknown(200))
    opened._closed = False
    opened.close()


def test_columns_of_paths_that_lead_nowhere_are_free_and_few(engine: EmbeddedEngine) -> None:
    columns = engine._catalog.find(DOCS).columns
    engine.count(DOCS, unknown(50))
    assert columns.nbytes <= 50 * OBJECT_BYTES + ROWS
    for number in range(10):
        engine.count(DOCS, unknown(100, f"other {number}"))
    assert len(columns._entries) <= MAX_COLUMNS
    assert columns.nbytes <= MAX_COLUMNS * OBJECT_BYTES + 16 * ROWS
    # What is known of a path ends with the next write.
    engine.write(DOCS, [Put(id="new", vector=QUERY[0], payload={"unknown 7": 1})])
    assert engine.count(DOCS, unknown(50)) == 1


def test_arrays_at_paths_that_lead_nowhere_come_and_go(engine: EmbeddedEngine) -> None:
    condition = AnyElement(("tags",), Compare((), Comparison.EQ, 1))
    assert engine.count(DOCS, condition) == 0
    engine.write(DOCS, [Put(id="1", vector=QUERY[0], payload={"tags": [1, 2]})])
    assert engine.count(DOCS, condition) == 1
    engine.write(DOCS, [Put(id="1", vector=QUERY[0], payload={"tags": 1})])
    assert engine.count(DOCS, condition) == 0


def test_one_who_needs_many_columns_lets_others_have_their_turn(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two pieces of the work another filter is answered, which needs the columns too."""
    monkeypatch.setattr(store_module, "_TURN_SECONDS", 0.0)
    collection = engine._catalog.find(DOCS)
    columns, condition, turns = collection.columns, unknown(20), 0
    while True:
        with columns.updating(lambda: None), collection.snapshot(lambda: None) as (connection, view):
            table = columns.prepare(connection, view, condition, lambda: None)
        if table is not None:
            break
        turns += 1
        if turns <= 4:
            engine.write(DOCS, [Put(id=f"turn {turns}", vector=QUERY[0], payload={"n": -turns})])
            assert engine.count(DOCS, Compare(("n",), Comparison.EQ, -turns)) == 1
    assert turns > 4
    assert engine.count(DOCS, condition) == 0


def test_large_filters_are_not_remembered(engine: EmbeddedEngine) -> None:
    columns = engine._catalog.find(DOCS).columns
    large = In(("s",), tuple(f"word {n}" for n in range(9_000)))
    before = filters._remembered_predicate.cache_info().currsize
    assert engine.count(DOCS, large) == ROWS
    assert filters.predicate(large)({"s": "word 8"})
    assert filters._remembered_predicate.cache_info().currsize == before
    assert not columns._selections


def test_columns_make_room_for_writers(tmp_path: Path) -> None:
    """Under a budget, filters never make a write fail: what can be made anew goes first."""
    limit = 600_000
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0, memory_bytes=limit)
    try:
        fill(opened, 6_000)
        budget = opened._background.budget
        opened.count(DOCS, Compare(("n",), Comparison.EQ, 7))
        held = opened._catalog.find(DOCS).columns._held.amount
        assert held > 40_000
        room = (limit - budget.used) // 8
        added = 0
        while budget.used + 40_000 <= limit:
            opened.write(DOCS, [Put(id=f"more {added + n}", vector=QUERY[0]) for n in range(500)])
            added += 500
            assert added < room
        for _ in range(4):
            opened.write(DOCS, [Put(id=f"more {added + n}", vector=QUERY[0]) for n in range(500)])
            added += 500
        assert opened._catalog.find(DOCS).columns._held.amount < held
        assert budget.used <= limit
        assert opened.count(DOCS, Compare(("n",), Comparison.EQ, 7)) == 1
    finally:
        opened.close()


# ---------------------------------------------------------------- memory of the machine


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "5000000"}),
        ("0::/a/b", {"memory.max": "5000000"}),
        ("4:cpu,memory:/a", {"memory/a/memory.limit_in_bytes": "5000000"}),
    ],
)
def test_memory_is_that_of_the_control_group(tmp_path: Path, line: str, files: dict[str, str]) -> None:
    groups, group = tmp_path / "cgroup", tmp_path / "own"
    group.write_text(line + "\n")
    machine = available_memory(groups, group)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text + "\n")
    assert available_memory(groups, group) == 5_000_000
    assert machine == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# ---------------------------------------------------------------- descriptors


class Owner:
    """Somebody with descriptors; `busy` ones do not give them up."""

    def __init__(self, files: OpenFiles, used_at: float, *, busy: bool = False) -> None:
        self._files, self.used_at, self.busy = files, used_at, busy
        self.opened: list[int] = []

    def open(self) -> None:
        self.opened.append(self._files.open(self, 1, lambda: os.open(os.devnull, os.O_RDONLY)))

    def park(self) -> bool:
        if self.busy or not self.opened:
            return False
        for descriptor in self.opened:
            os.close(descriptor)
        self._files.give_back(self, len(self.opened))
        self.opened.clear()
        return True


def test_the_descriptors_that_were_used_the_longest_ago_go_first() -> None:
    files = OpenFiles(limit=3)
    owners = [Owner(files, used_at) for used_at in (3.0, 1.0, 2.0)]
    last = Owner(files, 4.0)
    for owner in (*owners, last):
        owner.open()
    assert [len(owner.opened) for owner in (*owners, last)] == [1, 0, 1, 1]
    assert files.used == 3
    for owner in owners:
        owner.park()
    last.park()
    files.close()


def test_all_descriptors_in_use_is_an_error_that_says_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files_module, "_WAIT_SECONDS", 0.05)
    files = OpenFiles(limit=1)
    busy, other = Owner(files, 1.0, busy=True), Owner(files, 2.0)
    busy.open()
    with pytest.raises(Overloaded, match="no free file descriptor") as caught:
        other.open()
    assert caught.value.retryable
    busy.busy = False
    other.open()
    assert not busy.opened
    other.park()
    files.close()


def test_a_full_table_of_the_process_is_tried_again_with_fewer_of_ones_own() -> None:
    files = OpenFiles(limit=10)
    first, second = Owner(files, 1.0), Owner(files, 2.0)
    first.open()
    refusals = [OSError(errno.EMFILE, "Too many open files")]

    def refused_once() -> int:
        if refusals:
            raise refusals.pop()
        return os.open(os.devnull, os.O_RDONLY)

    second.opened.append(files.open(second, 1, refused_once))
    assert not first.opened
    second.park()
    files.close()


# ---------------------------------------------------------------- offsets


@pytest.mark.parametrize("key", ["id", "created", "updated"])
@pytest.mark.parametrize("descending", [False, True])
def test_an_offset_of_any_size_skips_what_it_says(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch, key: str, descending: bool
) -> None:
    """FINDINGS B5, the second round: an offset is skipped in steps, with and without a cursor."""
    monkeypatch.setattr(point_reads, "_SKIP_CHUNK", 700)
    order = Order(key=key, descending=descending)
    names = sorted(str(n) for n in range(ROWS)) if key == "id" else [str(n) for n in range(ROWS)]
    if descending:
        names.reverse()
    for offset in (0, 1, 699, 700, 701, 1_400, 3_499, ROWS - 1, ROWS, 10 * ROWS, 2**53):
        page = engine.scroll(DOCS, ScrollRequest(limit=2, offset=offset, order=order))
        assert [point.id for point in page.points] == names[offset : offset + 2]
        assert (page.cursor is None) == (offset + 2 >= ROWS)
    first = engine.scroll(DOCS, ScrollRequest(limit=2, order=order))
    page = engine.scroll(DOCS, ScrollRequest(limit=2, offset=1_500, order=order, cursor=first.cursor))
    assert [point.id for point in page.points] == names[1_502:1_504]


def test_skipping_an_offset_ends_with_its_caller(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS B5, the second round: an offset without a filter was one statement that nobody could stop."""
    monkeypatch.setattr(point_reads, "_SKIP_CHUNK", 700)
    looks = 0

    def left() -> bool:
        nonlocal looks
        looks += 1
        return looks > 3

    with CancelledWhen(left), pytest.raises(Cancelled):
        engine.scroll(DOCS, ScrollRequest(limit=1, offset=ROWS - 1))
    assert looks == 4


# ---------------------------------------------------------------- idempotency records


def named(number: int, body: str = "h") -> IdempotencyKey:
    return IdempotencyKey(principal="p", operation="o", key=f"k{number}", body_hash=body)


def test_idempotency_records_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS B7, the second round: writes that change nothing filled the disk with records of themselves."""
    clock = iter(range(1_700_000_000_000_000, 1_800_000_000_000_000))
    most = 4 << 20
    limited: Callable[..., ReplyLimits] = functools.partial(ReplyLimits, max_bytes=most)
    monkeypatch.setattr(content, "ReplyLimits", limited)
    largest = [Delete(id=f"{n:03d}".rjust(512, "x")) for n in range(400)]
    writes = 2 * most // (400 * 512)
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0, clock=lambda: next(clock))
    try:
        opened.create(CollectionSpec.dense(DOCS, 2, Distance.DOT))
        for number in range(writes // 2):
            opened.write(DOCS, largest, idempotency=named(number))
    finally:
        opened.close()
    # What was stored before a restart counts too.
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0, clock=lambda: next(clock))
    try:
        for number in range(writes // 2, writes):
            opened.write(DOCS, largest, idempotency=named(number))
        (file,) = (tmp_path / "data").glob("collections/*/points.sqlite")
        opened.maintain(MaintenanceTask.CHECKPOINT)
        assert file.stat().st_size < 1.5 * most
        # The newest still answer; the oldest are as if they had never been, also under another body.
        assert opened.write(DOCS, largest, idempotency=named(writes - 1)).replayed
        with pytest.raises(IdempotencyConflict):
            opened.write(DOCS, largest, idempotency=named(writes - 1, "other"))
        assert not opened.write(DOCS, largest, idempotency=named(0, "other")).replayed
    finally:
        opened.close()
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0)
    try:
        assert opened.maintain(MaintenanceTask.VERIFY).healthy
    finally:
        opened.close()


def test_idempotency_records_are_bounded_in_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS B7, the second round."""
    limited: Callable[..., ReplyLimits] = functools.partial(ReplyLimits, max_replies=100)
    monkeypatch.setattr(content, "ReplyLimits", limited)
    clock = iter(range(1_700_000_000_000_000, 1_800_000_000_000_000))
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0, clock=lambda: next(clock))
    try:
        opened.create(CollectionSpec.dense(DOCS, 2, Distance.DOT))
        for number in range(150):
            opened.write(DOCS, [Delete(id="gone")], idempotency=named(number))
        (file,) = (tmp_path / "data").glob("collections/*/points.sqlite")
        with closing(sqlite3.connect(file)) as connection:
            kept = {row[0] for row in connection.execute("SELECT key FROM replies")}
        assert 95 <= len(kept) <= 100
        assert {f"k{number}" for number in range(60, 150)} <= kept
    finally:
        opened.close()


def test_records_that_were_counted_for_a_write_that_failed_are_counted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FINDINGS B7, the second round."""
    limited: Callable[..., ReplyLimits] = functools.partial(ReplyLimits, max_replies=10)
    monkeypatch.setattr(content, "ReplyLimits", limited)
    clock = iter(range(1_700_000_000_000_000, 1_800_000_000_000_000))
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0, clock=lambda: next(clock))
    try:
        opened.create(CollectionSpec.dense(DOCS, 2, Distance.DOT))
        for number in range(10):
            opened.write(DOCS, [Delete(id="gone")], idempotency=named(number))

        def full(store: Store, batch: Batch) -> None:
            raise apsw.FullError("disk full")

        with monkeypatch.context() as broken:
            broken.setattr(Store, "apply", full)
            with pytest.raises(OutOfSpace):
                opened.write(DOCS, [Delete(id="gone")], idempotency=named(10))
        # Its room was not taken: the oldest record is there yet, and goes for the next.
        assert opened.write(DOCS, [Delete(id="gone")], idempotency=named(0)).replayed
        assert not opened.write(DOCS, [Delete(id="gone")], idempotency=named(10)).replayed
        assert opened.write(DOCS, [Delete(id="gone")], idempotency=named(1)).replayed
        assert not opened.write(DOCS, [Delete(id="gone")], idempotency=named(0)).replayed
    finally:
        opened.close()


def test_collections_have_a_quota(tmp_path: Path) -> None:
    opened = EmbeddedEngine.open(tmp_path / "data", ballast_bytes=0, quota=Quota(database=3, tenant=2))
    try:
        for tenant, name in (("a", "one"), ("a", "tokens"), ("a", "two"), ("b", "one")):
            opened.create(CollectionSpec.dense(CollectionRef(tenant, name), 2, Distance.DOT))
        with pytest.raises(QuotaExceeded, match="max_tenant_collections is 2"):
            opened.create(CollectionSpec.dense(CollectionRef("a", "three"), 2, Distance.DOT))
        with pytest.raises(QuotaExceeded, match="max_collections is 3"):
            opened.create(CollectionSpec.dense(CollectionRef("b", "two"), 2, Distance.DOT))
        opened.drop(CollectionRef("a", "one"))
        opened.create(CollectionSpec.dense(CollectionRef("b", "two"), 2, Distance.DOT))
    finally:
        opened.close()


def test_a_log_that_is_lost_while_a_collection_is_closed_is_noticed(engine: EmbeddedEngine) -> None:
    """Idle collections are closed; whoever takes their log away meanwhile takes commits that are in memory still."""
    collection = engine._catalog.find(DOCS)
    assert collection._content is not None
    assert collection._content.store.park()
    engine_log = collection.directory / "points.sqlite-wal"
    assert engine_log.stat().st_size > 0
    engine_log.unlink()
    (collection.directory / "points.sqlite-shm").unlink()
    with pytest.raises(CollectionQuarantined) as caught:
        engine.get(DOCS, ["1"])
    assert "was there when its file was closed" in str(caught.value.problem)
    assert engine.describe(DOCS).problem == caught.value.problem
