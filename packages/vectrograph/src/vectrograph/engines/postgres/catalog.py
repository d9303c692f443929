"""Collections by name: created, dropped, listed, and found again without asking PostgreSQL each time."""

import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from uuid import uuid4

from vectrograph.domain.collections import (
    TOKENS_COLLECTION,
    CollectionInfo,
    CollectionOutline,
    CollectionRef,
    CollectionSpec,
)
from vectrograph.domain.errors import AlreadyExists, InvalidArgument
from vectrograph.engines.base import Infos, Outlines
from vectrograph.engines.postgres.collection import (
    INFO_COLUMNS,
    SPEC_COLUMNS,
    Collection,
    decode_collection,
    decode_info,
    encode_name,
    not_found,
)
from vectrograph.engines.postgres.connections import APPLICATION, Connection, Database, Dropped, Work
from vectrograph.engines.postgres.schema import collection_tables, log_table, points_table
from vectrograph.engines.quotas import Quota

Result = TypeVar("Result")

# Collections that a server remembers. Chosen: some 10 MB; those beyond cost a statement more for each request.
_REMEMBERED: Final = 20_000
# Number of the advisory lock under which collections are counted and made, one at a time.
_CREATING: Final = 0x7665_6374
_SIZE: Final = " + ".join(f"pg_total_relation_size(to_regclass('{table}_' || uid))" for table in ("points", "changes"))


class Catalog:
    """The collections of a database.

    Names lead to ids, which never change; only they are remembered. When another server has dropped a collection, its
    tables are gone, and the name is looked up again.

    Args:
        database: where they are.
        quota: how many there may be.
        complete_below: points up to which a collection needs no index.
    """

    def __init__(self, database: Database, quota: Quota, complete_below: int) -> None:
        self._database = database
        self._quota = quota
        self._complete_below = complete_below
        self._known: dict[CollectionRef, Collection] = {}
        self._lock = threading.Lock()

    def create(self, spec: CollectionSpec, now: int, work: Work) -> CollectionInfo:
        """Create an empty collection.

        Raises:
            AlreadyExists, QuotaExceeded.
        """
        tenant, name = _storable(spec.ref.tenant, "tenant"), _storable(spec.ref.name, "name")
        model = None if spec.model is None else encode_name(spec.model)
        uid = uuid4().hex

        def act(connection: Connection) -> None:
            connection.execute("BEGIN")
            connection.execute("SELECT pg_advisory_xact_lock($1)", (_CREATING,))
            ours, same = connection.rows(
                "SELECT count(*) FILTER (WHERE name <> $2), count(*) FILTER (WHERE name = $3) "
                "FROM collections WHERE tenant = $1",
                (tenant, TOKENS_COLLECTION.encode(), name),
            )[0]
            if same:
                raise AlreadyExists(
                    f"A collection {str(spec.ref)!r} exists already; choose another name or drop it first.",
                    details={"collection": str(spec.ref)},
                )
            if self._quota.database or self._quota.tenant:
                everyone = connection.rows(
                    "SELECT count(*) FROM collections WHERE name <> $1", (TOKENS_COLLECTION.encode(),)
                )[0][0]
                self._quota.require_counts(spec.ref, everyone, ours)
            connection.run(
                f"INSERT INTO collections ({SPEC_COLUMNS}, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                (
                    *(uid, tenant, name, spec.dimension, spec.distance.value, model),
                    *(spec.ids.value, spec.quantisation.value, now),
                ),
            )
            for statement in collection_tables(uid, spec):
                connection.execute(statement)
            connection.execute("COMMIT")

        self._database.write(act, work)
        self._remember(Collection(uid, spec))
        return decode_info(spec, (now, 0, 0, False, None), 0, self._complete_below)

    def drop(self, ref: CollectionRef, work: Work) -> None:
        """Remove a collection with its tables. A build of its index stops.

        Raises:
            CollectionNotFound: there is none.
        """

        def act(connection: Connection) -> None:
            connection.execute("BEGIN")
            rows = connection.rows(
                "DELETE FROM collections WHERE tenant = $1 AND name = $2 RETURNING uid",
                (encode_name(ref.tenant), encode_name(ref.name)),
            )
            if not rows:
                raise not_found(ref)
            uid = rows[0][0]
            points, log = points_table(uid), log_table(uid)
            # A build that begins just now is not found. Then PostgreSQL ends one of the two, and it is run again.
            connection.rows(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_progress_create_index JOIN pg_stat_activity USING (pid) "
                "WHERE relid IN (to_regclass($1), to_regclass($2)) AND usename = current_user "
                "AND application_name = $3",
                (points, log, APPLICATION),
            )
            connection.execute(f"DROP TABLE {points}, {log}")
            connection.run("DELETE FROM replies WHERE uid = $1", (uid,))
            connection.execute("COMMIT")

        self.forget(ref)
        self._database.write(act, work)

    def list(self, tenant: str, work: Work) -> Infos:
        """Return the collections of a tenant by name, as they stand."""
        rows = self._database.read(
            lambda connection: connection.rows(
                f"SELECT {SPEC_COLUMNS}, {INFO_COLUMNS}, {_SIZE} FROM collections WHERE tenant = $1 ORDER BY name",
                (encode_name(tenant),),
            ),
            work,
        )
        return [
            decode_info(decode_collection(row[:8]).spec, row[8:13], row[13] or 0, self._complete_below) for row in rows
        ]

    def outline(self, tenant: str, work: Work) -> Outlines:
        """Return the collections of a tenant by name, without their sizes."""
        rows = self._database.read(
            lambda connection: connection.rows(
                f"SELECT {SPEC_COLUMNS} FROM collections WHERE tenant = $1 ORDER BY name",
                (encode_name(tenant),),
            ),
            work,
        )
        return [CollectionOutline(decode_collection(row).spec) for row in rows]

    def all(self, work: Work) -> Sequence[Collection]:
        """Return all collections of the database."""
        rows = self._database.read(
            lambda connection: connection.rows(f"SELECT {SPEC_COLUMNS} FROM collections ORDER BY tenant, name"),
            work,
        )
        return [decode_collection(row) for row in rows]

    def describe(self, ref: CollectionRef, work: Work) -> CollectionInfo:
        """Return a collection as it stands.

        Raises:
            CollectionNotFound: there is none.
        """
        rows = self._database.read(
            lambda connection: connection.rows(
                f"SELECT {SPEC_COLUMNS}, {INFO_COLUMNS}, {_SIZE} FROM collections WHERE tenant = $1 AND name = $2",
                (encode_name(ref.tenant), encode_name(ref.name)),
            ),
            work,
        )
        if not rows:
            self.forget(ref)
            raise not_found(ref)
        row = rows[0]
        return decode_info(decode_collection(row[:8]).spec, row[8:13], row[13] or 0, self._complete_below)

    def using(self, ref: CollectionRef, work: Work, act: Callable[[Collection], Result]) -> Result:
        """Do something with a collection; when it turns out to be dropped, with the one that has its name now.

        Raises:
            CollectionNotFound: there is none.
        """
        known = self._known.get(ref)
        if known is not None:
            try:
                return act(known)
            except Dropped:
                self.forget(ref)
        found = self.find(ref, work)
        try:
            return act(found)
        except Dropped as error:
            self.forget(ref)
            raise not_found(ref) from error

    def find(self, ref: CollectionRef, work: Work) -> Collection:
        """Look a collection up.

        Raises:
            CollectionNotFound: there is none.
        """
        rows = self._database.read(
            lambda connection: connection.rows(
                f"SELECT {SPEC_COLUMNS} FROM collections WHERE tenant = $1 AND name = $2",
                (encode_name(ref.tenant), encode_name(ref.name)),
            ),
            work,
        )
        if not rows:
            raise not_found(ref)
        found = decode_collection(rows[0])
        self._remember(found)
        return found

    def forget(self, ref: CollectionRef) -> None:
        """Look the collection up again the next time."""
        with self._lock:
            self._known.pop(ref, None)

    def _remember(self, collection: Collection) -> None:
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[collection.spec.ref] = collection


def _storable(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument.of(field, "is not valid Unicode: it has an unpaired surrogate") from error
