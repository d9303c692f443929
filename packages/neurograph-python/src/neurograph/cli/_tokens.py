"""`token`: create, get, list, update, delete, query."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurograph._arguments import UNSET
from neurograph.cli._exits import ExitCode
from neurograph.cli._invocation import Invocation, connected
from neurograph.cli._output import fields_of
from neurograph.cli._values import json_argument, text_argument
from neurograph.exceptions import ConfigurationError

if TYPE_CHECKING:
    from neurograph.models import Token

app = typer.Typer(help="Tokens: texts with their vectors.", no_args_is_help=True, add_completion=False)

_JSON = "or @file, or - for standard input"
_TokenId = Annotated[int, typer.Argument(metavar="ID", help="Id of the token.")]
_Metadata = Annotated[str | None, typer.Option("--metadata", help=f"A JSON object, {_JSON}.")]
_Embedding = Annotated[str | None, typer.Option("--embedding", help=f"A vector as a JSON array, {_JSON}.")]
_Coordinates = Annotated[
    str | None,
    typer.Option(
        "--coordinates", help=f'Places in levels, such as {{"L4Emotional": [1, 0, 0]}}, as a JSON object, {_JSON}.'
    ),
]
_ShowEmbedding = Annotated[bool, typer.Option("--show-embedding", help="Also show vectors.")]
_Filter = Annotated[
    str | None,
    typer.Option(
        "--filter", help=f'Only tokens whose metadata match, such as {{"path": "lang", "eq": "fr"}}, {_JSON}.'
    ),
]
_WITHOUT_VECTOR = ("text", "metadata")
_COLUMNS = ("id", "text", "metadata", "created_at")


@app.command()
@connected
def create(
    invocation: Invocation,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Text of the token; - reads standard input.")],
    metadata: _Metadata = None,
    embedding: _Embedding = None,
    coordinates: _Coordinates = None,
    show_embedding: _ShowEmbedding = False,
) -> None:
    """Create a token. The server computes the vector, unless you pass one."""
    _one_stdin(text, metadata, embedding, coordinates)
    token = invocation.client.tokens.create(
        text=text_argument(text, "TEXT"),
        metadata=json_argument(metadata, "--metadata", dict),
        embedding=json_argument(embedding, "--embedding", list),
        coordinates=json_argument(coordinates, "--coordinates", dict),
    )
    invocation.output.thing(_fields(token, show_embedding))


@app.command()
@connected
def get(
    invocation: Invocation,
    token_id: _TokenId,
    show_embedding: _ShowEmbedding = False,
    show_coordinates: Annotated[
        bool, typer.Option("--show-coordinates", help="Show the place in each level, weight and field too.")
    ] = False,
) -> None:
    """Show one token."""
    include = ("text", "metadata", "embedding", "coordinates") if show_coordinates else None
    invocation.output.thing(_fields(invocation.client.tokens.get(token_id, include=include), show_embedding))


@app.command("list")
@connected
def list_tokens(
    invocation: Invocation,
    limit: Annotated[int, typer.Option("--limit", help="Maximum number of tokens.")] = 10,
    offset: Annotated[int, typer.Option("--offset", help="Number of tokens to skip.")] = 0,
    every: Annotated[bool, typer.Option("--all", help="Show all tokens; ignores --limit.")] = False,
    filter: _Filter = None,
    show_embedding: _ShowEmbedding = False,
) -> None:
    """List tokens in ascending order of id."""
    chosen: dict[str, Any] = {"filter": json_argument(filter, "--filter", dict), "include": _parts(show_embedding)}
    tokens = invocation.client.tokens
    if every:
        rows = (_fields(token, show_embedding) for token in tokens.stream(**chosen))
        invocation.output.things(rows, _columns(show_embedding), "There are no tokens.")
        return
    page = tokens.list(limit=limit, offset=offset, **chosen)
    rows = (_fields(token, show_embedding) for token in page)
    invocation.output.things(rows, _columns(show_embedding), "There are no tokens at this offset.")
    if not invocation.output.is_json and page.has_more and page.total is not None:
        shown = f"{offset + 1} to {offset + len(page)}"
        print(f"tokens {shown} of {page.total}; next: --offset {offset + len(page)}", file=sys.stderr)


@app.command()
@connected
def update(
    invocation: Invocation,
    token_id: _TokenId,
    text: Annotated[str | None, typer.Option("--text", help="New text; - reads standard input.")] = None,
    metadata: Annotated[
        str | None, typer.Option("--metadata", help=f"New metadata, replacing the old: a JSON object, {_JSON}.")
    ] = None,
    embedding: Annotated[str | None, typer.Option("--embedding", help=f"New vector as a JSON array, {_JSON}.")] = None,
    clear_text: Annotated[bool, typer.Option("--clear-text", help="Remove the text and keep the vector.")] = False,
    clear_metadata: Annotated[bool, typer.Option("--clear-metadata", help="Remove the metadata.")] = False,
    coordinates: _Coordinates = None,
    show_embedding: _ShowEmbedding = False,
) -> None:
    """Update the given parts of a token; the others stay unchanged."""
    if (clear_text and text is not None) or (clear_metadata and metadata is not None):
        raise ConfigurationError("a part cannot be set and cleared at the same time; pass one of the two options")
    given = (text, metadata, embedding, coordinates)
    if given == (None,) * len(given) and not clear_text and not clear_metadata:
        raise ConfigurationError(
            "nothing to change; pass --text, --metadata, --embedding, --coordinates, --clear-text, --clear-metadata"
        )
    _one_stdin(*given)
    changes: dict[str, Any] = {
        "text": None if clear_text else UNSET if text is None else text_argument(text, "--text"),
        "metadata": None if clear_metadata else _or_unset(json_argument(metadata, "--metadata", dict)),
        "embedding": _or_unset(json_argument(embedding, "--embedding", list)),
        "coordinates": _or_unset(json_argument(coordinates, "--coordinates", dict)),
    }
    invocation.output.thing(_fields(invocation.client.tokens.update(token_id, **changes), show_embedding))


@app.command()
@connected
def delete(
    invocation: Invocation,
    token_ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID...", help="One or more ids.", show_default=False)
    ] = None,
    filter: _Filter = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting by filter.")] = False,
) -> None:
    """Delete tokens by their ids, or all that match a filter. Missing ids do not prevent the deletion of the others."""
    condition = json_argument(filter, "--filter", dict)
    if bool(token_ids) == (condition is not None):
        raise ConfigurationError("pass either ids or --filter")
    tokens = invocation.client.tokens
    if token_ids:
        if len(token_ids) == 1:
            tokens.delete(token_ids[0])
            invocation.output.done({"deleted": 1, "missing": []}, f"deleted token {token_ids[0]}")
            return
        found = tokens.delete_many(token_ids)
        invocation.output.done(fields_of(found), f"deleted {found.deleted} tokens")
        if found.missing:
            tokens.get(found.missing[0])  # raises what the server says about a token that is not there
        return
    if not yes:
        _confirm(f"Delete {tokens.list(limit=1, filter=condition).total} tokens?")
    found = tokens.delete_many(filter=condition)
    invocation.output.done(fields_of(found), f"deleted {found.deleted} tokens")


@app.command()
@connected
def query(
    invocation: Invocation,
    words: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="Text to search with; - reads standard input.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="Same as TEXT.")] = None,
    token_id: Annotated[
        int | None, typer.Option("--id", help="Id of a token to search with; it is not among the hits.")
    ] = None,
    vector: Annotated[str | None, typer.Option("--vector", help=f"A vector as a JSON array, {_JSON}.")] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="Maximum number of hits.")] = 10,
    threshold: Annotated[float | None, typer.Option("--threshold", help="Minimum similarity, from -1 to 1.")] = None,
    offset: Annotated[int, typer.Option("--offset", help="Number of hits to skip.")] = 0,
    filter: _Filter = None,
    show_embedding: _ShowEmbedding = False,
) -> None:
    """Find the tokens nearest to a text, a token or a vector."""
    if sum(given is not None for given in (words, text, token_id, vector)) != 1:
        raise ConfigurationError("pass exactly one of TEXT, --text, --id and --vector")
    _one_stdin(words, text, vector, filter)
    asked = words if words is not None else text
    hits = invocation.client.tokens.query(
        json_argument(vector, "--vector", list),
        top_k,
        threshold,
        text=None if asked is None else text_argument(asked, "TEXT"),
        token_id=token_id,
        filter=json_argument(filter, "--filter", dict),
        offset=offset,
        include=_parts(show_embedding),
    )
    if invocation.output.is_json:
        rows = ({**fields_of(hit, without=["token"]), "token": _fields(hit.token, show_embedding)} for hit in hits)
    else:
        rows = ({"similarity": hit.similarity, **_fields(hit.token, show_embedding)} for hit in hits)
    invocation.output.things(rows, ("similarity", *_columns(show_embedding)), "No hits.")


def _fields(token: "Token", show_embedding: bool) -> dict[str, Any]:
    return fields_of(token, without=() if show_embedding else ("embedding",))


def _columns(show_embedding: bool) -> Sequence[str]:
    return (*_COLUMNS, "embedding") if show_embedding else _COLUMNS


def _parts(show_embedding: bool) -> Sequence[str] | None:
    return None if show_embedding else _WITHOUT_VECTOR


def _or_unset(value: Any) -> Any:
    return UNSET if value is None else value


def _one_stdin(*arguments: str | None) -> None:
    if arguments.count("-") > 1:
        raise ConfigurationError("only one argument can come from standard input")


def _confirm(question: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError("deleting by filter needs --yes if there is no terminal for a prompt")
    if not typer.confirm(question, err=True):
        print("Nothing was deleted.", file=sys.stderr)
        raise typer.Exit(ExitCode.FAILED)
