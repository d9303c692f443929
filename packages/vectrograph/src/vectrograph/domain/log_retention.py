"""Retention of the log of changes: how much of it a collection keeps."""

from dataclasses import dataclass
from typing import Final, Self

# Microseconds of a day.
_DAY: Final = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class LogRetention:
    """Limits of the log of one collection; 0 is no limit. The newest change is always kept.

    Attributes:
        max_changes: newest changes that are kept.
        max_age: microseconds that a change is kept.
    """

    max_changes: int = 0
    max_age: int = 0

    @classmethod
    def of_days(cls, max_changes: int, days: int) -> Self:
        """Return the retention with an age in days.

        >>> LogRetention.of_days(10, 2).max_age
        172800000000
        """
        return cls(max_changes, days * _DAY)

    @property
    def is_unlimited(self) -> bool:
        """Return whether nothing is ever removed."""
        return not self.max_changes and not self.max_age

    def first_kept(self, seq: int) -> int:
        """Return the oldest change that the limit of changes keeps.

        >>> LogRetention(max_changes=3).first_kept(10), LogRetention().first_kept(10)
        (8, 1)
        """
        return max(1, seq - self.max_changes + 1) if self.max_changes else 1

    def last_expired(self, now: int) -> int:
        """Return the time up to which changes are too old; below all times where there is no limit.

        >>> LogRetention(max_age=60).last_expired(100), LogRetention().last_expired(100)
        (40, -1)
        """
        return now - self.max_age if self.max_age else -1


UNLIMITED_LOG: Final = LogRetention()
"""Retention of an engine that is given no other."""
DEFAULT_LOG_CHANGES: Final = 10_000_000
"""Changes that a server keeps for each collection. Measured: 40 bytes of disk each with ids of 12 bytes, so 400 MB."""
DEFAULT_LOG_DAYS: Final = 30
"""Days that a server keeps a change. Chosen: a reader may rest for the length of a holiday."""
