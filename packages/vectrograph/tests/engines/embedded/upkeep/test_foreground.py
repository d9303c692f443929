"""Cores, time and memory that background work leaves to the foreground."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from engines import heartbeat
from engines.indexed_rows import DIMENSION, DOCS, fill, flush, rows, view
from engines.waiting import wait_until

from vectrograph.domain.collections import CollectionSpec, Distance
from vectrograph.domain.points import Delete
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.upkeep.background import Rhythm
from vectrograph.engines.embedded.upkeep.foreground import Foreground, available_cores

pytestmark = pytest.mark.slow


def test_the_background_leaves_the_cores_to_those_who_ask() -> None:
    foreground = Foreground()
    assert foreground.threads() == available_cores()
    foreground.touch()
    assert foreground.threads() == 1
    wait_until(lambda: foreground.threads() == available_cores())


@pytest.mark.skipif(not heartbeat.told_by_the_kernel(), reason="the kernel does not say who waits for a core")
@pytest.mark.usefixtures("vectors_in_files")
def test_no_thread_is_held_up_by_the_index(scratch: Path) -> None:
    """Beside building, extending, leaving out the dead and saving, no thread waits 50 ms for the interpreter."""
    # Loading faiss holds the interpreter for 80 to 250 ms, once in a process; whether an earlier test did it must not
    # decide.
    importlib.import_module("faiss")
    stages: list[str] = []
    rhythm = Rhythm(first_rows=(5_000, 5_000), swap_rows=1_000, idle_seconds=0.2)
    engine = EmbeddedEngine.open(scratch / "data", rhythm=rhythm, reached=stages.append)
    engine.create(CollectionSpec.dense(DOCS, DIMENSION, Distance.COSINE))
    vectors = rows(12_000)
    fill(engine, vectors[:4_900])
    with subprocess.Popen([sys.executable, heartbeat.__file__, "4"], stdout=subprocess.PIPE, text=True) as other:
        beating = heartbeat.Heartbeat()
        try:
            fill(engine, vectors[4_900:], first=4_900)
            flush(engine)
            for first in range(0, 4_000, 500):  # one write of all would hold the interpreter itself, for 55 ms
                engine.write(DOCS, [Delete(id=f"{n}") for n in range(first, first + 500)])
            # Left out are those that were dead when it began: a quarter of all or more, not always the last ones.
            wait_until(lambda: "adopt" in stages and stages[-1] == "save" and len(view(engine).labels) < 10_700)
        finally:
            worst = beating.stop()
            engine.close()
        # Where a quota takes all cores away, it takes them from that process too.
        apart = float(other.communicate()[0])
    assert {"build", "extend", "publish", "compact", "adopt", "save"} <= set(stages)
    assert len(beating.late) > 500
    assert worst < 0.05 + apart


def test_faiss_is_imported_with_the_first_graph_and_not_before() -> None:
    code = (
        "import sys, vectrograph.app, vectrograph.engines.embedded.query.planner;"
        "assert not [name for name in sys.modules if 'faiss' in name], 'imported at start'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


_GIVE_BACK = """
import numpy as np
from vectrograph.engines.embedded.index.allocator import give_back

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
