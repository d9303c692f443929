"""Responses: one struct per answer, flat, as official clients read them.

Times are UTC, written as ISO 8601 with a Z.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from vectrograph.control.records import ApiKeyRecord, AuditRecord, CdnaEntry, GridRecord, UserRecord
from vectrograph.domain.cdna import CDNA_VERSION, CdnaState, Measures, Profile
from vectrograph.domain.points import Vector
from vectrograph.services.cdna.cdna import QuarantineReport
from vectrograph.services.points.stored_tokens import WHOLE, Parts
from vectrograph.services.points.stored_tokens import Token as StoredToken

Moment = Annotated[datetime, Meta(tz=True)]

if TYPE_CHECKING:
    Embedding = list[float] | Vector  # arrays until the moment of writing, when it is known whether as JSON or as rows
else:
    Embedding = list[float]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(microseconds: int) -> datetime:
    """Return integer microseconds since 1970 as a time in UTC, exact.

    >>> moment(1_000_001).isoformat()
    '1970-01-01T00:00:01.000001+00:00'
    """
    return _EPOCH + timedelta(microseconds=microseconds)


def moment_or_none(microseconds: int | None) -> datetime | None:
    """Do as `moment`, for what may not have happened."""
    return None if microseconds is None else moment(microseconds)


class User(Struct, frozen=True, kw_only=True):
    """An account. `scopes` is what the credentials presented may do."""

    user_id: str
    username: str
    email: str | None
    full_name: str | None
    role: str
    scopes: list[str]
    disabled: bool
    tenant: Annotated[str, Meta(description="Tenant whose collections the account can access.")]
    created_at: Moment

    @classmethod
    def of(cls, record: UserRecord) -> "User":
        """Build from the record of the account."""
        return cls(
            user_id=record.user_id,
            username=record.username,
            email=record.email,
            full_name=record.full_name,
            role=record.role.value,
            scopes=sorted(record.scopes),
            disabled=record.disabled,
            tenant=record.tenant,
            created_at=moment(record.created_at),
        )


class UserList(Struct, frozen=True, kw_only=True):
    """The accounts that the caller manages, by username."""

    users: list[User]
    total: int


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One thing that was done or refused."""

    entry_id: int
    at: Moment
    tenant: str
    actor: Annotated[str, Meta(description="Id of the account; empty for an anonymous caller.")]
    key_id: Annotated[str, Meta(description="Id of the API key that was used; null for a login.")] | None
    action: str
    target: str
    outcome: Annotated[str, Meta(description="ok, or the code of the error.")]
    address: str
    request_id: str

    @classmethod
    def of(cls, record: AuditRecord) -> "AuditEntry":
        """Build from the record of the entry."""
        return cls(
            entry_id=record.entry_id,
            at=moment(record.at),
            tenant=record.tenant,
            actor=record.actor,
            key_id=record.key_id,
            action=record.action,
            target=record.target,
            outcome=record.outcome,
            address=record.address,
            request_id=record.request_id,
        )


class AuditEntries(Struct, frozen=True, kw_only=True):
    """Part of the audit record, newest first."""

    entries: list[AuditEntry]


class TokenPair(Struct, frozen=True, kw_only=True):
    """A new access token and the refresh token that follows it."""

    access_token: str
    refresh_token: str
    expires_in: Annotated[int, Meta(description="Seconds until the access token expires.")]
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  (a scheme, not a secret)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Session(TokenPair, frozen=True, kw_only=True):
    """A token pair with the account it belongs to."""

    user: User


class Success(Struct, frozen=True, kw_only=True):
    """It is done."""

    message: str
    success: Literal[True] = True


class LevelPosition(Struct, frozen=True, kw_only=True):
    """Place of a token in one level."""

    position: Annotated[list[float], Meta(description="x, y and z.")]
    derived: Annotated[bool, Meta(description="Whether it was derived from the embedding; else it was given.")]


class Token(Struct, frozen=True, kw_only=True):
    """A text with its vector."""

    id: int
    text: str | None
    embedding: Embedding
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    coordinates: (
        Annotated[dict[str, LevelPosition], Meta(description="Only if asked for with `include`.")] | UnsetType
    ) = UNSET
    weight: Annotated[float, Meta(description="Only with the coordinates.")] | UnsetType = UNSET
    field_radius: Annotated[float, Meta(description="Only with the coordinates.")] | UnsetType = UNSET
    field_strength: Annotated[float, Meta(description="Only with the coordinates.")] | UnsetType = UNSET

    @classmethod
    def of(cls, token: StoredToken, include: Parts = WHOLE) -> "Token":
        """Build from a stored token, as far as these parts are wanted and were read."""
        placement: dict[str, Any] = {}
        if include.coordinates:
            placement = {
                "coordinates": {
                    name: LevelPosition(position=[*axes], derived=derived)
                    for name, (axes, derived) in token.coordinates.items()
                },
                "weight": token.placement.weight,
                "field_radius": token.placement.field_radius,
                "field_strength": token.placement.field_strength,
            }
        return cls(
            id=int(token.id),
            text=token.text if include.text else None,
            embedding=token.vector if include.embedding and token.vector is not None else [],
            metadata=dict(token.payload or {}) if include.metadata else {},
            created_at=moment(token.created_at),
            updated_at=moment(token.updated_at),
            **placement,
        )


class TokenPage(Struct, frozen=True, kw_only=True):
    """Tokens in ascending id, and how many there are in all."""

    tokens: list[Token]
    total: int
    limit: int
    offset: int


class TokensCreated(Struct, frozen=True, kw_only=True):
    """The new tokens, in the order of the request."""

    tokens: list[Token]


class QueryHit(Struct, frozen=True, kw_only=True):
    """A token and how near it is."""

    token: Token
    similarity: Annotated[float, Meta(description="Cosine similarity; 1 for the same direction.")]
    distance: Annotated[float, Meta(description="1 - similarity; lower is closer.")]


class QueryResults(Struct, frozen=True, kw_only=True):
    """Hits, nearest first; of equally near ones the newest first."""

    results: list[QueryHit]


class QueryManyResults(Struct, frozen=True, kw_only=True):
    """Hits for each query, in the order of the request."""

    results: list[list[QueryHit]]


class TokensDeleted(Struct, frozen=True, kw_only=True):
    """Outcome of a request to delete many."""

    deleted: Annotated[int, Meta(description="Number of deleted tokens.")]
    missing: Annotated[list[int], Meta(description="Requested ids that do not exist.")]


class Embeddings(Struct, frozen=True, kw_only=True):
    """One vector per text, in the order of the request."""

    embeddings: list[Embedding]
    model: str
    dimension: int


class GridConfig(Struct, frozen=True, kw_only=True):
    """Settings of a grid."""

    bucket_size: float
    density_threshold: float
    min_field_nodes: int

    @classmethod
    def of(cls, record: GridRecord) -> "GridConfig":
        """Build from the record of the grid."""
        return cls(
            bucket_size=record.bucket_size,
            density_threshold=record.density_threshold,
            min_field_nodes=record.min_field_nodes,
        )


class GridStatus(Struct, frozen=True, kw_only=True):
    """The grids of the caller's tenant."""

    grids_count: int
    grid_ids: Annotated[list[int], Meta(description="Ascending.")]
    message: str
    available: Literal[True] = True


class GridCreated(Struct, frozen=True, kw_only=True):
    """A new grid."""

    grid_id: int
    config: GridConfig
    status: Literal["created"] = "created"


class Grid(Struct, frozen=True, kw_only=True):
    """A grid, and how many tokens it has now."""

    grid_id: int
    token_count: int
    config: GridConfig


class GridTokenAdded(Struct, frozen=True, kw_only=True):
    """The token is in the grid."""

    grid_id: int
    token_id: int
    grid_size: int
    status: Literal["added"] = "added"


class GridTokensAdded(Struct, frozen=True, kw_only=True):
    """Outcome of a request to add many."""

    grid_id: int
    added: Annotated[int, Meta(description="Tokens that were not in the grid and are now.")]
    present: Annotated[list[int], Meta(description="Ids of tokens that were in it already.")]
    missing: Annotated[list[int], Meta(description="Ids that no token has.")]
    grid_size: int


class GridNeighbor(Struct, frozen=True, kw_only=True):
    """A token and how far it is."""

    token_id: int
    distance: float


class GridNeighborList(Struct, frozen=True, kw_only=True):
    """The members nearest to one of them, nearest first; equals by id."""

    center_token_id: int
    space: int | Literal["all"]
    radius: float
    neighbors: list[GridNeighbor]
    count: int


class GridRangeItem(Struct, frozen=True, kw_only=True):
    """A token of a region."""

    token_id: int
    distance: float
    position: Annotated[list[float], Meta(description="x, y and z in the space asked about; null for all.")] | None


class GridRangeList(Struct, frozen=True, kw_only=True):
    """Part of the members of a region, nearest first; equals by id."""

    center: Annotated[list[float], Meta(description="x, y and z; 24 numbers for all spaces.")]
    radius: float
    space: int | Literal["all"]
    results: list[GridRangeItem]
    count: Annotated[int, Meta(description="Tokens in this answer.")]
    total: Annotated[int, Meta(description="Tokens in the region.")]
    limit: int
    offset: int
    bucket_size: Annotated[float, Meta(description="Of the grid, for those who group the tokens by cells.")]


class GridInfluence(Struct, frozen=True, kw_only=True):
    """Influence of the members of a region on its center."""

    position: list[float]
    radius: float
    influence: Annotated[float, Meta(description="Σ strength · (1 − distance / field radius).")]


class GridDensity(Struct, frozen=True, kw_only=True):
    """Density of the members in a region."""

    position: list[float]
    radius: float
    density: Annotated[float, Meta(description="Tokens per volume of the ball.")]
    tokens_in_range: int


class ApiKey(Struct, frozen=True, kw_only=True):
    """An API key, without its secret."""

    key_id: str
    name: str
    key_prefix: str
    scopes: list[str]
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None
    is_active: Annotated[bool, Meta(description="True if the key is neither revoked nor expired.")]
    collections: Annotated[list[str], Meta(description="Collections that the key can access; null means all.")] | None
    rate_limit: Annotated[int, Meta(description="Requests per second; null means the limit of the server.")] | None

    @classmethod
    def of(cls, record: ApiKeyRecord) -> "ApiKey":
        """Build from the record of the key."""
        return cls(**_key_fields(record))


class ApiKeyCreated(ApiKey, frozen=True, kw_only=True):
    """A new API key with its secret, which is told once and never again."""

    api_key: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key_id={self.key_id!r}, …)"

    @classmethod
    def with_secret(cls, record: ApiKeyRecord, secret: str) -> "ApiKeyCreated":
        """Build from the record of the key and its text."""
        return cls(api_key=secret, **_key_fields(record))


class ApiKeyList(Struct, frozen=True, kw_only=True):
    """The caller's API keys."""

    api_keys: list[ApiKey]
    total: int


class ApiKeyRevoked(Struct, frozen=True, kw_only=True):
    """The key works no more; its record stays."""

    key_id: str
    status: Literal["revoked"] = "revoked"


_FACTOR = "Factor on the scales of the profile; null if its two levels have different factors."


class CdnaObject(Struct, frozen=True, kw_only=True):
    """CDNA of the caller's tenant."""

    version: str
    profile: Annotated[str, Meta(description="The profile that was set last.")]
    dimension_scales: Annotated[list[float], Meta(description="The current scales, L1 to L8.")]
    timestamp: Annotated[datetime, Meta(tz=True, description="Time of the response.")]
    changed_at: Annotated[datetime, Meta(tz=True, description="Time of the last change; null before the first.")] | None
    modified: Annotated[bool, Meta(description="Whether the scales differ from those of the profile.")]
    curiosity_scale: Annotated[float, Meta(description=_FACTOR)] | None
    novelty_scale: Annotated[float, Meta(description=_FACTOR)] | None
    affinity_scale: Annotated[float, Meta(description=_FACTOR)] | None

    @classmethod
    def of(cls, state: CdnaState) -> "CdnaObject":
        """Build from a state."""
        return cls(**_cdna_fields(state))


class CdnaConfigured(CdnaObject, frozen=True, kw_only=True):
    """CDNA after a change."""

    warnings: Annotated[list[str], Meta(description="Warnings about the scales.")]

    @classmethod
    def with_warnings(cls, state: CdnaState, warnings: list[str]) -> "CdnaConfigured":
        """Build from a state."""
        return cls(warnings=warnings, **_cdna_fields(state))


class CdnaMeasures(Struct, frozen=True, kw_only=True):
    """Measures since the quarantine began, or since the server started if that was later. Shares, not per cent."""

    memory_growth: Annotated[
        float, Meta(description="Growth of the server's resident memory; rolled back above 0.5 and 256 MiB.")
    ]
    memory_growth_mb: Annotated[float, Meta(description="The same in MiB.")]
    connection_breaks: Annotated[
        float, Meta(description="Requests whose caller disconnected early; rolled back above 0.1.")
    ]
    error_rate: Annotated[float, Meta(description="Requests that failed on the server; rolled back above 0.05.")]
    token_churn: Annotated[float, Meta(description="Tokens created and deleted, per existing token; only reported.")]
    requests: Annotated[int, Meta(description="Requests counted; shares of fewer than 20 are ignored.")]

    @classmethod
    def of(cls, measures: Measures) -> "CdnaMeasures":
        """Build from measures."""
        return cls(
            memory_growth=measures.memory_growth,
            memory_growth_mb=measures.memory_growth_mb,
            connection_breaks=measures.connection_breaks,
            error_rate=measures.error_rate,
            token_churn=measures.token_churn,
            requests=measures.requests,
        )


class CdnaQuarantine(Struct, frozen=True, kw_only=True):
    """Quarantine of the caller's tenant."""

    active: bool
    time_left: Annotated[int, Meta(description="Whole seconds, rounded up; 0 without a quarantine.")]
    metrics: Annotated[CdnaMeasures, Meta(description="Null without a quarantine.")] | None
    started_at: Moment | None
    ends_at: Moment | None

    @classmethod
    def of(cls, report: QuarantineReport) -> "CdnaQuarantine":
        """Build from a report."""
        return cls(
            active=report.active,
            time_left=report.seconds_left,
            metrics=None if report.measures is None else CdnaMeasures.of(report.measures),
            started_at=moment_or_none(report.started_at),
            ends_at=moment_or_none(report.ends_at),
        )


class CdnaStatus(Struct, frozen=True, kw_only=True):
    """CDNA, quarantine, and the length of the history."""

    cdna: CdnaObject
    quarantine: CdnaQuarantine
    history_count: Annotated[int, Meta(description="At most 1,000 entries are kept.")]


class CdnaProfile(Struct, frozen=True, kw_only=True):
    """A named set of scales."""

    id: str
    name: str
    scales: list[float]
    description: str
    plasticity: float
    evolution_rate: float
    restricted: Annotated[bool, Meta(description="Scales may differ from the profile's by `max_change` at most.")]
    max_change: float | None

    @classmethod
    def of(cls, profile: Profile) -> "CdnaProfile":
        """Build from a profile."""
        return cls(
            id=profile.profile_id,
            name=profile.name,
            scales=list(profile.scales),
            description=profile.description,
            plasticity=profile.plasticity,
            evolution_rate=profile.evolution_rate,
            restricted=profile.restricted,
            max_change=profile.max_change,
        )


class CdnaProfiles(Struct, frozen=True, kw_only=True):
    """All profiles by id, and the current one."""

    profiles: dict[str, CdnaProfile]
    current: str


class CdnaSwitched(Struct, frozen=True, kw_only=True):
    """Result of switching the profile."""

    old_profile: str
    new_profile: str
    scales: list[float]
    success: Literal[True] = True


class CdnaVerdict(Struct, frozen=True, kw_only=True):
    """Check of scales."""

    valid: bool
    warnings: list[str]
    errors: list[str]


class CdnaQuarantineStarted(Success, frozen=True, kw_only=True):
    """The quarantine has started."""

    duration: Annotated[int, Meta(description="Seconds.")]
    ends_at: Moment | None


class CdnaQuarantineStopped(Success, frozen=True, kw_only=True):
    """The quarantine is over."""

    applied: bool


class CdnaHistoryEntry(Struct, frozen=True, kw_only=True):
    """One action; the other fields depend on it and are null elsewhere."""

    action: str
    timestamp: Moment
    changes: (
        Annotated[dict[str, Any], Meta(description="config_update: by `profile` and level, `from` and `to`.")] | None
    )
    from_: Annotated[str, Meta(description="profile_switch: the profile before.")] | None = field(name="from")
    to: Annotated[str, Meta(description="profile_switch: the profile after.")] | None
    duration: Annotated[int, Meta(description="quarantine_start: seconds.")] | None
    applied: Annotated[bool, Meta(description="quarantine_stop: whether the changes were kept.")] | None
    reason: Annotated[str, Meta(description="quarantine_rollback and quarantine_expired.")] | None
    metrics: Annotated[dict[str, float], Meta(description="Measures at the end of a quarantine.")] | None

    @classmethod
    def of(cls, entry: CdnaEntry) -> "CdnaHistoryEntry":
        """Build from an entry."""
        details = entry.details
        return cls(
            action=entry.action,
            timestamp=moment(entry.at),
            changes=details.get("changes"),
            from_=details.get("from"),
            to=details.get("to"),
            duration=details.get("duration"),
            applied=details.get("applied"),
            reason=details.get("reason"),
            metrics=details.get("metrics"),
        )


class CdnaHistory(Struct, frozen=True, kw_only=True):
    """The newest entries, newest first, and how many there are."""

    history: list[CdnaHistoryEntry]
    total: int


class CdnaExportData(Struct, frozen=True, kw_only=True):
    """CDNA with the newest 100 entries of its history."""

    cdna: CdnaObject
    history: list[CdnaHistoryEntry]
    exported_at: Moment


class CdnaExport(Struct, frozen=True, kw_only=True):
    """Exported CDNA, with a name for its file."""

    data: CdnaExportData
    filename: str
    success: Literal[True] = True


class CdnaReset(Success, frozen=True, kw_only=True):
    """CDNA after a reset."""

    cdna: CdnaObject


class Health(Struct, frozen=True, kw_only=True):
    """healthy: everything serves. degraded: some collection is set aside. unhealthy: storage does not answer."""

    status: str
    version: str
    uptime_seconds: float
    timestamp: Moment
    quarantined: Annotated[
        int, Meta(description="Number of collections quarantined because of damage; status names them.")
    ]


class Status(Struct, frozen=True, kw_only=True):
    """The server in numbers."""

    status: str
    api_version: Annotated[str, Meta(description="Version of the server.")]
    runtime_version: Annotated[str, Meta(description="Version of Python.")]
    tokens_count: int
    collections_count: int
    uptime_seconds: float
    memory_usage_mb: Annotated[float, Meta(description="Resident memory in MiB.")]
    requests_total: Annotated[int, Meta(description="Number of requests since the start, over all transports.")]
    engine: str
    engine_versions: dict[str, str]
    quarantined: Annotated[dict[str, str], Meta(description="Damaged collections, each with the reason.")]
    unchecked: Annotated[int, Meta(description="Number of collections not checked for damage since the start.")]


class LimitsAdvertised(Struct, frozen=True, kw_only=True):
    """The largest things this server takes, and what its embeddings look like."""

    max_body_bytes: int
    max_batch: int
    max_top_k: int
    default_top_k: int
    max_hits: int
    max_answer_bytes: int
    max_search_work: int
    max_dimension: int
    max_text_bytes: int
    max_payload_bytes: int
    max_name_bytes: int
    max_page: int
    max_id_bytes: int
    max_filter_conditions: int
    max_filter_paths: int
    max_filter_work: int
    max_collections: int
    max_tenant_collections: int
    embedding_model: str
    embedding_dimension: int
    vector_media_type: Annotated[
        str,
        Meta(description="Media type of vector frames, an alternative to JSON for bodies with vectors; see the docs."),
    ]


class Liveness(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(Struct, frozen=True, kw_only=True):
    """Requests can be answered. A damaged collection does not change that, the others serve."""

    quarantined: int
    status: Literal["ready"] = "ready"


class Index(Struct, frozen=True, kw_only=True):
    """Addresses of documentation and health."""

    name: str
    version: str
    docs: str
    openapi: str
    health: str


class FieldError(Struct, frozen=True, kw_only=True):
    """Fault of one field; `field` is a dotted path such as `tokens.0.text`."""

    field: str
    message: str
    type: str


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """Facts about the error; which, depends on its code. VALIDATION_ERROR has `errors` and `count`."""

    errors: list[FieldError] = []
    count: int = 0


class ErrorBody(Struct, frozen=True, kw_only=True):
    """Error: what happened, to which item, and what to do."""

    code: str
    message: str
    details: ErrorDetails
    request_id: str


class Error(Struct, frozen=True, kw_only=True):
    """Every error of every route."""

    error: ErrorBody
    success: Literal[False] = False


def _key_fields(record: ApiKeyRecord) -> dict[str, Any]:
    return {
        "key_id": record.key_id,
        "name": record.name,
        "key_prefix": record.key_prefix,
        "scopes": list(record.scopes),
        "created_at": moment(record.created_at),
        "expires_at": moment_or_none(record.expires_at),
        "last_used_at": moment_or_none(record.last_used_at),
        "is_active": record.is_active,
        "collections": None if record.collections is None else list(record.collections),
        "rate_limit": record.rate_limit,
    }


def _cdna_fields(state: CdnaState) -> dict[str, Any]:
    return {
        "version": CDNA_VERSION,
        "profile": state.profile,
        "dimension_scales": list(state.scales),
        "timestamp": datetime.now(UTC),
        "changed_at": moment_or_none(state.changed_at),
        "modified": state.is_modified,
        "curiosity_scale": state.factor("curiosity_scale"),
        "novelty_scale": state.factor("novelty_scale"),
        "affinity_scale": state.factor("affinity_scale"),
    }
