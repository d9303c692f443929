"""API keys; asynchronous."""

import builtins
from collections.abc import AsyncIterator, Sequence

from neurograph import calls
from neurograph.async_executor import AsyncExecutor
from neurograph.models import APIKey, APIKeyCreated


class AsyncAPIKeys:
    """Create, read, revoke and remove API keys."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def create(
        self, name: str, scopes: Sequence[str] | None = None, expires_in_days: int | None = None
    ) -> APIKeyCreated:
        """Makes an API key.

        Args:
            name: what to call it.
            scopes: what it may do, such as `tokens:read`; None means what the caller may, less the
                administration of keys; an empty list means nothing.
            expires_in_days: None means never.

        Returns:
            The key with its secret in `api_key`, which is told only now; its repr hides it.

        Raises:
            ValidationError: an unknown scope, or a lifetime out of range.
            AuthorizationError: a scope that the caller does not have.
        """
        return await self._executor.run(calls.create_api_key(name, scopes, expires_in_days))

    async def list(self) -> builtins.list[APIKey]:
        """Reads all API keys that the caller may see, without their secrets."""
        return await self._executor.run(calls.list_api_keys())

    async def iterate(self) -> AsyncIterator[APIKey]:
        """Walks over all API keys that the caller may see; servers of this family send them in one page."""
        for key in await self.list():
            yield key

    async def rotate(self, key_id: str, overlap_seconds: int = 0) -> APIKeyCreated:
        """Replaces an API key by a new one of the same name, scopes and lifetime.

        Args:
            key_id: the key to replace.
            overlap_seconds: how long the old key goes on working, up to a week; 0 ends it at once.

        Returns:
            The new key with its secret, which is told only now.

        Raises:
            NotFoundError: there is none with this id.
            ConflictError: the key is revoked or expired.
        """
        return await self._executor.run(calls.rotate_api_key(key_id, overlap_seconds))

    async def get(self, key_id: str) -> APIKey:
        """Reads one API key, without its secret.

        Raises:
            NotFoundError: there is none with this id.
        """
        return await self._executor.run(calls.get_api_key(key_id))

    async def revoke(self, key_id: str) -> bool:
        """Disables an API key at once, but keeps its record.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.
        """
        return await self._executor.run(calls.revoke_api_key(key_id))

    async def delete(self, key_id: str) -> bool:
        """Removes an API key and its record; it stops working at once.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.
        """
        return await self._executor.run(calls.delete_api_key(key_id))
