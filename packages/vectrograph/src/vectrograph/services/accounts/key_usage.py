"""Last uses of API keys: known at once, written every minute."""

import logging
import threading
from collections.abc import Mapping
from typing import Final

from vectrograph.control.api_keys import ApiKeys
from vectrograph.control.clock import SECOND, Clock, now
from vectrograph.domain.errors import DomainError

_log = logging.getLogger(__name__)

FLUSH_EVERY: Final = 60 * SECOND


class KeyUsage:
    """Collects last uses and writes them together, at most once a minute and on `flush`; a crash loses that minute."""

    def __init__(self, keys: ApiKeys, clock: Clock = now) -> None:
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[str, int] = {}
        self._flushed_at = clock()

    def touch(self, key_id: str) -> None:
        """Note that a key was used now. A write that fails is logged and tried again later; the request goes on."""
        at = self._clock()
        with self._lock:
            self._pending[key_id] = at
            if at - self._flushed_at < FLUSH_EVERY:
                return
            self._flushed_at = at
        self._try_flush()

    def close(self) -> None:
        """Write what is not written, for the last time. A failure is logged: it must not keep a server from ending."""
        self._try_flush()

    def _try_flush(self) -> None:
        try:
            self.flush()
        except DomainError as error:
            _log.warning("last uses of API keys could not be stored: %s", error.message)

    def latest(self) -> Mapping[str, int]:
        """Return the uses that are not written yet: key_id → microseconds."""
        with self._lock:
            return dict(self._pending)

    def flush(self) -> None:
        """Write what is not written.

        Raises:
            Unavailable: the database does not take it; nothing is forgotten.
        """
        with self._lock:
            pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            self._keys.record_use(pending)
        except BaseException:
            with self._lock:
                self._pending = {**pending, **self._pending}
            raise
