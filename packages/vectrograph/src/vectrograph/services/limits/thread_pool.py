"""The threads that answer calls: the one that was busy last is the first to be asked again.

`ThreadPoolExecutor` hands work to the thread that has been idle longest. With sixteen of them every call met a stack,
an allocator and caches that fifteen others had displaced, which cost a twentieth of a search, and more of the time
that one holds the interpreter.
"""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

from vectrograph.services.limits.queueing import Queue

_log: Final = logging.getLogger(__name__)

# Seconds that threads get to end with the program. They are daemons: who takes longer is left behind.
_EXIT_SECONDS: Final = 5.0

Finished: TypeAlias = Callable[["Task"], object]


class Task:
    """Something to be done by a thread of a pool; knows whom to tell when it is done."""

    __slots__ = ("_act", "_arguments", "_done", "_told", "since")

    def __init__(self, act: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._act = act
        self._arguments = arguments
        self._told: list[Finished] = []
        self._done = False
        self.since = 0.0

    def run(self) -> None:
        """Do it. What it raises is logged: nobody waits for it."""
        try:
            self._act(*self._arguments)
        except BaseException:  # noqa: BLE001 - the thread must outlive whatever goes wrong; it is logged
            _log.exception("a task of a pool thread failed; the thread continues")
        self._done = True
        self._tell()

    def add_done_callback(self, fn: Finished) -> None:
        """Call a function once it is done, at once if it is."""
        self._told.append(fn)
        if self._done:
            self._tell()

    def _tell(self) -> None:
        while self._told:
            try:
                # Taken out in one step: two threads may be here, and each function is called once.
                fn = self._told.pop()
            except IndexError:
                return
            fn(self)


class _Seat:
    """The place where one thread waits for work."""

    __slots__ = ("called", "work")

    def __init__(self, work: Task) -> None:
        self.work: Task | None = work
        self.called = threading.Lock()


class Pool(ThreadPoolExecutor):
    """Threads that answer calls, and the calls that wait for one.

    An executor by name only: grpc takes the pool of a single method for one if it is of that class. It asks for no
    more than what is here.
    """

    def __init__(
        self,
        threads: int,
        *,
        max_waiting: int = 1_024,
        thread_name_prefix: str,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare up to so many threads; they are started as they are needed, and each calls `begin` first.

        It is full when `max_waiting` wait.
        """
        super().__init__(threads, thread_name_prefix=thread_name_prefix)
        self._most = threads
        self._name = thread_name_prefix
        self._lock = threading.Lock()
        self._idle: list[_Seat] = []
        self._queued: deque[Task] = deque()
        self._queue = Queue()
        self._max_waiting = max_waiting
        self._begin = begin
        self._mine = threading.local()
        self._started: list[threading.Thread] = []
        self._closed = False
        # Programs may end without stopping their server, and threads in the middle of native work should end before.
        atexit.register(self._shut_down_at_exit)

    def submit(self, fn: Callable[..., object], /, *args: Any) -> Task:  # type: ignore[override]
        """Call the function on a thread as soon as one is free.

        Raises:
            RuntimeError: the pool was shut down.
        """
        work = Task(fn, args)
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool was shut down")
            if self._idle:
                seat = self._idle.pop()
                seat.work = work
                seat.called.release()
            elif len(self._started) < self._most:
                self._start(_Seat(work))
            else:
                work.since = self._queue.join()
                self._queued.append(work)
        return work

    def _start(self, seat: _Seat) -> None:
        seat.called.acquire()
        name = f"{self._name}_{len(self._started)}"
        thread = threading.Thread(target=self._serve, args=(seat,), name=name, daemon=True)
        self._started.append(thread)
        thread.start()

    def _serve(self, seat: _Seat) -> None:
        self._begin()
        while (work := seat.work) is not None:
            work.run()
            # An idle thread keeps nothing of the last call alive.
            work = seat.work = None
            with self._lock:
                if self._queued:
                    seat.work = work = self._queued.popleft()
                    self._mine.in_time = self._queue.begin(work.since)
                    continue
                self._mine.in_time = True
                if self._closed:
                    return
                self._idle.append(seat)
            seat.called.acquire()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; the threads end with what there is.

        Args:
            wait: return when they have ended.
            cancel_futures: forget what no thread has begun.
        """
        atexit.unregister(self._shut_down_at_exit)
        with self._lock:
            self._closed = True
            if cancel_futures:
                self._queued.clear()
            while self._idle:
                self._idle.pop().called.release()
        if wait:
            for thread in self._started:
                thread.join()

    def _shut_down_at_exit(self) -> None:
        self.shutdown(wait=False)
        deadline = time.monotonic() + _EXIT_SECONDS
        for thread in self._started:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def waiting(self) -> int:
        """Calls that no thread has begun."""
        return self._queue.waiting

    @property
    def is_full(self) -> bool:
        """Tell whether one more call would wait too long."""
        return self._queue.waiting >= self._max_waiting or self._queue.is_too_long

    @property
    def began_in_time(self) -> bool:
        """Tell whether what this thread does now had not waited too long."""
        return bool(getattr(self._mine, "in_time", True))
