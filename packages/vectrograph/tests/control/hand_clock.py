"""A clock that tests move."""


class HandClock:
    """Microseconds since 1970, standing still until advanced."""

    def __init__(self) -> None:
        self.at = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += int(seconds * 1_000_000)
