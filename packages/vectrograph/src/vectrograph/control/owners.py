"""Owners of collections, in the control database."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import CollectionOwner, FeedbackSession
from vectrograph.control.database.reserved_space import RESERVE_PAGES


class CollectionOwners:
    """Owners of collections by tenant and name."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def claim(self, tenant: str, name: str, owner: str) -> None:
        """Write down who is about to make a collection, instead of who made an earlier one of that name.

        What was said about search results of the earlier one goes in the same transaction.

        Raises:
            Unavailable: the database does not take it.
        """
        row = CollectionOwner(tenant=tenant, name=name, owner_id=owner, created_at=self._clock())
        with self._database.write(leaving=RESERVE_PAGES) as session:
            session.merge(row)
            _forget_feedback(session, tenant, name)

    def get(self, tenant: str, name: str) -> str | None:
        """Return the user_id of who made it; None when nobody did, as with the server's own."""
        with self._database.read() as session:
            row = session.get(CollectionOwner, (tenant, name))
            return None if row is None else row.owner_id

    def remove(self, tenant: str, name: str) -> None:
        """Forget one that is gone, and what was said about its search results; again is no error."""
        with self._database.write() as session:
            session.execute(
                delete(CollectionOwner).where(CollectionOwner.tenant == tenant, CollectionOwner.name == name)
            )
            _forget_feedback(session, tenant, name)

    def all(self) -> list[tuple[str, str]]:
        """Return tenant and name of everything that has an owner."""
        with self._database.read() as session:
            return [
                (tenant, name) for tenant, name in session.execute(select(CollectionOwner.tenant, CollectionOwner.name))
            ]


def _forget_feedback(session: Session, tenant: str, name: str) -> None:
    session.execute(delete(FeedbackSession).where(FeedbackSession.tenant == tenant, FeedbackSession.collection == name))
