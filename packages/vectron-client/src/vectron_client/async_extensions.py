"""The operations that this project's server adds to Vectron's API, asynchronous."""

from collections.abc import AsyncIterator, Iterable, Mapping

from vectron_client import extension_calls, search_calls
from vectron_client.answers import CollectionInfo, ExplainedSearch, PointOutcome, ScrollPage, ServerLimits
from vectron_client.async_caller import AsyncCaller
from vectron_client.exceptions import MessageTooLargeError, VectronError
from vectron_client.filters import FilterLike
from vectron_client.hits import SearchHits
from vectron_client.lanes import run_lanes_async
from vectron_client.many import SearchMany
from vectron_client.models import Point, VectorLike, VectorsLike
from vectron_client.retries import seconds


class AsyncExtensions(AsyncCaller):
    """Searching for many vectors at once, filters, walks through collections, conditions, numbers.

    Other Vectron servers do not have them; there each raises a `VectronError` whose `code` is `UNIMPLEMENTED`, but for
    `search_many`, which sends single searches instead.
    """

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
        """The points nearest to each of many vectors, in far less time than as many searches take.

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
        lanes = many.lanes(concurrency)
        try:
            while not many.done:
                try:
                    await run_lanes_async(many.batches(self._retries), self._channel, 1, many.take_batch)
                except MessageTooLargeError as error:  # noqa: PERF203 - costs nothing beside a call
                    if not many.shrink():
                        call, deadline = many.next_search()
                        results = await self._search_in_pieces(call, deadline, error)
                        many.take_batch([SearchHits.of(results)])
        except VectronError as error:
            if error.code != "UNIMPLEMENTED":
                raise
            await run_lanes_async(many.singles(self._retries), self._channel, lanes, many.take_single)
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
        """The same search as `search`, and how it was answered: strategy, index, points compared, time.

        Example::

            explained = await client.explain_search("docs", [1.0, 0.0], top_k=1)
            [result.id for result in explained.results], explained.complete  # (['a'], True)
        """
        call = search_calls.search(
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
        """Every point of a collection, or every one that matches, page after page.

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
        page_at = extension_calls.scroll(
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
        """One page of what `scroll` walks through, for those who come back later for the next.

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
        page_at = extension_calls.scroll(
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
        """How many points there are, or match; exact.

        Raises:
            NotFoundError: there is no such collection.

        Example::

            await client.count("docs"), await client.count("docs", {"path": "year", "range": {"gte": 2024}})  # (3, 1)
        """
        return await self._run(extension_calls.count(collection, filter), timeout)

    async def delete_where(self, collection: str, filter: FilterLike, *, timeout: float | None = None) -> int:
        """Deletes every point that matches, in one transaction, and tells how many they were.

        Raises:
            InvalidArgumentError: there is no filter, or it has no condition and so matches everything;
                `vectron_client.everything()` says that you mean it.
            NotFoundError: there is no such collection.

        Example::

            await client.delete_where("docs", {"path": "year", "lt": 1900})  # 0
        """
        return await self._run(extension_calls.delete_where(collection, filter), timeout)

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
        """Stores those points for which a condition holds, in one transaction, and tells what became of each.

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
        call = extension_calls.upsert_if(
            collection, points, self._options, if_absent=if_absent, if_version=if_version, if_match=if_match
        )
        return [] if call is None else await self._run(call, timeout)

    async def get_collection_info(self, name: str, *, timeout: float | None = None) -> CollectionInfo:
        """A collection in numbers: points, how many of them are indexed, bytes on disk.

        Raises:
            NotFoundError: there is none of that name.

        Example::

            info = await client.get_collection_info("docs")
            info.count, info.dimension, info.distance, info.state  # (3, 2, 'cosine', 'ready')
        """
        return await self._run(extension_calls.get_collection_info(name), timeout)

    async def get_limits(self, *, timeout: float | None = None) -> ServerLimits:
        """The largest things the server takes: bytes of a message, points of a request, `top_k`, dimensions.

        Example::

            (await client.get_limits()).default_top_k  # 10
        """
        return await self._run(extension_calls.get_limits(), timeout)
