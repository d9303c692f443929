"""Tokens: texts with their vectors; asynchronous."""

import builtins
import copy
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from neurograph._arguments import UNSET, Timeout, Unset
from neurograph._concurrency import AsyncItems
from neurograph._execution.async_executor import AsyncExecutor
from neurograph._protocol import decoding, operations, token_operations
from neurograph._protocol.encoding import checked, ids
from neurograph._protocol.operations import NewToken
from neurograph._wirekit import values
from neurograph._wirekit.paging import OffsetWalk
from neurograph.exceptions import NeuroGraphError, ValidationError
from neurograph.filters import FilterLike
from neurograph.models import DeletedTokens, Token, TokenPage, TokenQueryResult

if TYPE_CHECKING:
    from neurograph._bulk.progress import Progress
    from neurograph._bulk.results import BulkResult


class AsyncLinkedTokenPage(TokenPage):
    """A page of tokens: a plain list that knows its `total`, whether it `has_more`, and its next page.

    A copy knows its next page too. Pickled, it becomes a TokenPage, which has no connection to fetch anything with.
    """

    def __init__(
        self, page: TokenPage, executor: AsyncExecutor, filter: FilterLike | None, include: Sequence[str] | None
    ) -> None:
        super().__init__(page, total=page.total, limit=page.limit, offset=page.offset)
        self._executor = executor
        self._filter = filter
        self._include = include

    def __copy__(self) -> "AsyncLinkedTokenPage":
        return AsyncLinkedTokenPage(self, self._executor, self._filter, self._include)

    def __deepcopy__(self, memo: dict[int, Any]) -> "AsyncLinkedTokenPage":
        tokens = TokenPage(copy.deepcopy(list(self), memo), total=self.total, limit=self.limit, offset=self.offset)
        return AsyncLinkedTokenPage(tokens, self._executor, self._filter, self._include)

    async def next_page(self, *, timeout: Timeout = UNSET) -> "AsyncLinkedTokenPage":
        """Read the tokens after this page; an empty page at the end.

        Tokens deleted meanwhile move the rest up, so that some may be missed; `tokens.iterate` misses none.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            NeuroGraphError: as in `tokens.list`.

        >>> made = await client.tokens.create_many(["one", "two", "three"])
        >>> page = await client.tokens.list(limit=2)
        >>> page = await page.next_page()
        >>> [token.text for token in page], page.has_more
        (['three'], False)
        """
        offset = self.offset + len(self)
        call = token_operations.list_tokens(self.limit, offset, self._filter, self._include)
        return AsyncLinkedTokenPage(
            await self._executor.run(call, timeout), self._executor, self._filter, self._include
        )


class AsyncTokens:
    """Create, read, change, remove and find tokens.

    A vector argument may be a list, a tuple, an `array.array`, a numpy array, or anything else with the
    buffer protocol. Every method may raise any NeuroGraphError; those named are the ones to expect.

    >>> token = await client.tokens.create(text="hello")
    >>> hits = await client.tokens.query(query_vector=token.embedding, top_k=1)
    >>> hits[0].token.text
    'hello'
    """

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def create(
        self,
        text: str,
        metadata: Mapping[str, Any] | None = None,
        embedding: Any = None,
        *,
        coordinates: Mapping[str, Sequence[float] | None] | None = None,
        weight: float | None = None,
        field_radius: float | None = None,
        field_strength: float | None = None,
        idempotency_key: str | None = None,
        timeout: Timeout = UNSET,
    ) -> Token:
        """Create a token, once: should the answer be lost, the request is repeated under the same idempotency key.

        Args:
            text: what it says.
            metadata: any JSON object.
            embedding: its vector; the server embeds the text when absent.
            coordinates: name of a level of Grid, such as `L4Emotional`, to x, y and z; the server derives the others.
            weight: from 0 to 1; the server's default is 0.5.
            field_radius: distance at which the influence of the token ends; the server's default is 1.
            field_strength: influence at its own place, from 0 to 1; the server's default is 1.
            idempotency_key: a name of your own for this creation, so that it also happens once when your
                program repeats it within 24 hours; made up when absent.
            timeout: seconds for this call; else the client's.

        Raises:
            ValidationError: empty or too long a text, wrong dimension, metadata that JSON cannot carry.
            ConflictError: the key was used for another token.

        >>> token = await client.tokens.create(text="hello world", metadata={"lang": "en"})
        >>> token.text, token.metadata, len(token.embedding)
        ('hello world', {'lang': 'en'}, 256)
        """
        placement = {
            "coordinates": coordinates,
            "weight": weight,
            "field_radius": field_radius,
            "field_strength": field_strength,
        }
        call = operations.create_token(text, metadata, embedding, idempotency_key, placement)
        return await self._executor.run(call, timeout)

    async def create_many(
        self,
        items: AsyncItems[NewToken],
        *,
        on_error: Literal["raise", "collect"] = "raise",
        progress: "Progress" = None,
        max_in_flight: int = 1,
        keep_tokens: bool = True,
        journal: str | os.PathLike[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> "BulkResult":
        """Create many tokens in few requests.

        The items are read as they are needed and sent in batches, cut by count, by bytes and by the limits of
        the server, and halved when it finds one too large. Each batch is written completely or not at all, and
        once, however often it has to be sent.

        Args:
            items: texts, dictionaries with `text` and optionally the other arguments of `create`, or TokenCreate
                models; any iterable, also an endless file. The asynchronous client takes asynchronous ones too.
            on_error: `raise` stops at the first error; `collect` goes on without the items at fault and returns
                them in `failed`. Refused credentials always stop.
            progress: a function of the items done and the items in all (None when unknown), or True for a bar
                on the terminal (needs rich).
            max_in_flight: requests under way at once. The synchronous client starts no threads and always has
                one.
            keep_tokens: False keeps only the ids of what was created, so that memory stays bounded.
            journal: path of a file that remembers what was sent. The same call with the same items and the same
                journal goes on where an earlier one ended, within a day also when its process was killed in the middle
                of a request; every item is created exactly once.
            timeout: seconds for each batch, its repeats included; else the client's.

        Returns:
            The tokens in the order of the items: a list that also knows `failed`, `failed_items` (to be passed
            again) and `created_ids`.

        Raises:
            ValidationError: an item is wrong; its batch was not written. `details["created_ids"]` of
                this and any other error lists the tokens created before it. Or the journal was begun with other items.
            ConfigurationError: the journal is in use, or cannot be used.

        >>> result = await client.tokens.create_many(["one", "", "three"], on_error="collect")
        >>> [token.text for token in result], [failure.index for failure in result.failed]
        (['one', 'three'], [1])
        """
        max_in_flight = checked(values.whole, max_in_flight, "max_in_flight", 1)
        if on_error not in ("raise", "collect"):
            raise ValidationError.of("on_error", "must be 'raise' or 'collect'")
        # Most programs never get here, and whoever does has time: what a load needs is imported now.
        from neurograph._bulk.async_load import async_load

        return await async_load(
            self._executor,
            items,
            collect=on_error == "collect",
            progress=progress,
            max_in_flight=max_in_flight,
            keep=keep_tokens,
            journal=journal,
            timeout=timeout,
        )

    async def get(self, token_id: int, *, include: Sequence[str] | None = None, timeout: Timeout = UNSET) -> Token:
        """Read one token.

        Args:
            token_id: which token.
            include: parts of the token to return, of `text`, `metadata`, `embedding` and `coordinates`; all but the
                coordinates when absent.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is none with this id.

        >>> made = await client.tokens.create(text="hello")
        >>> token = await client.tokens.get(made.id)
        >>> token.text
        'hello'
        """
        return await self._executor.run(operations.get_token(token_id, include), timeout)

    async def list(
        self,
        limit: int = 100,
        offset: int = 0,
        *,
        filter: FilterLike | None = None,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> AsyncLinkedTokenPage:
        """Read a page of tokens, by rising id.

        Args:
            limit: most tokens to return.
            offset: tokens to skip.
            filter: only tokens whose metadata match: a dictionary, or made with `neurograph.field`.
            include: parts of the tokens to return, of `text`, `metadata`, `embedding` and `coordinates`; all but
                the coordinates when absent.
            timeout: seconds for this call; else the client's.

        Returns:
            A list that also knows the `total`, whether it `has_more`, and its `next_page()`.

        Raises:
            ValidationError: limit or offset out of range, or a filter that is none.

        >>> made = await client.tokens.create_many(["one", "two", "three"])
        >>> page = await client.tokens.list(limit=2)
        >>> [token.text for token in page], page.total, page.has_more
        (['one', 'two'], 3, True)
        """
        page = await self._executor.run(token_operations.list_tokens(limit, offset, filter, include), timeout)
        return AsyncLinkedTokenPage(page, self._executor, filter, include)

    async def iterate(
        self,
        page_size: int = 100,
        *,
        filter: FilterLike | None = None,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> AsyncIterator[Token]:
        """Walk over all tokens, by rising id, reading a page at a time.

        A token present throughout comes exactly once, also when others are deleted meanwhile.

        Args:
            page_size: tokens to read at a time. Pages are shorter where so many are larger than `max_response_bytes`
                or the server's limit of an answer.
            filter: see `list`.
            include: see `list`.
            timeout: seconds for each page; else the client's.

        Raises:
            ValidationError: page_size out of range, or a filter that is none.

        >>> made = await client.tokens.create_many(["one", "two", "three"])
        >>> [token.text async for token in client.tokens.iterate(page_size=2)]
        ['one', 'two', 'three']
        """
        page_size = checked(values.whole, page_size, "page_size", 1)
        walk = OffsetWalk[Token](page_size=page_size, key=lambda token: token.id)
        while (window := walk.window) is not None:
            offset, limit = window
            try:
                page = await self._executor.run(token_operations.list_tokens(limit, offset, filter, include), timeout)
            except NeuroGraphError as error:
                if not (token_operations.page_is_too_large(error) and walk.shrink()):
                    raise
                continue
            for token in walk.feed(page, page.total):
                yield token

    async def update(
        self,
        token_id: int,
        text: str | Unset | None = UNSET,
        embedding: Any = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        *,
        coordinates: Mapping[str, Sequence[float] | None] | Unset | None = UNSET,
        weight: float | Unset | None = UNSET,
        field_radius: float | Unset | None = UNSET,
        field_strength: float | Unset | None = UNSET,
        timeout: Timeout = UNSET,
    ) -> Token:
        """Change what is given of a token and leaves the rest.

        Args:
            token_id: which token.
            text: new text, embedded again unless an embedding is given too; None clears it and keeps the
                embedding.
            embedding: new vector; None has the server embed the text again.
            metadata: replaces the metadata; None clears it.
            coordinates: name of a level of Grid to its new x, y and z, or to None, which derives it from the embedding
                again; other levels stay. None derives all levels again.
            weight: from 0 to 1; None is the server's default, and so for the next two.
            field_radius: distance at which the influence of the token ends.
            field_strength: influence at its own place, from 0 to 1.
            timeout: seconds for this call; else the client's.

        Returns:
            The token as it is now.

        Raises:
            NotFoundError: there is none with this id.
            ValidationError: nothing is given, or something given is wrong.

        >>> token = await client.tokens.create(text="draft", metadata={"state": "new"})
        >>> token = await client.tokens.update(token.id, text="final", metadata=None)
        >>> token.text, token.metadata
        ('final', {})
        """
        placement = {
            "coordinates": coordinates,
            "weight": weight,
            "field_radius": field_radius,
            "field_strength": field_strength,
        }
        call = operations.update_token(token_id, text, embedding, metadata, placement)
        return await self._executor.run(call, timeout)

    async def delete(self, token_id: int, *, timeout: Timeout = UNSET) -> bool:
        """Remove one token; its id is never used again.

        Args:
            token_id: which token.
            timeout: seconds for this call; else the client's.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.

        >>> token = await client.tokens.create(text="hello")
        >>> await client.tokens.delete(token.id)
        True
        """
        return await self._executor.run(operations.delete_token(token_id), timeout)

    async def delete_many(
        self,
        token_ids: Iterable[int] | None = None,
        *,
        filter: FilterLike | None = None,
        timeout: Timeout = UNSET,
    ) -> DeletedTokens:
        """Remove many tokens: by their ids, or all whose metadata match a filter.

        A filter, and up to a thousand ids, are one write. More ids go in several requests of as many as the server
        takes, each completely or not at all.

        Args:
            token_ids: any number of ids; one that is given twice counts once. Or
            filter: all tokens whose metadata match: a dictionary, or made with `neurograph.field`. To remove all tokens
                there are, pass `neurograph.everything()`; any other filter without a condition is refused.
            timeout: seconds for each request; else the client's.

        Returns:
            How many existed and are gone, and which of the ids no token had; that is no error.

        Raises:
            ValidationError: not exactly one of ids and filter, or a filter that is none or has no condition.
            NeuroGraphError: a request failed; `details["deleted"]` tells how many tokens the earlier ones removed.

        >>> made = await client.tokens.create_many(["one", {"text": "two", "metadata": {"n": 2}}])
        >>> gone = await client.tokens.delete_many(filter={"path": "n", "eq": 2})
        >>> gone.deleted, gone.missing
        (1, [])
        """
        if (token_ids is None) == (filter is None):
            raise ValidationError.of("token_ids", "or filter: pass exactly one of the two")
        if filter is not None:
            return await self._executor.run(token_operations.delete_matching(filter), timeout)
        wanted = ids(token_ids, "token_ids")
        if len(wanted) <= operations.MAX_BATCH_COUNT:
            return await self._executor.run(token_operations.delete_tokens(wanted), timeout)
        most = (await self._executor.limits()).max_batch or operations.MAX_BATCH_COUNT
        done = DeletedTokens(deleted=0)
        for start in range(0, len(wanted), most):
            try:
                part = await self._executor.run(token_operations.delete_tokens(wanted[start : start + most]), timeout)
            except NeuroGraphError as error:
                error.details["deleted"] = done.deleted
                raise
            done.deleted += part.deleted
            done.missing += part.missing
        return done

    async def stream(
        self,
        *,
        filter: FilterLike | None = None,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> AsyncIterator[Token]:
        """Yield all tokens, by rising id, in one request, as they arrive.

        The client's time-out bounds each wait, not the whole. A token present throughout comes exactly once.

        Args:
            filter: see `list`.
            include: see `list`.
            timeout: seconds for each wait; else the client's.

        Raises:
            ConnectionError: the stream broke off; what came before is right.

        >>> made = await client.tokens.create_many(["one", "two"])
        >>> [token.text async for token in client.tokens.stream(include=["text"])]
        ['one', 'two']
        """
        async with aclosing(self._executor.lines(token_operations.stream_tokens(filter, include), timeout)) as lines:
            async for line in lines:
                for token in decoding.token_piece(line):
                    yield token

    async def export(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        filter: FilterLike | None = None,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> int:
        """Write all tokens into a file as NDJSON, a token a line, as they arrive.

        Args:
            target: a path, whose file appears when everything is in it, or a binary file that is open.
            filter: see `list`.
            include: see `list`.
            timeout: seconds for each wait; else the client's.

        Returns:
            How many were written.

        Raises:
            ConnectionError: the stream broke off.
            OSError: the file cannot be written.

        >>> made = await client.tokens.create_many(["one", "two"])
        >>> await client.tokens.export("tokens.jsonl")
        2
        """
        from neurograph._atomic_files import writing

        with writing(target) as file:
            count = 0
            call = token_operations.stream_tokens(filter, include, token_operations.LINES)
            async for line in self._executor.lines(call, timeout):
                decoding.refuse_error(line)
                file.write(line.body + b"\n")
                count += 1
        return count

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
        """Find the tokens nearest to a vector, to a text, or to another token.

        Args:
            query_vector: as many components as the server's model has.
            top_k: most hits to return; 0 means the server's default.
            threshold: least cosine similarity of a hit, from −1 to 1, itself included.
            text: instead of a vector; the server embeds it as it embeds tokens.
            token_id: instead of a vector; that token is itself not among the hits.
            filter: only tokens whose metadata match: a dictionary, or made with `neurograph.field`.
            offset: hits to skip, nearest first.
            include: parts of the tokens to return, of `text`, `metadata`, `embedding` and `coordinates`; all but
                the coordinates when absent.
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
        call = token_operations.query_tokens(
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
        """Find the tokens nearest to each of many vectors or texts, in one request.

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
        call = token_operations.query_many_tokens(
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
        """Do as `query`, but yields each hit as it arrives, so that large answers need little memory.

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
        call = token_operations.stream_query(
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
