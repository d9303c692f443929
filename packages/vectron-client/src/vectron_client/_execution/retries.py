"""Rules for sending calls: repeats, pauses and deadlines. Pure."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vectron_client._options import RETRYABLE_STATUSES, ClientOptions
from vectron_client._wirekit.options import OptionError, shown
from vectron_client._wirekit.options import seconds as plain_seconds
from vectron_client._wirekit.retry import RetryPolicy
from vectron_client.exceptions import InvalidArgumentError, VectronError


class RetryPlan:
    """Rules of the options about repeats, worked out once for a client.

    Attributes:
        spread: draws the factor by which a pause is longer or shorter.
        hedge_after: seconds after which a read is sent a second time; None for never.
        gzip: whether messages are compressed.
        reopening: of a stream that was open: until it is open again, or is refused.

    >>> plan = RetryPlan(ClientOptions(retry_on_writes=True))
    >>> [plan.policy(writes=True, named=named).max_retries for named in (False, True)]
    [0, 2]
    """

    def __init__(self, options: ClientOptions) -> None:
        statuses = options.statuses()

        def passes(error: Exception) -> bool:
            if not isinstance(error, VectronError) or error.code not in statuses:
                return False
            # The error knows better than its status (a full disk is no rate limit), unless the user chose the status.
            return error.retryable or error.code not in RETRYABLE_STATUSES

        self.spread = spread(options.retry_jitter)
        self.hedge_after = options.hedge_delay_ms / 1000 if options.hedged_reads else None
        self.gzip = options.compression == "gzip"
        self._writes = options.retry_on_writes
        self._repeated = RetryPolicy(
            max_retries=options.retry_max_attempts - 1,
            first_pause=options.retry_initial_backoff_ms / 1000,
            multiplier=options.retry_backoff_multiplier,
            longest_pause=options.retry_max_backoff_ms / 1000,
            retryable=passes,
        )
        self._once = replace(self._repeated, max_retries=0)
        self.reopening = replace(
            self._repeated, max_retries=None, retry_after_ceiling=_LONGEST_RETRY_AFTER, retryable=_is_broken
        )

    def policy(self, *, writes: bool, named: bool) -> RetryPolicy:
        """Return the policy for a call: whether it changes anything, and whether servers may recognise a repeat by a
        name.
        """
        return self._repeated if not writes or (named and self._writes) else self._once


def _is_broken(error: Exception) -> bool:
    """Return whether a stream that ended with this error may be opened again."""
    if not isinstance(error, VectronError):
        return False
    # The server cancels a reader that takes nothing for a while. Proxies end streams in several ways, gRPC's own among
    # them.
    is_reset = error.code == "INTERNAL" and error.error_code is None and "RST_STREAM" in error.message
    return error.retryable or error.code == "CANCELLED" or is_reset


def spread(jitter: float) -> Callable[[], float]:
    """Draws factors for pauses, evenly from `1 - jitter` to `1 + jitter`.

    >>> spread(0.0)()
    1.0
    """
    return lambda: random.uniform(1 - jitter, 1 + jitter)  # noqa: S311 - spreads load, guards nothing


def seconds(timeout: Any, options: ClientOptions) -> float | None:
    """Return the time of a call in seconds; None means no limit.

    Args:
        timeout: what the caller gave; None for the option's value.
        options: whose `timeout_seconds` of 0 or less means no limit.

    Raises:
        InvalidArgumentError: not a number above 0.

    >>> seconds(None, ClientOptions()), seconds(2, ClientOptions()), seconds(None, ClientOptions(timeout_seconds=0))
    (10.0, 2.0, None)
    """
    if timeout is None:
        limit = options.timeout_seconds if options.timeout_seconds > 0 else None
    else:
        try:
            limit = plain_seconds("timeout", timeout)
        except OptionError:
            raise InvalidArgumentError(
                "timeout must be a number of seconds above 0, or None for ClientOptions.timeout_seconds, not "
                f"{shown(timeout)}",
                details={"field": "timeout"},
            ) from None
    return float(limit) if limit is not None and limit < _FOREVER else None


#: Longest pause in seconds that a server may ask of a stream; asking for more ends it. Chosen: restarts take less.
_LONGEST_RETRY_AFTER = 600.0

#: A year. gRPC counts nanoseconds in 64 bits, so that much longer times overflow; nobody waits for either.
_FOREVER = 365 * 86_400.0
