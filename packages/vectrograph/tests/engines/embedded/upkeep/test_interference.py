"""Interference between the engine and other Python threads of the process."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from engines import heartbeat
from torture.haste import hastened

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.points import Put
from vectrograph.engines.contract.subject import make
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.upkeep.background import Rhythm

pytestmark = pytest.mark.slow

HANDOVERS = 25
"""Most statements and rows of SQLite in a write of 256 rows or a read of 2,000. At each the bindings release the GIL,
and a busy thread keeps it for 5 ms."""
HELD_UP = 0.05
"""Seconds that no thread may be held up by the engine's work."""


@pytest.fixture
def handovers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note each statement and each row of the connections that are opened from now on.

    The statements of triggers are left out: SQLite runs them within the one that fires them.
    """
    noted: list[int] = []
    kinds = apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_ROW

    def note(event: dict[str, Any]) -> None:
        if not event.get("trigger"):
            noted.append(event["code"])

    hook = lambda connection: connection.trace_v2(kinds, note, id="handovers")  # noqa: E731
    monkeypatch.setattr(apsw, "connection_hooks", [*apsw.connection_hooks, hook])
    return noted


def test_a_busy_thread_may_come_between_few_steps_of_sqlite(scratch: Path, handovers: list[int]) -> None:
    """With a statement per row, a write would wait 256 times for 5 ms beside a busy thread."""
    engine = EmbeddedEngine.open(scratch / "data")
    ref = make(engine, "docs", dimension=64)
    rows = np.random.default_rng(0).standard_normal((2_000, 64)).astype(np.float32)
    engine.write(ref, [Put(id=f"{n}", vector=row, payload={"n": n}) for n, row in enumerate(rows)])
    points = [Put(id=f"{n}", vector=row, payload={"n": n}) for n, row in enumerate(rows[:256])]
    names = [f"{n}" for n in range(2_000)]
    acts: dict[str, Callable[[], object]] = {
        "write of 256 rows": lambda: engine.write(ref, points),
        "read of 2,000 rows": lambda: engine.get(ref, names),
    }
    # A connection that is opened looks at the schema first, once.
    engine.get(ref, names[:1])
    for name, act in acts.items():
        handovers.clear()
        act()
        print(f"{name}: {len(handovers)} statements and rows")
        assert 0 < len(handovers) <= HANDOVERS, name
    engine.close()


@pytest.mark.skipif(not heartbeat.told_by_the_kernel(), reason="the kernel does not say who waits for a core")
def test_no_thread_is_held_up_by_writing_checkpointing_and_indexing(scratch: Path) -> None:
    """While rows are written, the log folded in, and the index built, extended and saved."""
    rhythm = Rhythm(first_floats=0, first_rows=(1_000, 1_000), swap_rows=500, idle_seconds=0.05)
    stages: list[str] = []
    seconds = 3.0
    with hastened():
        engine = EmbeddedEngine.open(scratch / "data", rhythm=rhythm, reached=stages.append)
        ref = make(engine, "docs", dimension=64)
        rows = np.random.default_rng(0).standard_normal((4_000, 64)).astype(np.float32)
        with subprocess.Popen(
            [sys.executable, heartbeat.__file__, str(seconds)], stdout=subprocess.PIPE, text=True
        ) as other:
            beating = heartbeat.Heartbeat()
            try:
                start, end = 0, time.monotonic() + seconds
                while time.monotonic() < end:
                    part = [Put(id=f"{n % 50_000}", vector=rows[n % 4_000]) for n in range(start, start + 128)]
                    engine.write(ref, part)
                    start += 128
                    if start % 2_560 == 0:
                        engine.maintain(MaintenanceTask.CHECKPOINT, ref)
            finally:
                worst = beating.stop()
                engine.close()
            apart = float(other.communicate()[0])
    print(f"held up for {worst * 1e3:.1f} ms at most; a process apart for {apart * 1e3:.1f} ms")
    assert {"build", "save"} <= set(stages)
    assert worst < HELD_UP + apart
