"""Finding tokens; asynchronous."""

import builtins
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from neurograph import decoding, token_calls
from neurograph.async_executor import AsyncExecutor
from neurograph.filters import FilterLike
from neurograph.models import TokenQueryResult
from neurograph.unset import UNSET, Timeout


class AsyncTokenQueries:
    """The part of `tokens` that finds the nearest ones."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def query(
        self,
        query_vector: Any = None,
        top_k: int = 10,
        threshold: float | None = None,
        *,
        text: str | None = None,
        token_id: int | None = None,
        filter: FilterLike | None = None,
        offset: int = 0,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> builtins.list[TokenQueryResult]:
        """Finds the tokens nearest to a vector, to a text, or to another token.

        Args:
            query_vector: as many components as the server's model has.
            top_k: most hits to return; 0 means the server's default.
            threshold: least cosine similarity of a hit, from −1 to 1, itself included.
            text: instead of a vector; the server embeds it as it embeds tokens.
            token_id: instead of a vector; that token is itself not among the hits.
            filter: only tokens whose metadata match: a dictionary, or made with `neurograph.field`.
            offset: hits to skip, nearest first.
            include: parts of the tokens to return, of `text`, `metadata` and `embedding`; all when absent.
                Others are empty.
            timeout: seconds for this call; else the client's.

        Returns:
            Hits by falling similarity; among equals the newest token first.

        Raises:
            ValidationError: wrong dimension, a component that is no finite number, `top_k` out of range, a
                filter that is none, or not exactly one of vector, text and id.
            NotFoundError: there is no token with this id.

        >>> made = await client.tokens.create_many(["red apple", "blue sky"])
        >>> hits = await client.tokens.query(text="red apple", top_k=1)
        >>> [(hit.token.text, round(hit.similarity, 2)) for hit in hits]
        [('red apple', 1.0)]
        """
        call = token_calls.query_tokens(
            query_vector,
            text,
            token_id,
            top_k=top_k,
            threshold=threshold,
            filter=filter,
            offset=offset,
            include=include,
        )
        return await self._executor.run(call, timeout)

    async def query_many(
        self,
        query_vectors: Any = None,
        top_k: int = 10,
        threshold: float | None = None,
        *,
        texts: Sequence[str] | None = None,
        filter: FilterLike | None = None,
        offset: int = 0,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> builtins.list[builtins.list[TokenQueryResult]]:
        """Finds the tokens nearest to each of many vectors or texts, in one request.

        Args:
            query_vectors: vectors, or a matrix of shape (queries, dimension).
            texts: instead of vectors.
            top_k: most hits for each; the other arguments as in `query`.
            threshold: see `query`.
            filter: see `query`.
            offset: see `query`.
            include: see `query`.
            timeout: seconds for this call; else the client's.

        Returns:
            A list of hits per query, in the order asked.

        Raises:
            ValidationError: as in `query`; names the vector at fault.
            PayloadTooLargeError: more queries than the server takes at once.

        >>> made = await client.tokens.create_many(["red apple", "blue sky"])
        >>> lists = await client.tokens.query_many(texts=["sky", "apple"], top_k=1)
        >>> [hits[0].token.text for hits in lists]
        ['blue sky', 'red apple']
        """
        call = token_calls.query_many_tokens(
            query_vectors, texts, top_k=top_k, threshold=threshold, filter=filter, offset=offset, include=include
        )
        return await self._executor.run(call, timeout)

    async def query_stream(
        self,
        query_vector: Any = None,
        top_k: int = 10,
        threshold: float | None = None,
        *,
        text: str | None = None,
        token_id: int | None = None,
        filter: FilterLike | None = None,
        offset: int = 0,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> AsyncIterator[TokenQueryResult]:
        """As `query`, but yields each hit as it arrives, so that large answers need little memory.

        Args:
            query_vector: this and the others as in `query`.
            top_k: see `query`.
            threshold: see `query`.
            text: see `query`.
            token_id: see `query`.
            filter: see `query`.
            offset: see `query`.
            include: see `query`.
            timeout: seconds for each wait; else the client's.

        Raises:
            ConnectionError: the stream broke off; what came before is right.
            ValidationError: as in `query`.

        >>> made = await client.tokens.create_many(["red apple", "blue sky"])
        >>> [hit.token.text async for hit in client.tokens.query_stream(text="sky", top_k=1)]
        ['blue sky']
        """
        call = token_calls.stream_query(
            query_vector,
            text,
            token_id,
            top_k=top_k,
            threshold=threshold,
            filter=filter,
            offset=offset,
            include=include,
        )
        async with aclosing(self._executor.lines(call, timeout)) as lines:
            async for line in lines:
                for hit in decoding.hit_piece(line):
                    yield hit
