"""Requests: one struct per body or query string.

Wrong types are refused by msgspec, wrong values by the services. A field that a body does not know is refused, so that
a misspelt one is not silently dropped; only login, refresh and logout ignore extra fields, because official clients
differ there.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from vectrograph.domain.cdna import DEFAULT_DURATION
from vectrograph.services.cdna.cdna import DEFAULT_ENTRIES
from vectrograph.services.grid.grids import (
    DEFAULT_BUCKET_SIZE,
    DEFAULT_DENSITY_THRESHOLD,
    DEFAULT_LIMIT,
    DEFAULT_MIN_FIELD_NODES,
    DEFAULT_NEIGHBORS,
    DEFAULT_RADIUS,
)

if TYPE_CHECKING:
    Embedding = list[float] | int  # a number of a row in the structs of `vector_bodies`
else:
    Embedding = Annotated[list[float], Meta(description="Finite numbers; as many as the dimension of the collection.")]
Metadata = Annotated[dict[str, Any], Meta(description="Any JSON object.")]
Text = Annotated[str, Meta(description="The text; at most `max_text_bytes` of UTF-8.")]
Scopes = Annotated[
    list[str],
    Meta(description="Null: the creator's, except key and administration scopes. Never more than the creator's."),
]
Limit = Annotated[int, Meta(description="Maximum number of items. Default: 100, or `max_page` if that is less.")]
Secret = Annotated[str, Meta(min_length=1, max_length=4096)]


FilterDocument = Annotated[
    dict[str, Any], Meta(description="Filter on the metadata of tokens: one operator per object.")
]
Part = Literal["text", "metadata", "embedding", "coordinates"]
Parts = Annotated[
    list[Part],
    Meta(
        description="Parts of each token to return; the others are null, empty or absent. Default: text, metadata and "
        "embedding."
    ),
]
Axes = Annotated[list[float], Meta(description="x, y and z.")]
Coordinates = Annotated[
    dict[str, Axes | None],
    Meta(
        description="Name of a level, L1Physical to L8Abstract, to its axes. Levels that are absent or null are "
        "derived from the embedding."
    ),
]
Weight = Annotated[float, Meta(description="From 0 to 1. Default: 0.5.")]
FieldRadius = Annotated[float, Meta(description="Distance at which the token's influence ends. Default: 1.")]
FieldStrength = Annotated[float, Meta(description="Influence at the token's own position, from 0 to 1. Default: 1.")]
TopK = Annotated[int, Meta(description="Maximum number of hits; 0 means `default_top_k`.")]
Threshold = Annotated[float, Meta(description="Minimum similarity of a hit (inclusive).")]
Offset = Annotated[int, Meta(description="Number of nearest hits to skip.")]


class _Credentials(Struct, frozen=True, kw_only=True):
    """A body that holds a secret: its repr shows none of it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Login(_Credentials, frozen=True, kw_only=True):
    """Username and password."""

    username: Annotated[str, Meta(min_length=1, max_length=255)]
    password: Secret


class Refresh(_Credentials, frozen=True, kw_only=True):
    """A refresh token, good for one use."""

    refresh_token: Secret


class Logout(_Credentials, frozen=True, kw_only=True):
    """Accepted as official clients send it; what ends is the session of the Authorization header."""

    access_token: str | None = None
    token: str | None = None


class PasswordChange(_Credentials, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password in force and the one to come."""

    old_password: Secret
    new_password: Secret


class TokenCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be: a text, which is then embedded, or an embedding, or both."""

    text: Text | None = None
    metadata: Metadata | None = None
    embedding: Embedding | None = None
    coordinates: Coordinates | None = None
    weight: Weight | None = None
    field_radius: FieldRadius | None = None
    field_strength: FieldStrength | None = None


class TokenBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens to be, stored all or none."""

    tokens: Annotated[list[TokenCreate], Meta(description="At most `max_batch` tokens.")]
    include: Parts | None = None


class TokenUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An absent field stays as it is; null clears text and metadata, and has the text embedded again.

    New text is embedded unless an embedding comes with it. Null takes coordinates, or those of a level, back to what
    the embedding says, and weight, radius and strength to their defaults.
    """

    text: Text | UnsetType | None = UNSET
    embedding: Embedding | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    coordinates: Coordinates | UnsetType | None = UNSET
    weight: Weight | UnsetType | None = UNSET
    field_radius: FieldRadius | UnsetType | None = UNSET
    field_strength: FieldStrength | UnsetType | None = UNSET


class TokenQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vector, a text or a token to find the nearest tokens of: exactly one of the three.

    A token named by its id is itself not among the hits.
    """

    query_vector: Embedding | None = None
    text: Text | None = None
    token_id: Annotated[int, Meta(description="Id of a token.")] | None = None
    top_k: TopK | None = None
    threshold: Threshold | None = None
    filter: FilterDocument | None = None
    offset: Offset = 0
    include: Parts | None = None


class TokenQueryMany(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Vectors, or texts, to find the nearest tokens of, each on its own; the other fields hold for all."""

    query_vectors: Annotated[list[Embedding], Meta(description="At most `max_batch` vectors.")] | None = None
    texts: Annotated[list[str], Meta(description="At most `max_batch` texts.")] | None = None
    top_k: TopK | None = None
    threshold: Threshold | None = None
    filter: FilterDocument | None = None
    offset: Offset = 0
    include: Parts | None = None


class TokenDelete(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens to delete: by their ids, or all that a filter matches."""

    ids: Annotated[list[int], Meta(description="At most `max_batch` ids of tokens.")] | None = None
    filter: FilterDocument | None = None


class EmbeddingRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts to turn into vectors; nothing is stored."""

    texts: Annotated[list[str], Meta(description="At most `max_batch` texts.")]


class ApiKeyCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key to be."""

    name: str
    scopes: Scopes | None = None
    expires_in_days: Annotated[int, Meta(description="Null: never expires.")] | None = None
    collections: Annotated[list[str], Meta(description="Collections that the key can access. Null: all.")] | None = None
    rate_limit: Annotated[int, Meta(description="Requests per second. Null: the limit of the server.")] | None = None


class ApiKeyRotate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rotation of a key: the old one ends at once, or after a time in seconds or in hours."""

    overlap_seconds: (
        Annotated[int, Meta(description="Seconds for which the old key stays valid; 0 to 604800.")] | None
    ) = None
    overlap_hours: Annotated[int, Meta(description="Hours for which the old key stays valid; 0 to 720.")] | None = None


class UserCreate(_Credentials, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account to be."""

    username: str
    password: Secret
    role: Annotated[str, Meta(description="admin, developer, viewer or bot.")]
    email: str | None = None
    full_name: str | None = None
    tenant: Annotated[str, Meta(description="Null: the tenant of the creator.")] | None = None


class UserRole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New properties of an account."""

    role: Annotated[str, Meta(description="admin, developer, viewer or bot.")]


class UserPassword(_Credentials, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A password for someone else."""

    password: Secret


Factor = Annotated[float, Meta(description="Multiplies the scales of the profile at two levels; see docs/cdna.md.")]


class CdnaConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the CDNA; what is absent or null stays as it is."""

    profile: Annotated[str, Meta(description="Start from the scales of this profile.")] | None = None
    dimension_scales: Annotated[list[float], Meta(description="All eight, L1 to L8.")] | None = None
    curiosity_scale: Factor | None = None
    novelty_scale: Factor | None = None
    affinity_scale: Factor | None = None
    should_validate: Annotated[
        bool, Meta(description="False: no warnings in the response. The bounds always apply.")
    ] = True


class CdnaScales(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scales to check."""

    scales: Annotated[list[float], Meta(description="All eight, L1 to L8.")]


class CdnaQuarantineStart(Struct, frozen=True, kw_only=True):
    """Length of a quarantine, from the query string."""

    duration: Annotated[int, Meta(description="Seconds, 30 to 3,600.")] = DEFAULT_DURATION


class CdnaQuarantineStop(Struct, frozen=True, kw_only=True):
    """End of a quarantine, from the query string."""

    apply: Annotated[bool, Meta(description="Keep the changes; otherwise the previous state is restored.")] = False


class CdnaHistoryPage(Struct, frozen=True, kw_only=True):
    """Part of the history, from the query string."""

    limit: Annotated[int, Meta(description="How many entries, 1 to 100.")] = DEFAULT_ENTRIES


class AuditPage(Struct, frozen=True, kw_only=True):
    """Part of the audit record, from the query string."""

    before: Annotated[int, Meta(description="Only entries with a smaller number.")] | None = None
    limit: Annotated[int, Meta(description="Maximum number of entries, 1 to 1,000.")] = 100


class Page(Struct, frozen=True, kw_only=True):
    """Part of a list, from the query string."""

    limit: (
        Annotated[int, Meta(description="Maximum number of items. Default: 100, or `max_page` if that is less.")]
        | UnsetType
    ) = UNSET
    offset: Annotated[int, Meta(description="Number of items to skip.")] = 0
    filter: Annotated[str, Meta(description="Filter on the metadata of tokens, as a JSON string.")] | None = None
    include: Annotated[str, Meta(description="Parts of each token to return, separated by commas.")] | None = None


class TokenParts(Struct, frozen=True, kw_only=True):
    """Parts of one token to send, from the query string."""

    include: Annotated[str, Meta(description="Parts of the token to return, separated by commas.")] | None = None


class Export(Struct, frozen=True, kw_only=True):
    """Tokens to send, and parts of each, from the query string."""

    filter: Annotated[str, Meta(description="Filter on the metadata of tokens, as a JSON string.")] | None = None
    include: Annotated[str, Meta(description="Parts of each token to return, separated by commas.")] | None = None


class GridCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a grid to be."""

    bucket_size: Annotated[float, Meta(description="Edge of a cell, 0.1 to 1,000.")] = DEFAULT_BUCKET_SIZE
    density_threshold: Annotated[float, Meta(description="Kept, 0 to 1; no answer depends on it.")] = (
        DEFAULT_DENSITY_THRESHOLD
    )
    min_field_nodes: Annotated[int, Meta(description="Kept, 1 to 100; no answer depends on it.")] = (
        DEFAULT_MIN_FIELD_NODES
    )


class GridTokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens to add to a grid."""

    ids: Annotated[list[int], Meta(description="At most `max_batch` ids of tokens.")]


Space = Annotated[str, Meta(description="Level of the distance, 0 to 7, or `all` for the scaled distance across all.")]
Radius = Annotated[float, Meta(description="Largest distance, at least 0.1.")]


class GridNeighbors(Struct, frozen=True, kw_only=True):
    """Largest distance and number of neighbours, from the query string."""

    space: Space = "0"
    radius: Radius = DEFAULT_RADIUS
    max_results: Annotated[int, Meta(description="How many, 1 to 1,000.")] = DEFAULT_NEIGHBORS


class GridPlace(Struct, frozen=True, kw_only=True):
    """A region, from the query string."""

    space: Space = "0"
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    center: (
        Annotated[
            str,
            Meta(
                description="With space=all: 24 numbers separated by commas, three a level, instead of x, y and z. "
                "Without it, x, y and z are the place in each level."
            ),
        ]
        | None
    ) = None
    radius: Radius = DEFAULT_RADIUS


class GridRange(GridPlace, frozen=True, kw_only=True):
    """A region, and the part of its tokens to send, from the query string."""

    limit: Annotated[int, Meta(description="How many tokens, 1 to 10,000.")] = DEFAULT_LIMIT
    offset: Annotated[int, Meta(description="How many tokens to skip, nearest first.")] = 0


Row = Annotated[int, Meta(ge=0, description="Number of a row of the frame.")]


class TokenCreateRow(TokenCreate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be, whose embedding is a row."""

    embedding: Row | None = None


class TokenBatchRows(TokenBatch, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens to be, whose embeddings are rows."""

    tokens: Annotated[list[TokenCreateRow], Meta(description="At most `max_batch` tokens.")]  # type: ignore[assignment]


class TokenUpdateRow(TokenUpdate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a token, whose new embedding is a row."""

    embedding: Row | UnsetType | None = UNSET


class TokenQueryRow(TokenQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question whose vector is a row."""

    query_vector: Row | None = None


class TokenQueryManyRows(TokenQueryMany, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Questions whose vectors are rows."""

    query_vectors: Annotated[list[Row], Meta(description="At most `max_batch` rows.")] | None = None  # type: ignore[assignment]
