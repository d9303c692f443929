"""The asynchronous client of accounts and API keys."""

from dataclasses import replace
from typing import Any, TypeVar

from vectron_client._async_base_client import AsyncBaseClient
from vectron_client._execution.call import Call
from vectron_client._guide import guide
from vectron_client._options import ClientOptions, own_options
from vectron_client._protocol import accounts
from vectron_client._results import AccessToken, APIKey, CreatedAPIKey, KeyOwner, Login
from vectron_client._transport.endpoint import credentials
from vectron_client.models import UserProfile

T = TypeVar("T")


class AsyncVectronAuthClient(AsyncBaseClient):
    """Registers, logs in, and makes the keys and tokens that other clients take. A context manager, as those are.

    It calls on behalf of whoever logged in last with it; `login`, `refresh` and `update_user_profile` take the token
    that comes with their answer for the calls after them. Nothing is repeated but reads and logins, and nothing hedged.

    Args:
        host: the address of the server's gRPC port, such as `localhost:8081`.
        api_key: an API key or a token to begin with; None for none.
        options: as for other clients.

    Raises:
        InvalidArgumentError: an argument or option makes no sense.
    """

    def __init__(self, host: str, api_key: str | None = None, options: ClientOptions | None = None) -> None:
        super().__init__(host, None, replace(own_options(options), hedged_reads=False))
        self._credentials = credentials(api_key)

    @staticmethod
    def help() -> tuple[str, dict[str, Any]]:
        """Describe this client: as text, and as a dictionary of operations, options and errors."""
        return guide(AsyncVectronAuthClient)

    async def register(self, email: str, password: str, *, timeout: float | None = None) -> UserProfile:
        """Make an account, a viewer until an administrator says more.

        In development mode anyone may; otherwise this client must be logged in as an administrator.

        Args:
            email: its address.
            password: 8 to 128 bytes with three of: upper case, lower case, digit, other.
            timeout: seconds for the call.

        Raises:
            AlreadyExistsError: the address is taken.
            InvalidArgumentError: address or password break a rule.
            PermissionDeniedError: the caller may not.

        Example::

            (await auth.register("ada@example.org", "Lovelace-1815")).email  # 'ada@example.org'
        """
        return await self._run(accounts.register(email, password), timeout)

    async def login(self, email: str, password: str, *, timeout: float | None = None) -> Login:
        """Log in; later calls of this client are on behalf of the account.

        Returns:
            A token for other clients, which holds for 24 hours, and the profile.

        Raises:
            AuthenticationError: there is no such account, or the password is another; the server does not tell which.
            RateLimitError: too many logins; `retry_after` says when to come back.

        Example::

            login = await auth.login("dev@neurograph.dev", "developer123")
            login.user.plan  # 'FREE'
        """
        login = await self._run(accounts.login(email, password), timeout)
        self._credentials = credentials(login.token)
        return login

    async def refresh(self, *, timeout: float | None = None) -> AccessToken:
        """Exchange the token of a login for a new one.

        Raises:
            AuthenticationError: the token does not hold any more; log in again.
            PermissionDeniedError: this client calls with an API key, which is no login.

        Example::

            (await auth.refresh()).expires_at.tzname()  # 'UTC'
        """
        token = await self._run(accounts.refresh(), timeout)
        self._credentials = credentials(token.token)
        return token

    async def get_user_profile(self, *, timeout: float | None = None) -> UserProfile:
        """Return the caller's account.

        Example::

            (await auth.get_user_profile()).email  # 'dev@neurograph.dev'
        """
        return await self._run(accounts.get_user_profile(), timeout)

    async def update_user_profile(self, plan: str, *, timeout: float | None = None) -> UserProfile:
        """Set the plan of the caller's account, `FREE` or `PAID`; no limit depends on it.

        Raises:
            InvalidArgumentError: there is no such plan.
        """
        profile, token = await self._run(accounts.update_user_profile(plan), timeout)
        if token:
            self._credentials = credentials(token)
        return profile

    async def delete_user(self, password: str, *, timeout: float | None = None) -> None:
        """Delete the caller's account with its API keys.

        Raises:
            AuthenticationError: the password is another.
        """
        await self._run(accounts.delete_user(password), timeout)

    async def create_api_key(self, name: str, *, timeout: float | None = None) -> CreatedAPIKey:
        """Make an API key for the caller. Its `api_key` is shown here and never again.

        Args:
            name: 1 to 50 letters, digits, spaces, hyphens and underscores.
            timeout: seconds for the call.

        Raises:
            InvalidArgumentError: the name breaks the rule.
            PermissionDeniedError: the caller may make no keys, as viewers.

        Example::

            key = await auth.create_api_key("notebook")
            key.api_key.startswith(key.info.key_prefix), key.info.name  # (True, 'notebook')
        """
        return await self._run(accounts.create_api_key(name), timeout)

    async def list_api_keys(self, *, timeout: float | None = None) -> list[APIKey]:
        """Return the caller's keys that are in force, without their secrets.

        Example::

            [key.name for key in await auth.list_api_keys()][:1]  # ['notebook']
        """
        return await self._run(accounts.list_api_keys(), timeout)

    async def delete_api_key(self, key_prefix: str, *, timeout: float | None = None) -> None:
        """Delete a key; it and its tokens cease to work at once.

        Args:
            key_prefix: as `APIKey.key_prefix` has it.
            timeout: seconds for the call.

        Raises:
            PermissionDeniedError: there is none of that prefix, or it is somebody else's; the server does not tell.
        """
        await self._run(accounts.delete_api_key(key_prefix), timeout)

    async def validate_api_key(self, api_key: str, *, timeout: float | None = None) -> KeyOwner | None:
        """Return whose an API key is, from the whole key; None when it does not hold. Needs no login.

        Example::

            await auth.validate_api_key("vkey-00000000-0000-0000-0000-000000000000") is None  # True
        """
        return await self._run(accounts.validate_api_key(api_key), timeout)

    async def create_sdk_token(self, key_prefix: str, *, timeout: float | None = None) -> str:
        """Return a token that does what one of the caller's keys does, holds for 7 days, and ends with the key.

        Raises:
            PermissionDeniedError: there is none of that prefix, or it is somebody else's.

        Example::

            (await auth.create_sdk_token(key.info.key_prefix)).count(".")  # 2
        """
        return await self._run(accounts.create_sdk_token(key_prefix), timeout)

    async def get_key_owner(self, key_prefix: str, *, timeout: float | None = None) -> KeyOwner | None:
        """Return whose a key is, for the key itself, its tokens and administrators; None for everyone else."""
        return await self._run(accounts.get_key_owner(key_prefix), timeout)

    async def _run(self, call: Call[T], timeout: float | None) -> T:
        return await super()._run(replace(call, metadata=self._credentials), timeout)
