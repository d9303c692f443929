"""Values and types that arguments of many methods share: leaving a field alone (UNSET), and time-outs."""

from enum import Enum
from typing import Literal, TypeAlias


class _Unset(Enum):
    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


Unset: TypeAlias = Literal[_Unset.UNSET]
UNSET: Unset = _Unset.UNSET
"""Says "leave this field as it is", where None says "clear it"."""

Timeout: TypeAlias = "float | Unset | None"
"""Seconds for one call, its repeats and a login included; None waits for ever, UNSET takes those of the client."""
