"""Readers of a bounded log at random positions: each gets every change, or is told that some have gone."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import PositionExpired
from vectrograph.domain.log_retention import LogRetention
from vectrograph.domain.points import NOW, Change, Delete, Op, Put
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.broken import ForgetsSilently
from vectrograph.engines.contract.retention import held_from
from vectrograph.engines.contract.subject import TENANT, make, vector
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.upkeep.background import Rhythm
from vectrograph.engines.reference import ReferenceEngine

DOCS = CollectionRef(TENANT, "docs")
ALL = 10**6


@dataclass
class Readers:
    """A log as it should be, and readers of it; `seen` is the seq up to which a reader has read."""

    retention: LogRetention
    now: int = 1_000
    log: list[Change] = field(default_factory=list)
    readers: list[tuple[str, int]] = field(default_factory=list)
    told: int = 0

    def write(self, engine: Engine, names: list[str], *, deleted: bool) -> None:
        """Change some points, and note what the log has to say."""
        start = engine.changes(DOCS, NOW).position
        put: list[Op] = [Put(id=name, vector=vector(1, 2)) for name in names]
        engine.write(DOCS, [*put, *(Delete(id=name) for name in names if deleted)])
        last = engine.describe(DOCS).seq
        known = {change.seq: change for change in self.log}
        try:
            known |= {change.seq: change for change in engine.changes(DOCS, start, limit=ALL).changes}
        except PositionExpired:
            known |= {change.seq: change for change in engine.changes(DOCS, limit=ALL).changes}
        # A write may be larger than the log: of what no reader can ever see, the times are known all the same.
        self.log = [known.get(seq) or Change(seq, known[last].kind, names[0], self.now) for seq in range(1, last + 1)]

    def first_kept(self) -> int:
        """Return the oldest change that has to be there."""
        last = len(self.log)
        first, expired = self.retention.first_kept(last), self.retention.last_expired(self.now)
        young = next((change.seq for change in self.log if change.seq >= first and change.at > expired), last)
        return min(young, last)

    def read(self, engine: Engine, reader: int, limit: int) -> None:
        """Let one reader go on."""
        position, seen = self.readers[reader]
        page = None
        while page is None:
            try:
                page = engine.changes(DOCS, position, limit=limit)
            except PositionExpired as expired:
                # The oldest position may expire as well, before it is used.
                position, self.told = expired.details["oldest"], self.told + 1
        if position != self.readers[reader][0]:
            assert page.changes, "the newest change is always there"
            first = page.changes[0].seq
            # Something is missing indeed, and nothing that the retention keeps.
            assert seen + 1 < first <= self.first_kept()
            seen = first - 1
        assert list(page.changes) == self.log[seen : seen + limit]
        self.readers[reader] = (page.position, seen + len(page.changes))

    def begin(self, engine: Engine, where: str) -> None:
        """Add a reader, at the end or where the log begins."""
        if where == "now":
            self.readers.append((engine.changes(DOCS, NOW).position, len(self.log)))
            return
        page = engine.changes(DOCS, limit=1)
        if page.changes:
            assert page.changes[0].seq <= self.first_kept()
            self.readers.append((page.position, page.changes[0].seq))


names = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8)
steps = st.one_of(
    st.tuples(st.just("write"), names, st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, 60)),
    st.tuples(st.just("read"), st.integers(0, 7), st.integers(1, 9)),
    st.tuples(st.just("begin"), st.sampled_from(["now", "oldest"])),
    st.tuples(st.just("settle")),
    st.tuples(st.just("reopen")),
)
retentions = st.builds(LogRetention, st.sampled_from([0, 1, 2, 5, 20]), st.sampled_from([0, 1, 50, 200]))

Opens = Callable[[Path, LogRetention, Callable[[], int]], Engine]


def reference(directory: Path, retention: LogRetention, clock: Callable[[], int]) -> Engine:
    """Return an engine in memory, which cannot be reopened."""
    return ReferenceEngine(clock, retention)


def embedded(directory: Path, retention: LogRetention, clock: Callable[[], int]) -> Engine:
    """Return an engine that shortens its log at once."""
    rhythm = Rhythm(trim_seconds=0.0, ageing_seconds=0.001, idle_seconds=0.0)
    return EmbeddedEngine.open(directory, retention=retention, clock=clock, rhythm=rhythm, ballast_bytes=0)


@pytest.mark.slow
@pytest.mark.parametrize("opens", [reference, embedded])
@given(retention=retentions, story=st.lists(steps, min_size=10, max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_reader_misses_a_change_unknowingly(
    opens: Opens, retention: LogRetention, story: list[tuple[object, ...]]
) -> None:
    readers = Readers(retention)
    with tempfile.TemporaryDirectory(dir=memory()) as directory:
        engine = opens(Path(directory) / "data", retention, lambda: readers.now)
        try:
            make(engine, "docs")
            readers.begin(engine, "now")
            for step in story:
                match step:
                    case ("write", list() as written, bool() as deleted):
                        readers.write(engine, written, deleted=deleted)
                    case ("wait", int() as microseconds):
                        readers.now += microseconds
                    case ("read", int() as reader, int() as limit):
                        readers.read(engine, reader % len(readers.readers), limit)
                    case ("begin", str() as where):
                        readers.begin(engine, where)
                    case ("reopen",) if opens is embedded:
                        engine.close()
                        engine = opens(Path(directory) / "data", retention, lambda: readers.now)
                    case _:
                        held_from(engine, DOCS, readers.first_kept())
            for reader in range(len(readers.readers)):
                readers.read(engine, reader, ALL)
        finally:
            engine.close()


def memory() -> str | None:
    """Return a directory in memory where there is one: fsync costs nothing there."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def test_the_readers_find_gaps() -> None:
    """Or the property would show nothing: readers that fell behind are told, and a silent gap is noticed."""
    retention = LogRetention(max_changes=2)
    engine = ReferenceEngine(lambda: 1_000, retention)
    readers = Readers(retention)
    make(engine, "docs")
    readers.begin(engine, "now")
    for name in "abcd":
        readers.write(engine, [name], deleted=False)
    silent = Readers(retention, log=readers.log, readers=list(readers.readers))
    readers.read(engine, 0, 9)
    assert readers.told == 1
    with pytest.raises(AssertionError):
        silent.read(ForgetsSilently(engine), 0, 9)
