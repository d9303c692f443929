"""Schema of the database: made, checked and upgraded by an operator, never by a server that starts."""

from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import create_engine, exc, text

from vectrograph.domain.errors import StartupError, UnsupportedFormat
from vectrograph.engines.postgres.conninfo import checked_conninfo
from vectrograph.engines.postgres.schema import DEFAULT_SCHEMA, HEAD, require_schema_name

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Oldest pgvector that scans an HNSW index iteratively.
_OLDEST_PGVECTOR: Final = (0, 8)
# Oldest PostgreSQL: the tables choose how a column is stored when they are made.
_OLDEST_SERVER: Final = 160_000


def initialise(url: str, *, schema: str = DEFAULT_SCHEMA, role: str | None = None) -> str:
    """Make extension, schema and tables, or bring them to the newest revision; return that revision.

    Args:
        url: of a role that may make extensions and schemas.
        schema: where the tables go.
        role: the role that servers connect as: it owns what is made and gets nothing else. None for that of the URL.

    Raises:
        StartupError: PostgreSQL refuses, or is too old; one sentence says what to do.
        UnsupportedFormat: a newer version wrote the schema; nothing was touched.
    """
    name = sql.Identifier(require_schema_name(schema))
    try:
        with psycopg.connect(checked_conninfo(url)) as connection:
            if connection.info.server_version < _OLDEST_SERVER:
                raise StartupError("PostgreSQL 16 or newer is needed; upgrade the server.")
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            owner = sql.SQL("") if role is None else sql.SQL(" AUTHORIZATION {}").format(sql.Identifier(role))
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name) + owner)
    except psycopg.Error as error:
        raise StartupError(f"PostgreSQL refuses to prepare the schema {schema}: {_line(error)}.") from error
    return upgrade(url, schema=schema, role=role)


def upgrade(url: str, *, schema: str = DEFAULT_SCHEMA, role: str | None = None) -> str:
    """Bring the tables to the newest revision in one transaction and return it.

    Args:
        url: of the owner of the schema, or of a role that may act as the owner.
        schema: where the tables are.
        role: the owner; None when it is the role of the URL.

    Raises:
        StartupError, UnsupportedFormat: see `initialise`.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    place = checked_conninfo(url)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(place))
    try:
        with engine.begin() as connection:
            if role is not None:
                connection.execute(text(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)).as_string()))
            connection.execute(text(f"SET LOCAL search_path = {require_schema_name(schema)}, pg_catalog"))
            config.attributes.update(connection=connection, schema=schema)
            command.upgrade(config, "head")
    except CommandError as error:
        raise UnsupportedFormat(
            f"The schema {schema} was written by another version of vectrograph; nothing was touched. Start that "
            "version, or upgrade this one."
        ) from error
    except (psycopg.Error, exc.SQLAlchemyError) as error:
        reason = _line(getattr(error, "orig", None) or error)
        raise StartupError(f"PostgreSQL refuses to upgrade the schema {schema}: {reason}.") from error
    finally:
        engine.dispose()
    return HEAD


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
