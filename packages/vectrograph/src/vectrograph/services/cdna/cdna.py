"""Use cases of CDNA."""

import builtins
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog

from vectrograph.control.cdna import CdnaStates
from vectrograph.control.clock import SECOND, Clock, now
from vectrograph.control.records import CdnaEntry
from vectrograph.domain import cdna
from vectrograph.domain.cdna import PROFILES, CdnaState, Ending, Measures, Profile, Quarantine, Scales, Step, Verdict
from vectrograph.domain.collections import TOKENS_COLLECTION, CollectionRef
from vectrograph.domain.errors import DomainError, InvalidArgument
from vectrograph.engines.base import Engine
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.call import UNKNOWN_ORIGIN, Call
from vectrograph.services.health import memory_usage_mb
from vectrograph.services.ticker import Ticker
from vectrograph.services.traffic import Traffic

log = structlog.get_logger("vectrograph.cdna")

# Most entries of one answer. From the official server.
MAX_ENTRIES: Final = 100
# Entries of an answer whose caller does not say. From the official server.
DEFAULT_ENTRIES: Final = 10
# States of tenants in memory, some 500 bytes each; beyond it all are read anew. Chosen: every account that
# `max_accounts` allows by default.
MAX_KNOWN: Final = 10_000
# Decimals of a measure in answers and in the history.
_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineReport:
    """Quarantine of a tenant. Without an active one the times and measures are None and nothing is left.

    Attributes:
        seconds_left: whole seconds, rounded up.
        started_at, ends_at: microseconds.
    """

    seconds_left: int = 0
    started_at: int | None = None
    ends_at: int | None = None
    measures: Measures | None = None

    @property
    def active(self) -> bool:
        """Return whether there is a quarantine."""
        return self.ends_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CdnaReport:
    """State of a tenant at one moment, with its quarantine and the number of entries of its history."""

    state: CdnaState
    quarantine: QuarantineReport
    history_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """CDNA of a tenant to keep elsewhere."""

    state: CdnaState
    history: builtins.list[CdnaEntry]
    exported_at: int

    @property
    def filename(self) -> str:
        """Name for a file of it, with the time in UTC."""
        moment = datetime.fromtimestamp(self.exported_at // SECOND, UTC)
        return f"cdna-{moment:%Y%m%dT%H%M%SZ}.json"


class Cdna:
    """Scales, profiles and quarantines; each tenant sees its own only. Thread-safe.

    A quarantine is judged whenever its state is read, and each second by one background thread: when its time has
    passed, or a measure is above its limit, the state from before is restored.

    Args:
        states: where states and histories are kept.
        engine: knows how many tokens there are.
        audit: records actions.
        traffic: counts requests and writes of tenants in a quarantine.
        clock: microseconds since 1970-01-01 UTC.
        memory: returns the resident memory of the process in MiB.
        shared: whether other servers use the same account database, so that states are read each time.
    """

    def __init__(
        self,
        states: CdnaStates,
        engine: Engine,
        audit: Audit,
        traffic: Traffic,
        clock: Clock = now,
        memory: Callable[[], float] = memory_usage_mb,
        *,
        shared: bool = False,
    ) -> None:
        self._states = states
        self._engine = engine
        self._audit = audit
        self._traffic = traffic
        self._clock = clock
        self._memory = memory
        self._shared = shared
        self._lock = threading.Lock()
        # States by tenant, for `scales`, and how often one was changed: a state read before a change is not kept.
        self._known: dict[str, CdnaState] = {}
        self._changes = 0
        self._ticker = Ticker(self._look, subject="quarantines")

    def resume(self) -> None:
        """Go on with the quarantines that an earlier process left, and end those whose time has passed."""
        if self._look():
            self._ticker.wake()

    def close(self) -> None:
        """End the background thread; quarantines go on in the next process."""
        self._ticker.close()

    def scales(self, tenant: str) -> Scales:
        """Return the scales in force, for the distance across all levels: sqrt(Σ (pᵢ − qᵢ)² sᵢ²)."""
        state = self._known.get(tenant)
        if state is None:
            changes = self._changes
            state = self._states.get(tenant)
            self._keep(tenant, state, changes)
        return state.restored().scales if state.is_over(self._clock()) else state.scales

    def _keep(self, tenant: str, state: CdnaState, changes: int) -> None:
        """Keep a state for `scales`, unless one was changed since it was read."""
        with self._lock:
            if not self._shared and changes == self._changes:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[tenant] = state

    def _store(self, tenant: str, act: Callable[[CdnaState], Step], *, frees: bool = False) -> CdnaState:
        try:
            return self._states.change(tenant, act, frees=frees)
        finally:
            # Also after a commit whose outcome is unknown.
            with self._lock:
                self._changes += 1
                self._known.pop(tenant, None)

    def status(self, call: Call) -> CdnaReport:
        """Return state, quarantine and length of the history.

        Raises:
            PermissionDenied: cdna:read is missing.
        """
        call.require("cdna:read")
        return self._report(call.principal.tenant)

    def profiles(self, call: Call) -> tuple[Sequence[Profile], str]:
        """Return all profiles, and the id of the one in force.

        Raises:
            PermissionDenied: cdna:read is missing.
        """
        call.require("cdna:read")
        return builtins.list(PROFILES.values()), self._settled(call.principal.tenant).profile

    def profile(self, call: Call, profile_id: str) -> Profile:
        """Return one profile.

        Raises:
            PermissionDenied: cdna:read is missing.
            NotFound: there is no such profile.
        """
        call.require("cdna:read")
        return cdna.profile_of(profile_id)

    def validate(self, call: Call, scales: Sequence[float]) -> Verdict:
        """Return whether scales could be used, and what is unwise about them; nothing is stored.

        Raises:
            PermissionDenied: cdna:read is missing.
        """
        call.require("cdna:read")
        return cdna.validate(scales)

    def configure(self, call: Call, wish: cdna.Wish) -> CdnaState:
        """Change profile, scales or factors.

        Raises:
            PermissionDenied: cdna:write is missing.
            InvalidArgument, NotFound, Conflict: see `domain.cdna.configured`.
        """
        call.require("cdna:write")
        with self._audit.noting(call, "cdna.configure", wish.profile or ""):
            return self._change(call, lambda state: cdna.configured(state, wish, self._clock()))

    def switch(self, call: Call, profile_id: str) -> tuple[CdnaState, str]:
        """Switch to the scales of a profile; returns the state, and the profile before.

        Raises:
            PermissionDenied: cdna:write is missing.
            NotFound: there is no such profile.
            Conflict: there is a quarantine.
        """
        call.require("cdna:write")
        before = ""

        def act(state: CdnaState) -> Step:
            nonlocal before
            before = state.profile
            return cdna.switched(state, profile_id, self._clock())

        with self._audit.noting(call, "cdna.switch", profile_id):
            return self._change(call, act), before

    def reset(self, call: Call) -> CdnaState:
        """Return to the state of the beginning, and forget the history.

        Raises:
            PermissionDenied: config:admin is missing.
            Conflict: there is a quarantine.
        """
        call.require("config:admin")
        with self._audit.noting(call, "cdna.reset", ""):
            return self._change(call, lambda state: cdna.reset(state, self._clock()))

    def quarantine(self, call: Call) -> QuarantineReport:
        """Return the quarantine.

        Raises:
            PermissionDenied: cdna:read is missing.
        """
        call.require("cdna:read")
        return self._quarantine_of(call.principal.tenant, self._settled(call.principal.tenant))

    def start(self, call: Call, duration: int = cdna.DEFAULT_DURATION) -> QuarantineReport:
        """Start a quarantine of so many seconds.

        Raises:
            PermissionDenied: cdna:write is missing.
            InvalidArgument: the duration is out of range.
            Conflict: there is one already.
            QuotaExceeded: as many tenants are in a quarantine as may be.
        """
        call.require("cdna:write")
        tenant = call.principal.tenant
        with self._audit.noting(call, "cdna.quarantine", str(duration)):
            cdna.require_startable(self._settled(tenant), duration)
            at, memory = self._clock(), self._memory()
            self._traffic.watch(tenant, at)
            try:
                state = self._store(tenant, lambda old: cdna.started(old, duration, at, memory))
            except BaseException:
                self._traffic.forget(tenant)
                raise
        self._ticker.wake()
        return self._quarantine_of(tenant, state)

    def stop(self, call: Call, *, apply: bool) -> CdnaState:
        """End the quarantine: keep its changes with `apply`, restore the state from before without.

        Raises:
            PermissionDenied: cdna:write is missing.
            Conflict: there is none.
        """
        call.require("cdna:write")
        tenant = call.principal.tenant
        with self._audit.noting(call, "cdna.release", "applied" if apply else ""):
            metrics = _shown(self._quarantine_of(tenant, self._settled(tenant)).measures)
            act = partial(cdna.stopped, apply=apply, metrics=metrics, now=self._clock())
            state = self._store(tenant, act, frees=True)
            self._traffic.forget(tenant)
        return state

    def history(self, call: Call, limit: int = DEFAULT_ENTRIES) -> tuple[builtins.list[CdnaEntry], int]:
        """Return the newest entries, newest first, and how many there are.

        Raises:
            PermissionDenied: cdna:read is missing.
            InvalidArgument: the limit is out of range.
        """
        call.require("cdna:read")
        if not 1 <= limit <= MAX_ENTRIES:
            raise InvalidArgument.of("limit", f"is {limit} and must be from 1 to {MAX_ENTRIES}", "out_of_range")
        self._settled(call.principal.tenant)
        return self._states.history(call.principal.tenant, limit)

    def export(self, call: Call) -> Export:
        """Return the state with the newest entries of the history.

        Raises:
            PermissionDenied: cdna:read is missing.
        """
        call.require("cdna:read")
        tenant = call.principal.tenant
        state = self._settled(tenant)
        entries, _ = self._states.history(tenant, MAX_ENTRIES)
        return Export(state=state, history=entries, exported_at=self._clock())

    def _change(self, call: Call, act: Callable[[CdnaState], Step]) -> CdnaState:
        self._settled(call.principal.tenant)
        return self._store(call.principal.tenant, act)

    def _report(self, tenant: str) -> CdnaReport:
        state = self._settled(tenant)
        return CdnaReport(
            state=state,
            quarantine=self._quarantine_of(tenant, state),
            history_count=self._states.count(tenant),
        )

    def _quarantine_of(self, tenant: str, state: CdnaState) -> QuarantineReport:
        held = state.quarantine
        if held is None:
            return QuarantineReport()
        return QuarantineReport(
            seconds_left=-(-max(0, held.ends_at - self._clock()) // SECOND),
            started_at=held.started_at,
            ends_at=held.ends_at,
            measures=self._measures(tenant, held, self._tokens(tenant)),
        )

    def _settled(self, tenant: str) -> CdnaState:
        """Return the state of a tenant, after ending a quarantine that has to end."""
        return self._judged(tenant, self._states.get(tenant))

    def _judged(self, tenant: str, state: CdnaState) -> CdnaState:
        held = state.quarantine
        if held is None:
            self._traffic.forget(tenant)
            return state
        self._adopt(tenant, held)
        # Churn ends nothing, and to count tokens each second would keep the files of a thousand tenants open.
        reason = Ending.EXPIRED if state.is_over(self._clock()) else self._measures(tenant, held, tokens=0).breach()
        if reason is None:
            return state
        try:
            return self._end(tenant, held, reason, self._measures(tenant, held, self._tokens(tenant)))
        except DomainError as error:
            # A disk that takes no writes: what has expired is over all the same, and the next look tries again.
            log.warning("the end of a quarantine could not be stored", tenant=tenant, reason=error.message)
            return state.restored() if reason is Ending.EXPIRED else state

    def _end(self, tenant: str, held: Quarantine, reason: Ending, measures: Measures) -> CdnaState:
        def act(state: CdnaState) -> Step:
            # Another thread or server may have ended it, and a new one may have begun.
            if state.quarantine is None or state.quarantine.started_at != held.started_at:
                return Step(state, ())
            return cdna.ended(state, reason, _shown(measures), self._clock())

        action = "cdna.expire" if reason is Ending.EXPIRED else "cdna.rollback"
        with self._audit.noting_anonymous(action, reason.value, UNKNOWN_ORIGIN, tenant=tenant, or_log=True):
            state = self._store(tenant, act, frees=True)
        if state.quarantine is None:
            self._traffic.forget(tenant)
        log.info("quarantine ended", tenant=tenant, reason=reason.value)
        return state

    def _adopt(self, tenant: str, held: Quarantine) -> None:
        """Begin to count for a quarantine that another process started; for one of this process do nothing."""
        if self._traffic.of(tenant).since == held.started_at:
            return
        try:
            self._traffic.watch(tenant, held.started_at)
        except DomainError as error:
            log.warning("a quarantine goes on without counts of its requests", tenant=tenant, reason=error.message)
        self._ticker.wake()

    def _measures(self, tenant: str, held: Quarantine, tokens: int) -> Measures:
        counts = self._traffic.of(tenant)
        requests = max(1, counts.requests)
        growth = max(0.0, self._memory() - held.memory_mb) if held.memory_mb > 0 else 0.0
        return Measures(
            memory_growth=growth / held.memory_mb if growth else 0.0,
            memory_growth_mb=growth,
            connection_breaks=counts.broken / requests,
            error_rate=counts.failed / requests,
            token_churn=(counts.created + counts.deleted) / max(1, tokens),
            requests=counts.requests,
        )

    def _tokens(self, tenant: str) -> int:
        try:
            return self._engine.describe(CollectionRef(tenant, TOKENS_COLLECTION)).count
        except DomainError:
            return 0

    def _look(self) -> bool:
        """Judge every quarantine; returns whether one goes on."""
        goes_on = False
        for tenant, state in self._states.quarantined().items():
            held = state.quarantine
            is_known = held is not None and self._traffic.of(tenant).since == held.started_at
            # One that is not counted yet may also have ended since it was read: it is read again.
            judged = self._judged(tenant, state) if is_known else self._settled(tenant)
            goes_on = goes_on or judged.quarantine is not None
        return goes_on


def _shown(measures: Measures | None) -> dict[str, Any]:
    """Return measures as the history keeps them."""
    if measures is None:
        return {}
    return {name: round(value, _DECIMALS) for name, value in asdict(measures).items()}
