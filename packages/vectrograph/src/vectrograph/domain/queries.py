"""Searches, and pages of a collection in a fixed order: requests and results."""

from dataclasses import dataclass
from typing import NamedTuple

from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.points import Point, Vector


class Include(NamedTuple):
    """Parts of a point to return."""

    vector: bool = False
    payload: bool = True
    text: bool = True


class DenseLeg(NamedTuple):
    """Nearest neighbours of each row of `vectors`, shape (queries, dimension), float32, C-contiguous."""

    vectors: Vector
    field: str = ""


class SearchRequest(NamedTuple):
    """One question per row of the leg's vectors; all share the other parameters.

    k: hits per query after `offset`. max_score: drop hits whose score (a distance) is greater. exact: scan everything
    instead of using an index. ef: breadth of the graph search, None lets the planner choose. max_bytes: of vectors,
    payloads and texts of all hits, a point in several answers counted in each; more is refused with TooLarge.
    """

    legs: tuple[DenseLeg, ...]
    k: int
    offset: int = 0
    filter: Filter | None = None
    max_score: float | None = None
    include: Include = Include()
    exact: bool = False
    ef: int | None = None
    explain: bool = False
    max_bytes: int | None = None


class Hit(NamedTuple):
    """A point and its score: a distance, lower is closer. `distance` is there where a rerank moved the score."""

    point: Point
    score: float
    distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Explanation of how a search was answered.

    Attributes:
        strategy: in plain words, such as "exact scan", "graph walk", "graph walk given up for a code scan".
        index: what was used beside the vectors themselves, None for nothing.
        rows_scanned: vectors or codes compared with the query, as far as is known.
        matches: points that may be found: all, or those that match the filter.
        milliseconds: from the question to the answer.
        beam: nodes that a walk along a graph was to keep, None where there was no walk.
        expected: of these, how many should match the filter; `met`: how many did.
    """

    strategy: str
    index: str | None
    rows_scanned: int
    matches: int | None
    milliseconds: float
    beam: int | None = None
    expected: int | None = None
    met: int | None = None


class SearchResult(NamedTuple):
    """Hits in ascending score; equal scores newest first. `complete`: min(offset + k, matches) rows were found."""

    hits: tuple[Hit, ...]
    complete: bool = True
    plan: Plan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Sort order of a scroll: by "id", "created" (created_seq) or "updated" (version).

    Ids sort by the bytes of their UTF-8 text, but in a serial collection by number.
    """

    key: str = "id"
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrollRequest:
    """One page. `cursor` is the opaque text of the page before; it holds for the same order and filter only.

    A page ends before the point whose vector, payload and text would be more than `max_bytes` together with those
    before it, but has one point at least.
    """

    limit: int
    order: Order = Order()
    cursor: str | None = None
    offset: int = 0
    filter: Filter | None = None
    include: Include = Include()
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrollPage:
    """`cursor` is None when there is nothing more; a page may be shorter than asked for and have one."""

    points: tuple[Point, ...]
    cursor: str | None
