"""The audit record in the control database: entries are added and read, never changed or removed."""

import builtins

from sqlalchemy import select

from vectrograph.control.clock import Clock
from vectrograph.control.database import Database
from vectrograph.control.models import AuditEntry
from vectrograph.control.records import AuditRecord

_TARGET_CHARACTERS = 512


class AuditLog:
    """What was done or refused, oldest entry first by number."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(
        self,
        *,
        action: str,
        target: str,
        outcome: str,
        tenant: str,
        actor: str = "",
        key_id: str | None = None,
        address: str = "",
        request_id: str = "",
    ) -> None:
        """Write one entry; it is on disk when this returns. The fields are those of `AuditRecord`.

        Raises:
            Unavailable: the database does not take it.
        """
        entry = AuditEntry(
            at=self._clock(),
            tenant=tenant,
            actor=actor,
            key_id=key_id,
            action=action,
            target=_storable(target),
            outcome=outcome,
            address=address[:64],
            request_id=request_id[:128],
        )
        with self._database.write() as session:
            session.add(entry)

    def list(self, tenant: str | None, *, before: int | None = None, limit: int = 100) -> builtins.list[AuditRecord]:
        """Entries of a tenant, or of all (None), newest first: at most `limit` with a number below `before`."""
        query = select(AuditEntry).order_by(AuditEntry.entry_id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(AuditEntry.tenant == tenant)
        if before is not None:
            query = query.where(AuditEntry.entry_id < before)
        with self._database.read() as session:
            return [_record(entry) for entry in session.scalars(query)]


def _storable(text: str) -> str:
    """A text that every database takes: no NUL, no half surrogate pairs, not too long."""
    return text[:_TARGET_CHARACTERS].encode("utf-8", "replace").decode("utf-8").replace("\0", "�")


def _record(entry: AuditEntry) -> AuditRecord:
    return AuditRecord(
        entry_id=entry.entry_id,
        at=entry.at,
        tenant=entry.tenant,
        actor=entry.actor,
        key_id=entry.key_id,
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,
        address=entry.address,
        request_id=entry.request_id,
    )
