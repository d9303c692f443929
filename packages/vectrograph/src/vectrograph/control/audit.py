"""The audit record: an act is written down before it begins and its outcome when it is over.

One order holds for every audited act. Its intent goes into a journal that has its own room on the disk; an act whose
intent cannot be written is refused before anything is done. The outcome goes into the same place and cannot fail for
want of room, so it never replaces the result of the act. A thread moves finished entries into the database, where
entries are added and read, never changed or removed. It may be late (database busy, disk full); nothing is lost by
that, nor when the process dies: the next one moves what is left.
"""

import builtins
import errno
import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from vectrograph.control.audit_journal import SLOTS, AuditJournal, Entry, JournalTaken, Outcome, new_ticket
from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import AuditEntry
from vectrograph.control.database.reserved_space import AUDIT_PAGES
from vectrograph.control.records import AuditRecord
from vectrograph.domain.errors import DomainError, OutOfSpace, StorageReadOnly, Unavailable

INTERRUPTED: Final = "INTERRUPTED"
"""Outcome of an act whose process died before it could say how the act ended: it may have been done or not."""

# Longest target kept, in characters. Chosen: a tenant, a collection (255 bytes) and an id; fits into a slot of the
# journal.
_MAX_TARGET_CHARACTERS: Final = 512
# Longest target that is known only with the outcome: the id of what was made. Fits into the rest of a slot.
_MAX_NEW_TARGET_CHARACTERS: Final = 64
_JOURNALS: Final = 8
"""Processes that write the record of one directory at once: a server, and commands of its operator."""

# Longest wait for further entries before a transaction begins. Chosen: few transactions, and a record that seems
# immediate.
_GATHER_SECONDS: Final = 0.25
_GATHER_ENTRIES: Final = SLOTS // 4
# Longest wait of an act for a free slot of the journal; then the act is refused.
_SLOT_WAIT_SECONDS: Final = 5.0
# Seconds until a transaction that failed is tried again, and that a refused caller is told to wait.
_RETRY_SECONDS: Final = 5.0
# Seconds that stopping waits for the last transaction. What it leaves in the journal is moved by the next start.
_CLOSE_SECONDS: Final = 1.5
_RECENT_ENTRIES: Final = 4 * SLOTS * _JOURNALS
"""Newest entries of the database among which one that a dead process had moved already is looked for."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Intent:
    """An act that is under way, or over and on its way into the database. `slot` None: it is in the log only."""

    slot: int | None
    entry: Entry
    outcome: str = INTERRUPTED
    target: str | None = None


class AuditLog:
    """Record of what was done or refused, oldest entry first by number. Thread-safe.

    Args:
        database: where entries are kept.
        directory: where the journals are.
        clock: microseconds.
        first_journal: the journal to take when it is free; a command of the operator leaves the first to the server.
    """

    def __init__(self, database: Database, directory: Path, clock: Clock, *, first_journal: int = 0) -> None:
        self._database = database
        self._clock = clock
        self._paths = [directory / ("audit.journal" if n == 0 else f"audit-{n + 1}.journal") for n in range(_JOURNALS)]
        self._first = first_journal
        self._changed = threading.Condition()
        self._free = builtins.list(range(SLOTS))
        self._finished: builtins.list[Intent] = []
        self._moving = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._failing = False
        self._attaching = threading.Lock()
        self._journal: AuditJournal | None = None
        try:
            journal = self._attach()
        except DomainError as error:
            _log.warning("the audit log cannot be written: %s", error.message)
        else:
            if journal.was_cut and first_journal == 0:
                self._tell_what_may_be_lost()
            self._recover()

    def begin(
        self,
        *,
        action: str,
        target: str,
        tenant: str,
        actor: str = "",
        key_id: str | None = None,
        address: str = "",
        request_id: str = "",
        or_log: bool = False,
    ) -> Intent:
        """Write down that an act is about to begin; it is on disk when this returns.

        Args:
            action, target, tenant, actor, key_id, address, request_id: those of `AuditRecord`.
            or_log: the act goes on when the intent cannot be written, and its entry goes to the process log instead:
                for reading, and for what only protects.

        Raises:
            OutOfSpace, StorageReadOnly, Unavailable: it cannot be written; do nothing.
        """
        entry = Entry(
            ticket=new_ticket(),
            at=self._clock(),
            tenant=_storable(tenant, 64),
            actor=_storable(actor, 64),
            key_id=key_id,
            action=action,
            target=_storable(target, _MAX_TARGET_CHARACTERS),
            address=_storable(address, 64),
            request_id=_storable(request_id, 128),
        )
        try:
            journal = self._journal or self._attach()
            slot = self._slot()
            try:
                journal.begin(slot, entry)
            except OSError as error:
                self._release([slot])
                raise _refused(error) from error
        except DomainError:
            if not or_log:
                raise
            return Intent(None, entry)
        return Intent(slot, entry)

    def end(self, intent: Intent, outcome: str, target: str | None = None) -> None:
        """Write down how an act ended. Never raises: what was done is done.

        Args:
            intent: from `begin`.
            outcome: "ok", or the code of the error that ended it.
            target: what it was done to, where only the act could know; at most 64 characters.
        """
        intent.outcome = outcome
        intent.target = None if target is None else _storable(target, _MAX_NEW_TARGET_CHARACTERS)
        journal = self._journal
        if intent.slot is None or journal is None:
            _log.warning("this audit entry could not be stored: %s, outcome %s", intent.entry, outcome)
            return
        try:
            journal.end(intent.slot, Outcome(intent.entry.ticket, outcome, intent.target))
        except OSError as error:
            # The intent is on disk, and the entry is still on its way: only a kill right now would say INTERRUPTED.
            _log.error("the outcome of an audited operation could not be written: %s", error)
        with self._changed:
            self._finished.append(intent)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vectrograph-audit", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def leave_out(self, intent: Intent) -> None:
        """Forget an act that was refused, one of so many that entries for all of them would fill the disk."""
        if intent.slot is None or self._journal is None:
            return
        with suppress(OSError):
            # Otherwise the next start finds an intent without an outcome, and writes the entry after all.
            self._journal.free(intent.slot)
        self._release([intent.slot])

    def move(self) -> None:
        """Put every finished entry into the database, in one transaction.

        Raises:
            OutOfSpace, StorageReadOnly, Unavailable: the database does not take them; they stay in the journal.
        """
        with self._moving:
            with self._changed:
                moving = self._finished[:]
            if not moving:
                return
            with self._database.write(leaving=AUDIT_PAGES, routine=True) as session:
                session.add_all(_row(intent) for intent in sorted(moving, key=lambda each: each.entry.at))
            slots = [intent.slot for intent in moving if intent.slot is not None]
            if self._journal is not None:
                for slot in slots:
                    with suppress(OSError):
                        # Otherwise the next start looks whether the database has it.
                        self._journal.free(slot)
            with self._changed:
                del self._finished[: len(moving)]
            self._release(slots)

    def list(self, tenant: str | None, *, before: int | None = None, limit: int = 100) -> builtins.list[AuditRecord]:
        """Return entries of a tenant, or of all (None), newest first: at most `limit` with a number below `before`."""
        try:
            self.move()
        except DomainError as error:
            _log.warning("%d audit entries are not in the database yet: %s", len(self._finished), error.message)
        query = select(AuditEntry).order_by(AuditEntry.entry_id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(AuditEntry.tenant == tenant)
        if before is not None:
            query = query.where(AuditEntry.entry_id < before)
        with self._database.read() as session:
            return [_record(entry) for entry in session.scalars(query)]

    def close(self) -> None:
        """Move what is finished, as far as the database takes it within seconds, and let the journal go."""
        with self._changed:
            self._stopping = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(_CLOSE_SECONDS)
        if self._finished:
            _log.error("%d audit entries stay in the journal; the next start moves them", len(self._finished))
        with self._attaching:
            journal, self._journal = self._journal, None
        if journal is not None and (thread is None or not thread.is_alive()):
            journal.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._finished or self._stopping)
                # Many entries share one transaction; whoever reads the record does not wait for this.
                self._changed.wait_for(self._is_due, _GATHER_SECONDS)
                stopping = self._stopping
            try:
                self.move()
                self._failing = False
            except Exception as error:  # noqa: BLE001  (the thread goes on, whatever the driver raises)
                if not self._failing:
                    _log.warning("audit entries wait in the journal, because the database cannot be written: %s", error)
                self._failing = True
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, 0 if stopping else _RETRY_SECONDS)
            if stopping:
                return

    def _is_due(self) -> bool:
        return self._stopping or len(self._finished) >= _GATHER_ENTRIES

    def _slot(self) -> int:
        with self._changed:
            if not self._changed.wait_for(lambda: self._free, _SLOT_WAIT_SECONDS):
                raise Unavailable(
                    f"{SLOTS} entries wait to be written to the audit log, and operations that cannot be recorded are "
                    "refused; try again shortly.",
                    retry_after=_RETRY_SECONDS,
                )
            return self._free.pop()

    def _release(self, slots: Iterable[int]) -> None:
        with self._changed:
            self._free.extend(slots)
            self._changed.notify_all()

    def _attach(self) -> AuditJournal:
        """Take a journal that nobody has, and see that there is one for the next process too."""
        with self._attaching:
            if self._stopping:
                raise Unavailable("The server is stopping.")
            if self._journal is not None:
                return self._journal
            order = [*self._paths[self._first :], *self._paths[: self._first]]
            try:
                for path in order:
                    with suppress(JournalTaken):
                        self._journal = AuditJournal(path)
                        break
                else:
                    raise Unavailable(f"{_JOURNALS} processes write this audit log already; stop one of them.")
                for path in self._paths[:2]:
                    with suppress(JournalTaken):
                        if not path.exists():
                            # An operator's command on a full disk needs one as well.
                            AuditJournal(path).close()
            except OSError as error:
                if self._journal is None:
                    raise _refused(error) from error
                _log.warning("there is no journal yet for commands on a full disk: %s", error)
            return self._journal

    def _tell_what_may_be_lost(self) -> None:
        with suppress(DomainError), self._database.read() as session:
            if session.scalar(select(func.max(AuditEntry.entry_id))) is not None:
                _log.warning(
                    "%s was missing or cut, and is recreated: the last audit entries before it was lost may be missing "
                    "from the record; look for what removed it",
                    self._paths[0],
                )

    def _recover(self) -> None:
        """Move what processes that are gone left in their journals."""
        journal = self._journal
        if journal is not None:
            for slot, entry, outcome in journal.pending():
                self._free.remove(slot)
                self._finished.append(_left(slot, entry, outcome))
        others: builtins.list[AuditJournal] = []
        try:
            for path in self._paths:
                with suppress(JournalTaken, OSError):
                    if path.exists():
                        others.append(AuditJournal(path))
            self._recover_from(others)
        except DomainError as error:
            _log.warning("audit entries of an earlier process wait in their journal: %s", error.message)
        finally:
            for other in others:
                other.close()

    def _recover_from(self, others: builtins.list[AuditJournal]) -> None:
        left = [(other, _left(slot, entry, outcome)) for other in others for slot, entry, outcome in other.pending()]
        if not left and not self._finished:
            return
        known = self._known()
        for intent in [each for each in self._finished if _key(each) in known]:
            self._finished.remove(intent)
            if self._journal is not None and intent.slot is not None:
                self._journal.free(intent.slot)
                self._release([intent.slot])
        with self._database.write(leaving=AUDIT_PAGES, routine=True) as session:
            rows = [intent for _, intent in left if _key(intent) not in known]
            session.add_all(_row(intent) for intent in sorted(rows, key=lambda each: each.entry.at))
        for other, intent in left:
            if intent.slot is not None:
                other.free(intent.slot)
        self.move()

    def _known(self) -> set[tuple[int | str, ...]]:
        """Return the newest entries of the database, as `_key` tells them apart."""
        with self._database.read() as session:
            newest = session.scalar(select(func.max(AuditEntry.entry_id))) or 0
            rows = session.scalars(select(AuditEntry).where(AuditEntry.entry_id > newest - _RECENT_ENTRIES))
            return {(row.at, row.action, row.target, row.actor, row.address, row.request_id) for row in rows}


def _left(slot: int, entry: Entry, outcome: Outcome | None) -> Intent:
    if outcome is None:
        return Intent(slot, entry)
    return Intent(slot, entry, outcome.outcome, outcome.target)


def _key(intent: Intent) -> tuple[int | str, ...]:
    row = _row(intent)
    return row.at, row.action, row.target, row.actor, row.address, row.request_id


def _row(intent: Intent) -> AuditEntry:
    entry = intent.entry
    return AuditEntry(
        at=entry.at,
        tenant=entry.tenant,
        actor=entry.actor,
        key_id=entry.key_id,
        action=entry.action,
        target=entry.target if intent.target is None else intent.target,
        outcome=intent.outcome,
        address=entry.address,
        request_id=entry.request_id,
    )


def _refused(error: OSError) -> Unavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutOfSpace(
            "The disk is full: there is no space for the audit log, and operations that cannot be recorded are refused."
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StorageReadOnly(
            "The data directory cannot be written, so logins and all other audited operations are refused; "
            "reads with an API key still work. Make it writable and restart the server."
        )
    return Unavailable(
        f"The audit log cannot be written ({error.strerror}), and operations that cannot be recorded are refused."
    )


def _storable(text: str, characters: int) -> str:
    """Return a text that every database takes: no NUL, no half surrogate pairs, not too long."""
    return text[:characters].encode("utf-8", "replace").decode("utf-8").replace("\0", "�")


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
