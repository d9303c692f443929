"""The command line, put together."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from neurograph._version import __version__
from neurograph.cli import _api_keys, _cdna, _events, _grid, _server, _tokens, _transfer
from neurograph.cli._exits import ExitCode
from neurograph.cli._invocation import rooted

_EPILOG = "Exit codes: " + ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode) + "."

app = typer.Typer(
    name="neurograph-cli",
    help="Tokens, grids, CDNA, events, API keys and health of a NeuroGraph server.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(_tokens.app, name="token")
app.add_typer(_grid.app, name="grid")
app.add_typer(_api_keys.app, name="apikey")
app.add_typer(_cdna.app, name="cdna")
app.add_typer(_events.app, name="events")
app.command("health")(_server.health)
app.command("status")(_server.status)
_tokens.app.command("import")(_transfer.import_tokens)
_tokens.app.command("export")(_transfer.export_tokens)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"neurograph-cli {__version__}")
        raise typer.Exit


@app.callback()
@rooted
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Tokens, grids, CDNA, events, API keys and health of a NeuroGraph server."""


def spread(words: Sequence[str]) -> list[str]:
    """Return a command line in which each word after `--scopes` has its own option.

    >>> spread(["apikey", "create", "--scopes", "tokens:read", "tokens:write", "--name", "ci"])
    ['apikey', 'create', '--scopes', 'tokens:read', '--scopes', 'tokens:write', '--name', 'ci']
    """
    if "apikey" not in words or "create" not in words:
        return list(words)
    done: list[str] = []
    option, taken = "", True
    for word in [*words, "--"]:
        if word.startswith("-"):
            done += [] if taken else [option]  # without a word: the parser says so
            option, taken = (word, False) if word in ("--scopes", "--scope") else ("", True)
            done += [] if option else [word]
        else:
            done += [option, word] if option else [word]
            taken = True
    return done[:-1]


def run() -> int:
    """Run the command line of this process; returns its exit code."""
    try:
        app(args=spread(sys.argv[1:]))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(ExitCode.FAILED)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.DONE
