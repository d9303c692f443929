"""Tokens: texts with their vectors; asynchronous."""

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, BinaryIO

from neurograph import calls, decoding, token_calls
from neurograph._wirekit import values
from neurograph._wirekit.paging import OffsetWalk
from neurograph.encoding import checked, ids
from neurograph.exceptions import NeuroGraphError, ValidationError
from neurograph.filters import FilterLike
from neurograph.models import DeletedTokens, Token
from neurograph.resources.async_bulk import AsyncBulkCreate
from neurograph.resources.async_pages import AsyncLinkedTokenPage
from neurograph.resources.async_token_queries import AsyncTokenQueries
from neurograph.unset import UNSET, Timeout, Unset


class AsyncTokens(AsyncBulkCreate, AsyncTokenQueries):
    """Create, read, change, remove and find tokens.

    A vector argument may be a list, a tuple, an `array.array`, a numpy array, or anything else with the
    buffer protocol. Every method may raise any NeuroGraphError; those named are the ones to expect.

    >>> token = await client.tokens.create(text="hello")
    >>> hits = await client.tokens.query(query_vector=token.embedding, top_k=1)
    >>> hits[0].token.text
    'hello'
    """

    async def create(
        self,
        text: str,
        metadata: Mapping[str, Any] | None = None,
        embedding: Any = None,
        *,
        idempotency_key: str | None = None,
        timeout: Timeout = UNSET,
    ) -> Token:
        """Creates a token, once: should the answer be lost, the request is repeated under the same idempotency key.

        Args:
            text: what it says.
            metadata: any JSON object.
            embedding: its vector; the server embeds the text when absent.
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
        return await self._executor.run(calls.create_token(text, metadata, embedding, idempotency_key), timeout)

    async def get(self, token_id: int, *, timeout: Timeout = UNSET) -> Token:
        """Reads one token.

        Args:
            token_id: which token.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is none with this id.

        >>> made = await client.tokens.create(text="hello")
        >>> token = await client.tokens.get(made.id)
        >>> token.text
        'hello'
        """
        return await self._executor.run(calls.get_token(token_id), timeout)

    async def list(
        self,
        limit: int = 100,
        offset: int = 0,
        *,
        filter: FilterLike | None = None,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> AsyncLinkedTokenPage:
        """Reads a page of tokens, by rising id.

        Args:
            limit: most tokens to return.
            offset: tokens to skip.
            filter: only tokens whose metadata match: a dictionary, or made with `neurograph.field`.
            include: parts of the tokens to return, of `text`, `metadata` and `embedding`; all when absent.
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
        page = await self._executor.run(token_calls.list_tokens(limit, offset, filter, include), timeout)
        return AsyncLinkedTokenPage(page, self._executor, filter, include)

    async def iterate(
        self,
        page_size: int = 100,
        *,
        filter: FilterLike | None = None,
        include: Sequence[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> AsyncIterator[Token]:
        """Walks over all tokens, by rising id, reading a page at a time.

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
                page = await self._executor.run(token_calls.list_tokens(limit, offset, filter, include), timeout)
            except NeuroGraphError as error:
                if not (token_calls.page_is_too_large(error) and walk.shrink()):
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
        timeout: Timeout = UNSET,
    ) -> Token:
        """Changes what is given of a token and leaves the rest.

        Args:
            token_id: which token.
            text: new text, embedded again unless an embedding is given too; None clears it and keeps the
                embedding.
            embedding: new vector; None has the server embed the text again.
            metadata: replaces the metadata; None clears it.
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
        return await self._executor.run(calls.update_token(token_id, text, embedding, metadata), timeout)

    async def delete(self, token_id: int, *, timeout: Timeout = UNSET) -> bool:
        """Removes one token; its id is never used again.

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
        return await self._executor.run(calls.delete_token(token_id), timeout)

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
            return await self._executor.run(token_calls.delete_matching(filter), timeout)
        wanted = ids(token_ids, "token_ids")
        if len(wanted) <= calls.MAX_BATCH_COUNT:
            return await self._executor.run(token_calls.delete_tokens(wanted), timeout)
        most = (await self._executor.limits()).max_batch or calls.MAX_BATCH_COUNT
        done = DeletedTokens(deleted=0)
        for start in range(0, len(wanted), most):
            try:
                part = await self._executor.run(token_calls.delete_tokens(wanted[start : start + most]), timeout)
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
        """Yields all tokens, by rising id, in one request, as they arrive.

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
        async with aclosing(self._executor.lines(token_calls.stream_tokens(filter, include), timeout)) as lines:
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
        """Writes all tokens into a file as NDJSON, a token a line, as they arrive.

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
        from neurograph.files import writing

        with writing(target) as file:
            count = 0
            call = token_calls.stream_tokens(filter, include, token_calls.LINES)
            async for line in self._executor.lines(call, timeout):
                decoding.refuse_error(line)
                file.write(line.body + b"\n")
                count += 1
        return count
