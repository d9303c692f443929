"""The caller's own account and session; asynchronous."""

from neurograph._arguments import UNSET, Timeout
from neurograph._execution.async_executor import AsyncExecutor
from neurograph._protocol import operations
from neurograph.models import User


class AsyncAuth:
    """Ask who the caller is, end the session, change the password. Logging in happens by itself."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def me(self, *, timeout: Timeout = UNSET) -> User:
        """Read the caller's account.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthenticationError: the credentials are missing or invalid.

        >>> me = await client.auth.me()
        >>> me.username, me.role
        ('developer', 'developer')
        """
        return await self._executor.run(operations.me(), timeout)

    async def logout(self, *, timeout: Timeout = UNSET) -> bool:
        """End the session on the server, so that its tokens are worth nothing; the next call logs in again.

        Args:
            timeout: seconds for this call; else the client's.

        Returns:
            Whether there was a session to end: none is before the first call, nor with an API key.

        Raises:
            NeuroGraphError: the server could not be asked; the session goes on.

        >>> me = await client.auth.me()
        >>> await client.auth.logout()
        True
        >>> await client.auth.logout()
        False
        """
        if not self._executor.session.signed_in:
            return False
        await self._executor.run(operations.logout(), timeout)
        self._executor.session.forget()
        return True

    async def change_password(self, old_password: str, new_password: str, *, timeout: Timeout = UNSET) -> bool:
        """Change the password of the caller's account; this client goes on with the new one.

        Args:
            old_password: the one that holds now.
            new_password: at least what the server's rules ask for; they are told when it refuses.
            timeout: seconds for this call; else the client's.

        Returns:
            True.

        Raises:
            ValidationError: the new password is too weak.
            NeuroGraphError: the old password is wrong.

        >>> await client.auth.change_password("developer123", "a long new secret")
        True
        >>> me = await client.auth.me()
        """
        changed = await self._executor.run(operations.change_password(old_password, new_password), timeout)
        self._executor.session.forget(new_password)
        return changed
