"""CPU affinity: threads that mostly run Python share one core, native work that takes long may use all cores.

One thread of a process runs Python at a time. Where the scheduler spreads its threads over the cores, the interpreter
moves with every switch: what it last touched lies in the cache of another core, and that core has to be woken first.
With 31,000 x 256 vectors on two cores a search over gRPC took 770 µs of the server's time on one core and 1,150 µs
without affinity, and eight callers got 1,400 answers a second instead of 1,000.

Linux only, and only with two cores or more; elsewhere nothing happens.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from vectrograph.domain.threads import ThreadPlacement

_log: Final = logging.getLogger(__name__)

_CPUS: Final = Path("/sys/devices/system/cpu")
_STAT: Final = Path("/proc/stat")
_TASKS: Final = Path("/proc/self/task")
# Seconds between two looks at the load of the cores.
_LOOK_SECONDS: Final = 2.0
# Share of the core's time that other processes may take before another core is looked for.
_MAX_FOREIGN_SHARE: Final = 0.3
# Share of a core's time that must be idle for the threads to move there.
_MIN_IDLE_SHARE: Final = 0.6
# Native work is long from `_LONG_SECONDS / number of cores` on, and never below `_MIN_LONG_SECONDS`. Measured on two
# cores with eight callers: walks of 0.5 ms were answered a tenth faster when pinned. With more cores, leaving pays off
# sooner.
_LONG_SECONDS: Final = 2e-3
# Lower bound of it. Chosen: moving a thread between cores pays off for no shorter work, however many cores there are.
_MIN_LONG_SECONDS: Final = 3.5e-4
_CAN_CHOOSE: Final = sys.platform == "linux"


class CpuAffinity(ThreadPlacement):
    """Affinity of the threads of one server to one core.

    The core changes when other processes take much of it while another one is idle. Two servers on one machine begin on
    different cores as a rule.
    """

    def __init__(self) -> None:
        self._allowed = frozenset(os.sched_getaffinity(0)) if _CAN_CHOOSE else frozenset[int]()
        self._core = _first_choice(self._allowed, os.getpid())
        self.long = max(_MIN_LONG_SECONDS, _LONG_SECONDS / max(1, len(self._allowed)))
        """Seconds of native work from which on it is worth leaving the core."""
        self._thread = _Thread()
        self._stop = threading.Event()
        self._watch: threading.Thread | None = None

    @property
    def core(self) -> int | None:
        """The number of the core; None where there is no choice."""
        return self._core

    def pin(self) -> None:
        """Run the calling thread, and those it starts from now on, on the core."""
        if self._core is not None:
            self._thread.pinned, self._thread.away = True, False
            _run_on(self._own_core)

    def unpin(self) -> None:
        """Let the calling thread run on every core of the process, whichever thread started it."""
        if _CAN_CHOOSE:
            # The main thread of a process is never pinned.
            with suppress(ProcessLookupError):
                _run_on(os.sched_getaffinity(os.getpid()))

    def run_pinned(self, function: Callable[[], object]) -> None:
        """Call a function on a pinned thread of its own: threads that it or a library starts run on the core too.

        What it raises is raised here.
        """

        def act() -> None:
            self.pin()
            function()

        with ThreadPoolExecutor(1, thread_name_prefix="vectrograph-pinned") as thread:
            thread.submit(act).result()

    def before_native_work(self, seconds: float) -> None:
        """Move the calling thread, if it is pinned, to where its next work belongs.

        Long work may run on any core, other work runs on the own one. A thread stays where it was put, because moving
        takes 0.1 to 0.2 ms: threads that answer long searches only are never moved.

        Args:
            seconds: estimated duration of the work outside of Python.
        """
        thread = self._thread
        if not thread.pinned:
            return
        long = seconds > self.long
        if thread.away is not long:
            thread.away = long
            _run_on(self._allowed if long else self._own_core)

    @property
    def _own_core(self) -> frozenset[int]:
        return self._allowed if self._core is None else frozenset({self._core})

    def watch(self) -> None:
        """Move when others crowd this core, until `close`."""
        if self._core is not None:
            self._watch = threading.Thread(target=self._look, name="vectrograph-affinity", daemon=True)
            self._watch.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._watch is not None:
            self._watch.join()

    def _look(self) -> None:
        before: _Load | None = None
        complained = False
        while True:
            try:
                before = self._look_around(before)
                complained = False
            except (OSError, ValueError, IndexError) as error:
                # Some sandboxes hide what cores do, and for a while there may be no descriptor to read it with.
                before = None
                if not complained:
                    complained = True
                    _log.warning(
                        "the server stays on core %s until it can be read how busy the cores are (%s)",
                        self._core,
                        error,
                    )
            if self._stop.wait(_LOOK_SECONDS):
                return

    def _look_around(self, before: "_Load | None") -> "_Load":
        """Move if another core is better than this one has been since `before`. Return the load now."""
        after = _Load.now(self._core)
        better = None if before is None else after.better_core(before, self._allowed)
        if better is None:
            return after
        _log.info("core %s is busy with other processes; moving to core %s", self._core, better)
        self._move(better)
        return _Load.now(self._core)

    def _move(self, core: int) -> None:
        old, self._core = self._core, core
        for task in _pinned_tasks(old):
            # It may have ended meanwhile.
            with suppress(ProcessLookupError):
                os.sched_setaffinity(task, {core})


class _Thread(threading.local):
    """State of the calling thread: whether it is pinned, and whether it left for long native work."""

    pinned: bool = False
    away: bool = False


class _Load:
    """Load of the cores so far, and the time of pinned threads, in seconds."""

    def __init__(self, core: int | None, at: float, idle: Mapping[int, float], own: float) -> None:
        self._core, self._at, self._idle, self._own = core, at, idle, own

    @classmethod
    def now(cls, core: int | None) -> "_Load":
        """As it stands."""
        return cls(core, time.monotonic(), _idle_seconds(), sum(_ran(task) for task in _pinned_tasks(core)))

    def better_core(self, before: "_Load", allowed: Collection[int]) -> int | None:
        """Return a core to move to, given the load before; None when this one is good enough or no other is better."""
        passed = self._at - before._at
        free = {core: (self._idle[core] - before._idle.get(core, 0.0)) / passed for core in self._idle}
        if self._core is None or self._core not in free:
            return None
        foreign = 1.0 - free[self._core] - (self._own - before._own) / passed
        best = max((core for core in free if core in allowed), key=free.__getitem__, default=None)
        if best is None or foreign < _MAX_FOREIGN_SHARE or free[best] < _MIN_IDLE_SHARE:
            return None
        return best


def _first_choice(allowed: Collection[int], process: int) -> int | None:
    """Return one of the fastest cores, not the first if there is another: that one answers most interrupts."""
    if len(allowed) < 2:
        return None
    speeds = {core: _speed(core) for core in allowed}
    fastest = sorted(core for core, speed in speeds.items() if speed == max(speeds.values()))
    choice = fastest[1:] or fastest
    return choice[process % len(choice)]


def _speed(core: int) -> int:
    """Return the highest frequency of a core in kHz; 0 where the kernel does not tell."""
    try:
        return int((_CPUS / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq").read_bytes())
    except (OSError, ValueError):
        return 0


def _run_on(cores: Collection[int]) -> None:
    """Let the calling thread run on these cores."""
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        # Cores can be taken away from a process while it runs; where it may run then is for the kernel to say.
        _log.debug("the affinity of a thread could not be set: %s", error)


def _pinned_tasks(core: int | None) -> list[int]:
    """Return threads of this process that run on this core only, also those of libraries."""
    found = []
    for task in _TASKS.iterdir() if core is not None else ():
        try:
            if os.sched_getaffinity(int(task.name)) == {core}:
                found.append(int(task.name))
        except ProcessLookupError:
            continue  # It has ended meanwhile.
    return found


def _ran(task: int) -> float:
    """Return seconds that a thread has run: https://docs.kernel.org/scheduler/sched-stats.html."""
    try:
        return int((_TASKS / str(task) / "schedstat").read_bytes().split()[0]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _idle_seconds() -> dict[int, float]:
    """Return seconds that each core has had nothing to do: https://docs.kernel.org/filesystems/proc.html#miscellaneous."""
    ticks = os.sysconf("SC_CLK_TCK")
    idle = {}
    for line in _STAT.read_text(encoding="ascii").splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu":
            # Idle, and idle while a disk is waited for.
            idle[int(name[3:])] = (int(numbers[3]) + int(numbers[4])) / ticks
    return idle
