"""Texts that stand for something once, for a short time: tickets and reconnection tokens."""

import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from vectrograph.domain.errors import RateLimited

T = TypeVar("T")
# Random bytes of a text: too many to guess.
_BYTES: Final = 32
# Seconds that a refused caller is told to wait. Chosen: programs use theirs soon.
_RETRY_SECONDS: Final = 5.0


class _Voucher(NamedTuple, Generic[T]):
    value: T
    account: str
    ends: float


class Vouchers(Generic[T]):
    """Texts of one kind. Thread-safe; the texts themselves are not kept.

    Args:
        kind: plural noun, for messages.
        seconds: that each is valid.
        of_account: number of unused ones that an account may have.
        in_all: number of all unused ones.
        monotonic: seconds.
    """

    def __init__(self, kind: str, seconds: float, of_account: int, in_all: int, monotonic: Callable[[], float]) -> None:
        self._kind = kind
        self._seconds = seconds
        self._of_account = of_account
        self._in_all = in_all
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: dict[bytes, _Voucher[T]] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def issue(self, account: str, value: T) -> str:
        """Return a text that stands for a value.

        Raises:
            RateLimited: the account, or the server, has too many that were not used.
        """
        text = secrets.token_urlsafe(_BYTES)
        self.forget()
        with self._lock:
            if self._counts[account] >= self._of_account or len(self._held) >= self._in_all:
                raise RateLimited(
                    f"Too many {self._kind} are unused: {self._of_account} of one account and {self._in_all} in all "
                    f"are allowed; each ends after {self._seconds:.0f} seconds.",
                    details={"limit": self._of_account, "unit": self._kind},
                    retry_after=_RETRY_SECONDS,
                )
            self._held[_digest(text)] = _Voucher(value, account, self._monotonic() + self._seconds)
            self._counts[account] += 1
        return text

    def redeem(self, text: str) -> T | None:
        """Return what a text stands for, and let it stand for nothing; None when it does not any more. Never waits."""
        with self._lock:
            found = self._take(_digest(text))
        return None if found is None or found.ends <= self._monotonic() else found.value

    def forget(self) -> None:
        """Let go of those that were not used in time."""
        at = self._monotonic()
        with self._lock:
            # They end in the order in which they were issued.
            while self._held and next(iter(self._held.values())).ends <= at:
                self._take(next(iter(self._held)))

    def _take(self, name: bytes) -> _Voucher[T] | None:
        found = self._held.pop(name, None)
        if found is not None:
            self._counts[found.account] -= 1
            if not self._counts[found.account]:
                del self._counts[found.account]
        return found


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
