"""The audit record in the control database: entries are added and read, never changed or removed."""

import builtins
import threading
from dataclasses import dataclass

from sqlalchemy import select

from vectrograph.control.clock import Clock
from vectrograph.control.database import Database
from vectrograph.control.models import AuditEntry
from vectrograph.control.records import AuditRecord

_TARGET_CHARACTERS = 512


@dataclass(slots=True)
class _Ticket:
    """An entry on its way to the disk, and what became of it."""

    entry: AuditEntry
    over: bool = False
    error: Exception | None = None


class AuditLog:
    """What was done or refused, oldest entry first by number."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Ticket] = []

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
        ticket = _Ticket(entry)
        with self._lock:
            self._waiting.append(ticket)
        # Whoever has the turn writes for all who wait, so that many entries at once share one trip to the disk.
        with self._turn:
            if not ticket.over:
                self._write_waiting()
        if ticket.error is not None:
            raise ticket.error

    def _write_waiting(self) -> None:
        with self._lock:
            tickets, self._waiting = self._waiting, []
        error: Exception | None = None
        try:
            with self._database.write() as session:
                session.add_all([ticket.entry for ticket in tickets])
        except Exception as raised:  # noqa: BLE001  (each of those who wait raises it)
            error = raised
        for ticket in tickets:
            ticket.error, ticket.over = error, True

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
