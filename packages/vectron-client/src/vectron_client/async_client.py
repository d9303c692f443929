"""The asynchronous client: a thin shell around modules that know the operations, and a channel, which sends."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from vectron_client import account, calls, search_calls
from vectron_client.arguments import whole
from vectron_client.async_extensions import AsyncExtensions
from vectron_client.call import flow
from vectron_client.exceptions import VectronError
from vectron_client.filters import FilterLike
from vectron_client.guide import guide
from vectron_client.lanes import run_lanes_async
from vectron_client.models import CollectionStatus, FeedbackItem, Point, SearchResult, UserProfile, VectorLike
from vectron_client.retries import seconds


class AsyncVectronClient(AsyncExtensions):
    """Talks to a Vectron server. A context manager: leaving the block closes it.

    The connection is opened by the first call and opened again when it is lost. A client may be made before a fork and
    used on both sides, and may be shared (by threads, or by the tasks of one event loop after another).

    Every method takes `timeout`, the seconds the whole call may take, repeats included; None means the option's
    `timeout_seconds`. Every failure is a `VectronError`: reads are repeated where that can help, writes only with the
    option `retry_on_writes` and where the server recognises a repeat.

    Args:
        host: the address of the server's gRPC port, such as `localhost:8081`.
        api_key: an API key or a token, sent with every call; None sends none.
        options: everything else; the defaults when absent. Later changes to it do not reach this client.

    Raises:
        InvalidArgumentError: an argument or option makes no sense.
    """

    @staticmethod
    def help() -> tuple[str, dict[str, Any]]:
        """What a client can do: as text, and as a dictionary of operations, options and errors.

        >>> text, facts = AsyncVectronClient.help()
        >>> facts["operations"]["get"]
        {'signature': 'get(collection, point_id, *, timeout=None)', 'summary': 'One point with its vector and payload.'}
        """
        return guide(AsyncVectronClient)

    async def create_collection(
        self,
        name: str,
        dimension: int,
        distance: str = "euclidean",
        *,
        quantization: str = "",
        timeout: float | None = None,
    ) -> None:
        """Creates an empty collection.

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
        await self._run(calls.create_collection(name, dimension, distance, quantization), timeout)

    async def delete_collection(self, name: str, *, timeout: float | None = None) -> None:
        """Deletes a collection with all its points.

        Raises:
            NotFoundError: there is none of that name.
            FailedPreconditionError: it belongs to the system.
        """
        await self._run(calls.delete_collection(name), timeout)

    async def list_collections(self, *, timeout: float | None = None) -> list[str]:
        """The names of all collections."""
        return await self._run(calls.list_collections(), timeout)

    async def get_collection_status(self, name: str, *, timeout: float | None = None) -> CollectionStatus:
        """Dimension, distance and shards of a collection.

        Raises:
            NotFoundError: there is none of that name.
        """
        return await self._run(calls.get_collection_status(name), timeout)

    async def upsert(self, collection: str, points: Iterable[Point], *, timeout: float | None = None) -> int:
        """Stores points in one message, replacing those of the same id: all of them or, after an error, none.

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
        call = calls.upsert(collection, points, self._options, self._forms)
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
        """Stores any number of points in as many messages as it takes; each message is stored whole or not at all.

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
        lanes = whole("concurrency", concurrency, 1)
        stored: list[int] = []
        batches = calls.upsert_batches(collection, points, batch_size, self._options, self._forms)
        flows = (flow(call, self._retries, limit) for call in batches)
        try:
            await run_lanes_async(flows, self._channel, lanes, stored.append)
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
        """The points nearest to a vector, closest first; `score` is a distance, so lower is closer.

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
        )
        return await self._search(search_calls.results_of(call), timeout)

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
        """The same search as a stream of snapshots: each takes the place of the one before, the last one is exact.

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
        )
        return self._snapshots(call, seconds(timeout, self._options))

    async def get(self, collection: str, point_id: str, *, timeout: float | None = None) -> Point:
        """One point with its vector and payload.

        Raises:
            NotFoundError: there is no such collection or point.
        """
        return await self._run(calls.get(collection, point_id), timeout)

    async def delete(self, collection: str, point_id: str, *, timeout: float | None = None) -> None:
        """Deletes a point; one that does not exist is no error.

        Raises:
            NotFoundError: there is no such collection.
        """
        await self._run(calls.delete(collection, point_id), timeout)

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
        """Tells the server what somebody thought of the results of a search.

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
        call = account.submit_feedback(collection, items, query=query, result_ids=result_ids, context=context)
        return await self._run(call, timeout)

    async def update_user_profile(self, plan: str, *, timeout: float | None = None) -> UserProfile:
        """Sets the plan of one's own account, `FREE` or `PAID`, and gives the profile.

        Raises:
            InvalidArgumentError: there is no such plan.
        """
        return await self._run(account.update_user_profile(plan), timeout)
