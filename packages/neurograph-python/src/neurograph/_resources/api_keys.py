# Generated from async_api_keys.py by tools/unasync.py; do not edit.
"""API keys; synchronous."""

import builtins
from collections.abc import Iterator, Sequence

from neurograph._arguments import UNSET, Timeout
from neurograph._execution.executor import Executor
from neurograph._protocol import operations
from neurograph.models import APIKey, APIKeyCreated


class APIKeys:
    """Create, read, revoke and remove API keys."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def create(
        self,
        name: str,
        scopes: Sequence[str] | None = None,
        expires_in_days: int | None = None,
        *,
        timeout: Timeout = UNSET,
    ) -> APIKeyCreated:
        """Make an API key.

        Args:
            name: what to call it.
            scopes: what it may do, such as `tokens:read`; None means what the caller may, less the
                administration of keys; an empty list means nothing.
            expires_in_days: None means never.
            timeout: seconds for this call; else the client's.

        Returns:
            The key with its secret in `api_key`, which is told only now; its repr hides it.

        Raises:
            ValidationError: an unknown scope, or a lifetime out of range.
            AuthorizationError: a scope that the caller does not have.

        >>> key = client.api_keys.create("reader", scopes=["tokens:read"], expires_in_days=30)
        >>> key.name, key.scopes
        ('reader', ['tokens:read'])
        """
        return self._executor.run(operations.create_api_key(name, scopes, expires_in_days), timeout)

    def list(self, *, timeout: Timeout = UNSET) -> builtins.list[APIKey]:
        """Read all API keys that the caller may see, without their secrets.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthorizationError: the caller may not read API keys.

        >>> made = client.api_keys.create("reader")
        >>> [key.name for key in client.api_keys.list()]
        ['reader']
        """
        return self._executor.run(operations.list_api_keys(), timeout)

    def iterate(self, *, timeout: Timeout = UNSET) -> Iterator[APIKey]:
        """Walk over all API keys that the caller may see; servers of this family send them in one page.

        Args:
            timeout: seconds for each page; else the client's.

        Raises:
            AuthorizationError: the caller may not read API keys.

        >>> made = client.api_keys.create("reader")
        >>> [key.name for key in client.api_keys.iterate()]
        ['reader']
        """
        yield from self.list(timeout=timeout)

    def rotate(self, key_id: str, overlap_seconds: int = 0, *, timeout: Timeout = UNSET) -> APIKeyCreated:
        """Replace an API key by a new one of the same name, scopes and lifetime.

        Args:
            key_id: the key to replace.
            overlap_seconds: how long the old key goes on working, up to a week; 0 ends it at once.
            timeout: seconds for this call; else the client's.

        Returns:
            The new key with its secret, which is told only now.

        Raises:
            NotFoundError: there is none with this id.
            ConflictError: the key is revoked or expired.

        >>> old = client.api_keys.create("reader")
        >>> new = client.api_keys.rotate(old.key_id, overlap_seconds=60)
        >>> new.name, new.api_key == old.api_key
        ('reader', False)
        """
        return self._executor.run(operations.rotate_api_key(key_id, overlap_seconds), timeout)

    def get(self, key_id: str, *, timeout: Timeout = UNSET) -> APIKey:
        """Read one API key, without its secret.

        Args:
            key_id: which key, by its id and not by its secret.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is none with this id.

        >>> made = client.api_keys.create("reader")
        >>> key = client.api_keys.get(made.key_id)
        >>> key.is_active, made.api_key.startswith(key.key_prefix)
        (True, True)
        """
        return self._executor.run(operations.get_api_key(key_id), timeout)

    def revoke(self, key_id: str, *, timeout: Timeout = UNSET) -> bool:
        """Disable an API key at once, but keep its record.

        Args:
            key_id: which key, by its id and not by its secret.
            timeout: seconds for this call; else the client's.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.

        >>> made = client.api_keys.create("reader")
        >>> client.api_keys.revoke(made.key_id)
        True
        """
        return self._executor.run(operations.revoke_api_key(key_id), timeout)

    def delete(self, key_id: str, *, timeout: Timeout = UNSET) -> bool:
        """Remove an API key and its record; it stops working at once.

        Args:
            key_id: which key, by its id and not by its secret.
            timeout: seconds for this call; else the client's.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.

        >>> made = client.api_keys.create("reader")
        >>> client.api_keys.delete(made.key_id)
        True
        """
        return self._executor.run(operations.delete_api_key(key_id), timeout)
