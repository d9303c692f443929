"""Handlers and routes of grids."""

from typing import Final, Literal

from vectrograph.control.grids import MAX_GRIDS
from vectrograph.domain import errors
from vectrograph.domain.access import Scope
from vectrograph.domain.errors import InvalidArgument
from vectrograph.http.context import Context
from vectrograph.http.decoding import decode_id
from vectrograph.http.operation import Operation
from vectrograph.rest import requests, responses
from vectrograph.services.grid.grids import Ball

_GRIDS: Final = "/api/v1/grid"
_GRID: Final = f"{_GRIDS}/{{grid_id}}"
# Longest text of 24 numbers that is looked at: a number has up to 25 characters.
_MAX_CENTER_CHARACTERS: Final = 1_024


def status(context: Context, _: None) -> responses.GridStatus:
    """Answer GET /api/v1/grid/status."""
    numbers = context.services.grids.numbers(context.call)
    message = f"{len(numbers)} of at most {MAX_GRIDS} grids."
    return responses.GridStatus(grids_count=len(numbers), grid_ids=numbers, message=message)


def create(context: Context, body: requests.GridCreate) -> responses.GridCreated:
    """Answer POST /api/v1/grid/create."""
    grid = context.services.grids.create(context.call, body.bucket_size, body.density_threshold, body.min_field_nodes)
    return responses.GridCreated(grid_id=grid.grid_id, config=responses.GridConfig.of(grid))


def get(context: Context, _: None) -> responses.Grid:
    """Answer GET /api/v1/grid/{grid_id}."""
    grid, size = context.services.grids.get(context.call, _grid_id(context))
    return responses.Grid(grid_id=grid.grid_id, token_count=size, config=responses.GridConfig.of(grid))


def delete(context: Context, _: None) -> None:
    """Answer DELETE /api/v1/grid/{grid_id}."""
    context.services.grids.delete(context.call, _grid_id(context))


def add(context: Context, _: None) -> responses.GridTokenAdded:
    """Answer POST /api/v1/grid/{grid_id}/tokens/{token_id}."""
    grid_id, token_id = _grid_id(context), _token_id(context)
    size = context.services.grids.add(context.call, grid_id, token_id)
    return responses.GridTokenAdded(grid_id=grid_id, token_id=token_id, grid_size=size)


def add_many(context: Context, body: requests.GridTokens) -> responses.GridTokensAdded:
    """Answer POST /api/v1/grid/{grid_id}/tokens."""
    grid_id = _grid_id(context)
    outcome = context.services.grids.add_many(context.call, grid_id, body.ids)
    return responses.GridTokensAdded(
        grid_id=grid_id,
        added=len(outcome.added),
        present=[*outcome.present],
        missing=[*outcome.missing],
        grid_size=outcome.grid_size,
    )


def remove(context: Context, _: None) -> None:
    """Answer DELETE /api/v1/grid/{grid_id}/tokens/{token_id}."""
    context.services.grids.remove(context.call, _grid_id(context), _token_id(context))


def neighbors(context: Context, query: requests.GridNeighbors) -> responses.GridNeighborList:
    """Answer GET /api/v1/grid/{grid_id}/neighbors/{token_id}."""
    token_id = _token_id(context)
    found = context.services.grids.neighbors(
        context.call, _grid_id(context), token_id, query.space, query.radius, query.max_results
    )
    shown = [responses.GridNeighbor(token_id=each.token_id, distance=each.distance) for each in found]
    return responses.GridNeighborList(
        center_token_id=token_id,
        space=_shown_space(query.space),
        radius=query.radius,
        neighbors=shown,
        count=len(shown),
    )


def in_range(context: Context, query: requests.GridRange) -> responses.GridRangeList:
    """Answer GET /api/v1/grid/{grid_id}/range."""
    found = context.services.grids.range(context.call, _grid_id(context), _ball(query), query.limit, query.offset)
    shown = [
        responses.GridRangeItem(token_id=each.token_id, distance=each.distance, position=each.position)
        for each in found.results
    ]
    return responses.GridRangeList(
        center=[*found.center],
        radius=query.radius,
        space=_shown_space(query.space),
        results=shown,
        count=len(shown),
        total=found.total,
        limit=query.limit,
        offset=query.offset,
        bucket_size=found.bucket_size,
    )


def influence(context: Context, query: requests.GridPlace) -> responses.GridInfluence:
    """Answer GET /api/v1/grid/{grid_id}/influence."""
    found = context.services.grids.influence(context.call, _grid_id(context), _ball(query))
    return responses.GridInfluence(position=[*found.position], radius=query.radius, influence=found.value)


def density(context: Context, query: requests.GridPlace) -> responses.GridDensity:
    """Answer GET /api/v1/grid/{grid_id}/density."""
    found = context.services.grids.density(context.call, _grid_id(context), _ball(query))
    return responses.GridDensity(
        position=[*found.position], radius=query.radius, density=found.value, tokens_in_range=found.tokens
    )


def _grid_id(context: Context) -> int:
    return decode_id("grid_id", context.path["grid_id"])


def _token_id(context: Context) -> int:
    return decode_id("token_id", context.path["token_id"])


def _shown_space(space: str) -> int | Literal["all"]:
    return "all" if space == "all" else int(space)


def _ball(query: requests.GridPlace) -> Ball:
    return Ball(
        space=query.space,
        radius=query.radius,
        point=(query.x, query.y, query.z),
        center=None if query.center is None else _numbers(query.center),
    )


def _numbers(text: str) -> list[float]:
    if len(text) > _MAX_CENTER_CHARACTERS:
        raise InvalidArgument.of("center", "is too long for 24 numbers", "string_too_long")
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise InvalidArgument.of("center", "must be numbers separated by commas", "float_parsing") from error


GRID: Final = (
    Operation(
        method="GET",
        path=f"{_GRIDS}/status",
        handler=status,
        summary="List the grids",
        tag="grid",
        access=Scope.GRID_READ,
        answer=responses.GridStatus,
    ),
    Operation(
        method="POST",
        path=f"{_GRIDS}/create",
        handler=create,
        summary="Create a grid",
        description="The body may be absent. Ids of grids are never reused.",
        tag="grid",
        access=Scope.GRID_WRITE,
        body=requests.GridCreate,
        body_required=False,
        answer=responses.GridCreated,
        status=201,
        raises=(errors.QuotaExceeded, errors.OutOfSpace),
    ),
    Operation(
        method="GET",
        path=_GRID,
        handler=get,
        summary="Get a grid",
        tag="grid",
        access=Scope.GRID_READ,
        answer=responses.Grid,
        raises=(errors.NotFound,),
    ),
    Operation(
        method="DELETE",
        path=_GRID,
        handler=delete,
        summary="Delete a grid",
        description="Its tokens stay.",
        tag="grid",
        access=Scope.GRID_WRITE,
        status=204,
        raises=(errors.NotFound, errors.OutOfSpace),
    ),
    Operation(
        method="POST",
        path=f"{_GRID}/tokens",
        handler=add_many,
        summary="Add many tokens to a grid",
        description="In one write. The answer lists tokens that were in it already and ids that no token has.",
        tag="grid",
        access=Scope.GRID_WRITE,
        body=requests.GridTokens,
        answer=responses.GridTokensAdded,
        raises=(errors.NotFound, errors.QuotaExceeded, errors.OutOfSpace),
    ),
    Operation(
        method="POST",
        path=f"{_GRID}/tokens/{{token_id}}",
        handler=add,
        summary="Add a token to a grid",
        tag="grid",
        access=Scope.GRID_WRITE,
        answer=responses.GridTokenAdded,
        raises=(
            errors.NotFound,
            errors.PointNotFound,
            errors.AlreadyExists,
            errors.QuotaExceeded,
            errors.OutOfSpace,
        ),
    ),
    Operation(
        method="DELETE",
        path=f"{_GRID}/tokens/{{token_id}}",
        handler=remove,
        summary="Remove a token from a grid",
        description="The token stays.",
        tag="grid",
        access=Scope.GRID_WRITE,
        status=204,
        raises=(errors.NotFound, errors.PointNotFound, errors.OutOfSpace),
    ),
    Operation(
        method="GET",
        path=f"{_GRID}/neighbors/{{token_id}}",
        handler=neighbors,
        summary="Find the members of a grid nearest to one of them",
        tag="grid",
        access=Scope.GRID_READ,
        query=requests.GridNeighbors,
        answer=responses.GridNeighborList,
        raises=(errors.NotFound, errors.PointNotFound, errors.QuotaExceeded),
    ),
    Operation(
        method="GET",
        path=f"{_GRID}/range",
        handler=in_range,
        summary="Find the members of a grid around a place",
        tag="grid",
        access=Scope.GRID_READ,
        query=requests.GridRange,
        answer=responses.GridRangeList,
        raises=(errors.NotFound, errors.QuotaExceeded),
    ),
    Operation(
        method="GET",
        path=f"{_GRID}/influence",
        handler=influence,
        summary="Get the influence of the members of a grid on a place",
        description="A member reaches as far as its field radius; one with field radius 0 acts at its own place only.",
        tag="grid",
        access=Scope.GRID_READ,
        query=requests.GridPlace,
        answer=responses.GridInfluence,
        raises=(errors.NotFound, errors.QuotaExceeded),
    ),
    Operation(
        method="GET",
        path=f"{_GRID}/density",
        handler=density,
        summary="Get the density of the members of a grid around a place",
        tag="grid",
        access=Scope.GRID_READ,
        query=requests.GridPlace,
        answer=responses.GridDensity,
        raises=(errors.NotFound, errors.QuotaExceeded),
    ),
)
"""The routes of grids."""
