"""CDNA of tenants, with the history of its changes, in the control database."""

from collections.abc import Callable, Sequence

from sqlalchemy import delete, exc, func, select
from sqlalchemy.orm import Session

from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import CdnaHistoryRow, CdnaRow
from vectrograph.control.database.reserved_space import AUDIT_PAGES, RESERVE_PAGES
from vectrograph.control.records import CdnaEntry
from vectrograph.domain.cdna import MAX_HISTORY, CdnaState, Entry, Quarantine, Step


class CdnaStates:
    """States by tenant. A tenant without a row has the state of the beginning."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, tenant: str) -> CdnaState:
        """Return the state of a tenant."""
        with self._database.read() as session:
            return _state(session.get(CdnaRow, tenant))

    def quarantined(self) -> dict[str, CdnaState]:
        """Return the states of the tenants that are in a quarantine, also those whose time has passed."""
        wanted = select(CdnaRow).where(CdnaRow.quarantine_ends_at.is_not(None))
        with self._database.read() as session:
            return {row.tenant: _state(row) for row in session.scalars(wanted)}

    def change(self, tenant: str, act: Callable[[CdnaState], Step], *, frees: bool = False) -> CdnaState:
        """Apply an action in one transaction: read the state, store the next one and what the history gains.

        Args:
            tenant: whose state.
            act: returns the next state of one, or raises, and then nothing is stored. It may be called twice.
            frees: the action ends a quarantine, and may use a part of the room that is kept for a full disk.

        Raises:
            OutOfSpace, StorageReadOnly, Unavailable: nothing was stored.
        """
        try:
            return self._change(tenant, act, frees)
        except exc.IntegrityError:
            # Another server made the row of this tenant at the same moment. It is there now.
            return self._change(tenant, act, frees)

    def _change(self, tenant: str, act: Callable[[CdnaState], Step], frees: bool) -> CdnaState:
        leaving = AUDIT_PAGES if frees else RESERVE_PAGES
        with self._database.write(leaving=leaving, routine=True) as session:
            row = session.get(CdnaRow, tenant, with_for_update=True)
            step = act(_state(row))
            if row is None:
                row = CdnaRow(tenant=tenant)
                session.add(row)
            _fill(row, step.state)
            session.flush()
            self._record(session, tenant, step.entries, clears=step.clears)
        return step.state

    def _record(self, session: Session, tenant: str, entries: Sequence[Entry], *, clears: bool) -> None:
        """Add entries, and remove those that are too many."""
        of_tenant = CdnaHistoryRow.tenant == tenant
        if clears:
            session.execute(delete(CdnaHistoryRow).where(of_tenant))
        at = self._clock()
        for entry in entries:
            session.add(CdnaHistoryRow(tenant=tenant, action=entry.action, at=at, details=dict(entry.details)))
            session.flush()
        newest = select(CdnaHistoryRow.entry_id).where(of_tenant).order_by(CdnaHistoryRow.entry_id.desc())
        oldest_kept = session.scalar(newest.offset(MAX_HISTORY - 1).limit(1))
        if oldest_kept is not None:
            session.execute(delete(CdnaHistoryRow).where(of_tenant, CdnaHistoryRow.entry_id < oldest_kept))

    def history(self, tenant: str, limit: int) -> tuple[list[CdnaEntry], int]:
        """Return the newest entries of a tenant, newest first, and how many there are."""
        of_tenant = CdnaHistoryRow.tenant == tenant
        wanted = select(CdnaHistoryRow).where(of_tenant).order_by(CdnaHistoryRow.entry_id.desc()).limit(limit)
        with self._database.read() as session:
            found = [CdnaEntry(action=row.action, at=row.at, details=row.details) for row in session.scalars(wanted)]
            return found, _count(session, tenant)

    def count(self, tenant: str) -> int:
        """Return how many entries a tenant has."""
        with self._database.read() as session:
            return _count(session, tenant)


def _count(session: Session, tenant: str) -> int:
    counted = select(func.count()).select_from(CdnaHistoryRow).where(CdnaHistoryRow.tenant == tenant)
    return session.scalars(counted).one()


def _state(row: CdnaRow | None) -> CdnaState:
    if row is None:
        return CdnaState()
    quarantine = None
    if (
        row.quarantine_started_at is not None
        and row.quarantine_ends_at is not None
        and row.profile_before is not None
        and row.scales_before is not None
    ):
        quarantine = Quarantine(
            started_at=row.quarantine_started_at,
            ends_at=row.quarantine_ends_at,
            profile=row.profile_before,
            scales=tuple(row.scales_before),
            memory_mb=row.memory_before or 0.0,
        )
    return CdnaState(profile=row.profile, scales=tuple(row.scales), changed_at=row.changed_at, quarantine=quarantine)


def _fill(row: CdnaRow, state: CdnaState) -> None:
    row.profile, row.scales, row.changed_at = state.profile, list(state.scales), state.changed_at
    held = state.quarantine
    row.quarantine_started_at = None if held is None else held.started_at
    row.quarantine_ends_at = None if held is None else held.ends_at
    row.profile_before = None if held is None else held.profile
    row.scales_before = None if held is None else list(held.scales)
    row.memory_before = None if held is None else held.memory_mb
