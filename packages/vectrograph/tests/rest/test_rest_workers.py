"""Threads for handlers: the deadline ends the waiting and nothing else, exceptions arrive as they were raised."""

import asyncio
import threading
import time
from contextvars import ContextVar
from functools import partial

import pytest

from vectrograph.domain.errors import DeadlineExceeded, Unavailable
from vectrograph.rest.operation import Work
from vectrograph.rest.workers import Workers

name: ContextVar[str] = ContextVar("name", default="")


def test_results_exceptions_and_context_cross_over() -> None:
    async def ask() -> None:
        workers = Workers(1)
        name.set("mine")
        for deadline in (None, time.monotonic() + 10):
            assert await workers.run(Work.THREADED, deadline, name.get) == "mine"
            for error in (TimeoutError("a"), asyncio.CancelledError("b"), StopIteration("c"), KeyError("d")):
                if isinstance(error, Exception):
                    with pytest.raises((type(error), RuntimeError)) as caught:
                        await workers.run(Work.THREADED, deadline, partial(_raise, error))
                    assert error in (caught.value, caught.value.__cause__)

    asyncio.run(ask())


def _raise(error: Exception) -> None:
    raise error


def test_waiting_ends_at_the_deadline_and_what_was_begun_runs_to_its_end() -> None:
    async def ask() -> None:
        workers, gate, ran = Workers(1), threading.Event(), []

        def work() -> str:
            assert gate.wait(10)
            return "done"

        begun = asyncio.create_task(workers.run(Work.THREADED, time.monotonic() + 0.05, work))
        await asyncio.sleep(0.01)
        with pytest.raises(DeadlineExceeded):
            await workers.run(Work.THREADED, time.monotonic() + 0.05, lambda: ran.append(1))
        gate.set()
        assert await begun == "done"
        await workers.run(Work.THREADED, None, lambda: None)
        assert ran == []

    asyncio.run(ask())


def test_too_many_waiting_are_refused_and_hashing_holds_up_nobody() -> None:
    async def ask() -> None:
        workers, gate = Workers(2, 1, max_waiting=16), threading.Event()
        hashing = [asyncio.create_task(workers.run(Work.HASHING, None, lambda: gate.wait(10))) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable) as caught:
            await workers.run(Work.HASHING, None, lambda: None)
        assert caught.value.retry_after == 1.0
        assert await workers.run(Work.THREADED, None, lambda: "free") == "free"
        assert await workers.run(Work.PROBING, None, lambda: "free") == "free"
        gate.set()
        assert await asyncio.gather(*hashing) == [True, True]

    asyncio.run(ask())
