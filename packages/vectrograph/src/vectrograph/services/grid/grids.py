"""Grids: sets of tokens that answer which members are near, and how strong and dense they are at a place.

Settings and members are in the account database, the tokens in the engine. A grid follows its tokens: before each
question it reads the log of changes, so that an edited token is where it is now and a deleted one has left.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from vectrograph.control.grids import GridStore
from vectrograph.control.records import GridRecord
from vectrograph.domain.access import Scope
from vectrograph.domain.collections import TOKENS_COLLECTION, CollectionRef
from vectrograph.domain.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PointNotFound,
    PositionExpired,
    Unavailable,
)
from vectrograph.domain.grid import (
    AXES,
    COMPONENTS,
    EXPLORER_SCALES,
    LEVELS,
    MAX_COORDINATE,
    derive,
    placed,
    split_payload,
)
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import MAX_SERIAL_ID, NOW, Point
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.call import Call
from vectrograph.services.grid.arrays import GridArrays, Ids, Region
from vectrograph.services.grid.cache import GridCache, LoadedGrid
from vectrograph.services.grid.formulas import density, influence
from vectrograph.services.limits.validation import validate_batch
from vectrograph.services.points.token_changes import missing_token

DEFAULT_BUCKET_SIZE: Final = 10.0
"""Edge of a cell, from 0.1 to 1,000: NeuroGraph's default."""
DEFAULT_DENSITY_THRESHOLD: Final = 0.5
"""From 0 to 1: NeuroGraph's default. Kept for programs that set it; no answer depends on it."""
DEFAULT_MIN_FIELD_NODES: Final = 3
"""From 1 to 100: NeuroGraph's default. Kept for programs that set it; no answer depends on it."""
DEFAULT_RADIUS: Final = 10.0
"""Radius of a question that names none: NeuroGraph's default."""
MIN_RADIUS: Final = 0.1
"""Smallest radius of a question: NeuroGraph's bound."""
DEFAULT_NEIGHBORS: Final = 10
"""Neighbours of a question that names no number."""
MAX_NEIGHBORS: Final = 1_000
"""Most neighbours of one answer."""
DEFAULT_LIMIT: Final = 1_000
"""Tokens of a range that names no limit."""
MAX_LIMIT: Final = 10_000
"""Most tokens of one answer about a range."""
GRID_MEMORY_BYTES: Final = 256 << 20
"""Memory of all grids together, in bytes, unless it is set: room for a million tokens."""

# Tokens read at a time: few calls, and a caller who leaves is noticed within some milliseconds.
_READ_TOKENS: Final = 500
# Entries of the log of changes read at a time.
_LOG_ENTRIES: Final = 10_000
_PLACE_ONLY: Final = Include(vector=True, payload=True, text=False)
_NOTHING: Final = Include(vector=False, payload=False, text=False)


@dataclass(frozen=True, slots=True)
class GridNeighbor:
    """A token near a place. `position` is where it is in the space that was asked about; None for all spaces."""

    token_id: int
    distance: float
    position: list[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRange:
    """Part of the tokens of a region, nearest first, and how many there are."""

    center: tuple[float, ...]
    results: tuple[GridNeighbor, ...]
    total: int
    bucket_size: float


@dataclass(frozen=True, slots=True)
class GridMeasure:
    """A number at a place: influence, or density. `tokens` are those within the radius."""

    position: tuple[float, ...]
    value: float
    tokens: int


@dataclass(frozen=True, slots=True)
class AddedTokens:
    """Outcome of adding many: those that were added, those that were there, those that no token has, and the size."""

    added: tuple[int, ...]
    present: tuple[int, ...]
    missing: tuple[int, ...]
    grid_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ball:
    """A region as a request names it.

    Attributes:
        space: 0 to 7, or `all`.
        radius: at least 0.1.
        point: x, y and z.
        center: for all spaces, 24 numbers instead of the point; without them the point is the place in each space.
    """

    space: str = "0"
    radius: float = DEFAULT_RADIUS
    point: tuple[float, float, float] = (0.0, 0.0, 0.0)
    center: Sequence[float] | None = None


def explorer_scales(tenant: str) -> Sequence[float]:
    """Return the scales of NeuroGraph's default profile, for every tenant."""
    return EXPLORER_SCALES


class Grids:
    """Grids of the caller's tenant.

    Args:
        engine: where the tokens are.
        store: where grids and members are.
        limits: `max_batch` bounds how many tokens are added at once.
        audit: records deletions.
        most_bytes: memory of all grids together.
        scales: scale of each level in distances across all, for a tenant.
        shared: whether servers with other tokens use the same account database, so that a token that is missing here
            may be a member all the same.
    """

    def __init__(
        self,
        engine: Engine,
        store: GridStore,
        limits: Limits,
        audit: Audit,
        most_bytes: int = GRID_MEMORY_BYTES,
        scales: Callable[[str], Sequence[float]] = explorer_scales,
        *,
        shared: bool = False,
    ) -> None:
        self._engine = engine
        self._store = store
        self._limits = limits
        self._audit = audit
        self._scales = scales
        self._shared = shared
        self.cache = GridCache(most_bytes)

    def numbers(self, call: Call) -> list[int]:
        """Return the numbers of all grids, ascending.

        Raises:
            PermissionDenied: grid:read is missing.
        """
        return self._store.numbers(_reading(call).tenant)

    def create(
        self,
        call: Call,
        bucket_size: float = DEFAULT_BUCKET_SIZE,
        density_threshold: float = DEFAULT_DENSITY_THRESHOLD,
        min_field_nodes: int = DEFAULT_MIN_FIELD_NODES,
    ) -> GridRecord:
        """Make an empty grid under the next number.

        Raises:
            PermissionDenied: grid:write is missing.
            InvalidArgument: a value is out of range.
            QuotaExceeded: there are as many grids as there may be.
        """
        tenant = _writing(call).tenant
        return self._store.create(
            tenant,
            bucket_size=_within("bucket_size", bucket_size, 0.1, 1_000),
            density_threshold=_within("density_threshold", density_threshold, 0, 1),
            min_field_nodes=int(_within("min_field_nodes", min_field_nodes, 1, 100)),
        )

    def get(self, call: Call, grid_id: int) -> tuple[GridRecord, int]:
        """Return a grid, and how many tokens it has now.

        Raises:
            PermissionDenied: grid:read is missing.
            NotFound: there is none of that number.
            Overloaded: the server reads other grids into memory.
        """
        with self._current(call, grid_id) as (grid, arrays):
            return grid, len(arrays)

    def delete(self, call: Call, grid_id: int) -> None:
        """Remove a grid; its tokens stay.

        Raises:
            PermissionDenied: grid:write is missing.
            NotFound: there is none of that number.
        """
        with self._audit.noting(call, "grid.delete", f"grids/{grid_id}"):
            removed = self._store.delete(_writing(call).tenant, grid_id) if _is_number(grid_id) else None
            if removed is None:
                raise _missing_grid(grid_id)
        self.cache.forget(removed.key)

    def add(self, call: Call, grid_id: int, token_id: int) -> int:
        """Add a token; returns how many the grid has.

        Raises:
            PermissionDenied: grid:write is missing.
            NotFound: there is no such grid.
            PointNotFound: there is no such token.
            AlreadyExists: the token is in the grid.
            QuotaExceeded: there are as many tokens in grids as there may be.
        """
        outcome = self._add(_writing(call), grid_id, [token_id])
        if outcome.missing:
            raise missing_token(str(token_id))
        if outcome.present:
            raise AlreadyExists(
                f"Token {token_id} is in grid {grid_id} already.", details={"grid_id": grid_id, "token_id": token_id}
            )
        return outcome.grid_size

    def add_many(self, call: Call, grid_id: int, token_ids: Sequence[int]) -> AddedTokens:
        """Add many tokens in one write; those that are there, or that no token has, are told, not refused.

        Raises:
            PermissionDenied: grid:write is missing.
            NotFound: there is no such grid.
            TooLarge: there are more than `max_batch`.
            QuotaExceeded: there would be more tokens in grids than there may be; none was added.
        """
        ref = _writing(call)
        validate_batch(token_ids, "ids", self._limits)
        return self._add(ref, grid_id, [*dict.fromkeys(token_ids)])

    def remove(self, call: Call, grid_id: int, token_id: int) -> None:
        """Remove a token from a grid; the token stays.

        Raises:
            PermissionDenied: grid:write is missing.
            NotFound: there is no such grid.
            PointNotFound: the token is not in it.
        """
        grid = self._found(_writing(call), grid_id)
        changed = self._store.remove(grid, [token_id]) if _is_token(token_id) else None
        if changed is None or not changed.tokens:
            raise _not_a_member(grid_id, token_id)

    def neighbors(
        self, call: Call, grid_id: int, token_id: int, space: str, radius: float, max_results: int
    ) -> list[GridNeighbor]:
        """Return the members nearest to one of them, which is itself not among them; equals by token.

        Raises:
            PermissionDenied: grid:read is missing.
            NotFound: there is no such grid.
            PointNotFound: the token is not in it.
            InvalidArgument: `space`, `radius` or `max_results` is not acceptable.
            Overloaded: the server reads other grids into memory.
        """
        level = _space(space)
        _within("radius", radius, MIN_RADIUS, MAX_COORDINATE)
        _within("max_results", max_results, 1, MAX_NEIGHBORS)
        with self._current(call, grid_id) as (grid, arrays):
            row = arrays.row(token_id) if _is_token(token_id) else None
            if row is None:
                raise _not_a_member(grid_id, token_id)
            place = arrays.coordinates(row)
            center = place if level is None else place[level * AXES : (level + 1) * AXES]
            region = Region(level, center, radius, self._scales_of(grid.tenant))
            near = arrays.ranked(arrays.near(region, max_results + 1), 0, max_results + 1)
            ids = arrays.ids[near.rows].tolist()
        found = [
            GridNeighbor(token, distance)
            for token, distance in zip(ids, near.distances.tolist(), strict=True)
            if token != token_id
        ]
        return found[:max_results]

    def range(self, call: Call, grid_id: int, ball: Ball, limit: int = DEFAULT_LIMIT, offset: int = 0) -> GridRange:
        """Return part of the members within a region, nearest first, equals by token.

        Raises:
            PermissionDenied: grid:read is missing.
            NotFound: there is no such grid.
            InvalidArgument: the region, `limit` or `offset` is not acceptable.
            Overloaded: the server reads other grids into memory.
        """
        _within("limit", limit, 1, MAX_LIMIT)
        _within("offset", offset, 0, MAX_SERIAL_ID)
        space, center = _center(ball)
        with self._current(call, grid_id) as (grid, arrays):
            near = arrays.near(Region(space, center, ball.radius, self._scales_of(grid.tenant)))
            part = arrays.ranked(near, offset, limit)
            results = tuple(
                GridNeighbor(int(arrays.ids[row]), distance, None if space is None else arrays.position(row, space))
                for row, distance in zip(part.rows.tolist(), part.distances.tolist(), strict=True)
            )
            return GridRange(center=center, results=results, total=len(near.rows), bucket_size=grid.bucket_size)

    def influence(self, call: Call, grid_id: int, ball: Ball) -> GridMeasure:
        """Return the influence of the members within a region on its center; see `formulas.influence`.

        Raises:
            PermissionDenied: grid:read is missing.
            NotFound: there is no such grid.
            InvalidArgument: the region is not acceptable.
            Overloaded: the server reads other grids into memory.
        """
        space, center = _center(ball)
        with self._current(call, grid_id) as (grid, arrays):
            near = arrays.near(Region(space, center, ball.radius, self._scales_of(grid.tenant)))
            value = influence(near.distances, arrays.radii[near.rows], arrays.strengths[near.rows])
        return GridMeasure(center, value, len(near.rows))

    def density(self, call: Call, grid_id: int, ball: Ball) -> GridMeasure:
        """Return the members per volume of a region; see `formulas.density`.

        Raises:
            PermissionDenied: grid:read is missing.
            NotFound: there is no such grid.
            InvalidArgument: the region is not acceptable.
            Overloaded: the server reads other grids into memory.
        """
        space, center = _center(ball)
        with self._current(call, grid_id) as (grid, arrays):
            region = Region(space, center, ball.radius, self._scales_of(grid.tenant))
            count = len(arrays.near(region).rows)
        return GridMeasure(center, density(count, ball.radius, region.dimensions), count)

    def _add(self, ref: CollectionRef, grid_id: int, token_ids: Sequence[int]) -> AddedTokens:
        self._found(ref, grid_id)
        possible = [token for token in token_ids if _is_token(token)]
        points = self._engine.get(ref, [str(token) for token in possible], include=_NOTHING)
        there = [token for token, point in zip(possible, points, strict=True) if point is not None]
        changed = self._store.add(ref.tenant, grid_id, there, most=self.cache.most_members)
        if changed is None:
            raise _missing_grid(grid_id)
        added = set(changed.tokens)
        known = set(there)
        return AddedTokens(
            added=changed.tokens,
            present=tuple(token for token in there if token not in added),
            missing=tuple(token for token in token_ids if token not in known),
            grid_size=changed.grid.members,
        )

    def _found(self, ref: CollectionRef, grid_id: int) -> GridRecord:
        grid = self._store.get(ref.tenant, grid_id) if _is_number(grid_id) else None
        if grid is None:
            raise _missing_grid(grid_id)
        return grid

    def _scales_of(self, tenant: str) -> tuple[float, ...]:
        return tuple(self._scales(tenant))

    @contextmanager
    def _current(self, call: Call, grid_id: int) -> Iterator[tuple[GridRecord, GridArrays]]:
        """Provide a grid with its members as they are now."""
        ref = _reading(call)
        grid = self._found(ref, grid_id)
        with self.cache.held(call, grid.key) as loaded:
            self._catch_up(call, ref, grid, loaded)
            yield grid, loaded.arrays

    def _catch_up(self, call: Call, ref: CollectionRef, grid: GridRecord, loaded: LoadedGrid) -> None:
        first = loaded.position is None
        with self.cache.loading() if first else nullcontext():
            self._read_log(call, ref, loaded)
            if loaded.revision != grid.revision:
                revision, members = self._store.members(grid)
                self.cache.reserve(grid.key, len(members))
                loaded.expect(members, revision)
            if not first and len(loaded.pending) <= _READ_TOKENS:
                self._read_pending(call, ref, grid, loaded)
                return
        if len(loaded.pending):
            with self.cache.loading():
                self._read_pending(call, ref, grid, loaded)

    def _read_log(self, call: Call, ref: CollectionRef, loaded: LoadedGrid) -> None:
        while loaded.position is not None:
            try:
                page = self._engine.changes(ref, loaded.position, limit=_LOG_ENTRIES)
            except (InvalidArgument, PositionExpired):
                # The log no longer reaches back to where this grid was: it is read anew.
                loaded.position = None
                loaded.pending = np.union1d(loaded.pending, loaded.arrays.ids)
                break
            loaded.touch(np.array([int(change.id) for change in page.changes], dtype=np.int64))
            loaded.position = page.position
            if len(page.changes) < _LOG_ENTRIES:
                return
            call.refuse_late()
        # The end of the log first: a token that changes while it is read is read again by the next question.
        loaded.position = self._engine.changes(ref, NOW).position

    def _read_pending(self, call: Call, ref: CollectionRef, grid: GridRecord, loaded: LoadedGrid) -> None:
        """Read what is pending; what was read is kept when the caller leaves, and the next one goes on from there."""
        while len(loaded.pending):
            call.refuse_late()
            ids = loaded.pending[:_READ_TOKENS]
            if not len(loaded.arrays):
                loaded.arrays.reserve(len(loaded.pending))
            points = self._engine.get(ref, [str(token) for token in ids.tolist()], include=_PLACE_ONLY)
            _store_points(loaded.arrays, [point for point in points if point is not None])
            gone = ids[[point is None for point in points]]
            if len(gone):
                loaded.arrays.drop(gone)
                self._forget(grid, loaded, gone)
            loaded.pending = loaded.pending[len(ids) :]

    def _forget(self, grid: GridRecord, loaded: LoadedGrid, gone: Ids) -> None:
        """Remove members whose tokens were deleted. A disk that takes no writes keeps them, and they are no members
        all the same.
        """
        if self._shared:
            return
        with suppress(Unavailable):
            changed = self._store.remove(grid, gone.tolist())
            if changed is not None and changed.tokens and changed.grid.revision == loaded.revision + 1:
                loaded.revision = changed.grid.revision


def _store_points(arrays: GridArrays, points: Sequence[Point]) -> None:
    if not points:
        return
    placements = [split_payload(point.payload or {})[1] for point in points]
    vectors = np.stack([point.vector for point in points if point.vector is not None])
    arrays.put(
        np.array([int(point.id) for point in points], dtype=np.int64),
        placed(derive(vectors), placements),
        np.array([placement.field_radius for placement in placements]),
        np.array([placement.field_strength for placement in placements]),
    )


def _reading(call: Call) -> CollectionRef:
    call.require(Scope.GRID_READ)
    return call.require_reach(TOKENS_COLLECTION)


def _writing(call: Call) -> CollectionRef:
    call.require(Scope.GRID_WRITE)
    return call.require_reach(TOKENS_COLLECTION)


def _center(ball: Ball) -> tuple[int | None, tuple[float, ...]]:
    """Return the level of a region, None for all, and its center."""
    space = _space(ball.space)
    _within("radius", ball.radius, MIN_RADIUS, MAX_COORDINATE)
    point = tuple(
        _within(name, value, -MAX_COORDINATE, MAX_COORDINATE) for name, value in zip("xyz", ball.point, strict=True)
    )
    if ball.center is None:
        return space, point if space is not None else point * len(LEVELS)
    if space is not None:
        raise InvalidArgument.of("center", "goes with space=all; name x, y and z in one space")
    if len(ball.center) != COMPONENTS:
        raise InvalidArgument.of("center", f"has {len(ball.center)} numbers and needs {COMPONENTS}, three a level")
    return None, tuple(_within("center", value, -MAX_COORDINATE, MAX_COORDINATE) for value in ball.center)


def _space(space: str) -> int | None:
    if space == "all":
        return None
    if len(space) == 1 and space in "01234567":
        return int(space)
    raise InvalidArgument.of("space", "must be from 0 to 7, or all", "enum")


def _within(field: str, value: float, least: float, most: float) -> float:
    if not math.isfinite(value) or not least <= value <= most:
        raise InvalidArgument.of(field, f"is {value} and must be from {least:g} to {most:g}", "out_of_range")
    return value


def _is_token(token_id: int) -> bool:
    return 1 <= token_id <= MAX_SERIAL_ID


def _is_number(grid_id: int) -> bool:
    return 1 <= grid_id < 1 << 31


def _missing_grid(grid_id: int) -> NotFound:
    return NotFound(f"Grid {grid_id} does not exist; create one first.", details={"grid_id": grid_id})


def _not_a_member(grid_id: int, token_id: int) -> PointNotFound:
    return PointNotFound(
        f"Token {token_id} is not in grid {grid_id}; add it first.", details={"grid_id": grid_id, "token_id": token_id}
    )
