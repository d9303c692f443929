# Generated from packages/wirekit/src/wirekit/budget.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""A budget of repeats, so that a client does not multiply the load of a server that is already failing.

The rules are those of gRPC's retry throttling (gRFC A6): a failure costs one token, a success earns a fraction of one,
and nothing is repeated while half of the tokens or fewer are left.
"""

from threading import Lock


class RetryBudget:
    """The repeats that all calls of a client share.

    Args:
        tokens: what it holds when full.
        ratio: what a success earns.

    >>> budget = RetryBudget(tokens=4, ratio=0.5)
    >>> budget.failed(), budget.failed()
    (True, False)
    """

    def __init__(self, *, tokens: float = 100.0, ratio: float = 0.1) -> None:
        if tokens <= 0 or ratio < 0:
            raise ValueError(f"tokens must be positive and ratio 0 or more, not {tokens} and {ratio}")
        self._full = tokens
        self._ratio = ratio
        self._left = tokens
        self._lock = Lock()

    def succeeded(self) -> None:
        """Earns a fraction of a repeat."""
        if self._left < self._full:
            with self._lock:
                self._left = min(self._full, self._left + self._ratio)

    def failed(self) -> bool:
        """Pays for a failure that could be repeated; returns whether a repeat is within the budget."""
        with self._lock:
            self._left = max(0.0, self._left - 1)
            return self._left > self._full / 2

    @property
    def spent(self) -> bool:
        """Return whether a repeat would be over the budget; costs nothing.

        >>> RetryBudget().spent
        False
        """
        return self._left <= self._full / 2

    def after_fork(self) -> None:
        """Start over in a child process, where another thread may have held the lock."""
        self._lock = Lock()
