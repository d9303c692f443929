"""Limit on the bytes of one answer: vectors, payloads and texts of its points, as they are stored."""

from vectrograph.domain.errors import TooLarge


class AnswerBytes:
    """Counts what is gathered for one answer.

    Args:
        limit: most bytes; None for no limit.
    """

    __slots__ = ("_limit", "_used")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._used = 0

    @property
    def is_limited(self) -> bool:
        """True when there is a limit."""
        return self._limit is not None

    def fits(self, size: int) -> bool:
        """Count so many bytes more. Return whether all together are within the limit."""
        self._used += size
        return self._limit is None or self._used <= self._limit

    def require(self, size: int) -> None:
        """Count so many bytes more.

        Raises:
            TooLarge: all together are over the limit.
        """
        if not self.fits(size):
            raise answer_too_large("top_k", self._used, self._limit or 0)


def answer_too_large(field: str, cost: int, limit: int) -> TooLarge:
    """Return the refusal of an answer of at least `cost` bytes, which a smaller value of `field` would make smaller."""
    return TooLarge(
        f"The answer would hold {cost} bytes or more of vectors, payloads and texts, and the limit max_answer_bytes is "
        f"{limit}; ask with a smaller {field}, for fewer at once, or leave parts of the points out.",
        details={"field": field, "cost": cost, "limit": limit, "unit": "bytes"},
    )
