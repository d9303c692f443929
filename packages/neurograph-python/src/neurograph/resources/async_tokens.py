"""Tokens: texts with their vectors; asynchronous."""

import builtins
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from neurograph import calls
from neurograph.async_executor import AsyncExecutor
from neurograph.calls import NewToken
from neurograph.exceptions import NeuroGraphError
from neurograph.models import Token, TokenPage, TokenQueryResult
from neurograph.unset import UNSET, Unset
from wirekit.paging import OffsetWalk


class AsyncTokens:
    """Create, read, change, remove and find tokens.

    A vector argument may be a list, a tuple, an `array.array`, a numpy array, or anything else with the
    buffer protocol. Every method may raise any NeuroGraphError; those named are the ones to expect.
    """

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def create(self, text: str, metadata: Mapping[str, Any] | None = None, embedding: Any = None) -> Token:
        """Creates a token.

        Args:
            text: what it says.
            metadata: any JSON object.
            embedding: its vector; the server embeds the text when absent.

        Raises:
            ValidationError: empty or too long a text, wrong dimension, metadata that JSON cannot carry.
        """
        return await self._executor.run(calls.create_token(text, metadata, embedding))

    async def create_many(self, items: Iterable[NewToken]) -> builtins.list[Token]:
        """Creates many tokens in few requests.

        The items are read as they are needed and sent in batches, each of which is written completely or
        not at all.

        Args:
            items: texts, dictionaries with `text` and optionally `metadata` and `embedding`, or
                TokenCreate models.

        Returns:
            The tokens in the order of the items.

        Raises:
            ValidationError: an item is wrong; its batch was not written. `details["created_ids"]` of
                this and any other error lists the tokens of the batches before it.
        """
        created: builtins.list[Token] = []
        try:
            for call in calls.create_tokens(items):
                batch = await self._executor.run(call)
                created += batch
        except NeuroGraphError as error:
            error.details["created_ids"] = [token.id for token in created]
            raise
        return created

    async def get(self, token_id: int) -> Token:
        """Reads one token.

        Raises:
            NotFoundError: there is none with this id.
        """
        return await self._executor.run(calls.get_token(token_id))

    async def list(self, limit: int = 100, offset: int = 0) -> TokenPage:
        """Reads a page of tokens, by rising id.

        Args:
            limit: most tokens to return.
            offset: tokens to skip.

        Returns:
            A list that also knows the `total`.

        Raises:
            ValidationError: limit or offset out of range.
        """
        return await self._executor.run(calls.list_tokens(limit, offset))

    async def iterate(self, page_size: int = 100) -> AsyncIterator[Token]:
        """Walks over all tokens, by rising id, reading a page at a time.

        A token present throughout comes exactly once, also when others are deleted meanwhile.

        Args:
            page_size: tokens to read at a time.
        """
        walk = OffsetWalk[Token](page_size=page_size, key=lambda token: token.id)
        while (window := walk.window) is not None:
            offset, limit = window
            page = await self._executor.run(calls.list_tokens(limit, offset))
            for token in walk.feed(page, page.total):
                yield token

    async def update(
        self,
        token_id: int,
        text: str | Unset | None = UNSET,
        embedding: Any = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
    ) -> Token:
        """Changes what is given of a token and leaves the rest.

        Args:
            token_id: which token.
            text: new text, embedded again unless an embedding is given too; None clears it and keeps the
                embedding.
            embedding: new vector; None has the server embed the text again.
            metadata: replaces the metadata; None clears it.

        Returns:
            The token as it is now.

        Raises:
            NotFoundError: there is none with this id.
            ValidationError: nothing is given, or something given is wrong.
        """
        return await self._executor.run(calls.update_token(token_id, text, embedding, metadata))

    async def delete(self, token_id: int) -> bool:
        """Removes one token; its id is never used again.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.
        """
        return await self._executor.run(calls.delete_token(token_id))

    async def query(
        self, query_vector: Any, top_k: int = 10, threshold: float | None = None
    ) -> builtins.list[TokenQueryResult]:
        """Finds the tokens nearest to a vector.

        Args:
            query_vector: as many components as the server's model has.
            top_k: most hits to return; 0 means the server's default.
            threshold: least cosine similarity of a hit, from −1 to 1, itself included.

        Returns:
            Hits by falling similarity; among equals the newest token first.

        Raises:
            ValidationError: wrong dimension, a component that is no finite number, `top_k` out of range.
        """
        return await self._executor.run(calls.query_tokens(query_vector, top_k, threshold))
