"""One point is updated in a loop while threads and another process search for it: it is in every answer, once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Semaphore, Thread

import numpy as np
import pytest

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.kernel.arrays import IndexArrays, Shape
from vectrograph.engines.embedded.kernel.search import Flag, Searcher, Searchers, Stopped, link, publish_linked

DIMENSION = 16
SHAPE = Shape(Distance.EUCLIDEAN, Quantisation.INT8, DIMENSION)
ROWS, UPDATES = 1200, 1500

_SEARCHING_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.engines.embedded.kernel.arrays import IndexArrays, Shape
from vectrograph.engines.embedded.kernel.search import Searchers

folder = Path(sys.argv[1])
arrays = IndexArrays.open(Shape(Distance.EUCLIDEAN, Quantisation.INT8, 16), folder, writable=False)
vectors = np.memmap(folder / "vectors", np.float32, "r").reshape(-1, 16)
arrays.bind(vectors)
searchers, target = Searchers(16), np.array(vectors[0])
states, searches, told = set(), 0, -1
while True:
    state = arrays.mapped.state()
    if state.rows > arrays.mapped.capacity:
        arrays.refresh()
    found = searchers.search(arrays, state, target, 3, beam=40, refine=10)
    equal = found.rows[found.scores == 0]
    assert len(equal) == 1, (state, found)
    states.add(state.seq)
    searches += 1
    if state.seq // 100 > told:
        told = state.seq // 100
        print(told, flush=True)
    if state.seq == int(sys.argv[2]):
        break
"""


def _data() -> Vector:
    """Return rows, and behind them versions of the first."""
    vectors = np.random.default_rng(1).standard_normal((ROWS + UPDATES, DIMENSION)).astype(np.float32)
    vectors[ROWS:] = vectors[0]
    return vectors


class _Writer:
    """Updates one point, and links in the background.

    Args:
        arrays: of the index.
        vectors: as `_data` returns them.
    """

    def __init__(self, arrays: IndexArrays, vectors: Vector) -> None:
        self.arrays, self.vectors = arrays, vectors
        arrays.append(0, vectors[:ROWS])
        arrays.bind(vectors)
        arrays.publish(1, ROWS)
        self.flag, self.linked, self.linked_more = Flag(), 0, Event()
        self.link(300)

    def link(self, end: int) -> None:
        mapped = self.arrays.mapped
        try:
            link(Searcher(DIMENSION), self.arrays, self.linked, end, breadth=40, flag=self.flag)
        except Stopped:
            return
        publish_linked(mapped, end)
        if end > self.linked > 0:
            self.linked_more.set()
        self.linked = end

    def link_on(self) -> None:
        while not self.flag.raised:
            self.link(min(self.linked + 50, self.arrays.mapped.state().rows))

    def update(self, seen: Callable[[int], None]) -> None:
        """Update; `seen` waits after every hundred until somebody has searched since."""
        now = np.zeros(1, np.int64)
        for row in range(ROWS, ROWS + UPDATES):
            self.arrays.append(row, self.vectors[row : row + 1])
            self.arrays.mark_dead(now, seq=row)
            self.arrays.publish(row, row + 1)
            now[0] = row
            if row % 100 == 99:
                seen(row)


@pytest.mark.slow
def test_an_update_hides_a_point_from_no_thread() -> None:
    writer = _Writer(IndexArrays.create(SHAPE), _data())
    wrong: list[object] = []
    searched = Semaphore(0)

    def search() -> None:
        searchers = Searchers(DIMENSION)
        while not writer.flag.raised:
            state = writer.arrays.mapped.state()
            found = searchers.search(writer.arrays, state, writer.vectors[0], 3, beam=40, refine=10)
            searched.release()
            if (found.scores == 0).sum() != 1:
                wrong.append((state, found))

    threads = [Thread(target=search), Thread(target=writer.link_on)]
    for thread in threads:
        thread.start()

    def seen(_: int) -> None:
        while searched.acquire(blocking=False):
            pass
        assert searched.acquire(timeout=60)
        assert writer.linked_more.wait(60)

    try:
        writer.update(seen)
    finally:
        writer.flag.raise_()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.slow
def test_an_update_hides_a_point_from_no_process(tmp_path: Path) -> None:
    vectors = _data()
    vectors.tofile(tmp_path / "vectors")
    writer = _Writer(IndexArrays.create(SHAPE, tmp_path), vectors)
    last = ROWS + UPDATES - 1
    with subprocess.Popen(
        [sys.executable, "-c", _SEARCHING_PROCESS, str(tmp_path), str(last)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = process.stdout

        def seen(row: int) -> None:
            while (line := told.readline()) and int(line) < row // 100:
                pass

        linking = Thread(target=writer.link_on)
        linking.start()
        try:
            writer.update(seen)
            errors = process.stderr.read()
        finally:
            writer.flag.raise_()
            linking.join()
    assert process.returncode == 0, errors
