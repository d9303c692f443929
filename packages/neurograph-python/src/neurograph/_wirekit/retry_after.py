# Generated from packages/wirekit/src/wirekit/retry_after.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""Time after which a server wants to be asked again: the value of a `Retry-After` header or trailer."""

import math
import re
import time

_SECONDS = re.compile(r"\d{1,15}(\.\d*)?|\.\d+", re.ASCII)


def parse_retry_after(value: str | None, *, now: float | None = None) -> float | None:
    """Return seconds to wait, from whole or decimal seconds or an HTTP-date (RFC 9110, 10.2.3).

    Args:
        value: the text of the header; surrounding blanks are ignored.
        now: the present in seconds since the epoch, for dates; the wall clock when absent.

    Returns:
        Seconds, zero or more (a date in the past is zero), or None when the text says nothing usable: a
        proxy's odd header must not destroy the error it came with.

    >>> parse_retry_after("120"), parse_retry_after("0.5"), parse_retry_after("soon")
    (120.0, 0.5, None)
    >>> parse_retry_after("Thu, 01 Jan 1970 00:01:40 GMT", now=70.0)
    30.0
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    return _seconds_until(text, time.time() if now is None else now)


def _seconds_until(date: str, now: float) -> float | None:
    # Imported here because it is slow to import and dates are rare.
    from email.utils import mktime_tz, parsedate_tz

    parsed = parsedate_tz(date)
    if parsed is None:
        return None
    try:
        seconds = mktime_tz(parsed) - now
    except (ValueError, OverflowError):
        return None
    return max(0.0, float(seconds)) if math.isfinite(seconds) else None
