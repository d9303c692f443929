"""Turns for costly filters: few are evaluated at once, so that threads stay free for everything else.

Conditions about texts are evaluated in Python, one thread at a time: more turns would not answer more filters. A call
that finds no turn is refused at once, because waiting would hold the thread that the turns are to keep free.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from vectrograph.domain.errors import RateLimited
from vectrograph.services.call import Call

COSTLY_NANOSECONDS: Final = 100_000_000
"""A filter that could take longer on one core needs a turn. What is let in without one holds up others for a moment.
Two conditions about numbers are far below it: a million points take 8 ms."""
MAX_TURNS: Final = 2
"""Costly filters evaluated at once. Each kind of work has four threads or more, unless an operator says otherwise, so
that two stay free; two threads that share the interpreter delay a search by some hundredths of a second."""
# Seconds that a refused caller is told to wait. Chosen: most costly filters end within it.
_RETRY_SECONDS: Final = 1.0
_FREE: Final = nullcontext()


class FilterTurns:
    """The turns of one server. One account may not take them all, if there are several. Thread-safe.

    Args:
        turns: filters at once. Fewer than any pool of threads that read has threads, or one that fills the pool.
    """

    def __init__(self, turns: int = MAX_TURNS) -> None:
        self._turns = turns
        self._of_account = max(1, turns - 1)
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @classmethod
    def beside(cls, threads: int) -> "FilterTurns":
        """Turn that leave at least one of so many threads free, where there are two."""
        return cls(max(1, min(MAX_TURNS, threads - 1)))

    def turn(self, call: Call, nanoseconds: int) -> AbstractContextManager[None]:
        """Return a turn for as long as a block runs in which a filter is evaluated; nothing for one that is not costly.

        Args:
            call: who asks.
            nanoseconds: estimate of `cost.check_filter_cost`.

        Raises:
            RateLimited: when the block is entered: all turns are taken, or those that an account may have.
        """
        return _FREE if nanoseconds <= COSTLY_NANOSECONDS else self._turn(call.principal.user_id, nanoseconds)

    @contextmanager
    def _turn(self, account: str, nanoseconds: int) -> Iterator[None]:
        with self._lock:
            own = self._taken[account]
            if own >= self._of_account or self._taken.total() >= self._turns:
                raise self._refusal(own, nanoseconds)
            self._taken[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[account] -= 1
                if not self._taken[account]:
                    del self._taken[account]

    def _refusal(self, own: int, nanoseconds: int) -> RateLimited:
        if own >= self._of_account:
            limit, taken = self._of_account, f"this account already runs {own} such filters, which is its limit"
        else:
            limit, taken = self._turns, f"the server already runs {self._turns} such filters, which is its limit"
        return RateLimited(
            f"The filter could take {nanoseconds / 1e9:.1f} s of CPU time, and {taken}. Try again later, or use "
            "fewer conditions on the content of strings (prefix, substring, date, order of strings).",
            details={"field": "filter", "limit": limit, "unit": "costly filters at once"},
            retry_after=_RETRY_SECONDS,
        )
