"""Commands on a PostgreSQL database: prepare it for servers, check it, upgrade its tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from vectrograph.domain.errors import DomainError, StartupError
from vectrograph.settings import ENV_PREFIX

postgres = typer.Typer(
    help="The schema of the engine postgres.", no_args_is_help=True, add_completion=False, name="postgres"
)

_Url = Annotated[
    str,
    typer.Option(
        "--engine-url",
        envvar=f"{ENV_PREFIX}ENGINE_URL",
        help="Connection string, such as postgresql://user@host/database.",
    ),
]
_Role = Annotated[
    str | None,
    typer.Option("--role", help="Role that servers connect as; it owns the schema. Default: the role of the URL."),
]


@contextmanager
def _told() -> Iterator[None]:
    """End the command with one line when it fails."""
    try:
        yield
    except ImportError as error:
        typer.echo(f"vectrograph: install the packages first: pip install 'vectrograph[postgres]' ({error})", err=True)
        raise typer.Exit(1) from error
    except (StartupError, DomainError) as error:
        typer.echo(f"vectrograph: {error}", err=True)
        raise typer.Exit(1) from error


@postgres.command()
def init(engine_url: _Url, role: _Role = None) -> None:
    """Create extension, schema and tables, as a role that may do so. Running it twice is fine.

    With --role, servers connect as a role that needs no privilege but to log in.
    """
    with _told():
        from vectrograph.engines.postgres.administration import initialise

        typer.echo(f"the schema vectrograph is ready, at revision {initialise(engine_url, role=role)}")


@postgres.command()
def check(engine_url: _Url) -> None:
    """Connect as a server does, and say what is there. Exit code 1: a server could not start."""
    with _told():
        from vectrograph.engines.postgres import PostgresEngine

        engine = PostgresEngine.open(engine_url, read_connections=1, write_connections=1)
        try:
            versions = ", ".join(f"{name} {version}" for name, version in engine.capabilities.versions.items())
        finally:
            engine.close()
        typer.echo(f"a server can use this database: {versions}")


@postgres.command()
def upgrade(engine_url: _Url, role: _Role = None) -> None:
    """Bring the tables to the revision of this version, in one transaction."""
    with _told():
        from vectrograph.engines.postgres import administration

        typer.echo(f"the tables are at revision {administration.upgrade(engine_url, role=role)}")
