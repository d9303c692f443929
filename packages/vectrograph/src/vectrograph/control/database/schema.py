"""Brings a control database to the schema of this version, by Alembic migrations that ship inside the package."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from vectrograph.control.database.connection import Database
from vectrograph.domain.errors import UnsupportedFormat

HEAD: Final = "0007"
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def bring_to_head(database: Database) -> None:
    """Create or upgrade the tables in one transaction; one that is at head is looked at without importing Alembic.

    Raises:
        UnsupportedFormat: a newer version wrote the database; nothing was touched.
        Unavailable: the database does not answer.
    """
    if database_revision(database) == HEAD:
        return
    with database.connection() as connection:
        _upgrade(connection, database)


def database_revision(database: Database) -> str | None:
    """Return the revision that a database is at; None for an empty one."""
    with database.read() as session:
        connection = session.connection()
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, database: Database) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UnsupportedFormat(
            f"The control database {database} was written by another version of vectrograph; nothing was touched. "
            "Start that version, or restore a backup that this one wrote."
        ) from error
