"""How the server is; asynchronous."""

from neurograph import calls
from neurograph.async_executor import AsyncExecutor
from neurograph.models import HealthStatus, SystemStatus


class AsyncHealth:
    """Ask how the server is."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def check(self) -> HealthStatus:
        """Asks whether the server is well; needs no credentials."""
        return await self._executor.run(calls.check_health())

    async def status(self) -> SystemStatus:
        """Asks what the server holds and uses.

        Raises:
            AuthenticationError: the client has no credentials, or they do not hold.
        """
        return await self._executor.run(calls.get_status())
