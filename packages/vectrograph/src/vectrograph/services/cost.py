"""What a search would cost, estimated before it begins; one that costs too much is refused with the number."""

from collections.abc import Callable
from typing import Final

from vectrograph.domain.collections import CollectionInfo
from vectrograph.domain.errors import TooLarge
from vectrograph.domain.limits import Limits

_FLOAT_BYTES: Final = 4
# How many points a graph search looks at for each that it keeps in mind; the breadth that engines begin with.
_LOOKED_AT: Final = 32
_USUAL_BREADTH: Final = 128


def admit_answer(hits: int, dimension: int, limits: Limits) -> None:
    """Accept an answer whose vectors fit.

    Args:
        hits: points in the answer, at most.
        dimension: components of each one's vector; 0 when vectors are left out.
        limits: `max_answer_bytes` is the bound.

    Raises:
        TooLarge: they do not; `details` has cost, limit and unit.

    >>> admit_answer(1_000, 256, Limits())
    """
    cost = hits * dimension * _FLOAT_BYTES
    if cost > limits.max_answer_bytes:
        raise TooLarge(
            f"The answer could hold {cost} bytes of vectors and the limit max_answer_bytes is "
            f"{limits.max_answer_bytes}; ask for fewer hits, or leave the vectors out.",
            details={"field": "top_k", "cost": cost, "limit": limits.max_answer_bytes, "unit": "bytes"},
        )


def admit_work(
    queries: int, k: int, describe: Callable[[], CollectionInfo], limits: Limits, *, whole: bool, ef: int | None = None
) -> None:
    """Accept a search that can be answered in reasonable time.

    Args:
        queries: query vectors.
        k: hits per query.
        describe: tells sizes of the collection; asked for many queries only, as one alone is always accepted.
        limits: `max_search_work` is the bound.
        whole: whether every point may have to be looked at, as for an exact or a filtered search.
        ef: breadth of the graph search, None for the usual one.

    Raises:
        TooLarge: it cannot; `details` has cost, limit and unit.
    """
    if queries == 1:
        return
    info = describe()
    unindexed = info.count - info.indexed
    by_graph = min(info.indexed, _LOOKED_AT * max(ef or _USUAL_BREADTH, k))
    points = info.count if whole else unindexed + by_graph
    cost = queries * points * info.spec.dimension
    if cost > limits.max_search_work:
        raise TooLarge(
            f"The {queries} queries could take {cost} multiplications and the limit max_search_work is "
            f"{limits.max_search_work}; send fewer queries at once.",
            details={"field": "vectors", "cost": cost, "limit": limits.max_search_work, "unit": "multiplications"},
        )
