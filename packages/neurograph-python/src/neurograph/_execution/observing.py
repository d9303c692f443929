"""Counting, logging, and the caller's own hook, around every attempt and every repeat."""

import logging
import time

from neurograph.exceptions import NeuroGraphError
from neurograph.metrics import Metrics
from neurograph.observation import OnRetry, Retry
from neurograph.wire import Request, Response

logger = logging.getLogger("neurograph")
logger.addHandler(logging.NullHandler())


class Observation:
    """Watches the attempts of one client. Nothing that it writes holds a body, a header or a query string."""

    def __init__(self, metrics: Metrics, on_retry: OnRetry | None) -> None:
        self._metrics = metrics
        self._on_retry = on_retry

    @staticmethod
    def begin() -> float:
        """Return the time at which an attempt begins."""
        return time.monotonic()

    def answered(self, request: Request, response: Response, begun: float) -> None:
        """Note that an attempt was answered, whatever the status."""
        seconds = time.monotonic() - begun
        self._metrics.answered(response.status, seconds, len(request.body or b""), len(response.body))
        if logger.isEnabledFor(logging.DEBUG):
            name = response.request_id or "-"
            logger.debug("%s answered %d in %.1f ms (request %s)", request, response.status, seconds * 1000, name)

    def broken(self, request: Request, error: BaseException, begun: float) -> None:
        """Note that an attempt ended without an answer."""
        seconds = time.monotonic() - begun
        self._metrics.broken(type(error).__name__, seconds, len(request.body or b""))
        logger.debug("%s broke after %.1f ms: %s", request, seconds * 1000, type(error).__name__)

    def retrying(self, request: Request, error: Exception, attempt: int, pause: float) -> None:
        """Note that a failed attempt will be repeated after a pause."""
        self._metrics.retried()
        reason = error.error_code if isinstance(error, NeuroGraphError) else None
        logger.info("retrying %s in %.2f s after %s", request, pause, reason or type(error).__name__)
        if self._on_retry is not None:
            self._on_retry(Retry(request, error, attempt, pause))
