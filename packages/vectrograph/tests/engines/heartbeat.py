"""Time that threads of a process wait for the interpreter, not for a core.

A beat sleeps a millisecond and looks how much longer it took. From that goes what the kernel says the threads of the
process waited for a core meanwhile: that others use the machine is not the engine's doing, and a thread that holds the
interpreter's lock and is not let onto a core holds up all others. Objects from before the first beat are kept from the
garbage collector: a test runner has a hundred thousand, and going through them stops all threads for 30 to 45 ms.
"""

import gc
import sys
import threading
import time
from pathlib import Path
from typing import Final

TASKS: Final = Path("/proc/self/task")
_BEAT_SECONDS: Final = 0.001


def told_by_the_kernel() -> bool:
    """Return whether it says how long threads wait for a core: https://docs.kernel.org/scheduler/sched-stats.html."""
    return (TASKS / str(threading.get_native_id()) / "schedstat").exists()


class Heartbeat:
    """Beats on a thread of its own until `stop`."""

    def __init__(self) -> None:
        self.late: list[float] = []
        gc.collect()
        gc.freeze()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat")
        self._thread.start()

    def stop(self) -> float:
        """End; returns the longest delay in seconds."""
        self._stop.set()
        self._thread.join()
        gc.unfreeze()
        return max(self.late)

    def _beat(self) -> None:
        waited = _waited_for_cores()
        while not self._stop.is_set():
            began = time.monotonic()
            time.sleep(_BEAT_SECONDS)
            took, before, waited = time.monotonic() - began, waited, _waited_for_cores()
            starved = sum(seconds - before.get(task, 0.0) for task, seconds in waited.items())
            self.late.append(max(0.0, took - _BEAT_SECONDS - starved))


def _waited_for_cores() -> dict[str, float]:
    """Return seconds that each thread of this process was ready and had no core."""
    waited: dict[str, float] = {}
    for task in TASKS.iterdir():
        try:
            waited[task.name] = int((task / "schedstat").read_bytes().split()[1]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended meanwhile.
    return waited


if __name__ == "__main__":
    alone = Heartbeat()
    time.sleep(float(sys.argv[1]))
    print(alone.stop())
