"""Codes and links of a published graph lie in large pages, as the kernel tells it.

Each program runs in a process of its own, in which numpy asks for no large pages: memory that it has given back is
used again, and would have them without anyone's doing.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_CHOICE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not _CHOICE.exists() or "[madvise]" not in _CHOICE.read_text(),
        reason="the kernel gives large pages to all or none",
    ),
]

_LARGE = """
def large():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("AnonHugePages:"))
"""

_INDEX = """
import sys
import numpy as np
from vectrograph.engines.embedded.index.hnsw import Hnsw

width, links = int(sys.argv[1]), int(sys.argv[2])
index = Hnsw.empty(width, "int8", by_products=False, links=links, breadth=4)
points = np.random.default_rng(1).integers(-100, 100, (8_192, width)).astype(np.float32)
index.add(points, 2)
found, size, before = index.search(points[:5], 32, 10), index.nbytes, large()
index.settle()
print(large() - before)
again = index.search(points[:5], 32, 10)
assert [each.tolist() for each in found] == [each.tolist() for each in again]
assert index.nbytes == size
"""

_ENGINE = """
import sys
from pathlib import Path
from engines.indexed_rows import DOCS, flush
import numpy as np
from vectrograph.domain.collections import CollectionSpec, Distance
from vectrograph.domain.points import Put
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.upkeep.background import Rhythm

engine = EmbeddedEngine.open(Path(sys.argv[1]), rhythm=Rhythm(first_rows=(5_000, 5_000)))
if not engine.list(DOCS.tenant):
    engine.create(CollectionSpec.dense(DOCS, 1_536, Distance.COSINE))
    rows = np.random.default_rng(1).normal(size=(5_000, 1_536)).astype(np.float32)
    for start in range(0, 5_000, 500):
        engine.write(DOCS, [Put(id=str(start + n), vector=row) for n, row in enumerate(rows[start : start + 500])])
    flush(engine)
assert engine.describe(DOCS).indexed == 5_000
print(large())
engine.close()
"""


def _run(code: str, *arguments: str) -> int:
    environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", _LARGE + code, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.parametrize(("width", "links"), [(768, 2), (16, 96)], ids=["codes", "links"])
def test_settling_moves_codes_and_links_into_large_pages(width: int, links: int) -> None:
    # Six megabytes of the one and a few hundred kilobytes of the other: at least two pages, wherever the block begins.
    assert _run(_INDEX, str(width), str(links)) >= 4 << 20


def test_a_published_graph_and_one_that_was_loaded_lie_in_large_pages(scratch: Path) -> None:
    built, loaded = (_run(_ENGINE, str(scratch / "data")) for _ in range(2))
    assert built >= 4 << 20
    assert loaded >= 4 << 20
