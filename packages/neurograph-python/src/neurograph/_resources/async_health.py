"""Health of the server; asynchronous."""

from http import HTTPStatus

from neurograph._arguments import UNSET, Timeout
from neurograph._execution.async_executor import AsyncExecutor
from neurograph._protocol import operations
from neurograph.exceptions import ServerError
from neurograph.models import HealthStatus, SystemStatus


class AsyncHealth:
    """Ask how the server is."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def check(self, *, timeout: Timeout = UNSET) -> HealthStatus:
        """Ask whether the server is well; needs no credentials.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            ConnectionError: nobody answers there.
            InvalidResponseError: what answers is no NeuroGraph server.

        >>> health = await client.health.check()
        >>> health.status
        'healthy'
        """
        return await self._executor.run(operations.check_health(), timeout)

    async def ready(self, *, timeout: Timeout = UNSET) -> bool:
        """Ask whether the server can answer requests at this moment; needs no credentials, and never repeats.

        Args:
            timeout: seconds for this call; else the client's.

        Returns:
            False when the server says that it cannot; that nobody answers is a ConnectionError.

        Raises:
            ConnectionError: nobody answers there.

        >>> await client.health.ready()
        True
        """
        try:
            return await self._executor.run(operations.check_ready(), timeout)
        except ServerError as error:
            if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return False

    async def status(self, *, timeout: Timeout = UNSET) -> SystemStatus:
        """Ask what the server holds and uses.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthenticationError: the credentials are missing or invalid.

        >>> status = await client.health.status()
        >>> status.tokens_count
        0
        """
        return await self._executor.run(operations.get_status(), timeout)
