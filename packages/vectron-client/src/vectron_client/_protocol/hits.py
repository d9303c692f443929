"""Results of searches: read from messages, at once for one search, and when they are looked at for many. Pure."""

import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

from vectron_client._pb import bytesview_pb as view
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb import vectron_pb as wire
from vectron_client._protocol import payloads
from vectron_client._protocol.points import read_vector
from vectron_client.exceptions import InternalServerError
from vectron_client.models import SearchResult

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def read_results(answer: bytes, dimension: int, response: Any = None) -> list[SearchResult]:
    """Return the hits of a SearchResponse, closest first.

    Args:
        answer: the message.
        dimension: components each vector must have; 0 when none were asked for.
        response: the same message parsed in the bytes view, if that was done already.

    Raises:
        ValueError: a payload cannot be read.
    """
    if response is None:
        response = view.SearchResponse.FromString(answer)
    results = response.results
    if _unusual(results, dimension):
        results = wire.SearchResponse.FromString(answer).results
    return [_result(result, dimension) for result in results]


def read_batch(answer: bytes, queries: int, dimension: int) -> "list[SearchHits]":
    """Return the hits of a SearchBatchResponse, one sequence for each of `queries`; otherwise as `read_results`.

    Raises:
        ValueError: there are more or fewer answers than queries.
    """
    responses: Any = view.SearchBatchResponse.FromString(answer).responses
    if any(_unusual(response.results, dimension) for response in responses):
        responses = extensions.SearchBatchResponse.FromString(answer).responses
    if len(responses) != queries:
        raise ValueError(f"it has {len(responses)} results for {queries} queries")
    return [SearchHits(response.results, dimension) for response in responses]


def _unusual(results: Any, dimension: int) -> bool:
    """Return whether a vector is encoded as only the ordinary messages understand it."""
    return bool(dimension) and any(len(result.vector) != 4 * dimension for result in results)


def _result(result: Any, dimension: int) -> SearchResult:
    return SearchResult(
        result.id,
        result.score,
        payloads.decode(result.payload, result.payload_json),
        read_vector(result.vector) if dimension else (),
    )


class SearchHits(Sequence[SearchResult]):
    """The results of one query among many, closest first: a sequence of `SearchResult` that are made when looked at.

    Equal to a list of the same results. Can be pickled.

    >>> hits = SearchHits.of([SearchResult("a", 0.25), SearchResult("b", 0.5)])
    >>> len(hits), hits[0].id, hits.ids
    (2, 'a', ['a', 'b'])
    """

    __slots__ = ("_dimension", "_made", "_results")

    def __init__(self, results: Any, dimension: int) -> None:
        self._results = results
        self._dimension = dimension
        self._made: dict[int, SearchResult] = {}

    @classmethod
    def of(cls, results: Sequence[SearchResult]) -> "SearchHits":
        """Return the same with results that are there already."""
        hits = cls(results, 0)
        hits._made = dict(enumerate(results))
        return hits

    @property
    def ids(self) -> list[str]:
        """The ids, closest first."""
        return [result.id for result in self._results]

    @property
    def scores(self) -> "npt.NDArray[np.float32]":
        """The scores as a numpy array of shape (n,) and dtype float32, ascending: distances, lower is closer.

        Raises:
            ImportError: numpy is not installed; `pip install "vectron-client[numpy]"` brings it.
        """
        numpy = importlib.import_module("numpy")
        scores: npt.NDArray[np.float32] = numpy.array([result.score for result in self._results], dtype="float32")
        return scores

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, index: int) -> SearchResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[SearchResult]: ...
    def __getitem__(self, index: int | slice) -> SearchResult | list[SearchResult]:
        places = range(len(self._results))[index]
        return self._made_at(places) if isinstance(places, int) else [self._made_at(place) for place in places]

    def __iter__(self) -> Iterator[SearchResult]:
        return map(self._made_at, range(len(self._results)))

    def _made_at(self, place: int) -> SearchResult:
        made = self._made.get(place)
        if made is None:
            try:
                made = self._made[place] = _result(self._results[place], self._dimension)
            except (ValueError, RecursionError) as error:
                raise InternalServerError(f"the response to SearchBatch cannot be decoded: {error}") from error
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, SearchHits)):
            return NotImplemented
        others = cast("Sequence[Any]", other)
        return len(self) == len(others) and all(mine == theirs for mine, theirs in zip(self, others, strict=True))

    __hash__ = None  # type: ignore[assignment]  # results can be changed, like the items of a list

    def __reduce__(self) -> tuple[Any, ...]:
        return SearchHits.of, (list(self),)

    def __repr__(self) -> str:
        return f"SearchHits({list(self)!r})"
