# Generated from async_api_keys.py by tools/unasync.py; do not edit.
"""API keys; synchronous."""

import builtins
from collections.abc import Iterator, Sequence

from neurograph import calls
from neurograph.executor import Executor
from neurograph.models import APIKey, APIKeyCreated


class APIKeys:
    """Create, read, revoke and remove API keys."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def create(
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
        return self._executor.run(calls.create_api_key(name, scopes, expires_in_days))

    def list(self) -> builtins.list[APIKey]:
        """Reads all API keys that the caller may see, without their secrets."""
        return self._executor.run(calls.list_api_keys())

    def iterate(self) -> Iterator[APIKey]:
        """Walks over all API keys that the caller may see; servers of this family send them in one page."""
        yield from self.list()

    def rotate(self, key_id: str, overlap_seconds: int = 0) -> APIKeyCreated:
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
        return self._executor.run(calls.rotate_api_key(key_id, overlap_seconds))

    def get(self, key_id: str) -> APIKey:
        """Reads one API key, without its secret.

        Raises:
            NotFoundError: there is none with this id.
        """
        return self._executor.run(calls.get_api_key(key_id))

    def revoke(self, key_id: str) -> bool:
        """Disables an API key at once, but keeps its record.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.
        """
        return self._executor.run(calls.revoke_api_key(key_id))

    def delete(self, key_id: str) -> bool:
        """Removes an API key and its record; it stops working at once.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.
        """
        return self._executor.run(calls.delete_api_key(key_id))
