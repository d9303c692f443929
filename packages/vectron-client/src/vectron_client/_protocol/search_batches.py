"""A search for many vectors: cut into messages, or into single searches for servers without batches. Pure."""

from collections.abc import Iterator
from typing import Any

from vectron_client._execution.call import Call, flow
from vectron_client._execution.retries import RetryPlan
from vectron_client._options import ClientOptions
from vectron_client._protocol import searches
from vectron_client._protocol.arguments import whole
from vectron_client._protocol.hits import SearchHits
from vectron_client._protocol.operations import message_limit
from vectron_client._protocol.points import encode_vectors
from vectron_client._wirekit.deadline import Deadline
from vectron_client._wirekit.flow import Flow
from vectron_client.exceptions import DeadlineExceededError
from vectron_client.models import PackedVector, SearchResult

#: Most results of a message, so that answers with vectors stay below usual size limits.
_MAX_RESULTS = 5_000

#: Bytes of a request beside its vectors: names, numbers, a filter of usual length.
_OVERHEAD_BYTES = 65_536


class SearchMany:
    """The flows that answer all queries, and what they found.

    Args:
        collection: where to look.
        vectors: a matrix or a list of vectors.
        top_k: results for each.
        options: whose limits hold.
        limit: seconds for all of it; None for no limit.
        choices: the other arguments of `searches.search_batch`.

    Raises:
        InvalidArgumentError: a vector is wrong; names it.

    Attributes:
        found: the results of each query, in their order, once every flow has ended.
    """

    def __init__(
        self, collection: str, vectors: Any, top_k: int, options: ClientOptions, limit: float | None, **choices: Any
    ) -> None:
        self._collection = collection
        self._packed, self._queries = encode_vectors(vectors, options.expected_vector_dim)
        self._top_k = whole("top_k", top_k, 0)
        self._options = options
        self._deadline = Deadline.after(limit)
        self._choices = choices
        self.found: list[SearchHits] = []
        self._width = len(self._packed) // max(1, self._queries)
        room = max(1, message_limit(options) - _OVERHEAD_BYTES)
        self._step = max(1, min(_MAX_RESULTS // max(1, self._top_k or 10), room // max(1, self._width)))

    def batches(self, plan: RetryPlan) -> Iterator[Flow[list[SearchHits]]]:
        """Yield flows of one message each, to be run one after the other; begins behind what has been found."""
        while (start := len(self.found)) < self._queries:
            end = min(self._queries, start + self._step)
            vectors = self._packed[start * self._width : end * self._width]  # all of it is no copy
            call = searches.search_batch(
                self._collection, vectors, end - start, self._top_k, self._options, **self._choices
            )
            yield flow(call, plan, self._left())

    @property
    def done(self) -> bool:
        """Return whether all queries have their results."""
        return len(self.found) == self._queries

    def shrink(self) -> bool:
        """Halve the messages, whose answers are too large. Return False where a message has one query already."""
        size = min(self._step, self._queries - len(self.found))
        self._step = max(1, size // 2)
        return size > 1

    def next_search(self) -> tuple[Call[list[SearchResult]], Deadline]:
        """Return the search of the next query alone, and the deadline of all."""
        return self._search(len(self.found)), Deadline.after(self._left())

    def take_batch(self, found: list[SearchHits]) -> None:
        """Receive what a flow of `batches` found."""
        self.found += found

    def singles(self, plan: RetryPlan) -> Iterator[Flow[tuple[int, list[SearchResult]]]]:
        """Yield flows of one query each, to be run in any order."""
        self.found = [SearchHits.of([])] * self._queries
        for place in range(self._queries):
            yield self._numbered(place, self._search(place), plan)

    def _search(self, place: int) -> Call[list[SearchResult]]:
        vector = PackedVector(self._packed[place * self._width : (place + 1) * self._width])
        call = searches.search(self._collection, vector, self._top_k, self._options, **self._choices)
        return searches.results_of(call)

    def _numbered(
        self, place: int, call: Call[list[SearchResult]], plan: RetryPlan
    ) -> Flow[tuple[int, list[SearchResult]]]:
        results = yield from flow(call, plan, self._left())
        return place, results

    def take_single(self, found: tuple[int, list[SearchResult]]) -> None:
        """Receive what a flow of `singles` found."""
        place, results = found
        self.found[place] = SearchHits.of(results)

    def _left(self) -> float | None:
        if self._deadline.expired:
            raise DeadlineExceededError(
                f"search_many did not finish within {self._deadline.seconds:g} s; allow more with timeout=… or "
                "ClientOptions.timeout_seconds"
            )
        return self._deadline.timeout()
