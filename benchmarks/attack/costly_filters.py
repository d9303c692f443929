"""Filters that cost the server much for their length."""

from typing import Any


def unknown_paths(first: int, count: int) -> dict[str, Any]:
    """Return a filter of so many distinct paths that no point has."""
    return {"or": [{"path": f"unknown-{number}", "eq": 1} for number in range(first, first + count)]}


def nots(depth: int) -> dict[str, Any]:
    """Return a filter of so many levels."""
    condition: dict[str, Any] = {"path": "a", "eq": 1}
    for _ in range(depth - 1):
        condition = {"not": condition}
    return condition


def substrings(count: int, path: str) -> dict[str, Any]:
    """Return a filter of so many substrings of a thousand bytes, all of which have to be looked for."""
    return {"or": [{"path": path, "substring": "w" * 1_000 + str(number)} for number in range(count)]}
