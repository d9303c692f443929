"""Cost of a request, estimated before it begins; one that costs too much is refused with the number."""

from collections.abc import Callable
from typing import Final

from vectrograph.domain.collections import CollectionInfo, CollectionRef
from vectrograph.domain.errors import InvalidArgument, TooLarge
from vectrograph.domain.filters.evaluation import Filter, measured
from vectrograph.domain.limits import Limits
from vectrograph.engines.base import Engine

# Bytes of a component of a vector: float32.
_FLOAT_BYTES: Final = 4
# Points that a graph search compares for each node of its beam: the largest number of links of a node (M = 16, twice).
_COMPARED_PER_NODE: Final = 32
# Beam width assumed when a request names no `ef`. Chosen: near the 144 that the embedded engine begins with.
_USUAL_BEAM: Final = 128

MAX_EF: Final = 10_000
"""Largest `ef`, the beam width of a graph search, in nodes: ten times the default of `max_top_k`. A wider walk takes as
long as an exact search, which has limits of its own."""

MAX_NEEDLE_BYTES: Final = 1_024
"""Bytes of a text that is looked for within strings: Python may compare each with each character of a value."""
MAX_FILTER_TEXT_BYTES: Final = 1 << 20
"""Bytes of all constants of a filter: room for ten thousand ids of a hundred characters."""
# Text up to this length costs no more than any other test to look for.
_SHORT_NEEDLE_BYTES: Final = 64
_COMPARED_PER_TEST: Final = 256
"""Characters compared in the time of one test, 100 ns, at worst."""
_NODES_PER_CONDITION: Final = 2
"""Room to negate or join each condition. Thousands of `not` in one another take as long to read as to evaluate."""
_VALUES_PER_TEST: Final = 64
"""Values of a list that make one test more: they are looked up in a set."""
# For the estimate of time, on one core. Measured over 20,000 and 100,000 points, every text distinct: a condition about
# numbers, or about which text it is, took 0.5 to 1 ns a point; one that looks within texts 500 to 800.
_TEST_NANOSECONDS: Final = 2
# The lower end of the measured 500 to 800 for conditions that look within texts.
_TEXT_TEST_NANOSECONDS: Final = 500
# Bytes of text that one core looks through in a nanosecond: an estimate, near the speed of memory.
_SEARCHED_BYTES_PER_NANOSECOND: Final = 4


def check_answer_size(hits: int, dimension: int, limits: Limits) -> None:
    """Accept an answer whose vectors fit.

    Args:
        hits: points in the answer, at most.
        dimension: components of each one's vector; 0 when vectors are left out.
        limits: `max_answer_bytes` is the bound.

    Raises:
        TooLarge: they do not; `details` has cost, limit and unit.

    >>> check_answer_size(1_000, 256, Limits())
    """
    cost = hits * dimension * _FLOAT_BYTES
    if cost > limits.max_answer_bytes:
        raise TooLarge(
            f"The answer could hold {cost} bytes of vectors and the limit max_answer_bytes is "
            f"{limits.max_answer_bytes}; ask for fewer hits, or leave the vectors out.",
            details={"field": "top_k", "cost": cost, "limit": limits.max_answer_bytes, "unit": "bytes"},
        )


def answer_limit(hits: int, dimension: int, limits: Limits) -> int | None:
    """Return the bytes that an answer may hold, None where it cannot hold more: then nothing need be counted.

    Args:
        hits: points in the answer, at most.
        dimension: components of each one's vector; 0 when vectors are left out.
        limits: payloads and texts are within them.

    >>> answer_limit(10, 256, Limits())
    >>> answer_limit(1_000, 256, Limits())
    67108864
    """
    largest = hits * (dimension * _FLOAT_BYTES + limits.max_payload_bytes + limits.max_text_bytes)
    return None if largest <= limits.max_answer_bytes else limits.max_answer_bytes


def check_ef(ef: int | None) -> None:
    """Accept a beam width of a graph search; None leaves it to the engine.

    Raises:
        InvalidArgument: it is not from 1 to `MAX_EF`.

    >>> check_ef(None), check_ef(MAX_EF)
    (None, None)
    """
    if ef is not None and not 1 <= ef <= MAX_EF:
        raise InvalidArgument.of(
            "ef",
            f"is {ef} and must be from 1 to {MAX_EF}; use an exact search to compare every point",
            "out_of_range",
        )


def check_search_cost(
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
    by_graph = min(info.indexed, _COMPARED_PER_NODE * max(ef or _USUAL_BEAM, k))
    points = info.count if whole else unindexed + by_graph
    cost = queries * points * info.spec.dimension
    if cost > limits.max_search_work:
        raise TooLarge(
            f"The {queries} queries could take {cost} multiplications and the limit max_search_work is "
            f"{limits.max_search_work}; send fewer queries at once.",
            details={"field": "vectors", "cost": cost, "limit": limits.max_search_work, "unit": "multiplications"},
        )


def check_filter_cost(
    filter: Filter | None, engine: Engine, ref: CollectionRef, limits: Limits, *, points: int | None = None
) -> int:
    """Accept a filter that can be evaluated in reasonable time.

    Args:
        filter: what is asked; None costs nothing.
        engine: has the collection.
        ref: the collection.
        limits: `max_filter_conditions`, `max_filter_paths` and `max_filter_work` are the bounds.
        points: to how many it is applied; None for all of the collection.

    Returns:
        The nanoseconds that evaluating it could take on one core, for `FilterTurns.turn`; 0 where there is no filter.

    Raises:
        CollectionNotFound, CollectionQuarantined.
        TooLarge: it cannot; `details` has cost, limit and unit.
    """
    if filter is None:
        return 0
    size = measured(filter)
    bounds = (
        (size.conditions, limits.max_filter_conditions, "conditions", "max_filter_conditions"),
        (size.nodes, _NODES_PER_CONDITION * limits.max_filter_conditions, "conditions, and, or and not", ""),
        (size.paths, limits.max_filter_paths, "distinct paths", "max_filter_paths"),
        (size.text_bytes, MAX_FILTER_TEXT_BYTES, "bytes of constants", ""),
        (size.needle_bytes, MAX_NEEDLE_BYTES, "bytes in a prefix or substring", ""),
    )
    for number, most, unit, name in bounds:
        if number > most:
            limit = f"the limit {name} is {most}" if name else f"at most {most} are taken"
            raise TooLarge(
                f"The filter has {number} {unit}, and {limit}; ask for less at once.",
                details={"field": "filter", "cost": number, "limit": most, "unit": unit},
            )
    applied = engine.count(ref) if points is None else points
    stored = engine.describe(ref).bytes_on_disk if size.text_conditions else 0
    cost = applied * (size.conditions + size.paths + size.values // _VALUES_PER_TEST)
    if size.needle_bytes > _SHORT_NEEDLE_BYTES:
        cost += size.needle_bytes * stored // _COMPARED_PER_TEST
    if cost > limits.max_filter_work:
        raise TooLarge(
            f"The filter could take {cost} tests and the limit max_filter_work is {limits.max_filter_work}; use fewer "
            "conditions and paths, or shorter texts.",
            details={"field": "filter", "cost": cost, "limit": limits.max_filter_work, "unit": "tests"},
        )
    tests = applied * (size.conditions + size.values // _VALUES_PER_TEST) * _TEST_NANOSECONDS
    within = applied * _TEXT_TEST_NANOSECONDS + (stored // _SEARCHED_BYTES_PER_NANOSECOND if points is None else 0)
    return tests + size.text_conditions * within
