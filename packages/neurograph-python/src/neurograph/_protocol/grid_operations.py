"""Calls about grids, as values, and cells of what was found. No I/O."""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import urlencode

from neurograph._protocol import decoding
from neurograph._protocol.call import Call
from neurograph._protocol.encoding import checked, encode, segment, whole
from neurograph._wirekit import values
from neurograph.exceptions import ValidationError
from neurograph.models import (
    GridCell,
    GridDensity,
    GridInfo,
    GridNeighbor,
    GridQuery,
    GridQueryResult,
    GridRange,
    GridStatus,
    GridTokenAdded,
    GridTokensAdded,
)
from neurograph.wire import Request

Space: TypeAlias = "int | Literal['all']"

# Axes of a level: x, y and z.
_AXES = 3
# Coordinates of a token in all levels.
_COORDINATES = 24
_GRID = "/api/v1/grid"


def status() -> Call[GridStatus]:
    """Ask which grids there are."""
    return Call(Request("GET", f"{_GRID}/status"), decoding.grid_status)


def create(bucket_size: float, density_threshold: float, min_field_nodes: int) -> Call[GridInfo]:
    """Make a grid."""
    body = {
        "bucket_size": checked(values.real, bucket_size, "bucket_size"),
        "density_threshold": checked(values.real, density_threshold, "density_threshold"),
        "min_field_nodes": whole(min_field_nodes, "min_field_nodes"),
    }
    return Call(Request("POST", f"{_GRID}/create", encode(body)), decoding.grid, idempotent=False)


def get(grid_id: int) -> Call[GridInfo]:
    """Read a grid."""
    return Call(Request("GET", _path(grid_id)), decoding.grid)


def delete(grid_id: int) -> Call[bool]:
    """Remove a grid."""
    return Call(Request("DELETE", _path(grid_id)), decoding.nothing)


def add(grid_id: int, token_id: int) -> Call[GridTokenAdded]:
    """Add a token; not to be repeated, because a second time is a conflict."""
    return Call(Request("POST", _token_path(grid_id, "tokens", token_id)), decoding.grid_token, idempotent=False)


def add_many(grid_id: int, token_ids: Sequence[int | str]) -> Call[GridTokensAdded]:
    """Add many tokens; a repeat changes nothing."""
    return Call(Request("POST", f"{_path(grid_id)}/tokens", encode({"ids": list(token_ids)})), decoding.grid_tokens)


def remove(grid_id: int, token_id: int) -> Call[bool]:
    """Remove a token from a grid."""
    return Call(Request("DELETE", _token_path(grid_id, "tokens", token_id)), decoding.nothing)


def neighbors(grid_id: int, token_id: int, space: Space, radius: float, max_results: int) -> Call[list[GridNeighbor]]:
    """Find the tokens of a grid nearest to one of them."""
    asked = {
        "space": _space(space),
        "radius": checked(values.real, radius, "radius"),
        "max_results": whole(max_results, "max_results"),
    }
    target = f"{_token_path(grid_id, 'neighbors', token_id)}?{urlencode(asked)}"
    return Call(Request("GET", target), decoding.grid_neighbors)


def in_range(
    grid_id: int, center: Sequence[float], radius: float, space: Space, limit: int, offset: int
) -> Call[GridRange]:
    """Find the tokens of a grid around a place."""
    asked = {**_region(center, radius, space), "limit": whole(limit, "limit"), "offset": whole(offset, "offset")}
    return Call(Request("GET", f"{_path(grid_id)}/range?{urlencode(asked)}"), decoding.grid_range)


def influence(grid_id: int, center: Sequence[float], radius: float, space: Space) -> Call[float]:
    """Ask for the influence on a place."""
    asked = urlencode(_region(center, radius, space))
    return Call(Request("GET", f"{_path(grid_id)}/influence?{asked}"), decoding.grid_influence)


def density(grid_id: int, center: Sequence[float], radius: float, space: Space) -> Call[GridDensity]:
    """Ask for the density around a place."""
    asked = urlencode(_region(center, radius, space))
    return Call(Request("GET", f"{_path(grid_id)}/density?{asked}"), decoding.grid_density)


def query(grid_id: int, asked: GridQuery, space: Space) -> Call[GridRange]:
    """Find the tokens around a place, to be grouped by `cells`."""
    if space == "all":
        raise ValidationError.of("space", "must be from 0 to 7; cells are of one space")
    return in_range(grid_id, asked.center, asked.radius, space, asked.max_results, 0)


def cells(found: GridRange, bucket_size: float | None, milliseconds: float) -> GridQueryResult:
    """Group tokens by the cells that they are in.

    Args:
        found: tokens with their positions.
        bucket_size: edge of a cell, where the answer does not tell; else 10.
        milliseconds: duration of the call.

    >>> near = [GridNeighbor(token_id=7, distance=1.0, position=[0.5, -0.5, 11.0])]
    >>> cells(GridRange(center=[0, 0, 0], radius=20, results=near, total=1, bucket_size=10.0), None, 1.0).cells
    [GridCell(x=0, y=-1, z=1, token_ids=[7], density=0.001)]
    """
    edge = found.bucket_size or bucket_size or 10.0
    grouped: dict[tuple[int, ...], list[int]] = {}
    for each in found.results:
        if each.position is not None:
            grouped.setdefault(tuple(math.floor(axis / edge) for axis in each.position), []).append(each.token_id)
    listed = [
        GridCell(x=x, y=y, z=z, token_ids=ids, density=len(ids) / edge**_AXES) for (x, y, z), ids in grouped.items()
    ]
    total = len(found.results) if found.total is None else found.total
    return GridQueryResult(cells=listed, total_count=total, query_time_ms=milliseconds)


def _region(center: Sequence[float], radius: float, space: Space) -> dict[str, Any]:
    numbers = [checked(values.real, number, f"center.{n}") for n, number in enumerate(_listed(center))]
    asked: dict[str, Any] = {"space": _space(space), "radius": checked(values.real, radius, "radius")}
    if space == "all" and len(numbers) == _COORDINATES:
        return {**asked, "center": ",".join(map(repr, numbers))}
    if len(numbers) != _AXES:
        wanted = "three numbers, or 24 for all spaces" if space == "all" else "three numbers"
        raise ValidationError.of("center", f"has {len(numbers)} numbers; pass {wanted}")
    return {**asked, **dict(zip("xyz", numbers, strict=True))}


def _listed(center: Any) -> list[Any]:
    if isinstance(center, (str, bytes)) or not hasattr(center, "__iter__"):
        raise ValidationError.of("center", f"is {type(center).__name__}; pass a list of numbers")
    return list(center)


def _space(space: Any) -> int | str:
    return "all" if isinstance(space, str) and space == "all" else whole(space, "space")


def _path(grid_id: int) -> str:
    return f"{_GRID}/{segment(grid_id, 'grid_id')}"


def _token_path(grid_id: int, kind: str, token_id: int) -> str:
    return f"{_path(grid_id)}/{kind}/{segment(token_id, 'token_id')}"
