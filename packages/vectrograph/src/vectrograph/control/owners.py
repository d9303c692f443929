"""Who made each collection, in the control database."""

from sqlalchemy import delete

from vectrograph.control.clock import Clock
from vectrograph.control.database import Database
from vectrograph.control.models import CollectionOwner


class CollectionOwners:
    """Owners of collections by tenant and name."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, tenant: str, name: str, owner: str) -> None:
        """Remember who made a collection, instead of who made an earlier one of that name.

        Raises:
            Unavailable: the database does not take it.
        """
        row = CollectionOwner(tenant=tenant, name=name, owner_id=owner, created_at=self._clock())
        with self._database.write() as session:
            session.merge(row)

    def get(self, tenant: str, name: str) -> str | None:
        """The user_id of who made it; None when nobody did, as with the server's own."""
        with self._database.read() as session:
            row = session.get(CollectionOwner, (tenant, name))
            return None if row is None else row.owner_id

    def remove(self, tenant: str, name: str) -> None:
        """Forget one that is gone; again is no error."""
        with self._database.write() as session:
            session.execute(
                delete(CollectionOwner).where(CollectionOwner.tenant == tenant, CollectionOwner.name == name)
            )
