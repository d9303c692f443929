"""The asynchronous client: a thin shell around modules that know the operations, and a channel, which sends."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from vectron_client._async_base_client import AsyncBaseClient
from vectron_client._async_watch import AsyncWatch
from vectron_client._execution.call import flow
from vectron_client._execution.retries import seconds
from vectron_client._guide import guide
from vectron_client._protocol import extensions, operations, searches
from vectron_client._protocol.arguments import whole
from vectron_client._protocol.hits import SearchHits
from vectron_client._protocol.search_batches import SearchMany
from vectron_client._protocol.watching import Watching
from vectron_client._results import CollectionInfo, ExplainedSearch, PointOutcome, ScrollPage, ServerLimits
from vectron_client._transport.concurrency import async_ready, run_concurrently_async
from vectron_client.exceptions import MessageTooLargeError, VectronError
from vectron_client.filters import FilterLike
from vectron_client.models import (
    CollectionStatus,
    FeedbackItem,
    Point,
    SearchResult,
    UserProfile,
    VectorLike,
    VectorsLike,
)


class AsyncVectronClient(AsyncBaseClient):
    """Talks to a Vectron server. A context manager: leaving the block closes it.

    The connection is opened by the first call and opened again when it is lost. A client may be made before a fork and
    used on both sides, and may be shared (by threads, or by the tasks of one event loop after another).

    Every method takes `timeout`, the seconds the whole call may take, repeats included; None means the option's
    `timeout_seconds`. Every failure is a `VectronError`: reads are repeated where that can help, writes only with the
    option `retry_on_writes` and where the server recognises a repeat.

    The methods from `search_many` to `get_limits` are additions of this project's server. Other Vectron servers do not
    have them; there each raises a `VectronError` whose `code` is `UNIMPLEMENTED`, but for `search_many`, which sends
    single searches instead.

    Args:
        host: the address of the server's gRPC port, such as `localhost:8081`.
        api_key: an API key or a token, sent with every call; None sends none.
        options: everything else; the defaults when absent. Later changes to it do not reach this client.

    Raises:
        InvalidArgumentError: an argument or option makes no sense.
    """

    @staticmethod
    def help() -> tuple[str, dict[str, Any]]:
        """Describe the client: as text, and as a dictionary of operations, options and errors.

        >>> text, facts = AsyncVectronClient.help()
        >>> facts["operations"]["get"]
        {'signature': 'get(collection, point_id, *, timeout=None)', 'summary': 'One point with its vector and payload.'}
        """
        return guide(AsyncVectronClient)

    async def search_many(
        self,
        collection: str,
        vectors: VectorsLike,
        top_k: int = 10,
        *,
        filter: FilterLike | None = None,
        include_vectors: bool = False,
        include_payload: bool = True,
        exact: bool = False,
        ef: int = 0,
        concurrency: int = 8,
        timeout: float | None = None,
    ) -> list[SearchHits]:
        """Return the points nearest to each of many vectors, in far less time than as many searches take.

        All queries of a message are answered from one state of the collection.

        Args:
            collection: where to look.
            vectors: a numpy array of shape (queries, dimension), or a list of vectors as `search` takes them.
            top_k: how many at most for each; 0 leaves it to the server, which takes 10.
            filter: only points that match: a dictionary, or made with `vectron_client.field`.
            include_vectors: bring the vectors along.
            include_payload: bring the payloads along.
            exact: compare with every point instead of using an index.
            ef: breadth of the search in the graph, more finds more and takes longer; 0 leaves it to the server.
            concurrency: searches on their way at once on a server that takes one vector at a time.
            timeout: seconds for all of it.

        Returns:
            For each vector, in their order, its results, closest first: a sequence that makes each `SearchResult` when
            it is looked at, and has `ids` and `scores` (an array of float32) besides.

        Raises:
            InvalidArgumentError: a vector is empty, of another dimension than the first, or has a component that is not
                finite; `details["position"]` says which.
            NotFoundError: there is no such collection.

        Example::

            [hits.ids for hits in await client.search_many("docs", [[0.0, 1.0], [1.0, 0.0]], top_k=1)]  # [['b'], ['a']]
        """
        many = SearchMany(
            collection,
            vectors,
            top_k,
            self._options,
            seconds(timeout, self._options),
            include_vectors=include_vectors,
            include_payload=include_payload,
            filter=filter,
            exact=exact,
            ef=ef,
            budget=timeout,
        )
        at_once = whole("concurrency", concurrency, 1)
        try:
            while not many.done:
                try:
                    await run_concurrently_async(many.batches(self._retries), self._channel, 1, many.take_batch)
                except MessageTooLargeError as error:  # noqa: PERF203 - costs nothing beside a call
                    if not many.shrink():
                        call, deadline = many.next_search()
                        results = await self._search_in_pieces(call, deadline, error)
                        many.take_batch([SearchHits.of(results)])
        except VectronError as error:
            if error.code != "UNIMPLEMENTED":
                raise
            await run_concurrently_async(many.singles(self._retries), self._channel, at_once, many.take_single)
        return many.found

    async def explain_search(
        self,
        collection: str,
        vector: VectorLike,
        top_k: int = 10,
        *,
        filter: FilterLike | None = None,
        include_vectors: bool = False,
        include_payload: bool = True,
        exact: bool = False,
        ef: int = 0,
        query: str = "",
        timeout: float | None = None,
    ) -> ExplainedSearch:
        """Return the same search as `search`, and how it was answered: strategy, index, points compared, time.

        Example::

            explained = await client.explain_search("docs", [1.0, 0.0], top_k=1)
            [result.id for result in explained.results], explained.complete  # (['a'], True)
        """
        call = searches.search(
            collection,
            vector,
            top_k,
            self._options,
            include_vectors=include_vectors,
            include_payload=include_payload,
            query=query,
            filter=filter,
            exact=exact,
            ef=ef,
            budget=timeout,
            explain=True,
        )
        return await self._search(call, timeout)

    def scroll(
        self,
        collection: str,
        *,
        filter: FilterLike | None = None,
        order_by: str = "id",
        descending: bool = False,
        include_vectors: bool = False,
        include_payload: bool = True,
        page_size: int = 100,
        timeout: float | None = None,
    ) -> AsyncIterator[Point]:
        """Yield every point of a collection, or every one that matches, page after page.

        A point that is there from beginning to end, with its place in the order unchanged, comes exactly once.

        Args:
            collection: which.
            filter: only points that match.
            order_by: `id`, `created` or `updated`.
            descending: from the other end.
            include_vectors: bring the vectors along; they are empty otherwise.
            include_payload: bring the payloads along.
            page_size: points of one message; the server limits it (`get_limits().max_page`). Pages are shorter where so
                many points are larger than `ClientOptions.max_recv_message_length`.
            timeout: seconds for each page.

        Raises:
            InvalidArgumentError: an argument is wrong; at once.
            NotFoundError: there is no such collection.

        Example::

            [point.id async for point in client.scroll("docs", order_by="id")]  # ['a', 'b', 'c']
        """
        page_at = extensions.scroll(
            collection,
            filter=filter,
            order_by=order_by,
            descending=descending,
            include_vectors=include_vectors,
            include_payload=include_payload,
            page_size=page_size,
        )
        seconds(timeout, self._options)
        return self._walk(page_at, page_size, timeout)

    async def scroll_page(
        self,
        collection: str,
        cursor: str = "",
        *,
        filter: FilterLike | None = None,
        order_by: str = "id",
        descending: bool = False,
        include_vectors: bool = False,
        include_payload: bool = True,
        page_size: int = 100,
        timeout: float | None = None,
    ) -> ScrollPage:
        """Return one page of what `scroll` walks through, for those who come back later for the next.

        Args:
            collection: which.
            cursor: of the page before; empty for the first. It goes with the other arguments, which must not change.
            filter: as for `scroll`, and so are the others.
            order_by: `id`, `created` or `updated`.
            descending: from the other end.
            include_vectors: bring the vectors along.
            include_payload: bring the payloads along.
            page_size: most points; fewer come where so many are larger than `ClientOptions.max_recv_message_length`.
            timeout: seconds for the call.

        Example::

            page = await client.scroll_page("docs", page_size=2)
            rest = await client.scroll_page("docs", page.cursor, page_size=2)
            len(page.points), [point.id for point in rest.points], rest.cursor  # (2, ['c'], '')
        """
        page_at = extensions.scroll(
            collection,
            filter=filter,
            order_by=order_by,
            descending=descending,
            include_vectors=include_vectors,
            include_payload=include_payload,
            page_size=page_size,
        )
        return await self._page(page_at, cursor, page_size, timeout)

    async def count(self, collection: str, filter: FilterLike | None = None, *, timeout: float | None = None) -> int:
        """Return how many points there are, or match; exact.

        Raises:
            NotFoundError: there is no such collection.

        Example::

            await client.count("docs"), await client.count("docs", {"path": "year", "range": {"gte": 2024}})  # (3, 1)
        """
        return await self._run(extensions.count(collection, filter), timeout)

    async def delete_where(self, collection: str, filter: FilterLike, *, timeout: float | None = None) -> int:
        """Delete every point that matches, in one transaction, and tells how many they were.

        Raises:
            InvalidArgumentError: there is no filter, or it has no condition and so matches everything;
                `vectron_client.everything()` says that you mean it.
            NotFoundError: there is no such collection.

        Example::

            await client.delete_where("docs", {"path": "year", "lt": 1900})  # 0
        """
        return await self._run(extensions.delete_where(collection, filter), timeout)

    async def upsert_if(
        self,
        collection: str,
        points: Iterable[Point],
        *,
        if_absent: bool = False,
        if_version: Mapping[str, int] | None = None,
        if_match: FilterLike | None = None,
        timeout: float | None = None,
    ) -> list[PointOutcome]:
        """Store those points for which a condition holds, in one transaction, and tells what became of each.

        Args:
            collection: where to.
            points: in one message.
            if_absent: no point of that id may exist.
            if_version: id to the version that the stored point must have, as an earlier outcome told it.
            if_match: a filter that the stored point must match.
            timeout: seconds for the call.

        Raises:
            InvalidArgumentError: there is no condition, or a point is wrong.
            MessageTooLargeError: the points do not fit into one message.
            NotFoundError: there is no such collection.

        Example::

            [outcome] = await client.upsert_if("docs", [Point("a", [1.0, 0.0])], if_absent=True)
            outcome.status  # 'skipped'
        """
        call = extensions.upsert_if(
            collection, points, self._options, if_absent=if_absent, if_version=if_version, if_match=if_match
        )
        return [] if call is None else await self._run(call, timeout)

    def watch(
        self,
        collection: str,
        *,
        filter: FilterLike | None = None,
        since: str | None = None,
        include_payload: bool = False,
        include_text: bool = False,
        timeout: float | None = None,
    ) -> AsyncWatch:
        """Return an iterator over the changes of a collection, which waits for the next one without an end.

        Every change comes, in the order of the collection. When the connection breaks or the server restarts, the
        iterator opens the stream again and goes on where it was; nothing is lost or repeated.

        Args:
            collection: which; `tokens` as well.
            filter: which points to watch. Deletions always come; so does an update after which the point does not
                match, with `matches` false.
            since: where to begin: the `position` of an earlier change or watch, `oldest` for the oldest change that the
                server holds, or None for now.
            include_payload: whether changes bring the payload along, as it is at delivery.
            include_text: whether changes bring the text along, as it is at delivery.
            timeout: seconds for opening the stream. Waiting for a change has no limit.

        Raises:
            NotFoundError: there is no such collection; while reading: it was dropped.
            AuthenticationError: the credential is missing or invalid; while reading: it was revoked or has expired.
            PositionExpiredError: the server no longer holds all changes after the position; `oldest` is where it goes
                on.
            InvalidArgumentError: an argument is wrong, or the position is of a collection that was dropped.
            RateLimitError: too many streams are open.

        Example::

            watch = await client.watch("docs", include_payload=True)
            await client.upsert("docs", [Point("a", [1.0, 0.0], {"title": "first"})])
            change = await anext(watch)
            change.type, change.id, change.point.payload  # ('updated', 'a', {'title': 'first'})
            change.position == watch.position  # True
            await watch.close()
        """
        watching = Watching(
            collection,
            self._retries,
            seconds(timeout, self._options),
            filter=filter,
            since=since,
            include_payload=include_payload,
            include_text=include_text,
        )
        return async_ready(AsyncWatch(watching, self._channel))

    async def get_collection_info(self, name: str, *, timeout: float | None = None) -> CollectionInfo:
        """Return a collection in numbers: points, how many of them are indexed, bytes on disk.

        Raises:
            NotFoundError: there is none of that name.

        Example::

            info = await client.get_collection_info("docs")
            info.count, info.dimension, info.distance, info.state  # (3, 2, 'cosine', 'ready')
        """
        return await self._run(extensions.get_collection_info(name), timeout)

    async def get_limits(self, *, timeout: float | None = None) -> ServerLimits:
        """Return the largest things the server takes: bytes of a message, points of a request, `top_k`, dimensions.

        Example::

            (await client.get_limits()).default_top_k  # 10
        """
        return await self._run(extensions.get_limits(), timeout)

    async def create_collection(
        self,
        name: str,
        dimension: int,
        distance: str = "euclidean",
        *,
        quantization: str = "",
        timeout: float | None = None,
    ) -> None:
        """Create an empty collection.

        Args:
            name: its name.
            dimension: components of each of its vectors, 1 or more.
            distance: `cosine`, `euclidean` or `dot`; what scores mean, see `SearchResult`.
            quantization: how its index stores a component: `int8`, `float16` or `float32`; empty leaves it to the
                server. Vectors are kept as sent, whatever the index does. An extension of this project's server.
            timeout: seconds for the call.

        Raises:
            AlreadyExistsError: the name is taken.
            InvalidArgumentError: the name is empty, the dimension below 1, or distance or quantization unknown.
            VectronError: the server has created the collection, but does not know `quantization`; its `code` is
                `UNIMPLEMENTED`.
        """
        await self._run(operations.create_collection(name, dimension, distance, quantization), timeout)

    async def delete_collection(self, name: str, *, timeout: float | None = None) -> None:
        """Delete a collection with all its points.

        Raises:
            NotFoundError: there is none of that name.
            FailedPreconditionError: it belongs to the system.
        """
        await self._run(operations.delete_collection(name), timeout)

    async def list_collections(self, *, timeout: float | None = None) -> list[str]:
        """Return the names of all collections."""
        return await self._run(operations.list_collections(), timeout)

    async def get_collection_status(self, name: str, *, timeout: float | None = None) -> CollectionStatus:
        """Return dimension, distance and shards of a collection.

        Raises:
            NotFoundError: there is none of that name.
        """
        return await self._run(operations.get_collection_status(name), timeout)

    async def upsert(self, collection: str, points: Iterable[Point], *, timeout: float | None = None) -> int:
        """Store points in one message, replacing those of the same id: all of them or, after an error, none.

        Args:
            collection: where to.
            points: any number; none at all sends nothing. Vectors are checked before anything is sent.
            timeout: seconds for the call.

        Returns:
            The number of points sent. Points of the same id are counted each, and the last of them is stored;
            `len({point.id for point in points})` is the number of distinct ones.

        Raises:
            InvalidArgumentError: a point is wrong; message and `details` name its id and position.
            MessageTooLargeError: they are too many for one message; `upsert_batch` splits them.
            NotFoundError: there is no such collection.
        """
        call = operations.upsert(collection, points, self._options, self._forms)
        return 0 if call is None else await self._run(call, timeout)

    async def upsert_batch(
        self,
        collection: str,
        points: Iterable[Point],
        batch_size: int = 256,
        concurrency: int = 1,
        *,
        timeout: float | None = None,
    ) -> int:
        """Store any number of points in as many messages as it takes; each message is stored whole or not at all.

        The points are read as they are needed, so that a generator of millions is fine.

        Args:
            collection: where to.
            points: vectors are checked before their message is sent.
            batch_size: most points in a message. Options limit its bytes: `max_batch_bytes`, `max_send_message_length`.
            concurrency: messages on their way at once; beyond 1 they may be stored in any order.
            timeout: seconds for each message.

        Returns:
            The number of points sent; points of the same id are counted each, and the last of them is stored.

        Raises:
            VectronError: the first error. Messages still on their way are cancelled; `details["upserted"]` counts the
                points that the server had confirmed by then.
        """
        limit = seconds(timeout, self._options)
        at_once = whole("concurrency", concurrency, 1)
        stored: list[int] = []
        batches = operations.upsert_batches(collection, points, batch_size, self._options, self._forms)
        flows = (flow(call, self._retries, limit) for call in batches)
        try:
            await run_concurrently_async(flows, self._channel, at_once, stored.append)
        except VectronError as error:
            error.details["upserted"] = sum(stored)
            raise
        return sum(stored)

    async def search(
        self,
        collection: str,
        vector: VectorLike,
        top_k: int = 10,
        *,
        include_vectors: bool = False,
        include_payload: bool = True,
        query: str = "",
        filter: FilterLike | None = None,
        exact: bool = False,
        ef: int = 0,
        timeout: float | None = None,
    ) -> list[SearchResult]:
        """Return the points nearest to a vector, closest first; `score` is a distance, so lower is closer.

        Args:
            collection: where to look.
            vector: list, tuple, numpy array or buffer, of the collection's dimension.
            top_k: how many at most; 0 leaves it to the server, which takes 10.
            include_vectors: bring the vectors along.
            include_payload: bring the payloads along.
            query: text for servers that rerank results by it.
            filter: only points that match: a dictionary, or made with `vectron_client.field`.
            exact: compare with every point instead of using an index.
            ef: breadth of the search in the graph, more finds more and takes longer; 0 leaves it to the server.
            timeout: seconds for the call; the server stops working on it then.

        Raises:
            InvalidArgumentError: the vector is empty, of another dimension, or has a component that is not finite.
            NotFoundError: there is no such collection.
            VectronError: `UNIMPLEMENTED`: the server has no filter, exact or ef, and would have ignored them.

        Example::

            [result.id for result in await client.search("docs", [1.0, 0.0], top_k=2)]  # ['a', 'c']
        """
        call = searches.search(
            collection,
            vector,
            top_k,
            self._options,
            include_vectors=include_vectors,
            include_payload=include_payload,
            query=query,
            filter=filter,
            exact=exact,
            ef=ef,
            budget=timeout,
        )
        return await self._search(searches.results_of(call), timeout)

    def search_stream(
        self,
        collection: str,
        vector: VectorLike,
        top_k: int = 10,
        *,
        include_vectors: bool = False,
        include_payload: bool = True,
        query: str = "",
        filter: FilterLike | None = None,
        exact: bool = False,
        ef: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[list[SearchResult]]:
        """Yield a search in snapshots: each takes the place of the one before, the last one is exact.

        The call begins with the first snapshot that is asked for and is cancelled when the iterator is closed. It is
        repeated only as long as no snapshot has come.

        Args:
            collection: where to look.
            vector: as for `search`.
            top_k: how many at most in each snapshot.
            include_vectors: bring the vectors along; the official server refuses that here.
            include_payload: bring the payloads along.
            query: text for servers that rerank results by it.
            filter: only points that match; `exact` and `ef` are as for `search` too.
            exact: compare with every point instead of using an index.
            ef: breadth of the search in the graph.
            timeout: seconds for the whole stream.

        Raises:
            InvalidArgumentError: as for `search`, and at once.
            NotFoundError: there is no such collection.
        """
        call = searches.search(
            collection,
            vector,
            top_k,
            self._options,
            include_vectors=include_vectors,
            include_payload=include_payload,
            query=query,
            filter=filter,
            exact=exact,
            ef=ef,
            budget=timeout,
        )
        return self._snapshots(call, seconds(timeout, self._options))

    async def get(self, collection: str, point_id: str, *, timeout: float | None = None) -> Point:
        """Return one point with its vector and payload.

        Raises:
            NotFoundError: there is no such collection or point.
        """
        return await self._run(operations.get(collection, point_id), timeout)

    async def delete(self, collection: str, point_id: str, *, timeout: float | None = None) -> None:
        """Delete a point; one that does not exist is no error.

        Raises:
            NotFoundError: there is no such collection.
        """
        await self._run(operations.delete(collection, point_id), timeout)

    async def submit_feedback(
        self,
        collection: str,
        items: Iterable[FeedbackItem],
        *,
        query: str = "",
        result_ids: Iterable[str] = (),
        context: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> str:
        """Tell the server what somebody thought of the results of a search.

        Args:
            collection: where the search looked.
            items: one judgement or more.
            query: the text that was searched for.
            result_ids: ids of all results that were shown.
            context: facts to keep with it, text to text.
            timeout: seconds for the call.

        Returns:
            The id under which it is kept.

        Raises:
            InvalidArgumentError: there are no items, or a relevance is not from 1 to 5.
        """
        call = operations.submit_feedback(collection, items, query=query, result_ids=result_ids, context=context)
        return await self._run(call, timeout)

    async def update_user_profile(self, plan: str, *, timeout: float | None = None) -> UserProfile:
        """Set the plan of one's own account, `FREE` or `PAID`, and gives the profile.

        Raises:
            InvalidArgumentError: there is no such plan.
        """
        return await self._run(operations.update_user_profile(plan), timeout)
