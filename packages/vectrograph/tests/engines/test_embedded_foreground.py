"""What background work leaves to those in the foreground: cores, time, and memory."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from engines.waiting import wait_until

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.points import Put
from vectrograph.engines.contract.subject import TENANT
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.background import Rhythm
from vectrograph.engines.embedded.foreground import Foreground, available_cores

DOCS = CollectionRef(TENANT, "docs")


def test_the_background_leaves_the_cores_to_those_who_ask() -> None:
    foreground = Foreground()
    assert foreground.threads() == available_cores()
    foreground.touch()
    assert foreground.threads() == 1
    wait_until(lambda: foreground.threads() == available_cores())


_HEARTBEAT = """
import sys, time
worst, end = 0.0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    before = time.monotonic()
    time.sleep(0.001)
    worst = max(worst, time.monotonic() - before)
print(worst)
"""


@pytest.mark.slow
def test_no_thread_is_held_up_by_the_index(scratch: Path) -> None:
    """Beside building and extending, a Python thread sleeps hardly longer than one of another process does."""
    engine = EmbeddedEngine.open(
        scratch / "data", rhythm=Rhythm(first_rows=(6_000, 6_000), swap_rows=1_000_000, idle_seconds=1000.0)
    )
    engine.create(CollectionSpec.dense(DOCS, 128, Distance.COSINE))
    generator = np.random.default_rng(4)
    for start in range(0, 6_000, 1000):
        rows = generator.standard_normal((1000, 128)).astype(np.float32)
        engine.write(DOCS, [Put(id=f"{start + n}", vector=row) for n, row in enumerate(rows)])
    seconds = 2.0
    with subprocess.Popen([sys.executable, "-c", _HEARTBEAT, str(seconds)], stdout=subprocess.PIPE, text=True) as other:
        flushing = threading.Thread(target=engine.maintain, args=(MaintenanceTask.FLUSH, DOCS))
        flushing.start()
        worst, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            before = time.monotonic()
            time.sleep(0.001)
            worst = max(worst, time.monotonic() - before)
        flushing.join()
        apart = float(other.communicate()[0])
    assert engine.describe(DOCS).indexed == 6_000
    engine.close()
    if apart > 0.05:
        pytest.skip(
            f"the machine is overloaded: a process apart was held up for {apart:.3f} s, this one for {worst:.3f}"
        )
    assert worst < 0.05 + apart


def test_faiss_is_imported_with_the_first_graph_and_not_before() -> None:
    code = (
        "import sys, vectrograph.app, vectrograph.engines.embedded.planner;"
        "assert not [name for name in sys.modules if 'faiss' in name], 'imported at start'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


_GIVE_BACK = """
import numpy as np
from vectrograph.engines.embedded.allocator import give_back

def anonymous():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

del (a := [np.ones(30 << 20, np.uint8)])[:]
blocks = [np.ones(1 << 20, np.uint8) for _ in range(41)]
del blocks[:40]
before = anonymous()
give_back()
print(before - anonymous())
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not say")
def test_what_copies_of_graphs_took_goes_back_to_the_system() -> None:
    answer = subprocess.run([sys.executable, "-c", _GIVE_BACK], check=True, capture_output=True, text=True, timeout=60)
    assert int(answer.stdout) > 30 << 10
