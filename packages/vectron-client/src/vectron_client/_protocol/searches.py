"""The searches, built as in `operations`: one vector, many vectors, snapshots, with or without a tale of how. Pure."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vectron_client._execution.call import Call
from vectron_client._execution.retries import seconds
from vectron_client._options import MIB, ClientOptions
from vectron_client._pb import bytesview_pb as view
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb.methods import VECTROGRAPH_SERVICE_METHODS, VECTRON_SERVICE_METHODS
from vectron_client._protocol.arguments import encode_filter, flag, text, whole
from vectron_client._protocol.hits import SearchHits, read_batch, read_results
from vectron_client._protocol.points import encode_vector
from vectron_client._results import ExplainedSearch, SearchPlan
from vectron_client.exceptions import MessageTooLargeError, VectronError
from vectron_client.filters import FilterLike
from vectron_client.models import SearchResult

# Largest number that the fields of the contract hold.
_MAX_UINT32 = 2**32 - 1


def search(
    collection: str,
    vector: Any,
    top_k: int,
    options: ClientOptions,
    *,
    include_vectors: bool = False,
    include_payload: bool = True,
    query: str = "",
    filter: FilterLike | None = None,
    exact: bool = False,
    ef: int = 0,
    budget: float | None = None,
    explain: bool = False,
) -> Call[ExplainedSearch]:
    """Return the nearest points to a vector, and how they were found where the server tells.

    Raises:
        InvalidArgumentError: an argument is wrong; names it.
    """
    packed = encode_vector(vector, options.expected_vector_dim)
    filter_json = encode_filter(filter)
    # A server that does not know these fields would ignore them without a word; one that does tells its plan.
    extended = bool(explain or filter_json or flag("exact", exact) or whole("ef", ef, 0, _MAX_UINT32))
    request = view.SearchRequest(
        collection=text("collection", collection),
        vector=packed,
        top_k=whole("top_k", top_k, 0, _MAX_UINT32),
        query=text("query", query, empty=True),
        timeout_ms=milliseconds(budget, options),
        include_vectors=flag("include_vectors", include_vectors),
        # The official server leaves payloads out unless asked for them, this project's unless told to omit them.
        include_metadata=flag("include_payload", include_payload),
        omit_payload=not flag("include_payload", include_payload),
        filter_json=filter_json,
        exact=flag("exact", exact),
        ef=whole("ef", ef, 0, _MAX_UINT32),
        explain=extended,
        json_payload=True,
    )
    dimension = len(packed) // 4 if include_vectors else 0
    method = VECTRON_SERVICE_METHODS["Search"]
    return Call(method, request.SerializeToString(), lambda answer: _read(answer, dimension, extended))


def _read(answer: bytes, dimension: int, extended: bool) -> ExplainedSearch:
    response = view.SearchResponse.FromString(answer)
    results = read_results(answer, dimension, response)
    if not extended:
        return ExplainedSearch(results, False, _NO_PLAN)
    if not response.HasField("plan"):
        raise VectronError(
            "the server ignores filter, exact, ef and explain, which this project's server adds to Vectron's API; "
            "search without them",
            code="UNIMPLEMENTED",
        )
    told = response.plan
    plan = SearchPlan(told.strategy, told.index, told.rows_scanned, told.matches, told.milliseconds)
    return ExplainedSearch(results, response.complete, plan)


_NO_PLAN = SearchPlan("", "", 0, 0, 0.0)


def results_of(call: Call[ExplainedSearch]) -> Call[list[SearchResult]]:
    """Return the same call for the results alone."""
    read = call.read
    return _reading(call, lambda answer: read(answer).results)


def snapshots_of(call: Call[ExplainedSearch]) -> Call[list[SearchResult]]:
    """Return the same search as snapshots that are better and better."""
    return replace(results_of(call), method=VECTRON_SERVICE_METHODS["SearchStream"])


#: Longest answer in pieces, in messages of `max_recv_message_length`: 256 MiB with the defaults. Servers limit answers
#: too; this bounds what one that does not can make a client keep.
_MAX_PIECES = 16

#: Largest piece to ask for, in bytes, whatever the limit of a message is: a server holds a piece in memory before it
#: sends it, and a client one more than it has put together.
_MAX_PIECE_BYTES = 32 * MIB


class Pieces:
    """An answer beyond `max_recv_message_length`, asked for in pieces and put together: all of one search.

    Args:
        call: the search.
        options: whose `max_recv_message_length` is the measure.
        reason: the error of the answer in one message.

    Raises:
        MessageTooLargeError: the reason, where messages have no limit.
    """

    def __init__(self, call: Call[Any], options: ClientOptions, reason: MessageTooLargeError) -> None:
        if options.max_recv_message_length < 0:  # no limit: pieces would not make anything fit
            raise reason
        # Half of the largest message leaves room for a hit that is larger than the piece it is in.
        size = min(_MAX_PIECE_BYTES, max(1, options.max_recv_message_length // 2))
        wish = view.SearchRequest(piece_bytes=size).SerializeToString()
        # Two encodings in a row are the encoding of both together.
        self.request = replace(call, method=VECTRON_SERVICE_METHODS["SearchStream"], body=call.body + wish)
        self._limit = _MAX_PIECES * options.max_recv_message_length
        self._reason = reason
        self._taken: list[bytes] = []
        self._size = 0

    def take(self, answer: bytes) -> None:
        """Keep one more piece.

        Raises:
            MessageTooLargeError: the server does not send pieces, or all together are too many bytes.
        """
        if type(answer) is not bytes or not view.SearchResponse.FromString(answer).piece:
            raise self._reason
        self._size += len(answer)
        if self._size > self._limit:
            raise MessageTooLargeError(
                f"Search: the response is longer than {self._limit} bytes, {_MAX_PIECES} times "
                "ClientOptions.max_recv_message_length; ask for less, or raise that",
                code="RESOURCE_EXHAUSTED",
            )
        self._taken.append(answer)

    def joined(self) -> bytes:
        """Return the whole answer."""
        return b"".join(self._taken)


def _reading(call: Call[Any], read: Callable[[bytes], Any]) -> Call[Any]:
    return replace(call, read=read)


def search_batch(
    collection: str,
    vectors: bytes,
    queries: int,
    top_k: int,
    options: ClientOptions,
    *,
    include_vectors: bool,
    include_payload: bool,
    filter: FilterLike | None,
    exact: bool,
    ef: int,
    budget: float | None,
) -> Call[list[SearchHits]]:
    """Return the nearest points to each of many vectors, which come packed one after the other."""
    request = extensions.SearchBatchRequest(
        collection=text("collection", collection),
        vectors=vectors,
        queries=queries,
        top_k=whole("top_k", top_k, 0, _MAX_UINT32),
        include_vectors=flag("include_vectors", include_vectors),
        omit_payload=not flag("include_payload", include_payload),
        filter_json=encode_filter(filter),
        exact=flag("exact", exact),
        ef=whole("ef", ef, 0, _MAX_UINT32),
        timeout_ms=milliseconds(budget, options),
        json_payload=True,
    )
    dimension = len(vectors) // 4 // queries if include_vectors else 0
    method = VECTROGRAPH_SERVICE_METHODS["SearchBatch"]
    return Call(method, request.SerializeToString(), lambda answer: read_batch(answer, queries, dimension))


def milliseconds(timeout: float | None, options: ClientOptions) -> int:
    """Return a time that the caller set for one call, as the field `timeout_ms` has it; 0 for none, and for no limit.

    Without one nothing is sent: with it the official server passes over errors of its parts in silence.

    Raises:
        InvalidArgumentError: not a number of seconds above 0.

    >>> milliseconds(0.2501, ClientOptions()), milliseconds(None, ClientOptions())
    (251, 0)
    """
    limit = None if timeout is None else seconds(timeout, options)
    return 0 if limit is None else min(_MAX_UINT32, math.ceil(limit * 1000))
