"""Brings a control database to the schema of this version: a new one at once, an older one by Alembic migrations.

The migrations ship inside the package. A new database is made from the models, because importing Alembic and running
all migrations took a fifth of the start of a server; a test compares the two.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, text

from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import Base, Development, Epoch
from vectrograph.domain.errors import UnsupportedFormat

HEAD: Final = "0007"
MIGRATIONS: Final = Path(__file__).parent / "migrations"

_REVISION: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table."""


def bring_to_head(database: Database) -> None:
    """Create or upgrade the tables in one transaction. Only an upgrade imports Alembic.

    Raises:
        UnsupportedFormat: a newer version wrote the database; nothing was touched.
        Unavailable: the database does not answer.
    """
    if database_revision(database) == HEAD:
        return
    with database.connection() as connection:
        # Seen inside the transaction: another server may have made the tables meanwhile.
        if inspect(connection).get_table_names():
            upgrade(connection, database)
        else:
            create(connection)


def database_revision(database: Database) -> str | None:
    """Return the revision that a database is at; None for an empty one."""
    with database.read() as session:
        connection = session.connection()
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def create(connection: Connection) -> None:
    """Make the tables of this version in an empty database, with the rows that migrations put into them."""
    Base.metadata.create_all(connection, checkfirst=False)
    _REVISION.create(connection)
    connection.execute(insert(_REVISION).values(version_num=HEAD))
    connection.execute(insert(Epoch).values(epoch_id=1, value=0))
    connection.execute(insert(Development).values(row_id=1, state="undecided", reason="", changed_at=0))


def upgrade(connection: Connection, database: Database) -> None:
    """Run the migrations that a database lacks.

    Raises:
        UnsupportedFormat: a newer version wrote the database.
    """
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
