"""Base of the asynchronous clients: opening, closing, options, sending one call."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, TypeVar

from vectron_client._copying import Uncopied, twin
from vectron_client._execution.call import Call, answered, flow
from vectron_client._execution.retries import RetryPlan, seconds
from vectron_client._options import ClientOptions, changed_options, own_options
from vectron_client._protocol.extensions import PageAt
from vectron_client._protocol.payloads import ServerForms
from vectron_client._protocol.searches import Pieces, results_of, snapshots_of
from vectron_client._results import ExplainedSearch, ScrollPage
from vectron_client._transport.channel import AsyncChannel
from vectron_client._transport.endpoint import endpoint
from vectron_client._wirekit.deadline import Deadline
from vectron_client._wirekit.flow import run_async
from vectron_client.exceptions import InternalServerError, MessageTooLargeError
from vectron_client.models import Point, SearchResult

T = TypeVar("T")
C = TypeVar("C", bound="AsyncBaseClient")


class AsyncBaseClient(Uncopied):
    """A connection to a server, and how calls go over it; the operations are for subclasses.

    Args:
        host: the address of the server's gRPC port, such as `localhost:8081`.
        api_key: an API key or a token, sent with every call; None sends none.
        options: everything else; the defaults when absent. Later changes to it do not reach this client.

    Raises:
        InvalidArgumentError: an argument or option makes no sense.
    """

    def __init__(self, host: str, api_key: str | None = None, options: ClientOptions | None = None) -> None:
        self._options = own_options(options)
        self._retries = RetryPlan(self._options)
        self._forms = ServerForms()
        self._channel = AsyncChannel(endpoint(host, api_key, self._options))
        self._host = host

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self._host!r})"

    async def __aenter__(self: C) -> C:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls after this raise a `VectronError`. Closing again does nothing."""
        await self._channel.close()

    def with_options(self: C, **changes: Any) -> C:
        """Return a client with other options on the same connection; closing either closes both.

        Args:
            changes: fields of `ClientOptions` that are about calls: `timeout_seconds`, `expected_vector_dim`,
                `max_batch_bytes`, `compression`, `hedged_reads`, `hedge_delay_ms`, `retryable_statuses` and those named
                `retry_…`.

        Raises:
            InvalidArgumentError: a value makes no sense, there is no such option, or it belongs to the connection.
        """
        other = twin(self)
        other._options = changed_options(self._options, changes)
        other._retries = RetryPlan(other._options)
        return other

    async def _run(self, call: Call[T], timeout: float | None) -> T:
        return await run_async(flow(call, self._retries, seconds(timeout, self._options)), self._channel.perform)

    async def _stream(self, call: Call[T], timeout: float | None) -> AsyncIterator[T]:
        stream = await run_async(answered(call, self._retries, timeout), self._channel.perform)
        try:
            async for answer in stream:
                yield call.result(answer)
        finally:
            stream.cancel()

    async def _search(self, call: Call[T], timeout: float | None) -> T:
        """Run a search; in pieces where its answer does not fit into one message."""
        limit = seconds(timeout, self._options)
        deadline = Deadline.after(limit)
        try:
            return await run_async(flow(call, self._retries, limit), self._channel.perform)
        except MessageTooLargeError as error:
            return await self._search_in_pieces(call, deadline, error)

    async def _search_in_pieces(self, call: Call[T], deadline: Deadline, reason: MessageTooLargeError) -> T:
        if reason.error_code is not None:  # the server's own limit, which holds for pieces too
            raise reason
        pieces = Pieces(call, self._options, reason)
        stream = await run_async(answered(pieces.request, self._retries, deadline.timeout()), self._channel.perform)
        try:
            async for answer in stream:
                pieces.take(answer)
        finally:
            stream.cancel()
        return call.result(pieces.joined())

    async def _snapshots(self, call: Call[ExplainedSearch], timeout: float | None) -> AsyncIterator[list[SearchResult]]:
        """Stream a search; the last snapshot in pieces where it does not fit into one message."""
        deadline = Deadline.after(timeout)
        snapshots: Any = self._stream(snapshots_of(call), timeout)
        try:
            async with aclosing(snapshots):
                async for results in snapshots:
                    yield results
        except MessageTooLargeError as error:
            yield await self._search_in_pieces(results_of(call), deadline, error)

    async def _page(self, page_at: PageAt, cursor: str, page_size: int, timeout: float | None) -> ScrollPage:
        """Return one page, of fewer points where as many as were asked for do not fit into an answer."""
        while True:
            try:
                return await self._run(page_at(cursor, page_size), timeout)
            except MessageTooLargeError:  # noqa: PERF203 - costs nothing beside a call
                if page_size == 1:
                    raise
                page_size //= 2

    async def _walk(self, page_at: PageAt, page_size: int, timeout: float | None) -> AsyncIterator[Point]:
        cursor = ""
        while True:
            page = await self._page(page_at, cursor, page_size, timeout)
            # After a page that had to shrink, ask for a little more than fitted: sizes of payloads differ.
            fitted = len(page.points)
            page_size = min(page_size, fitted + fitted // 8 + 1)
            for point in page.points:
                yield point
            if not page.cursor:
                return
            if page.cursor == cursor:
                raise InternalServerError("the server returns the same page of points again and again")
            cursor = page.cursor
