"""Limits of the number of collections."""

from collections.abc import Collection as Sized
from dataclasses import dataclass
from typing import Final

from vectrograph.domain.collections import TOKENS_COLLECTION, CollectionRef
from vectrograph.domain.errors import QuotaExceeded


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits on the number of collections; 0 is no limit.

    The collection `tokens` of each tenant does not count: it is made with the first account of the tenant.

    Attributes:
        database: of all tenants together.
        tenant: of each.
    """

    database: int = 0
    tenant: int = 0

    def require_room(self, ref: CollectionRef, existing: Sized[CollectionRef]) -> None:
        """Let one more collection in.

        Raises:
            QuotaExceeded: there are as many as there may be.
        """
        counted = [other for other in existing if other.name != TOKENS_COLLECTION]
        self.require_counts(ref, len(counted), sum(other.tenant == ref.tenant for other in counted))

    def require_counts(self, ref: CollectionRef, database: int, tenant: int) -> None:
        """Let one more collection in beside so many of the database and of the tenant, those named `tokens` left out.

        Raises:
            QuotaExceeded: there are as many as there may be.
        """
        if ref.name == TOKENS_COLLECTION:
            return
        if self.tenant and tenant >= self.tenant:
            raise _refusal("This tenant", self.tenant, "max_tenant_collections")
        if self.database and database >= self.database:
            raise _refusal("The database", self.database, "max_collections")


UNLIMITED: Final = Quota()


def _refusal(who: str, limit: int, setting: str) -> QuotaExceeded:
    return QuotaExceeded(
        f"{who} has {limit} collections, and the limit {setting} is {limit}; drop one that is not needed, or ask the "
        "operator to raise the limit.",
        details={"limit": limit, "unit": "collections", "setting": setting},
    )
