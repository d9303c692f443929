"""`grid`: status, create, get, delete, add, remove, neighbors, range, influence, density, cells."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from neurograph.cli._invocation import Invocation, connected
from neurograph.cli._output import fields_of
from neurograph.exceptions import ConfigurationError

if TYPE_CHECKING:
    from neurograph.models import GridNeighbor

app = typer.Typer(help="Grids: tokens in eight spaces of three dimensions.", no_args_is_help=True, add_completion=False)

_GridId = Annotated[int, typer.Argument(metavar="GRID", help="Id of a grid.")]
_TokenId = Annotated[int, typer.Argument(metavar="TOKEN", help="Id of a token in the grid.")]
_Space = Annotated[str, typer.Option("--space", help="Level of the distance, 0 to 7, or all.")]
_Radius = Annotated[float, typer.Option("--radius", help="Largest distance, at least 0.1.")]
_Center = Annotated[
    str,
    typer.Option("--center", help="x,y,z; with --space all also 24 numbers, three for each level."),
]
_ORIGIN = "0,0,0"
_COLUMNS = ("token_id", "distance", "position")


@app.command()
@connected
def status(invocation: Invocation) -> None:
    """Show the grids."""
    invocation.output.thing(fields_of(invocation.client.grid.status()))


@app.command()
@connected
def create(
    invocation: Invocation,
    bucket_size: Annotated[float, typer.Option("--bucket-size", help="Edge of a cell, 0.1 to 1,000.")] = 10.0,
) -> None:
    """Create an empty grid."""
    invocation.output.thing(fields_of(invocation.client.grid.create(bucket_size)))


@app.command()
@connected
def get(invocation: Invocation, grid_id: _GridId) -> None:
    """Show a grid and the number of its tokens."""
    invocation.output.thing(fields_of(invocation.client.grid.get(grid_id)))


@app.command()
@connected
def delete(invocation: Invocation, grid_id: _GridId) -> None:
    """Delete a grid. Its tokens stay."""
    invocation.client.grid.delete(grid_id)
    invocation.output.done({"grid_id": grid_id, "deleted": True}, f"deleted grid {grid_id}")


@app.command()
@connected
def add(
    invocation: Invocation,
    grid_id: _GridId,
    token_ids: Annotated[list[int], typer.Argument(metavar="TOKEN...", help="One or more ids of tokens.")],
) -> None:
    """Add tokens to a grid. A missing token does not stop the others."""
    outcome = invocation.client.grid.add_many(grid_id, token_ids)
    sentence = f"added {outcome.added} tokens, {len(outcome.present)} were there; {outcome.grid_size} in all"
    invocation.output.done(fields_of(outcome), sentence)
    if outcome.missing:
        invocation.client.tokens.get(outcome.missing[0])  # raises what the server says about a token that is not there


@app.command()
@connected
def remove(invocation: Invocation, grid_id: _GridId, token_id: _TokenId) -> None:
    """Remove a token from a grid. The token stays."""
    invocation.client.grid.remove(grid_id, token_id)
    sentence = f"removed token {token_id} from grid {grid_id}"
    invocation.output.done({"grid_id": grid_id, "token_id": token_id, "removed": True}, sentence)


@app.command()
@connected
def neighbors(
    invocation: Invocation,
    grid_id: _GridId,
    token_id: _TokenId,
    space: _Space = "0",
    radius: _Radius = 10.0,
    max_results: Annotated[int, typer.Option("--max-results", "-k", help="Most tokens to show.")] = 10,
) -> None:
    """Show the tokens of a grid nearest to one of them."""
    found = invocation.client.grid.neighbors(grid_id, token_id, _level(space), radius, max_results)
    _show(invocation, found)


@app.command("range")
@connected
def in_range(
    invocation: Invocation,
    grid_id: _GridId,
    center: _Center = _ORIGIN,
    space: _Space = "0",
    radius: _Radius = 10.0,
    limit: Annotated[int, typer.Option("--limit", help="Most tokens to show.")] = 10,
    offset: Annotated[int, typer.Option("--offset", help="Tokens to skip, nearest first.")] = 0,
) -> None:
    """Show the tokens of a grid around a place, nearest first."""
    grid = invocation.client.grid
    _show(
        invocation,
        grid.range(grid_id, _numbers(center), radius, _level(space), limit=limit, offset=offset).results,
    )


@app.command()
@connected
def influence(
    invocation: Invocation, grid_id: _GridId, center: _Center = _ORIGIN, space: _Space = "0", radius: _Radius = 10.0
) -> None:
    """Show the influence of the tokens around a place on it."""
    value = invocation.client.grid.influence(grid_id, _numbers(center), radius, _level(space))
    invocation.output.thing({"influence": value})


@app.command()
@connected
def density(
    invocation: Invocation, grid_id: _GridId, center: _Center = _ORIGIN, space: _Space = "0", radius: _Radius = 10.0
) -> None:
    """Show the density of the tokens around a place."""
    found = invocation.client.grid.density(grid_id, _numbers(center), radius, _level(space))
    invocation.output.thing(fields_of(found))


@app.command()
@connected
def cells(
    invocation: Invocation,
    grid_id: _GridId,
    center: _Center = _ORIGIN,
    space: Annotated[int, typer.Option("--space", help="Level of the distance, 0 to 7.")] = 0,
    radius: _Radius = 10.0,
    max_results: Annotated[int, typer.Option("--max-results", "-k", help="Most tokens to find.")] = 100,
) -> None:
    """Show the cells of a grid around a place, each with its tokens."""
    from neurograph.models import GridQuery

    asked = GridQuery(center=_numbers(center), radius=radius, max_results=max_results)
    found = invocation.client.grid.query(grid_id, asked, space)
    rows = (fields_of(cell) for cell in found.cells)
    invocation.output.things(rows, ("x", "y", "z", "density", "token_ids"), "There are no tokens here.")


def _show(invocation: Invocation, found: "list[GridNeighbor]") -> None:
    invocation.output.things(map(fields_of, found), _COLUMNS, "There are no tokens here.")


def _level(space: str) -> "int | Literal['all']":
    if space == "all":
        return "all"
    if space.isascii() and space.isdigit():
        return int(space)
    raise ConfigurationError(f"--space is {space!r}; pass 0 to 7, or all")


def _numbers(center: str) -> list[float]:
    try:
        return [float(number) for number in center.split(",")]
    except ValueError as error:
        raise ConfigurationError(f"--center is {center!r}; pass numbers separated by commas, such as 0,0,0") from error
