# Generated from async_auth.py by tools/unasync.py; do not edit.
"""The caller's own account and session; synchronous."""

from neurograph._arguments import UNSET, Timeout
from neurograph._execution.executor import Executor
from neurograph._protocol import operations
from neurograph.models import User


class Auth:
    """Ask who the caller is, end the session, change the password. Logging in happens by itself."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def me(self, *, timeout: Timeout = UNSET) -> User:
        """Read the caller's account.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthenticationError: the credentials are missing or invalid.

        >>> me = client.auth.me()
        >>> me.username, me.role
        ('developer', 'developer')
        """
        return self._executor.run(operations.me(), timeout)

    def logout(self, *, timeout: Timeout = UNSET) -> bool:
        """End the session on the server, so that its tokens are worth nothing; the next call logs in again.

        Args:
            timeout: seconds for this call; else the client's.

        Returns:
            Whether there was a session to end: none is before the first call, nor with an API key.

        Raises:
            NeuroGraphError: the server could not be asked; the session goes on.

        >>> me = client.auth.me()
        >>> client.auth.logout()
        True
        >>> client.auth.logout()
        False
        """
        if not self._executor.session.signed_in:
            return False
        self._executor.run(operations.logout(), timeout)
        self._executor.session.forget()
        return True

    def change_password(self, old_password: str, new_password: str, *, timeout: Timeout = UNSET) -> bool:
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

        >>> client.auth.change_password("developer123", "a long new secret")
        True
        >>> me = client.auth.me()
        """
        changed = self._executor.run(operations.change_password(old_password, new_password), timeout)
        self._executor.session.forget(new_password)
        return changed
