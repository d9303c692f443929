"""Waiting for what happens in the background."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something that happens in the background.

    Raises:
        AssertionError: it does not.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.005)
