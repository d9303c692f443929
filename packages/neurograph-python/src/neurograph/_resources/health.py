# Generated from async_health.py by tools/unasync.py; do not edit.
"""Health of the server; synchronous."""

from http import HTTPStatus

from neurograph._arguments import UNSET, Timeout
from neurograph._execution.executor import Executor
from neurograph._protocol import operations
from neurograph.exceptions import ServerError
from neurograph.models import HealthStatus, SystemStatus


class Health:
    """Ask how the server is."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def check(self, *, timeout: Timeout = UNSET) -> HealthStatus:
        """Ask whether the server is well; needs no credentials.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            ConnectionError: nobody answers there.
            InvalidResponseError: what answers is no NeuroGraph server.

        >>> health = client.health.check()
        >>> health.status
        'healthy'
        """
        return self._executor.run(operations.check_health(), timeout)

    def ready(self, *, timeout: Timeout = UNSET) -> bool:
        """Ask whether the server can answer requests at this moment; needs no credentials, and never repeats.

        Args:
            timeout: seconds for this call; else the client's.

        Returns:
            False when the server says that it cannot; that nobody answers is a ConnectionError.

        Raises:
            ConnectionError: nobody answers there.

        >>> client.health.ready()
        True
        """
        try:
            return self._executor.run(operations.check_ready(), timeout)
        except ServerError as error:
            if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return False

    def status(self, *, timeout: Timeout = UNSET) -> SystemStatus:
        """Ask what the server holds and uses.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthenticationError: the credentials are missing or invalid.

        >>> status = client.health.status()
        >>> status.tokens_count
        0
        """
        return self._executor.run(operations.get_status(), timeout)
