"""Threads for handlers: the deadline ends the waiting and nothing else, exceptions arrive as they were raised."""

import asyncio
import threading
import time
from contextvars import ContextVar
from functools import partial

import pytest

from vectrograph.domain.errors import DeadlineExceeded, Overloaded, Unavailable
from vectrograph.http.operation import Workload
from vectrograph.http.workers import Workers
from vectrograph.services.limits import queueing

name: ContextVar[str] = ContextVar("name", default="")


def test_results_exceptions_and_context_cross_over() -> None:
    async def ask() -> None:
        workers = Workers(1)
        name.set("mine")
        for deadline in (None, time.monotonic() + 10):
            assert await workers.run(Workload.THREADED, deadline, name.get) == "mine"
            for error in (TimeoutError("a"), asyncio.CancelledError("b"), StopIteration("c"), KeyError("d")):
                if isinstance(error, Exception):
                    with pytest.raises((type(error), RuntimeError)) as caught:
                        await workers.run(Workload.THREADED, deadline, partial(_raise, error))
                    assert error in (caught.value, caught.value.__cause__)

    asyncio.run(ask())


def _raise(error: Exception) -> None:
    raise error


def test_waiting_ends_at_the_deadline_and_what_was_begun_runs_to_its_end() -> None:
    async def ask() -> None:
        workers, started, gate, ran = Workers(1), threading.Event(), threading.Event(), []
        deadline = time.monotonic() + 1

        def work() -> str:
            started.set()
            assert gate.wait(30)
            return "done"

        begun = asyncio.create_task(workers.run(Workload.THREADED, deadline, work))
        assert await asyncio.to_thread(started.wait, 30)
        with pytest.raises(DeadlineExceeded):
            await workers.run(Workload.THREADED, time.monotonic() + 0.05, lambda: ran.append(1))
        await asyncio.sleep(deadline - time.monotonic())
        gate.set()
        assert await begun == "done"
        await workers.run(Workload.THREADED, None, lambda: None)
        assert ran == []

    asyncio.run(ask())


def test_too_many_waiting_are_refused_and_hashing_holds_up_nobody() -> None:
    async def ask() -> None:
        workers, gate = Workers(2, 1, max_waiting=16), threading.Event()
        hashing = [asyncio.create_task(workers.run(Workload.HASHING, None, lambda: gate.wait(10))) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable) as caught:
            await workers.run(Workload.HASHING, None, lambda: None)
        assert caught.value.retry_after == 1.0
        assert await workers.run(Workload.THREADED, None, lambda: "free") == "free"
        assert await workers.run(Workload.PROBING, None, lambda: "free") == "free"
        gate.set()
        assert await asyncio.gather(*hashing) == [True, True]

    asyncio.run(ask())


def test_writing_holds_up_nobody_who_reads() -> None:
    async def ask() -> None:
        workers, gate = Workers(1, max_waiting=1), threading.Event()
        writing = [asyncio.create_task(workers.run(Workload.WRITING, None, lambda: gate.wait(10))) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert workers.is_full(Workload.WRITING)
        assert await workers.run(Workload.THREADED, None, lambda: "free") == "free"
        gate.set()
        assert await asyncio.gather(*writing) == [True, True]

    asyncio.run(ask())


def test_what_is_being_answered_is_not_refused_and_what_is_new_is() -> None:
    async def ask() -> None:
        workers, gate = Workers(1, max_waiting=1), threading.Event()
        held = [asyncio.create_task(workers.run(Workload.THREADED, None, lambda: gate.wait(10))) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded):
            await workers.run(Workload.THREADED, None, lambda: None)
        rest = asyncio.create_task(workers.run(Workload.THREADED, None, lambda: "the next page", continues=True))
        await asyncio.sleep(0.01)
        gate.set()
        assert await rest == "the next page"
        assert await asyncio.gather(*held) == [True, True]

    asyncio.run(ask())


def test_who_waited_too_long_is_refused_when_the_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "MAX_ACTUAL_WAIT_SECONDS", 0.05)

    async def ask() -> None:
        workers, gate = Workers(1), threading.Event()
        ran: list[int] = []
        held = asyncio.create_task(workers.run(Workload.THREADED, None, lambda: gate.wait(10)))
        await asyncio.sleep(0.01)
        late = [
            asyncio.create_task(workers.run(Workload.THREADED, None, partial(ran.append, number)))
            for number in range(queueing.ALWAYS_LET_IN + 5)
        ]
        await asyncio.sleep(0.1)
        gate.set()
        await held
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        refused = [one for one in outcomes if one is not None]
        assert len(refused) == 5
        assert all(isinstance(one, Overloaded) and one.retry_after for one in refused)
        assert ran == list(range(5, queueing.ALWAYS_LET_IN + 5))

    asyncio.run(ask())
