"""Live facts about this server: is it well, since when, how much."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from vectrograph.domain.collections import DEFAULT_TENANT, TOKENS_COLLECTION, CollectionOutline, CollectionRef
from vectrograph.domain.errors import DomainError
from vectrograph.engines.base import Engine
from vectrograph.services.call import Call

# Bytes of a MiB: memory is reported in it.
_MIB = 1024 * 1024
DAMAGE: Final = "its files are damaged; the log of the server says how"
"""All that callers are told about a collection that is set aside."""


class Wellness(StrEnum):
    """healthy: everything serves. degraded: some collection is set aside. unhealthy: storage does not answer."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """Health that anyone may see; names nothing that is stored.

    Attributes:
        status: see `Wellness`.
        version: of the server.
        uptime_seconds: since this server started.
        quarantined: how many collections are set aside because their files are damaged.
    """

    status: Wellness
    version: str
    uptime_seconds: float
    quarantined: int

    @property
    def ready(self) -> bool:
        """Return whether requests can be answered."""
        return self.status is not Wellness.UNHEALTHY


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """Health that a caller with `status:read` may see.

    Attributes:
        status: see `Wellness`.
        version: of the server.
        engine: name of the storage engine.
        engine_versions: the libraries that it stands on.
        uptime_seconds: since this server started.
        tokens_count: tokens stored.
        collections_count: collections, `tokens` included.
        memory_usage_mb: resident memory of the process, in MiB.
        requests_total: requests answered since this server started.
        quarantined: collections set aside, with a sentence about each.
        unchecked: collections that nobody has used since the start and that were not yet looked through for damage.
    """

    status: Wellness
    version: str
    engine: str
    engine_versions: dict[str, str]
    uptime_seconds: float
    tokens_count: int
    collections_count: int
    memory_usage_mb: float
    requests_total: int
    quarantined: dict[str, str]
    unchecked: int


class Health:
    """Reports on the server that it belongs to. Its uptime counts from construction.

    Attributes:
        version: of the server.
    """

    def __init__(self, engine: Engine, version: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self.version = version
        self._clock = clock
        self._started = clock()
        self._requests = 0
        self._lock = threading.Lock()

    def count_request(self) -> None:
        """Note one more request; every transport calls this once for each."""
        with self._lock:
            self._requests += 1

    def check(self) -> HealthReport:
        """Return whether the server is well, for anyone who asks. Never raises."""
        collections = self._collections(DEFAULT_TENANT)
        return HealthReport(
            status=_wellness(collections),
            version=self.version,
            uptime_seconds=self.uptime,
            quarantined=len(_quarantined(collections or [])),
        )

    def status(self, call: Call) -> SystemStatus:
        """Return the server in numbers.

        Raises:
            PermissionDenied: status:read is missing.
        """
        call.require("status:read")
        found = self._collections(call.principal.tenant)
        collections = found or []
        return SystemStatus(
            status=_wellness(found),
            version=self.version,
            engine=self._engine.capabilities.name,
            engine_versions=dict(self._engine.capabilities.versions),
            uptime_seconds=self.uptime,
            tokens_count=self.tokens_count(call.principal.tenant),
            collections_count=len(collections),
            memory_usage_mb=memory_usage_mb(),
            requests_total=self._requests,
            quarantined=_quarantined(collections),
            unchecked=sum(not outline.checked for outline in collections),
        )

    @property
    def uptime(self) -> float:
        """Seconds since this server started."""
        return round(self._clock() - self._started, 3)

    def tokens_count(self, tenant: str) -> int:
        """Return the number of tokens of a tenant; 0 when storage does not answer."""
        try:
            return self._engine.describe(CollectionRef(tenant, TOKENS_COLLECTION)).count
        except DomainError:
            return 0

    def _collections(self, tenant: str) -> list[CollectionOutline] | None:
        """None when storage does not answer: that is the finding, not a failure of the report."""
        try:
            return self._engine.outline(tenant)
        except DomainError:
            return None


def _wellness(collections: list[CollectionOutline] | None) -> Wellness:
    if collections is None:
        return Wellness.UNHEALTHY
    return Wellness.DEGRADED if _quarantined(collections) else Wellness.HEALTHY


def _quarantined(collections: list[CollectionOutline]) -> dict[str, str]:
    # What is wrong in detail names files: only the log has it.
    return {outline.spec.ref.name: DAMAGE for outline in collections if outline.problem is not None}


def memory_usage_mb() -> float:
    """Return resident memory of this process in MiB: the current one on Linux, elsewhere the peak, and 0.0 on Windows.

    >>> memory_usage_mb() > 1
    True
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return _peak_memory_mb()
    return round(pages * os.sysconf("SC_PAGE_SIZE") / _MIB, 2)


def _peak_memory_mb() -> float:
    try:
        import resource
    except ModuleNotFoundError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    in_bytes = peak if os.uname().sysname == "Darwin" else peak * 1024
    return round(in_bytes / _MIB, 2)
