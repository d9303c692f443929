"""Arrays full of anything give wrong answers, and never a crash. In another process, which would be what crashes."""

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
import numpy as np
from engines.kernel_rows import built
from vectrograph.engines.embedded.disk.failures import DamagedIndex
from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.engines.embedded.kernel.arrays import State
from vectrograph.engines.embedded.kernel.search import Bits, Searcher, Stale, Way, link

name = sys.argv[1]
for distance in Distance:
    for kind in Quantisation:
        random = np.random.default_rng(3)
        vectors = random.standard_normal((500, 33)).astype(np.float32)
        arrays, mapped = built(vectors, distance, kind, breadth=30, centre=vectors[0])
        searcher = Searcher(33)
        for round in range(12):
            for each in ([name] if name != "all" else list(mapped.arrays)):
                if each == "locks":
                    continue
                bytes_of = mapped.arrays[each].reshape(-1).view(np.uint8)
                where = random.integers(0, len(bytes_of), 1 + len(bytes_of) // (1 if round % 3 == 0 else 50))
                bytes_of[where] = random.integers(0, 256, len(where), np.uint8)
            if "header" in (name, *(["header"] if name == "all" else [])):
                mapped.arrays["header"][:, 128:136] = 0
            for way in Way:
                for allowed in (None, Bits(random.random(500) < 0.5)):
                    try:
                        found = searcher.search(
                            mapped, State(5, 500, 500), vectors[round], 10, beam=50, refine=20, way=way, allowed=allowed
                        )
                    except Stale:
                        continue
                    assert ((found.rows >= 0) & (found.rows < 500)).all()
            try:
                link(searcher, arrays, 10 * round, 10 * round + 10, breadth=20, alpha=1.3)
            except DamagedIndex:
                pass
print("survived")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["links", "upper", "upper_at", "same", "died", "records", "centre", "header", "all"])
def test_corrupted_arrays_never_crash(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM, name], capture_output=True, text=True, timeout=150, cwd=_TESTS
    )
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr


_TESTS = __file__.partition("/engines/")[0]
