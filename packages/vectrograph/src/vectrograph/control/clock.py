"""The time of day, as the control plane counts it."""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

Clock: TypeAlias = Callable[[], int]

# Times are counted in microseconds since 1970, UTC.
SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND


def now() -> int:
    """Return microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000
