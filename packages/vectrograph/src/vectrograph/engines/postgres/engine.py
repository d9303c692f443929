"""The PostgreSQL engine: twelve verbs over tables that many servers share."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeVar
from weakref import WeakSet

import msgspec
import psycopg

from vectrograph.domain import cancellation
from vectrograph.domain.capabilities import Capabilities, EngineLimits, MaintenanceReport, MaintenanceTask
from vectrograph.domain.collections import CollectionInfo, CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import DomainError, InvalidArgument, StartupError
from vectrograph.domain.filters.evaluation import NODES, Filter
from vectrograph.domain.grid import PLACEMENT_BYTES
from vectrograph.domain.points import (
    ChangePage,
    IdempotencyKey,
    LogEnd,
    Op,
    Precondition,
    WriteLimits,
    WriteResult,
)
from vectrograph.domain.queries import Include, ScrollPage, ScrollRequest, SearchRequest
from vectrograph.domain.query_validation import query_vectors, require_scroll, require_spec
from vectrograph.domain.write_validation import validate_writes
from vectrograph.engines.base import Infos, Outlines, Points, Results
from vectrograph.engines.postgres import reading
from vectrograph.engines.postgres.catalog import Catalog
from vectrograph.engines.postgres.collection import Collection
from vectrograph.engines.postgres.connections import Connection, Database, Dropped, Work
from vectrograph.engines.postgres.conninfo import checked_conninfo
from vectrograph.engines.postgres.maintenance import Finding, Maintenance
from vectrograph.engines.postgres.schema import DEFAULT_SCHEMA, HEAD, require_schema_name
from vectrograph.engines.postgres.searching import USUAL, Options, search
from vectrograph.engines.postgres.writing import write
from vectrograph.engines.quotas import UNLIMITED, Quota

INDEX_ROWS: Final = 10_000
"""Points from which on a collection has an HNSW index. Chosen: below, an exact scan takes some milliseconds, and writes
are several times as fast without the index."""
EF_SEARCH: Final = 100
"""Breadth of searches of the index, pgvector's `hnsw.ef_search`."""

CAPABILITIES: Final = Capabilities(
    name="postgres",
    conditional_writes=True,
    idempotency=True,
    changes=True,
    durable=True,
    filter_nodes=NODES,
    orderings=frozenset(["id", "created", "updated"]),
    distances=frozenset(Distance),
    maintenance=frozenset(MaintenanceTask),
    limits=EngineLimits(
        max_dimension=8192,
        max_id_bytes=512,
        # Metadata of the largest size that services allow by default, and a placement beside them.
        max_payload_bytes=(1 << 20) + PLACEMENT_BYTES,
        max_text_bytes=1 << 20,
        max_batch=10_000,
        max_k=10_000,
    ),
    shared=True,
)

_log = logging.getLogger(__name__)
_write_json: Final = msgspec.json.Encoder().encode
Result = TypeVar("Result")


def _now() -> int:
    return time.time_ns() // 1000


class PostgresEngine:
    """An `Engine` over PostgreSQL with pgvector. Nothing is kept in the process that another server could not find.

    Make one with `open`.
    """

    def __init__(
        self,
        database: Database,
        cluster: str,
        versions: dict[str, str],
        clock: Callable[[], int],
        quota: Quota,
        index_rows: int,
        options: Options,
    ) -> None:
        self._database = database
        self._cluster = cluster
        self._clock = clock
        self._index_rows = index_rows
        self._options = options
        self._catalog = Catalog(database, quota, index_rows)
        self._maintenance = Maintenance(database, index_rows, options._replace(indexed=True))
        self._capabilities = replace(CAPABILITIES, versions=versions)
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="vectrograph-postgres-index")
        self._indexed: set[str] = set()
        self._building: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False
        _open_here.add(self)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        schema: str = DEFAULT_SCHEMA,
        clock: Callable[[], int] = _now,
        quota: Quota = UNLIMITED,
        read_connections: int = 16,
        write_connections: int = 8,
        index_rows: int = INDEX_ROWS,
        ef: int = EF_SEARCH,
        options: Options = USUAL,
    ) -> "PostgresEngine":
        """Connect to a database that `administration.initialise` has prepared.

        Args:
            url: a connection string; several hosts are tried in their order.
            schema: where the tables are.
            clock: microseconds since 1970.
            quota: how many collections there may be.
            read_connections: most connections that read at once.
            write_connections: most connections that write at once.
            index_rows: points from which on a collection has an HNSW index.
            ef: breadth of searches of the index.
            options: when a search scans and when it uses the index.

        Raises:
            StartupError: PostgreSQL does not answer, its schema is not of this version, or the way to it is not safe.
        """
        name = require_schema_name(schema)
        database = Database(checked_conninfo(url), name, reads=read_connections, writes=write_connections, ef=ef)
        try:
            database.open()
            cluster, versions = database.read(lambda connection: _require_schema(connection, schema), Work())
        except DomainError as error:
            database.close()
            raise StartupError(error.message) from error
        except BaseException:
            database.close()
            raise
        return cls(database, cluster, versions, clock, quota, index_rows, options)

    @property
    def capabilities(self) -> Capabilities:
        """Capabilities of this engine."""
        return self._capabilities

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        """Create an empty collection; see `Engine.create`."""
        work = self._work()
        require_spec(spec, CAPABILITIES)
        return self._catalog.create(spec, self._clock(), work)

    def drop(self, ref: CollectionRef) -> None:
        """Remove a collection; see `Engine.drop`."""
        self._catalog.drop(ref, self._work())

    def list(self, tenant: str) -> Infos:
        """Return all collections of a tenant by name; see `Engine.list`."""
        return self._catalog.list(tenant, self._work())

    def outline(self, tenant: str) -> Outlines:
        """Return all collections of a tenant by name, without their sizes; see `Engine.outline`."""
        return self._catalog.outline(tenant, self._work())

    def describe(self, ref: CollectionRef) -> CollectionInfo:
        """Return one collection as it stands; see `Engine.describe`."""
        return self._catalog.describe(ref, self._work())

    def write(
        self,
        ref: CollectionRef,
        ops: Sequence[Op],
        *,
        precondition: Precondition | None = None,
        idempotency: IdempotencyKey | None = None,
        deadline: float | None = None,
        limits: WriteLimits | None = None,
        returning: Include | None = None,
    ) -> WriteResult:
        """Apply operations as one transaction; see `Engine.write`."""
        work = self._work(deadline)

        def act(collection: Collection) -> WriteResult:
            writes = validate_writes(ops, collection.spec, CAPABILITIES.limits, limits, _write_json)
            wanted = precondition or Precondition()
            result, count = write(
                self._database, collection, writes, wanted, idempotency, returning, self._clock(), work
            )
            self._build_when_large(collection, count)
            return result

        return self._using(ref, work, act)

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        """Return the points of these ids; see `Engine.get`."""
        return self._reading(ref, self._work(), lambda on, collection, _: reading.get(on, collection, ids, include))

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Return nearest points for each query; see `Engine.search`."""
        work = self._work(deadline)

        def act(collection: Collection) -> Results:
            queries = query_vectors(request, collection.spec, CAPABILITIES.limits)
            options = self._options._replace(indexed=collection.uid in self._indexed)
            results, indexed = search(self._database, collection, request, queries, options, work)
            if indexed != options.indexed:
                (self._indexed.add if indexed else self._indexed.discard)(collection.uid)
            return results

        return self._using(ref, work, act)

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        """Return one page of points; see `Engine.scroll`."""
        work = self._work(deadline)
        require_scroll(request, CAPABILITIES)
        return self._reading(ref, work, lambda on, collection, _: reading.scroll(on, collection, request, work))

    def count(self, ref: CollectionRef, filter: Filter | None = None, *, deadline: float | None = None) -> int:
        """Return how many points match; see `Engine.count`."""
        return self._reading(ref, self._work(deadline), lambda on, found, work: reading.count(on, found, filter, work))

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Return the log after a position; see `Engine.changes`."""

        def act(connection: Connection, collection: Collection, _: Work) -> ChangePage:
            if limit < 1:
                raise InvalidArgument.of("limit", f"is {limit} and must be positive", "out_of_range")
            return reading.changes(connection, collection, self._cluster, since, limit)

        return self._reading(ref, self._work(), act)

    def maintain(self, task: MaintenanceTask, ref: CollectionRef | None = None) -> MaintenanceReport:
        """Run one maintenance task; see `Engine.maintain`."""
        work = self._work()
        collections = self._catalog.all(work) if ref is None else [self._catalog.find(ref, work)]
        findings: dict[str, Finding] = {}
        for collection in collections:
            try:
                findings[str(collection.spec.ref)] = self._maintenance.tasks[task](collection, self._work())
            except Dropped:
                continue
            except DomainError as error:
                findings[str(collection.spec.ref)] = False, error.message
        healthy = all(good for good, _ in findings.values())
        return MaintenanceReport(
            task=task, healthy=healthy, details={name: said for name, (_, said) in findings.items()}
        )

    def close(self) -> None:
        """Cancel what runs, end all connections; see `Engine.close`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._builder.shutdown(wait=True, cancel_futures=True)
        self._database.close()

    def _work(self, deadline: float | None = None) -> Work:
        work = Work(deadline=deadline, gone=cancellation.current(), stopped=lambda: self._closed)
        work.check()
        return work

    def _using(self, ref: CollectionRef, work: Work, act: Callable[[Collection], Result]) -> Result:
        return self._catalog.using(ref, work, act)

    def _reading(self, ref: CollectionRef, work: Work, act: Callable[[Connection, Collection, Work], Result]) -> Result:
        return self._using(
            ref, work, lambda found: self._database.read(lambda connection: act(connection, found, work), work)
        )

    def _build_when_large(self, collection: Collection, count: int) -> None:
        """Let the index be built in the background when a collection has become large."""
        if collection.uid in self._indexed or not self._maintenance.wants_index(collection, count):
            return
        with self._lock:
            if self._closed or collection.uid in self._building:
                return
            self._building.add(collection.uid)
            self._builder.submit(self._build, collection)

    def _build(self, collection: Collection) -> None:
        try:
            self._maintenance.build_index(collection, Work(stopped=lambda: self._closed))
            self._indexed.add(collection.uid)
        except Dropped:
            pass
        except DomainError as error:
            if not self._closed:
                _log.warning("the index of collection %s cannot be built: %s", collection.spec.ref, error.message)
        finally:
            with self._lock:
                self._building.discard(collection.uid)

    def _forget(self) -> None:
        """Be closed in a child of the process that opened it; its connections are the parent's."""
        self._closed = True


def _require_schema(connection: Connection, schema: str) -> tuple[str, dict[str, str]]:
    """Return the id of the cluster and the versions of what runs there.

    Raises:
        StartupError: the schema is not of this version, or pgvector is missing.
    """
    found = connection.rows("SELECT to_regclass($1)::text, to_regclass($2)::text", ("alembic_version", "cluster"))[0]
    if None in found:
        raise StartupError(f"PostgreSQL has no schema {schema} of vectrograph; run `vectrograph postgres init`.")
    revision = connection.rows("SELECT version_num FROM alembic_version")[0][0]
    if revision != HEAD:
        raise StartupError(
            f"The schema {schema} is of revision {revision} and this version needs {HEAD}; run `vectrograph postgres "
            "upgrade` of the newer of both versions."
        )
    vector = connection.rows("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    if not vector:
        raise StartupError("PostgreSQL has no extension vector in this database; run `vectrograph postgres init`.")
    server, cluster = connection.rows("SELECT current_setting('server_version'), (SELECT id FROM cluster)")[0]
    return str(cluster), {"postgresql": server, "pgvector": vector[0][0], "psycopg": psycopg.__version__}


_open_here: Final[WeakSet[PostgresEngine]] = WeakSet()
"""Engines of this process that a child would share connections with."""


def _forget_in_child() -> None:
    for engine in list(_open_here):
        engine._forget()
        _kept_in_child.append(engine)


_kept_in_child: Final[list[PostgresEngine]] = []
os.register_at_fork(after_in_child=_forget_in_child)
