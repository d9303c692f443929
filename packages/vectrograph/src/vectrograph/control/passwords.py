"""Password hashes: argon2id, a few at a time."""

import base64
import secrets
import threading
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from vectrograph.domain.errors import Unavailable

# OWASP Password Storage Cheat Sheet: argon2id with m=19 MiB, t=2, p=1.
TIME_COST: Final = 2
# KiB of memory for one hash: m of the same recommendation.
MEMORY_KIB: Final = 19 * 1024
# Lanes of one hash: p of the same recommendation.
PARALLELISM: Final = 1
# Hashes computed at once. Bounds the memory that logins take to 38 MiB and leaves cores to searches.
MAX_HASHES_AT_ONCE: Final = 2
# Longest password. Generous: far above the 64 characters that NIST SP 800-63B asks to accept.
MAX_PASSWORD_BYTES: Final = 1024
# Random bytes of a salt: RFC 9106 recommends 16.
_SALT_BYTES: Final = 16
# Bytes of a hash: RFC 9106 recommends 32.
_HASH_BYTES: Final = 32
# Longest wait for a turn to hash; then the login is refused. Chosen: some 800 hashes are made meanwhile.
_QUEUE_SECONDS: Final = 10.0


class Passwords:
    """Hashes and checks passwords, at most two at once: a flood of logins leaves memory and cores for others."""

    def __init__(
        self, *, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB, parallelism: int = PARALLELISM
    ) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost,
            memory_cost=memory_kib,
            parallelism=parallelism,
            hash_len=_HASH_BYTES,
            salt_len=_SALT_BYTES,
            type=Type.ID,
        )
        self._nobody = _unmatched(time_cost, memory_kib, parallelism)

    def encode(self, password: str) -> str:
        """Return the hash to store, with its parameters and a fresh salt.

        Raises:
            Unavailable: too many passwords are being hashed.
        """
        with _Turn():
            return self._hasher.hash(password)

    def matches(self, encoded: str | None, password: str) -> bool:
        """Return whether this is the password. None (no such account) takes as long as a wrong password and is false.

        Raises:
            Unavailable: too many passwords are being hashed.
        """
        with _Turn():
            try:
                return self._hasher.verify(encoded if encoded is not None else self._nobody, password)
            except VerifyMismatchError:
                return False
            except (InvalidHashError, VerificationError, UnicodeEncodeError):
                return False

    def is_outdated(self, encoded: str) -> bool:
        """Return whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)


_turns = threading.BoundedSemaphore(MAX_HASHES_AT_ONCE)


class _Turn:
    """A place among the hashes that run now; given up on after ten seconds in the queue."""

    def __enter__(self) -> None:
        if not _turns.acquire(timeout=_QUEUE_SECONDS):
            raise Unavailable("Too many concurrent logins; try again shortly.", retry_after=_QUEUE_SECONDS)

    def __exit__(self, *_: object) -> None:
        _turns.release()


def _unmatched(time_cost: int, memory_kib: int, parallelism: int) -> str:
    """Return a well-formed hash that no password has (its result is random bytes); checking it costs what any check
    does.
    """
    salt, result = (_base64(secrets.token_bytes(size)) for size in (_SALT_BYTES, _HASH_BYTES))
    return f"$argon2id$v=19$m={memory_kib},t={time_cost},p={parallelism}${salt}${result}"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii").rstrip("=")
