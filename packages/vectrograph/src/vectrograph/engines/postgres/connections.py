"""Connections to PostgreSQL: two pools, cancellation of what runs on them, failures as domain errors.

Reads and writes have a pool each, so that writers that wait for the lock of a collection keep no reader waiting.

A deadline is kept twice. The watch, one thread of the engine, cancels the statement when the deadline has passed, the
caller has left or the engine closes. `statement_timeout`, a little later, stops it when the watch cannot: this process
was killed, or a new connection for the cancel request cannot be made.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors, pq
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from vectrograph.domain import cancellation
from vectrograph.domain.cancellation import Gone
from vectrograph.domain.errors import (
    CollectionQuarantined,
    DeadlineExceeded,
    DomainError,
    InternalError,
    OutOfSpace,
    Overloaded,
    StorageReadOnly,
    Unavailable,
)
from vectrograph.engines.postgres.codec import NumbersParameter, VectorParameter

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

APPLICATION: Final = "vectrograph"
"""The name that connections have in PostgreSQL's views."""
LONGEST_STATEMENT: Final = 600.0
"""Seconds after which PostgreSQL stops a statement that has no deadline. Chosen: a scan of 100 GB takes less."""
# Seconds that statement_timeout comes after the deadline at least: the watch is to act first.
_GRACE: Final = 0.5
# Seconds between two looks of the watch. A request is cancelled so much too late at most.
_LOOK_SECONDS: Final = 0.02
# Seconds without any request after which the watch sleeps until one comes.
_IDLE_SECONDS: Final = 2.0
# Seconds that a request waits for a connection of the pool when it has no deadline.
_POOL_SECONDS: Final = 10.0
# Seconds between two cancel requests for the same statement.
_AGAIN_SECONDS: Final = 0.2
# Seconds that a cancel request may take.
_CANCEL_SECONDS: Final = 2.0
# Runs of a request before it gives up: a restart of the server leaves a whole pool of dead connections.
_ATTEMPTS: Final = 3


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that knows its `statement_timeout`."""

    timeout_ms: int = 0

    def rows(self, statement: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, values in binary form; it is prepared."""
        return self.execute(statement, arguments, prepare=True, binary=True).fetchall()

    def run(self, statement: str, arguments: Sequence[object] = ()) -> int:
        """Run a statement and return how many rows it concerned."""
        return self.execute(statement, arguments, prepare=True).rowcount

    def copy_in(self, table: str, columns: str, rows: bytes) -> None:
        """Store rows in the binary format of COPY."""
        with self.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(rows)


class Lost(Exception):
    """The connection to PostgreSQL broke. Never leaves the engine.

    Attributes:
        committing: COMMIT had been sent, so that nobody knows yet whether it happened.
    """

    def __init__(self, cause: Exception, *, committing: bool) -> None:
        super().__init__(str(cause))
        self.committing = committing


class RolledBack(Exception):
    """PostgreSQL rolled a transaction back to end a deadlock; it can run again. Never leaves the engine."""

    def __init__(self, cause: psycopg.Error) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Dropped(Exception):
    """The collection that a server remembers is gone. Never leaves the engine."""


@dataclass(slots=True, eq=False)
class Work:
    """Reasons to stop a request, and whether its COMMIT has been sent.

    Attributes:
        deadline: seconds of `time.monotonic`; None for no limit.
        gone: tells whether the caller has left; None where nobody can.
        stopped: tells whether the engine closes.
        committing: COMMIT has been sent.
        cancelled: a cancel request has been sent.
        next_cancel: seconds of `time.monotonic` before which no other is sent.
    """

    deadline: float | None = None
    gone: Gone | None = None
    stopped: Callable[[], bool] = lambda: False
    committing: bool = False
    cancelled: bool = False
    next_cancel: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def seconds(self) -> float:
        """Return the seconds that are left."""
        return LONGEST_STATEMENT if self.deadline is None else self.deadline - time.monotonic()

    def reason(self) -> DomainError | None:
        """Return why the request is to stop, None while it may go on."""
        if self.stopped():
            return closed()
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return too_late()
        if self.gone is not None and self.gone():
            return cancellation.cancelled()
        return None

    def check(self) -> None:
        """Stop when there is a reason; a `Cancellation`.

        Raises:
            DeadlineExceeded, Cancelled, Unavailable.
        """
        reason = self.reason()
        if reason is not None:
            raise reason


class Database:
    """The pools of one engine.

    Args:
        conninfo: a connection string or URL; several hosts are tried in their order.
        schema: where the tables are.
        reads: most connections that read at once.
        writes: most connections that write at once.
        ef: breadth of index searches, `hnsw.ef_search`.
    """

    def __init__(self, conninfo: str, schema: str, *, reads: int, writes: int, ef: int) -> None:
        self.conninfo = conninfo
        self.schema = schema
        self.ef = ef
        self._adapters = _adapters()
        self._reads = self._pool("reads", reads)
        self._writes = self._pool("writes", writes)
        self._watch = Watch()

    def _pool(self, name: str, size: int) -> ConnectionPool[Connection]:
        return ConnectionPool(
            self.conninfo,
            connection_class=Connection,
            kwargs=self.arguments(),
            min_size=1,
            max_size=size,
            open=False,
            configure=self.configure,
            name=f"vectrograph-{name}",
            timeout=_POOL_SECONDS,
            max_idle=300.0,
            reconnect_timeout=5.0,
        )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a connection beside the connection string."""
        return {
            "autocommit": True,
            "context": _Context(self._adapters),
            "cursor_factory": psycopg.RawCursor,
            "application_name": APPLICATION,
            "connect_timeout": 5,
        }

    def configure(self, connection: Connection) -> None:
        """Prepare a new connection."""
        found = connection.execute(
            "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
        ).fetchone()
        places = ", ".join(dict.fromkeys([self.schema, str(found[0]) if found else "public"]))
        wanted = {
            "search_path": f"{places}, pg_catalog",
            "hnsw.ef_search": str(self.ef),
            "hnsw.iterative_scan": "relaxed_order",
            "jit": "off",
            "client_min_messages": "warning",
        }
        for name, value in wanted.items():
            connection.execute("SELECT set_config($1, $2, false)", (name, value))
        connection.prepare_threshold = 0

    def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            for pool in (self._reads, self._writes):
                pool.open(wait=True, timeout=_POOL_SECONDS)
        except (PoolTimeout, psycopg.Error) as error:
            self.close()
            raise Unavailable(f"PostgreSQL does not answer: {_first_line(error)}.") from error

    def close(self) -> None:
        """End all connections and the watch."""
        self._watch.close()
        for pool in (self._reads, self._writes):
            pool.close(timeout=2.0)

    def read(self, act: Callable[[Connection], Result], work: Work) -> Result:
        """Run what only reads; when the connection is lost or a deadlock ends it, run it again.

        Raises:
            DomainError: see `translated`.
        """
        return self._repeated(self._reads, act, work)

    def write(self, act: Callable[[Connection], Result], work: Work) -> Result:
        """Run one transaction; when a deadlock or a lost connection ends it before its COMMIT was sent, run it again.

        Raises:
            Lost: the connection broke after COMMIT was sent.
            DomainError: see `translated`.
        """
        return self._repeated(self._writes, act, work)

    def _repeated(self, pool: ConnectionPool[Connection], act: Callable[[Connection], Result], work: Work) -> Result:
        for attempt in range(_ATTEMPTS):
            try:
                with self._connection(pool, work) as connection:
                    return act(connection)
            except Lost as error:
                if error.committing:
                    raise
                if attempt + 1 == _ATTEMPTS:
                    raise _no_answer(error) from error
                pool.check()
            except RolledBack as error:
                if attempt + 1 == _ATTEMPTS:
                    raise translated(error.cause, work) from error
        raise AssertionError

    @contextmanager
    def _connection(self, pool: ConnectionPool[Connection], work: Work) -> Iterator[Connection]:
        work.check()
        try:
            connection = pool.getconn(timeout=max(0.001, min(work.seconds(), _POOL_SECONDS)))
        except PoolTimeout as error:
            work.check()
            raise Overloaded(
                "All connections to PostgreSQL are in use, or it does not answer; try again shortly.", retry_after=1.0
            ) from error
        except PoolClosed as error:
            raise closed() from error
        try:
            with self._watch.over(connection, work):
                _limit(connection, work)
                yield connection
        except errors.UndefinedTable as error:
            raise Dropped from error
        except errors.DeadlockDetected as error:
            raise RolledBack(error) from error
        except psycopg.Error as error:
            if connection.broken or connection.closed or isinstance(error, _MUST_RECONNECT):
                raise Lost(error, committing=work.committing) from error
            raise translated(error, work) from error
        finally:
            if connection.info.transaction_status != pq.TransactionStatus.IDLE:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
            if work.cancelled:
                # The cancel request may still be on its way, and would hit the next user of this connection.
                connection.close()
            pool.putconn(connection)


class Watch:
    """One thread that cancels statements whose request is to stop."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Connection, Work]] = {}
        self._wanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._look, name="vectrograph-postgres-watch", daemon=True)
        self._thread.start()

    @contextmanager
    def over(self, connection: Connection, work: Work) -> Iterator[None]:
        """Watch over what runs on a connection within the block."""
        self._running[id(work)] = (connection, work)
        if not self._wanted.is_set():
            self._wanted.set()
        try:
            yield
        finally:
            with work.lock:
                del self._running[id(work)]

    def close(self) -> None:
        """Cancel what runs, as the engine closes, and end the thread."""
        self._closed = True
        self._wanted.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0 * _CANCEL_SECONDS)

    def _look(self) -> None:
        busy = time.monotonic()
        # After the end it goes on for a while: what runs is to hear of it.
        while not self._closed or (self._running and time.monotonic() - busy < _CANCEL_SECONDS):
            now = time.monotonic()
            running = list(self._running.values())
            for connection, work in running:
                # Again and again: a cancel request that comes between two statements has no effect.
                if now >= work.next_cancel and work.reason() is not None:
                    self._cancel(connection, work)
            if running and not self._closed:
                busy = now
            elif now - busy > _IDLE_SECONDS:
                self._wanted.clear()
                # A request that came in between is seen: it is entered before the event is looked at.
                if not self._running and not self._closed:
                    self._wanted.wait()
                busy = time.monotonic()
            time.sleep(_LOOK_SECONDS)

    def _cancel(self, connection: Connection, work: Work) -> None:
        with work.lock:
            if id(work) not in self._running:
                return
            work.cancelled = True
            work.next_cancel = time.monotonic() + _AGAIN_SECONDS
            try:
                connection.cancel_safe(timeout=_CANCEL_SECONDS)
            except psycopg.Error as error:
                _log.warning("a statement that nobody waits for cannot be cancelled: %s", _first_line(error))


def too_late() -> DeadlineExceeded:
    """Return the error of work whose time is over."""
    return DeadlineExceeded(
        "The deadline passed before the operation was complete; nothing was written. Allow more time."
    )


def closed() -> Unavailable:
    """Return the error of an engine that is closed."""
    return Unavailable("The engine is closed.")


def translated(error: psycopg.Error, work: Work) -> DomainError:
    """Return the domain error of a failure, without its SQL."""
    state = error.sqlstate or ""
    if isinstance(error, errors.QueryCanceled) and (reason := work.reason()) is not None:
        return reason
    if isinstance(error, errors.DiskFull):
        return OutOfSpace("The disk of PostgreSQL is full; free some space and try again.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StorageReadOnly("PostgreSQL takes no writes at present; check whether this is a standby.")
    if isinstance(error, errors.InsufficientPrivilege):
        return StorageReadOnly(f"The role of this server may not do that in PostgreSQL: {_first_line(error)}.")
    if state.startswith("XX00") and state != "XX000":
        damaged = CollectionQuarantined("The collection is damaged in PostgreSQL; ask the operator to verify it.")
        damaged.problem = _first_line(error)
        return damaged
    if state.startswith(("08", "53", "57", "40", "55")):
        return Unavailable(f"PostgreSQL cannot do that now: {_first_line(error)}; try again shortly.", retry_after=1.0)
    _log.error("an unexpected failure of PostgreSQL", exc_info=error)
    return InternalError("An internal error occurred.")


def _no_answer(error: Lost) -> Unavailable:
    return Unavailable(
        f"The connection to PostgreSQL was lost and nothing was written: {_first_line(error)}; try again shortly.",
        retry_after=1.0,
    )


# The server ends, is not ready, or became a standby: another connection leads to the one that serves.
_MUST_RECONNECT: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.ReadOnlySqlTransaction,
)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _limit(connection: Connection, work: Work) -> None:
    """Set `statement_timeout` to the next power of two above what is left: callers mostly ask for the same."""
    wanted = 1 << math.ceil(math.log2(1000.0 * max(0.001, work.seconds() + _GRACE)))
    if connection.timeout_ms != wanted:
        connection.execute(f"SET statement_timeout = {wanted}")
        connection.timeout_ms = wanted


class _Context:
    """An adaptation context of psycopg that holds adapters only."""

    def __init__(self, adapters: AdaptersMap) -> None:
        self.adapters = adapters
        self.connection = None


class _BinaryDumper(Dumper):
    """Sends what is in binary form already; PostgreSQL infers its type from the statement."""

    format = pq.Format.BINARY
    oid = 0

    def dump(self, obj: bytes) -> bytes:
        """Return the value as it is."""
        return bytes(obj)


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(VectorParameter, _BinaryDumper)
    adapters.register_dumper(NumbersParameter, _BinaryDumper)
    # psycopg would choose a type by the size of each number, and each choice is another prepared statement.
    adapters.register_dumper(int, Int8BinaryDumper)
    return adapters
