"""Jobs of the asynchronous client, several at once: how many, in which order, and what a failure does to the rest."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from neurograph._concurrency import async_in_turn

pytestmark = pytest.mark.anyio


class Crowd:
    """Jobs that wait for each other, and note how many run at once."""

    def __init__(self, count: int, fails: int | None = None) -> None:
        self.taken = self.running = self.most = self.cancelled = 0
        self._count = count
        self._fails = fails

    def jobs(self) -> Iterator[Callable[[], Any]]:
        for number in range(self._count):
            self.taken += 1
            yield partial(self._job, number)

    async def _job(self, number: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            # Later jobs end earlier, so that order is no accident.
            await asyncio.sleep(0.02 / (number + 1))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if number == self._fails:
            raise ValueError(number)
        return number


@pytest.mark.parametrize("at_once", [1, 3, 50])
async def test_so_many_run_at_once_and_results_keep_their_order(at_once: int) -> None:
    crowd = Crowd(10)
    assert [result async for result in async_in_turn(crowd.jobs(), at_once)] == list(range(10))
    assert crowd.most == min(at_once, 10)


async def test_a_failure_cancels_the_rest_and_takes_no_more() -> None:
    crowd = Crowd(100, fails=0)
    with pytest.raises(ValueError, match="0"):
        [result async for result in async_in_turn(crowd.jobs(), 4)]
    assert crowd.taken == 4
    assert crowd.running == 0
