"""Grids: tokens in eight spaces of three dimensions; asynchronous."""

import builtins
import time
from collections.abc import Iterable, Sequence

from neurograph._arguments import UNSET, Timeout
from neurograph._execution.async_executor import AsyncExecutor
from neurograph._protocol import grid_operations, operations
from neurograph._protocol.encoding import ids
from neurograph._protocol.grid_operations import Space
from neurograph.exceptions import NeuroGraphError
from neurograph.models import (
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


class AsyncGrid:
    """Make grids, put tokens into them, and ask who is near.

    Each token has a place in eight spaces, the levels `L1Physical` to `L8Abstract`: as given, else derived from its
    embedding. `space` is the number of a level, 0 to 7, or `all` for the scaled distance across all levels. A grid
    follows its tokens: an edited one is where it is now, a deleted one has left.

    >>> made = await client.tokens.create_many([{"text": "joy", "coordinates": {"L4Emotional": [1, 0, 0]}}, "sorrow"])
    >>> grid = await client.grid.create()
    >>> added = await client.grid.add_many(grid.grid_id, [token.id for token in made])
    >>> found = await client.grid.range(grid.grid_id, [1, 0, 0], 0.1, space=3)
    >>> [(near.token_id == made[0].id, near.distance) for near in found.results]
    [(True, 0.0)]
    """

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def status(self, *, timeout: Timeout = UNSET) -> GridStatus:
        """Read which grids there are.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthorizationError: the caller may not read grids.

        >>> grid = await client.grid.create()
        >>> status = await client.grid.status()
        >>> grid.grid_id in status.grid_ids
        True
        """
        return await self._executor.run(grid_operations.status(), timeout)

    async def create(
        self,
        bucket_size: float = 10.0,
        density_threshold: float = 0.5,
        min_field_nodes: int = 3,
        *,
        timeout: Timeout = UNSET,
    ) -> GridInfo:
        """Make an empty grid.

        Args:
            bucket_size: edge of a cell, 0.1 to 1,000; `query` groups by cells.
            density_threshold: kept by the server; no answer depends on it.
            min_field_nodes: kept by the server; no answer depends on it.
            timeout: seconds for this call; else the client's.

        Raises:
            ConflictError: there are as many grids as there may be.
            ValidationError: a value out of range.

        >>> grid = await client.grid.create(bucket_size=5)
        >>> grid.config.bucket_size, grid.token_count
        (5.0, 0)
        """
        return await self._executor.run(
            grid_operations.create(bucket_size, density_threshold, min_field_nodes), timeout
        )

    async def get(self, grid_id: int, *, timeout: Timeout = UNSET) -> GridInfo:
        """Read one grid, with the number of its tokens.

        Args:
            grid_id: which grid.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is none with this id.

        >>> grid = await client.grid.create()
        >>> grid = await client.grid.get(grid.grid_id)
        >>> grid.token_count
        0
        """
        return await self._executor.run(grid_operations.get(grid_id), timeout)

    async def delete(self, grid_id: int, *, timeout: Timeout = UNSET) -> bool:
        """Remove a grid; its tokens stay, and its id is never used again.

        Args:
            grid_id: which grid.
            timeout: seconds for this call; else the client's.

        Returns:
            True.

        Raises:
            NotFoundError: there is none with this id.

        >>> grid = await client.grid.create()
        >>> await client.grid.delete(grid.grid_id)
        True
        """
        return await self._executor.run(grid_operations.delete(grid_id), timeout)

    async def add(self, grid_id: int, token_id: int, *, timeout: Timeout = UNSET) -> GridTokenAdded:
        """Add a token to a grid.

        Args:
            grid_id: which grid.
            token_id: which token.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is no such grid, or no such token.
            ConflictError: the token is in the grid already, or there are as many tokens in grids as there may be.

        >>> token = await client.tokens.create(text="hello")
        >>> grid = await client.grid.create()
        >>> added = await client.grid.add(grid.grid_id, token.id)
        >>> added.grid_size
        1
        """
        return await self._executor.run(grid_operations.add(grid_id, token_id), timeout)

    async def add_many(self, grid_id: int, token_ids: Iterable[int], *, timeout: Timeout = UNSET) -> GridTokensAdded:
        """Add many tokens to a grid; those that are in it already are no error.

        Up to a thousand ids are one write. More go in several requests of as many as the server takes.

        Args:
            grid_id: which grid.
            token_ids: any number of ids; one that is given twice counts once.
            timeout: seconds for each request; else the client's.

        Returns:
            How many were added, which were there already, and which ids no token has.

        Raises:
            NotFoundError: there is no such grid.
            ConflictError: there would be more tokens in grids than there may be.
            NeuroGraphError: a request failed; `details["added"]` tells how many tokens the earlier ones added.

        >>> made = await client.tokens.create_many(["one", "two"])
        >>> grid = await client.grid.create()
        >>> outcome = await client.grid.add_many(grid.grid_id, [made[0].id, made[1].id, 999999])
        >>> outcome.added, outcome.missing, outcome.grid_size
        (2, [999999], 2)
        """
        wanted = ids(token_ids, "token_ids")
        if len(wanted) <= operations.MAX_BATCH_COUNT:
            return await self._executor.run(grid_operations.add_many(grid_id, wanted), timeout)
        most = (await self._executor.limits()).max_batch or operations.MAX_BATCH_COUNT
        done = GridTokensAdded(grid_id=grid_id, added=0)
        for start in range(0, len(wanted), most):
            try:
                part = await self._executor.run(
                    grid_operations.add_many(grid_id, wanted[start : start + most]), timeout
                )
            except NeuroGraphError as error:
                error.details["added"] = done.added
                raise
            done.added += part.added
            done.present += part.present
            done.missing += part.missing
            done.grid_size = part.grid_size
        return done

    async def remove(self, grid_id: int, token_id: int, *, timeout: Timeout = UNSET) -> bool:
        """Remove a token from a grid; the token stays.

        Args:
            grid_id: which grid.
            token_id: which token.
            timeout: seconds for this call; else the client's.

        Returns:
            True.

        Raises:
            NotFoundError: there is no such grid, or the token is not in it.

        >>> token = await client.tokens.create(text="hello")
        >>> grid = await client.grid.create()
        >>> added = await client.grid.add(grid.grid_id, token.id)
        >>> await client.grid.remove(grid.grid_id, token.id)
        True
        """
        return await self._executor.run(grid_operations.remove(grid_id, token_id), timeout)

    async def neighbors(
        self,
        grid_id: int,
        token_id: int,
        space: Space = 0,
        radius: float = 10.0,
        max_results: int = 10,
        *,
        timeout: Timeout = UNSET,
    ) -> builtins.list[GridNeighbor]:
        """Find the tokens of a grid nearest to one of them, which is itself not among them.

        Args:
            grid_id: which grid.
            token_id: a token of the grid.
            space: 0 to 7, or `all`.
            radius: largest distance, at least 0.1.
            max_results: most tokens to return, 1 to 1,000.
            timeout: seconds for this call; else the client's.

        Returns:
            Tokens by rising distance; equals by id.

        Raises:
            NotFoundError: there is no such grid, or the token is not in it.
            ValidationError: a value out of range.

        >>> places = [{"text": f"at {n}", "coordinates": {"L1Physical": [n, 0, 0]}} for n in range(4)]
        >>> made = await client.tokens.create_many(places)
        >>> grid = await client.grid.create()
        >>> added = await client.grid.add_many(grid.grid_id, [token.id for token in made])
        >>> found = await client.grid.neighbors(grid.grid_id, made[0].id, radius=2)
        >>> [near.distance for near in found]
        [1.0, 2.0]
        """
        call = grid_operations.neighbors(grid_id, token_id, space, radius, max_results)
        return await self._executor.run(call, timeout)

    async def range(
        self,
        grid_id: int,
        center: Sequence[float] = (0.0, 0.0, 0.0),
        radius: float = 10.0,
        space: Space = 0,
        *,
        limit: int = 1000,
        offset: int = 0,
        timeout: Timeout = UNSET,
    ) -> GridRange:
        """Find the tokens of a grid around a place.

        Args:
            grid_id: which grid.
            center: x, y and z. For all spaces three numbers are the place in each of them; or pass 24, three a level.
            radius: largest distance, at least 0.1.
            space: 0 to 7, or `all`.
            limit: most tokens to return, 1 to 10,000.
            offset: tokens to skip, nearest first.
            timeout: seconds for this call; else the client's.

        Returns:
            Tokens by rising distance, equals by id, and how many there are in `total`.

        Raises:
            NotFoundError: there is no such grid.
            ValidationError: a value out of range.

        >>> places = [{"text": f"at {n}", "coordinates": {"L1Physical": [n, 0, 0]}} for n in range(4)]
        >>> made = await client.tokens.create_many(places)
        >>> grid = await client.grid.create()
        >>> added = await client.grid.add_many(grid.grid_id, [token.id for token in made])
        >>> found = await client.grid.range(grid.grid_id, [0, 0, 0], 2.5, limit=2)
        >>> [near.position for near in found.results], found.total
        ([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], 3)
        """
        call = grid_operations.in_range(grid_id, center, radius, space, limit, offset)
        return await self._executor.run(call, timeout)

    async def influence(
        self,
        grid_id: int,
        center: Sequence[float] = (0.0, 0.0, 0.0),
        radius: float = 10.0,
        space: Space = 0,
        *,
        timeout: Timeout = UNSET,
    ) -> float:
        """Compute the influence of the tokens around a place on it: Σ strength · (1 − distance / field radius).

        Args:
            grid_id: which grid.
            center: see `range`.
            radius: tokens beyond it do not count; at least 0.1.
            space: 0 to 7, or `all`.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is no such grid.
            ValidationError: a value out of range.

        >>> token = await client.tokens.create(text="lamp", coordinates={"L1Physical": [3, 0, 0]}, field_radius=4)
        >>> grid = await client.grid.create()
        >>> added = await client.grid.add(grid.grid_id, token.id)
        >>> await client.grid.influence(grid.grid_id, [0, 0, 0])
        0.25
        """
        return await self._executor.run(grid_operations.influence(grid_id, center, radius, space), timeout)

    async def density(
        self,
        grid_id: int,
        center: Sequence[float] = (0.0, 0.0, 0.0),
        radius: float = 10.0,
        space: Space = 0,
        *,
        timeout: Timeout = UNSET,
    ) -> GridDensity:
        """Compute the density of the tokens around a place: tokens per volume of the ball.

        Args:
            grid_id: which grid.
            center: see `range`.
            radius: of the ball, at least 0.1.
            space: 0 to 7, or `all`, for a ball of 24 dimensions.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is no such grid.
            ValidationError: a value out of range.

        >>> grid = await client.grid.create()
        >>> found = await client.grid.density(grid.grid_id)
        >>> found.tokens_in_range
        0
        """
        return await self._executor.run(grid_operations.density(grid_id, center, radius, space), timeout)

    async def query(
        self, grid_id: int, query: GridQuery, space: int = 0, *, timeout: Timeout = UNSET
    ) -> GridQueryResult:
        """Find the cells of a grid around a place: the tokens that `range` finds, grouped by the cubes they are in.

        Args:
            grid_id: which grid.
            query: center, radius and most tokens.
            space: 0 to 7.
            timeout: seconds for this call; else the client's.

        Returns:
            Cells in the order of their nearest token, with the tokens per volume of each.

        Raises:
            NotFoundError: there is no such grid.
            ValidationError: a value out of range.

        >>> from neurograph import GridQuery
        >>> places = [{"text": f"at {n}", "coordinates": {"L1Physical": [n, 0, 0]}} for n in range(4)]
        >>> made = await client.tokens.create_many(places)
        >>> grid = await client.grid.create(bucket_size=2)
        >>> added = await client.grid.add_many(grid.grid_id, [token.id for token in made])
        >>> found = await client.grid.query(grid.grid_id, GridQuery(center=[0, 0, 0], radius=10))
        >>> [(cell.x, len(cell.token_ids), cell.density) for cell in found.cells]
        [(0, 2, 0.25), (1, 2, 0.25)]
        """
        began = time.perf_counter()
        found = await self._executor.run(grid_operations.query(grid_id, query, space), timeout)
        return grid_operations.cells(found, None, (time.perf_counter() - began) * 1000)
