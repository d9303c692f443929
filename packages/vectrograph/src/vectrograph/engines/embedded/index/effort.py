"""Beam widths, their trustworthiness, and the route of least cost."""

import math
from enum import StrEnum
from functools import lru_cache
from typing import Final

# Part of the beam that does not depend on k, as a share of the beam for ten neighbours; fitted with the next.
_FLAT: Final = 0.65
_PER_ROW: Final = 0.035
"""Beams for equal recall at k = 1, 10, 30, 50 and 100 on text embeddings are as 0.7 : 1 : 1.7 : 2.5 : 4.1."""
# Share of the expected matches that a walk must meet to be trusted. Chosen: by chance alone the
# number varies, but rarely by half.
_MIN_MATCHED_SHARE: Final = 0.5

_WALK: Final = (600.0, 3.4)
_CODE: Final = (2.0, 0.04)
_ROW: Final = (10.0, 0.2)
"""Nanoseconds on one core of 2.x GHz with AVX-512, fixed and per component: per node of a beam, per code compared, per
original compared. Only their ratios matter, and those vary little from machine to machine."""
_APART: Final = 45.0
"""More for a code whose neighbours are not compared: it is fetched by itself."""
# Nanoseconds for each bit of a bitmap, on the same core.
_BIT: Final = 0.3
# Nanoseconds of a scan of codes, however few it compares. Measured at 31,000 x 256, as is the next.
_CODES_ONCE: Final = 90_000.0
_ROWS_ONCE: Final = 30_000.0
"""For a bit of a bitmap, and for what a scan costs however few it compares."""


class Route(StrEnum):
    """Routes of a search.

    Attributes:
        WALK: along the links of the graph.
        CODES: scan of all codes.
        ROWS: comparison with the original of every allowed row.
    """

    WALK = "walk"
    CODES = "codes"
    ROWS = "rows"


def beam_for(k: int, base: int, share: float = 1.0) -> int:
    """Return the beam that gives k neighbours the recall that `base` gives ten.

    Args:
        k: how many are wanted.
        base: beam that is known to do for ten neighbours without a filter.
        share: of nodes that are allowed: live, and matching the filter.

    >>> beam_for(10, 144), beam_for(100, 144), beam_for(10, 144, share=0.5)
    (144, 598, 288)
    """
    return math.ceil(max(k, base * (_FLAT + _PER_ROW * k)) / share)


def trustworthy(matched: int, expected: int) -> bool:
    """Return whether an answer met enough matches on its walk.

    The recall of a filtered search is that of an unfiltered one whose beam is the number of matches in the beam,
    wherever the matches lie. When there are far fewer than were counted on, they are where the query is not,
    and the rows found are just some that the walk passed: scan instead.

    >>> trustworthy(130, 144), trustworthy(11, 144)
    (True, False)
    """
    return matched >= _MIN_MATCHED_SHARE * expected


@lru_cache(maxsize=1_024)
def cheapest_route(nodes: int, allowed: int, dimension: int, beam: int) -> Route:
    """Return the route that should take the least time.

    Args:
        nodes: of the graph.
        allowed: how many of them are live and match the filter.
        dimension: of the vectors.
        beam: that a walk would need, from `beam_for`.

    >>> cheapest_route(1_000_000, 1_000_000, 256, 144), cheapest_route(31_000, 310, 256, 14_400)
    (<Route.WALK: 'walk'>, <Route.ROWS: 'rows'>)
    """
    walk = cost(Route.WALK, nodes, allowed, dimension, beam)
    codes = cost(Route.CODES, nodes, allowed, dimension, beam)
    rows = cost(Route.ROWS, nodes, allowed, dimension, beam)
    if walk <= codes and walk <= rows:
        return Route.WALK
    return Route.CODES if codes <= rows else Route.ROWS


def cost(route: Route, nodes: int, allowed: int, dimension: int, beam: int) -> float:
    """Return about how many nanoseconds one query takes on a route; see `cheapest_route` for the other arguments.

    >>> round(cost(Route.WALK, 31_000, 31_000, 256, 75) / 1e3)
    110
    """
    if route is Route.WALK:
        return min(beam, nodes) * _price(_WALK, dimension)
    if route is Route.ROWS:
        return _ROWS_ONCE + allowed * _price(_ROW, dimension)
    apart = _APART * (1 - allowed / max(1, nodes))
    return _CODES_ONCE + nodes * _BIT + allowed * (_price(_CODE, dimension) + apart)


def _price(parts: tuple[float, float], dimension: int) -> float:
    return parts[0] + parts[1] * dimension
