"""Audit record: every security-relevant act is written down, done or refused."""

import builtins
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from vectrograph.control.audit import AuditLog, Intent
from vectrograph.control.records import AuditRecord
from vectrograph.domain.addresses import address_group
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import DomainError, InternalError, InvalidArgument, RateLimited
from vectrograph.services.call import Call, Origin

log = structlog.get_logger("vectrograph.audit")

# Seconds, the period that the limits below count in.
HOUR: Final = 3600.0
ACTS_AN_HOUR: Final = 100_000
"""Recorded acts of one account. At some 300 bytes each that is 30 MB of disk an hour; 28 deletions a second."""
REFUSALS_AN_HOUR: Final = 500
"""Recorded acts of one caller that were refused: enough to see what somebody tries. The rest is counted in the log."""
ALL_REFUSALS_AN_HOUR: Final = 20_000
"""Refused acts recorded in an hour from all callers together, who may have many addresses: 6 MB of disk."""
# Callers whose acts are counted apart; beyond it the ones seen longest ago are forgotten. Generous: every account
# that `max_accounts` allows by default.
_MAX_CALLERS: Final = 10_000


class AuditQuota:
    """Counts the acts of an hour. An act that must not be recorded any more is not done; a refusal is only counted.

    Thread-safe. The counts are in this process.
    """

    def __init__(
        self,
        acts: int = ACTS_AN_HOUR,
        refusals: int = REFUSALS_AN_HOUR,
        all_refusals: int = ALL_REFUSALS_AN_HOUR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = (acts, refusals, all_refusals)
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._acts: OrderedDict[str, int] = OrderedDict()
        self._refusals: OrderedDict[str, int] = OrderedDict()
        self._all_refusals = 0
        self._left_out = 0

    def charge(self, account: str) -> None:
        """Count an act of an account.

        Raises:
            RateLimited: it has done as much within the hour as is recorded; `retry_after` says when the hour is over.
        """
        with self._lock:
            remaining = self._roll()
            count = _counted(self._acts, account)
        if count > self._limits[0]:
            raise RateLimited(
                f"This account has made {self._limits[0]} audited requests, such as deletions, within an hour, "
                "which is the limit; delete by filter or in batches, or wait.",
                details={"limit": self._limits[0], "unit": "recorded acts an hour"},
                retry_after=remaining,
            )

    def keeps_refusal(self, who: str) -> bool:
        """Return whether one more refused act of a caller gets an entry."""
        with self._lock:
            self._roll()
            count = _counted(self._refusals, who)
            keeps = count <= self._limits[1] and self._all_refusals < self._limits[2]
            self._all_refusals += keeps
            self._left_out += not keeps
            is_first = not keeps and self._left_out == 1
        if is_first:
            log.warning("refused operations are left out of the audit log for the rest of the hour", caller=who)
        return keeps

    def _roll(self) -> float:
        """Begin a new hour when the old one is over. Return the seconds that are left of it."""
        passed = self._clock() - self._began
        if passed >= HOUR:
            if self._left_out:
                log.warning("refused operations were left out of the audit log", acts=self._left_out)
            self._began = self._clock()
            self._acts.clear()
            self._refusals.clear()
            self._all_refusals = self._left_out = 0
            return HOUR
        return HOUR - passed


def _counted(counts: OrderedDict[str, int], name: str) -> int:
    """Count one more, and forget whoever did least when there are too many names.

    Names come and go by the thousand only with invented addresses, each counted once or twice: of the oldest hundred
    the one with the smallest count is forgotten.
    """
    count = counts[name] = counts.pop(name, 0) + 1
    if len(counts) > _MAX_CALLERS:
        oldest = [other for other, _ in zip(counts, range(100), strict=False)]
        del counts[min(oldest, key=counts.__getitem__)]
    return count


# Entries of one page of the record. Chosen: some hundred KiB of JSON.
MAX_ENTRIES: Final = 1_000
_OK: Final = "ok"


@dataclass(slots=True)
class Act:
    """An act that is being recorded. `target` may be set by the block where only the act itself knows it."""

    target: str | None = None


class Told(Protocol):
    """A listener that is told of acts that are over. Waits for nothing."""

    def __call__(
        self, ticket: int, action: str, target: str, outcome: str, tenant: str, account: str, seconds: float
    ) -> None:
        """Note an act: its name, what was done to what, "ok" or the code of an error, by whom, in how many seconds."""
        ...


class Audit:
    """Records acts and shows them to administrators. Entries name things by id: no secret, no vector, no payload.

    There is one order for every audited act: its intent is on disk before it begins, or it is refused before anything
    is done; its outcome follows and never replaces the result. See `control.audit`.
    """

    def __init__(self, log: AuditLog, quota: AuditQuota | None = None, told: Told | None = None) -> None:
        self._log = log
        self._quota = quota or AuditQuota()
        self._told = told

    @contextmanager
    def noting(self, call: Call, action: str, target: str, *, or_log: bool = False) -> Iterator[Act]:
        """Record what the block does: "ok", or the code of the error that ended it.

        Args:
            call: who acts.
            action: `subject.verb`.
            target: what it is done to.
            or_log: for reading: the block runs also when the record cannot be written, and the process log says so.

        Raises:
            OutOfSpace, StorageReadOnly, Unavailable: the intent cannot be written; the block did not run.
            RateLimited: the account has done as much within the hour as is recorded; the block did not run.
        """
        who = call.principal
        self._quota.charge(who.user_id)
        intent = self._log.begin(
            action=action,
            target=target,
            tenant=who.tenant,
            actor=who.user_id,
            key_id=who.key_id,
            address=call.origin.address,
            request_id=call.request_id,
            or_log=or_log,
        )
        with self._ending(intent, who.user_id) as act:
            yield act

    def deleting(self, call: Call, target: str) -> AbstractContextManager[Act]:
        """Record the deletion that the block does, of points or tokens: `noting` under the action point.delete."""
        return self.noting(call, "point.delete", target)

    @contextmanager
    def noting_anonymous(
        self,
        action: str,
        target: str,
        origin: Origin,
        *,
        actor: str = "",
        tenant: str = DEFAULT_TENANT,
        or_log: bool = False,
    ) -> Iterator[Act]:
        """Record what the block does for someone who had not been authenticated when it began, as a login.

        Raises:
            OutOfSpace, StorageReadOnly, Unavailable: the intent cannot be written; the block did not run.
        """
        intent = self._log.begin(
            action=action,
            target=target,
            tenant=tenant,
            actor=actor,
            address=origin.address,
            request_id=origin.request_id,
            or_log=or_log,
        )
        # One who fails in the name of an account uses up nothing of the account's own.
        with self._ending(intent, f"{address_group(origin.address)} for {actor or 'nobody'}") as act:
            yield act

    @contextmanager
    def _ending(self, intent: Intent, who: str) -> Iterator[Act]:
        act = Act()
        began = time.monotonic()
        outcome = _OK
        try:
            yield act
        except DomainError as error:
            outcome = error.code
            if self._quota.keeps_refusal(who):
                self._log.end(intent, error.code, act.target)
            else:
                self._log.leave_out(intent)
            raise
        except BaseException:
            outcome = InternalError.code
            self._log.end(intent, InternalError.code, act.target)
            raise
        else:
            self._log.end(intent, _OK, act.target)
        finally:
            if self._told is not None:
                entry = intent.entry
                target = entry.target if act.target is None else act.target
                seconds = time.monotonic() - began
                self._told(entry.ticket, entry.action, target, outcome, entry.tenant, entry.actor, seconds)

    def list(self, call: Call, *, before: int | None = None, limit: int = 100) -> builtins.list[AuditRecord]:
        """Return entries newest first; reading them is an entry too. Administrators of the tenant `default` see all
        tenants.

        Args:
            call: who asks.
            before: only entries with a smaller number; the last one's number continues the list.
            limit: 1 to 1,000.

        Raises:
            PermissionDenied: logs:admin is missing.
            InvalidArgument: `limit` or `before` is out of range.
        """
        with self.noting(call, "audit.read", "" if before is None else str(before), or_log=True):
            call.require("logs:admin")
            if not 1 <= limit <= MAX_ENTRIES:
                raise InvalidArgument.of("limit", f"is {limit} and must be from 1 to {MAX_ENTRIES}", "out_of_range")
            if before is not None and not 1 <= before < 2**63:
                raise InvalidArgument.of("before", "must be the number of an entry", "out_of_range")
            return self._log.list(call.principal.governed_tenant, before=before, limit=limit)
