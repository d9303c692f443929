"""Tables: those of the whole database, made by migrations, and those of each collection.

**Tenants are rows**, not schemas: a column of `collections`. A schema for each tenant would multiply the catalogue of
PostgreSQL and the migrations by the number of tenants, and statements prepared for one tenant would serve no other.

**Each collection has tables of its own**, named by its global id: points and log of changes. An HNSW index is of one
dimension and one collection; dropping a collection is instant and leaves nothing to vacuum; statistics, index and
vacuum of one collection do not depend on the others. A partitioned table would add nothing: no statement ever asks for
more than one collection.

**Ids, payloads and texts are bytea**, byte for byte: text refuses NUL, jsonb refuses it too and forgets the order of
keys and the form of numbers. `fields` is the payload as jsonb, for filters only.
"""

import re
from typing import Final

from vectrograph.domain.collections import CollectionSpec, Distance, IdKind
from vectrograph.domain.errors import StartupError

DEFAULT_SCHEMA: Final = "vectrograph"
HEAD: Final = "0001"
"""Newest migration; the engine refuses to serve any other revision."""
POINT_COLUMNS: Final = ", ".join(
    (
        *("created_seq", "version", "created_at", "updated_at", "checksum", "vector_checksum", "special"),
        *("id", "payload", "text", "fields", "vector"),
    )
)
MAX_INDEXED_DIMENSION: Final = 2_000
"""Components of a vector that pgvector's HNSW index takes; larger ones are scanned."""
# Components of a vector that is stored within its row: with the rest of the row it fits a page of 8 KiB.
_MAX_INLINE: Final = 1_500
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
OPERATORS: Final = {Distance.COSINE: "<=>", Distance.EUCLIDEAN: "<->", Distance.DOT: "<#>"}
_OPERATOR_CLASSES: Final = {
    Distance.COSINE: "vector_cosine_ops",
    Distance.EUCLIDEAN: "vector_l2_ops",
    Distance.DOT: "vector_ip_ops",
}


def require_schema_name(name: str) -> str:
    """Return the name of a schema that needs no quotes.

    Raises:
        StartupError: it is none.
    """
    if _NAME.fullmatch(name) is None or name.startswith("pg_"):
        raise StartupError(f"The schema {name!r} cannot be used: write a-z, 0-9 and _, at most 41 characters.")
    return name


def points_table(uid: str) -> str:
    """Return the name of the table of a collection's points."""
    return f"points_{uid}"


def log_table(uid: str) -> str:
    """Return the name of the table of a collection's log of changes."""
    return f"changes_{uid}"


def vector_index(uid: str) -> str:
    """Return the name of the HNSW index of a collection."""
    return f"hnsw_{uid}"


def collection_tables(uid: str, spec: CollectionSpec) -> list[str]:
    """Return the statements that make the tables of a collection. Its HNSW index is built later, when it is large."""
    points, log = points_table(uid), log_table(uid)
    storage = "STORAGE PLAIN" if spec.dimension <= _MAX_INLINE else "STORAGE EXTERNAL"
    statements = [
        f"""CREATE TABLE {points} (
            created_seq bigint NOT NULL, version bigint NOT NULL, created_at bigint NOT NULL,
            updated_at bigint NOT NULL, checksum integer NOT NULL, vector_checksum integer NOT NULL,
            special boolean NOT NULL, id bytea PRIMARY KEY, payload bytea NOT NULL, text bytea, fields jsonb,
            vector vector({spec.dimension}) {storage} NOT NULL)""",
        f"CREATE UNIQUE INDEX created_{uid} ON {points} (created_seq)",
        f"CREATE UNIQUE INDEX version_{uid} ON {points} (version)",
        f"CREATE INDEX fields_{uid} ON {points} USING gin (fields jsonb_path_ops)",
        f"CREATE INDEX special_{uid} ON {points} (created_seq) WHERE special",
        f"CREATE INDEX opaque_{uid} ON {points} (created_seq) WHERE fields IS NULL",
        f"""CREATE TABLE {log} (
            seq bigint PRIMARY KEY, kind smallint NOT NULL, at bigint NOT NULL, id bytea NOT NULL)""",
    ]
    if spec.ids is IdKind.SERIAL:
        # Canonical decimals sort by number when the shorter comes first.
        statements.append(f"CREATE UNIQUE INDEX number_{uid} ON {points} (octet_length(id), id)")
    return statements


def build_vector_index(uid: str, distance: Distance) -> str:
    """Return the statement that builds the HNSW index of a collection while others write."""
    return (
        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {vector_index(uid)} ON {points_table(uid)} "
        f"USING hnsw (vector {_OPERATOR_CLASSES[distance]}) WHERE NOT special"
    )
