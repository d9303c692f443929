# Generated from async_health.py by tools/unasync.py; do not edit.
"""How the server is; synchronous."""

from http import HTTPStatus

from neurograph import calls
from neurograph.exceptions import ServerError
from neurograph.executor import Executor
from neurograph.models import HealthStatus, SystemStatus


class Health:
    """Ask how the server is."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def check(self) -> HealthStatus:
        """Asks whether the server is well; needs no credentials."""
        return self._executor.run(calls.check_health())

    def ready(self) -> bool:
        """Asks whether the server can answer requests at this moment; needs no credentials, and never repeats.

        Returns:
            False when the server says that it cannot; that nobody answers is a ConnectionError.
        """
        try:
            return self._executor.run(calls.check_ready())
        except ServerError as error:
            if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return False

    def status(self) -> SystemStatus:
        """Asks what the server holds and uses.

        Raises:
            AuthenticationError: the client has no credentials, or they do not hold.
        """
        return self._executor.run(calls.get_status())
