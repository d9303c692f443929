"""Which log lines of single requests an operator wants to see: one rule for both transports."""

from typing import Final

SLOW_MILLISECONDS: Final = 1_000.0


def is_worth_a_line(*, failed: bool, milliseconds: float) -> bool:
    """Whether a request's line is of level info: it failed, or it took a second. The others are of level debug.

    A busy server answers thousands of requests a second, and what went well is counted (`requests_total`); a line for
    each buries those that somebody has to look at.

    >>> is_worth_a_line(failed=False, milliseconds=3.0), is_worth_a_line(failed=False, milliseconds=1_500.0)
    (False, True)
    """
    return failed or milliseconds >= SLOW_MILLISECONDS
