"""`apikey`: create, list, get, rotate, revoke, delete."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from neurograph.cli._invocation import Invocation, connected
from neurograph.cli._output import fields_of

if TYPE_CHECKING:
    from neurograph.models import APIKeyCreated

app = typer.Typer(help="API keys.", no_args_is_help=True, add_completion=False)

_KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key_id, as shown by `apikey list`.")]
_COLUMNS = ("key_id", "name", "key_prefix", "scopes", "is_active", "created_at", "expires_at", "last_used_at")


@app.command()
@connected
def create(
    invocation: Invocation,
    name: Annotated[str, typer.Option("--name", help="Name of the key.")],
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scopes", "--scope", help="Scopes of the key, such as tokens:read; one or more."),
    ] = None,
    expires: Annotated[
        int | None, typer.Option("--expires", help="Days until the key expires.", show_default="never")
    ] = None,
) -> None:
    """Create an API key. Its secret is shown only once. Without --scopes, it gets your rights except managing keys."""
    asked = None if scopes is None else [scope for group in scopes for scope in group.replace(",", " ").split()]
    _show(invocation, invocation.client.api_keys.create(name=name, scopes=asked, expires_in_days=expires))


@app.command("list")
@connected
def list_keys(invocation: Invocation) -> None:
    """List your API keys, without their secrets."""
    keys = invocation.client.api_keys.list()
    invocation.output.things(map(fields_of, keys), _COLUMNS, "There are no API keys.")


@app.command()
@connected
def get(invocation: Invocation, key_id: _KeyId) -> None:
    """Show one API key, without its secret."""
    invocation.output.thing(fields_of(invocation.client.api_keys.get(key_id)))


@app.command()
@connected
def rotate(
    invocation: Invocation,
    key_id: _KeyId,
    overlap: Annotated[int, typer.Option("--overlap", help="Seconds for which the old key stays valid.")] = 0,
) -> None:
    """Replace an API key by a new one with the same name, scopes and lifetime. Its secret is shown only once."""
    _show(invocation, invocation.client.api_keys.rotate(key_id, overlap))


@app.command()
@connected
def revoke(invocation: Invocation, key_id: _KeyId) -> None:
    """Revoke an API key: it stops working at once, its record is kept."""
    invocation.client.api_keys.revoke(key_id)
    invocation.output.done({"key_id": key_id, "revoked": True}, f"revoked {key_id}")


@app.command()
@connected
def delete(invocation: Invocation, key_id: _KeyId) -> None:
    """Delete an API key and its record; it stops working at once."""
    invocation.client.api_keys.delete(key_id)
    invocation.output.done({"key_id": key_id, "deleted": True}, f"deleted {key_id}")


def _show(invocation: Invocation, created: "APIKeyCreated") -> None:
    invocation.output.thing(fields_of(created))
    if not invocation.output.is_json:
        print("Save the api_key now: it is not shown again.", file=sys.stderr)
