"""Run by Alembic: migrates on the connection that `administration` hands over."""

from alembic import context


def migrate() -> None:
    """Bring the schema of the connection's search path to the revision asked for, in the caller's transaction."""
    attributes = context.config.attributes
    context.configure(connection=attributes["connection"], version_table_schema=attributes["schema"])
    context.run_migrations()


# Alembic lends `context` a configuration only while it runs this file; whoever else imports it gets a quiet module.
if hasattr(context, "config"):
    migrate()
