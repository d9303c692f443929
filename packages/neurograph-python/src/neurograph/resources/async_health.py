"""How the server is; asynchronous."""

from http import HTTPStatus

from neurograph import calls
from neurograph.async_executor import AsyncExecutor
from neurograph.exceptions import ServerError
from neurograph.models import HealthStatus, SystemStatus


class AsyncHealth:
    """Ask how the server is."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def check(self) -> HealthStatus:
        """Asks whether the server is well; needs no credentials."""
        return await self._executor.run(calls.check_health())

    async def ready(self) -> bool:
        """Asks whether the server can answer requests at this moment; needs no credentials, and never repeats.

        Returns:
            False when the server says that it cannot; that nobody answers is a ConnectionError.
        """
        try:
            return await self._executor.run(calls.check_ready())
        except ServerError as error:
            if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return False

    async def status(self) -> SystemStatus:
        """Asks what the server holds and uses.

        Raises:
            AuthenticationError: the client has no credentials, or they do not hold.
        """
        return await self._executor.run(calls.get_status())
