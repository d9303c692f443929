"""Run by Alembic: migrates on the connection that `vectrograph.control.database.schema` hands over."""

from alembic import context

from vectrograph.control.database.models import Base


def migrate() -> None:
    """Bring the connection's database to the revision asked for, in the transaction that the caller began."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        render_as_batch=True,
    )
    context.run_migrations()


# Alembic lends `context` a configuration only while it runs this file; whoever else imports it gets a quiet module.
if hasattr(context, "config"):
    migrate()
