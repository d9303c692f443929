"""Requests and answers as pydantic models.

Fields that a server adds are kept and readable as attributes. A model's repr never shows a secret.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from neurograph._wirekit.vectors import to_list

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "APIKey",
    "APIKeyCreate",
    "APIKeyCreated",
    "CDNAConfig",
    "CDNAExport",
    "CDNAHistory",
    "CDNAHistoryEntry",
    "CDNAMetrics",
    "CDNAProfile",
    "CDNAProfiles",
    "CDNAQuarantine",
    "CDNAState",
    "CDNAStatus",
    "CDNASwitch",
    "CDNAUpdate",
    "CDNAValidation",
    "DeletedTokens",
    "Event",
    "EventTicket",
    "GridCell",
    "GridConfig",
    "GridDensity",
    "GridInfo",
    "GridNeighbor",
    "GridQuery",
    "GridQueryResult",
    "GridRange",
    "GridStatus",
    "GridTokenAdded",
    "GridTokensAdded",
    "HealthStatus",
    "LevelPosition",
    "LoginResponse",
    "ServerLimits",
    "SystemStatus",
    "Token",
    "TokenCreate",
    "TokenPage",
    "TokenQuery",
    "TokenQueryResult",
    "User",
]

# Components of an embedding that its repr shows.
_SHOWN_COMPONENTS = 3
# Parts of a token that are left out of its JSON and its repr where the server sent none.
_PLACEMENT = ("coordinates", "weight", "field_radius", "field_strength")
_PACKED = "_packed"  # where a token keeps an embedding that nobody has looked at yet


class Question(BaseModel):
    """Base of everything that goes to a server."""

    # Schemas are built at first use: together they take as long as importing this whole package.
    model_config = ConfigDict(defer_build=True)


class Answer(BaseModel):
    """Base of everything a server sends."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, defer_build=True)


class LevelPosition(Answer):
    """The place of a token in one level of Grid.

    Attributes:
        position: x, y and z.
        derived: whether the server derived it from the embedding; else it was given.

    >>> LevelPosition(position=[1.0, 2.0, 3.0], derived=False).position
    [1.0, 2.0, 3.0]
    """

    position: list[float]
    derived: bool = False


class Token(Answer):  # noqa: PLW1641 - equal by content, which changes: it has no hash
    """A text with its vector.

    Attributes:
        id: small positive integer, never reused.
        text: None when the token has only a vector.
        embedding: float32 components as a plain list, made when it is first looked at; empty when the server sent none.
        metadata: any JSON object.
        created_at: with time zone.
        updated_at: with time zone; None when the server does not tell.
        coordinates: name of a level of Grid to the place in it; None unless they were asked for with `include`, and so
            are the next three.
        weight: from 0 to 1.
        field_radius: distance at which the influence of the token ends.
        field_strength: influence at its own place, from 0 to 1.

    >>> Token(id=7, text="hello", embedding=[0.5, -1.0]).embedding
    [0.5, -1.0]
    """

    id: int
    text: str | None = None
    embedding: list[float]
    metadata: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    coordinates: dict[str, LevelPosition] | None = None
    weight: float | None = None
    field_radius: float | None = None
    field_strength: float | None = None

    @property
    def vector(self) -> "NDArray[np.float32]":
        """The embedding as a numpy array of shape (dimension,), without a Python float in between.

        Changes to it do not reach the token; it may be read-only.

        Raises:
            ImportError: numpy is not installed.

        >>> Token(id=1, embedding=[0.5, -1.0]).vector.dtype.name
        'float32'
        """
        import numpy as np

        fields = vars(self)
        if "embedding" in fields or _PACKED not in fields:
            return np.array(self.embedding, dtype=np.float32)
        return np.frombuffer(fields[_PACKED], dtype="<f4")

    def hold(self, packed: bytes) -> None:
        """Take an embedding that came as float32 in little-endian; for this library's own use.

        >>> token = Token(id=1, embedding=[])
        >>> token.hold(bytes.fromhex("0000003f000080bf"))
        >>> token.embedding
        [0.5, -1.0]
        """
        fields = vars(self)  # and no private attribute, which would double the cost of every token
        del fields["embedding"]
        fields[_PACKED] = packed

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make attributes on first use: a list of the embedding that came packed."""
            if name == "embedding":
                self._unpack()
                if name in self.__dict__:
                    return self.__dict__[name]
            return super().__getattr__(name)

    def _unpack(self) -> None:
        fields = vars(self)
        if _PACKED not in fields:
            return
        present = {"embedding": to_list(fields[_PACKED]), **fields}
        ordered = {name: present[name] for name in type(self).model_fields if name in present}
        object.__setattr__(self, "__dict__", ordered)  # at once, for whoever looks from another thread

    @model_serializer(mode="wrap")
    def _whole(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        self._unpack()
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if value is not None or name not in _PLACEMENT}

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        self._unpack()
        yield from super().__iter__()

    def __eq__(self, other: object) -> bool:
        for token in (self, other):
            if isinstance(token, Token):
                token._unpack()
        return super().__eq__(other)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        self._unpack()
        for name, value in super().__repr_args__():
            if value is None and name in _PLACEMENT:
                continue
            yield name, _Shortened(self.embedding) if name == "embedding" else value


class _Shortened:
    """The repr of a vector, cut after a few components."""

    def __init__(self, components: list[float]) -> None:
        self._components = components

    def __repr__(self) -> str:
        if len(self._components) <= _SHOWN_COMPONENTS:
            return repr(self._components)
        shown = ", ".join(map(repr, self._components[:_SHOWN_COMPONENTS]))
        return f"[{shown}, … {len(self._components)} in all]"


class TokenPage(list[Token]):
    """The tokens of one page: a plain list that also knows where it stands.

    Attributes:
        total: tokens on the server altogether; None when the server does not tell.
        limit: tokens asked for.
        offset: tokens before this page.

    >>> page = TokenPage([Token(id=1, embedding=[])], total=3, limit=1, offset=0)
    >>> len(page), page.total
    (1, 3)
    """

    def __init__(self, tokens: Iterable[Token] = (), *, total: int | None = None, limit: int, offset: int) -> None:
        super().__init__(tokens)
        self.total = total
        self.limit = limit
        self.offset = offset

    @property
    def has_more(self) -> bool:
        """Return whether tokens come after this page; a guess by its length when the server tells no total.

        >>> TokenPage([Token(id=1, embedding=[])], total=3, limit=1, offset=0).has_more
        True
        """
        if self.total is None:
            return len(self) >= self.limit > 0
        return bool(self) and self.offset + len(self) < self.total

    def __reduce__(self) -> tuple[Any, ...]:
        return _page, (list(self), self.total, self.limit, self.offset)


def _page(tokens: list[Token], total: int | None, limit: int, offset: int) -> TokenPage:
    return TokenPage(tokens, total=total, limit=limit, offset=offset)


class TokenCreate(Question):
    """A token to be created.

    Attributes:
        text: what the token says.
        metadata: any JSON object.
        embedding: its vector; the server embeds the text when absent.
        coordinates: name of a level of Grid, such as `L4Emotional`, to x, y and z; other levels are derived.
        weight: from 0 to 1.
        field_radius: distance at which the influence of the token ends.
        field_strength: influence at its own place, from 0 to 1.

    >>> TokenCreate(text="hello", metadata={"lang": "en"}).text
    'hello'
    """

    text: str
    metadata: dict[str, Any] | None = None
    embedding: list[float] | None = None
    coordinates: dict[str, list[float] | None] | None = None
    weight: float | None = None
    field_radius: float | None = None
    field_strength: float | None = None


class TokenQuery(Question):
    """A search by vector.

    Attributes:
        query_vector: as many components as the server's model has.
        top_k: hits wanted; 0 means the server's default.
        threshold: least cosine similarity of a hit, itself included.

    >>> TokenQuery(query_vector=[0.5, -1.0]).top_k
    10
    """

    query_vector: list[float]
    top_k: int = 10
    threshold: float | None = None


class TokenQueryResult(Answer):
    """One hit of a query.

    Attributes:
        token: the token found.
        similarity: cosine similarity, 1 for the same direction, higher is closer.
        distance: 1 − similarity, lower is closer.

    >>> hit = TokenQueryResult(token=Token(id=7, embedding=[]), similarity=0.75, distance=0.25)
    >>> hit.token.id, hit.similarity
    (7, 0.75)
    """

    token: Token
    similarity: float
    distance: float | None = None


class DeletedTokens(Answer):
    """Return the outcome of a request to delete many tokens.

    Attributes:
        deleted: tokens that existed and are gone now; an id that is given twice counts once.
        missing: ids asked for that no token has.

    >>> DeletedTokens(deleted=2, missing=[7]).missing
    [7]
    """

    deleted: int
    missing: list[int] = Field(default_factory=list)


class GridConfig(Answer):
    """Settings of a grid.

    Attributes:
        bucket_size: edge of a cell.
        density_threshold: kept by the server; no answer depends on it.
        min_field_nodes: kept by the server; no answer depends on it.

    >>> GridConfig(bucket_size=10.0).bucket_size
    10.0
    """

    bucket_size: float = 10.0
    density_threshold: float = 0.5
    min_field_nodes: int = 3


class GridStatus(Answer):
    """The grids of the caller's tenant.

    Attributes:
        available: whether the server has grids.
        grids_count: how many there are.
        grid_ids: their ids, ascending; empty when the server does not tell.
        message: for people.

    >>> GridStatus(grids_count=2, grid_ids=[1, 3]).grid_ids
    [1, 3]
    """

    available: bool = True
    grids_count: int
    grid_ids: list[int] = Field(default_factory=list)
    message: str | None = None


class GridInfo(Answer):
    """A grid.

    Attributes:
        grid_id: small positive integer, never reused.
        token_count: tokens in it.
        config: its settings.

    >>> GridInfo(grid_id=1, token_count=5).config.bucket_size
    10.0
    """

    grid_id: int
    token_count: int = 0
    config: GridConfig = Field(default_factory=GridConfig)


class GridTokenAdded(Answer):
    """A token that was added to a grid.

    Attributes:
        grid_id: the grid.
        token_id: the token.
        grid_size: tokens in the grid now.

    >>> GridTokenAdded(grid_id=1, token_id=7, grid_size=2).grid_size
    2
    """

    grid_id: int
    token_id: int
    grid_size: int | None = None


class GridTokensAdded(Answer):
    """Outcome of adding many tokens to a grid.

    Attributes:
        grid_id: the grid.
        added: tokens that were not in the grid and are now.
        present: ids of tokens that were in it already.
        missing: ids that no token has.
        grid_size: tokens in the grid now.

    >>> GridTokensAdded(grid_id=1, added=1, missing=[9]).missing
    [9]
    """

    grid_id: int
    added: int
    present: list[int] = Field(default_factory=list)
    missing: list[int] = Field(default_factory=list)
    grid_size: int | None = None


class GridNeighbor(Answer):
    """A token near a place.

    Attributes:
        token_id: the token.
        distance: from the place.
        position: x, y and z of the token in the space that was asked about; None in a list of neighbours, and for all
            spaces.

    >>> GridNeighbor(token_id=7, distance=1.5).distance
    1.5
    """

    token_id: int
    distance: float
    position: list[float] | None = None


class GridRange(Answer):
    """Part of the tokens around a place, nearest first.

    Attributes:
        center: the place: x, y and z, or 24 numbers for all spaces.
        radius: largest distance.
        results: the tokens.
        total: tokens in the region altogether.
        limit: tokens asked for.
        offset: tokens before these.
        bucket_size: edge of a cell of the grid.

    >>> GridRange(center=[0.0, 0.0, 0.0], radius=10.0, total=0).results
    []
    """

    center: list[float]
    radius: float
    results: list[GridNeighbor] = Field(default_factory=list)
    total: int | None = None
    limit: int | None = None
    offset: int = 0
    bucket_size: float | None = None


class GridDensity(Answer):
    """Density around a place.

    Attributes:
        density: tokens per volume of the ball.
        tokens_in_range: tokens in the ball.

    >>> GridDensity(density=0.5, tokens_in_range=2).tokens_in_range
    2
    """

    density: float
    tokens_in_range: int


class GridCell(Answer):
    """A cell of a grid: a cube with the edge `bucket_size`, and the tokens in it.

    Attributes:
        x, y, z: indexes of the cell: it begins at `x * bucket_size`, and likewise for y and z.
        token_ids: tokens in it that were found, nearest to the center of the query first.
        density: these tokens per volume of the cell.

    >>> GridCell(x=0, y=-1, z=2, token_ids=[7]).density
    0.0
    """

    x: int
    y: int
    z: int
    token_ids: list[int] = Field(default_factory=list)
    density: float = 0.0


class GridQuery(Question):
    """A question for the cells around a place.

    Attributes:
        center: x, y and z.
        radius: largest distance of a token.
        max_results: most tokens to return, 1 to 10,000.

    >>> GridQuery(center=[0.0, 0.0, 0.0], radius=10.0).max_results
    100
    """

    center: list[float]
    radius: float
    max_results: int = 100


class GridQueryResult(Answer):
    """The cells around a place, in the order of their nearest token.

    Attributes:
        cells: cells with tokens in the region.
        total_count: tokens in the region altogether, also those beyond `max_results`.
        query_time_ms: duration of the call as the client saw it, in milliseconds.

    >>> GridQueryResult(cells=[], total_count=0, query_time_ms=1.5).total_count
    0
    """

    cells: list[GridCell] = Field(default_factory=list)
    total_count: int = 0
    query_time_ms: float = 0.0


class APIKey(Answer):
    """An API key as it can be looked at: without its secret.

    Attributes:
        key_id: its name in calls.
        name: what its creator called it.
        key_prefix: the first characters of the secret.
        scopes: what it may do.
        created_at: with time zone.
        expires_at: None when it does not expire.
        last_used_at: None when it was never used.
        is_active: false once revoked.

    >>> APIKey(key_id="k1", name="reader", key_prefix="ng_abc", created_at="2026-01-01T00:00:00Z").is_active
    True
    """

    key_id: str
    name: str
    key_prefix: str
    scopes: list[str] = Field(default_factory=list)
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    is_active: bool = True


class APIKeyCreate(Question):
    """An API key to be created.

    Attributes:
        name: what to call it.
        scopes: what it may do; None means what the creator may, less the administration of keys.
        expires_in_days: None means never.

    >>> APIKeyCreate(name="reader", scopes=["tokens:read"]).expires_in_days is None
    True
    """

    name: str
    scopes: list[str] | None = None
    expires_in_days: int | None = None


class APIKeyCreated(Answer):
    """A new API key with its secret, which is told only once; the repr hides it.

    Attributes:
        api_key: the secret; store it now.

    >>> made = {"key_id": "k1", "name": "reader", "key_prefix": "ng_", "created_at": "2026-01-01T00:00:00Z"}
    >>> created = APIKeyCreated(api_key="ng_secret", **made)
    >>> created.api_key, "ng_secret" in repr(created)
    ('ng_secret', False)
    """

    key_id: str
    name: str
    api_key: str = Field(repr=False)
    key_prefix: str
    scopes: list[str] = Field(default_factory=list)
    created_at: datetime
    expires_at: datetime | None = None


class User(Answer):
    """An account.

    Attributes:
        role: admin, developer, viewer or bot.
        scopes: what the account may do.

    >>> User(user_id="u1", username="developer", role="developer").scopes
    []
    """

    user_id: str
    username: str
    email: str | None = None
    full_name: str | None = None
    role: str
    scopes: list[str] = Field(default_factory=list)
    disabled: bool = False
    created_at: datetime | None = None


class LoginResponse(Answer):
    """The answer to a login or a refresh; the repr hides both tokens.

    Attributes:
        access_token: bearer token of the next calls.
        refresh_token: buys the next access token, once; None when the server gives none.
        expires_in: lifetime of the access token, in seconds; None when the server does not tell.

    >>> answer = LoginResponse(access_token="secret", expires_in=900)
    >>> answer.expires_in, "secret" in repr(answer)
    (900.0, False)
    """

    access_token: str = Field(repr=False)
    refresh_token: str | None = Field(default=None, repr=False)
    token_type: str = "bearer"  # noqa: S105 - the name of a scheme
    expires_in: float | None = None
    user: User | None = None


class ServerLimits(Answer):
    """The largest things a server takes; None where it does not tell.

    Attributes:
        max_body_bytes: one request body.
        max_batch: tokens, texts or queries in one request.
        max_top_k: hits of one query.
        max_page: tokens of one page.
        vector_media_type: what bodies with vectors can be besides JSON.

    >>> ServerLimits(max_batch=10_000).max_batch
    10000
    """

    max_body_bytes: int | None = None
    max_batch: int | None = None
    max_top_k: int | None = None
    max_page: int | None = None
    vector_media_type: str | None = None


class HealthStatus(Answer):
    """Return whether the server is well.

    Attributes:
        status: `healthy`, or what is wrong.
        version: of the server.
        uptime_seconds: since its start.
        timestamp: when it answered.

    >>> HealthStatus(status="healthy", version="0.60.0").status
    'healthy'
    """

    status: str
    version: str
    uptime_seconds: float | None = None
    timestamp: datetime | None = None


class SystemStatus(Answer):
    """Return the contents and the resources of the server.

    Attributes:
        api_version: of the API.
        runtime_version: of what runs behind it.
        tokens_count: tokens stored.
        uptime_seconds: since its start.
        memory_usage_mb: resident memory.
        requests_total: requests answered since its start.

    >>> SystemStatus(api_version="0.60.0", tokens_count=3).tokens_count
    3
    """

    api_version: str
    runtime_version: str | None = None
    tokens_count: int = 0
    uptime_seconds: float | None = None
    memory_usage_mb: float | None = None
    requests_total: int = 0


class CDNAConfig(Question):
    """A whole configuration of CDNA: a profile, and three factors on its scales.

    Attributes:
        profile: explorer, analyzer, creative or quarantine.
        curiosity_scale: multiplies L2 (sensory) and L5 (cognitive) of the profile.
        novelty_scale: multiplies L3 (motor) and L8 (abstract) of the profile.
        affinity_scale: multiplies L4 (emotional) and L6 (social) of the profile.

    >>> CDNAConfig(curiosity_scale=2.0).profile
    'explorer'
    """

    profile: str = "explorer"
    curiosity_scale: float = 1.0
    novelty_scale: float = 1.0
    affinity_scale: float = 1.0


class CDNAUpdate(Question):
    """A change of CDNA: factors on scales of the profile in force; None leaves the levels of a factor as they are.

    Attributes:
        curiosity_scale: multiplies L2 (sensory) and L5 (cognitive) of the profile.
        novelty_scale: multiplies L3 (motor) and L8 (abstract) of the profile.
        affinity_scale: multiplies L4 (emotional) and L6 (social) of the profile.

    >>> CDNAUpdate(novelty_scale=0.5).curiosity_scale is None
    True
    """

    curiosity_scale: float | None = None
    novelty_scale: float | None = None
    affinity_scale: float | None = None


class CDNAState(Answer):
    """Scales of the caller's tenant.

    Attributes:
        profile: the one chosen last.
        dimension_scales: in force, L1 to L8.
        version: of the meaning of scales.
        timestamp: when the server answered.
        changed_at: None while nothing was changed.
        modified: whether the scales differ from those of the profile.
        curiosity_scale, novelty_scale, affinity_scale: the factors; None where the two levels of one disagree.
        warnings: what is unwise about the scales; in the answer to a change only.

    >>> CDNAState(profile="explorer", dimension_scales=[1, 1.5, 1.2, 2, 3, 2.5, 2, 5]).dimension_scales[7]
    5.0
    """

    profile: str
    dimension_scales: list[float]
    version: str | None = None
    timestamp: datetime | None = None
    changed_at: datetime | None = None
    modified: bool | None = None
    curiosity_scale: float | None = None
    novelty_scale: float | None = None
    affinity_scale: float | None = None
    warnings: list[str] = Field(default_factory=list)


class CDNAMetrics(Answer):
    """Measures since a quarantine began. Shares, not per cent.

    Attributes:
        memory_growth: of the resident memory of the server.
        memory_growth_mb: the same in MiB.
        connection_breaks: requests whose caller left before the answer.
        error_rate: requests that failed on the server.
        token_churn: tokens created and deleted for each token there is.
        requests: requests counted.

    >>> CDNAMetrics(error_rate=0.02).requests
    0
    """

    memory_growth: float = 0.0
    memory_growth_mb: float = 0.0
    connection_breaks: float = 0.0
    error_rate: float = 0.0
    token_churn: float = 0.0
    requests: int = 0


class CDNAQuarantine(Answer):
    """A quarantine: a trial of changes that is taken back unless it is applied.

    Attributes:
        active: whether there is one.
        time_left: seconds.
        metrics: None without an active one.
        started_at, ends_at: with time zone; None without an active one.

    >>> CDNAQuarantine(active=False).metrics is None
    True
    """

    active: bool
    time_left: float = 0
    metrics: CDNAMetrics | None = None
    started_at: datetime | None = None
    ends_at: datetime | None = None


class CDNAStatus(Answer):
    """CDNA with its quarantine.

    Attributes:
        cdna: scales and profile.
        quarantine: the trial, if there is one.
        history_count: entries of the history.

    >>> cdna = {"profile": "explorer", "dimension_scales": [1.0] * 8}
    >>> CDNAStatus(cdna=cdna, quarantine={"active": False}).history_count
    0
    """

    cdna: CDNAState
    quarantine: CDNAQuarantine
    history_count: int = 0


class CDNAProfile(Answer):
    """A named set of scales.

    Attributes:
        id: its name in calls; None where the server does not repeat it.
        name: for display.
        scales: L1 to L8.
        restricted: whether scales may differ from those of the profile by at most `max_change`.

    >>> CDNAProfile(name="Flat", scales=[1.0] * 8).restricted
    False
    """

    id: str | None = None
    name: str
    scales: list[float]
    description: str = ""
    plasticity: float | None = None
    evolution_rate: float | None = None
    restricted: bool = False
    max_change: float | None = None


class CDNAProfiles(Answer):
    """All profiles by id, and the id of the one in force.

    >>> CDNAProfiles(profiles={"flat": {"name": "Flat", "scales": [1.0] * 8}}, current="flat").profiles["flat"].name
    'Flat'
    """

    profiles: dict[str, CDNAProfile]
    current: str | None = None


class CDNASwitch(Answer):
    """A switch from one profile to another.

    >>> CDNASwitch(old_profile="explorer", new_profile="flat", scales=[1.0] * 8).new_profile
    'flat'
    """

    old_profile: str
    new_profile: str
    scales: list[float]


class CDNAValidation(Answer):
    """Result of checking scales: warnings of what is unwise, errors for what is refused.

    >>> CDNAValidation(valid=False, errors=["L7 is 31 and must be at most 30"]).valid
    False
    """

    valid: bool
    warnings: list[str] = Field(default_factory=list)
    errors: list[str] = Field(default_factory=list)


class CDNAHistoryEntry(Answer):
    """One action on the CDNA; its other fields depend on the action.

    Attributes:
        action: such as `config_update` or `quarantine_rollback`.
        timestamp: with time zone.

    >>> CDNAHistoryEntry(action="reset", timestamp="2026-01-01T00:00:00Z").action
    'reset'
    """

    action: str
    timestamp: datetime


class CDNAHistory(Answer):
    """The newest actions on the CDNA, newest first.

    Attributes:
        history: entries.
        total: how many there are.

    >>> CDNAHistory(history=[], total=0).history
    []
    """

    history: list[CDNAHistoryEntry]
    total: int | None = None


class CDNAExport(Answer):
    """CDNA with its newest actions, to keep elsewhere.

    Attributes:
        filename: a name for a file of it.
        data: JSON: `cdna`, `history` and `exported_at`.

    >>> CDNAExport(filename="cdna.json", data={}).filename
    'cdna.json'
    """

    filename: str
    data: dict[str, Any]


class Event(Answer):
    """Something that has happened on the server, as a stream of events delivers it.

    An event of the channel `tokens` or `collection:NAME` is the change of a point. It comes at least once, in order,
    and has a position in `id`. Events of the other channels have none: what happens while nobody reads is gone.

    Attributes:
        channel: `tokens`, `collection:NAME`, `collections`, `metrics`, `status`, `signals`, `actions`, `logs` or
            `connections`.
        type: of a change `created`, `updated` or `deleted`; `missed` of a gap, see `missed`; else as the channel has
            it.
        time: when it happened; with time zone.
        id: position after this event; pass it as `since` to go on from here. None where there is no position.
        data: what happened. Of a change: `id`, `version`, and `matches` and `point` where they were asked for.

    >>> change = {"id": 7, "version": 42, "point": {"version": 43, "text": "hello"}}
    >>> event = Event(channel="tokens", type="updated", time="2026-12-01T12:00:00Z", data=change)
    >>> event.point_id, event.version, event.text, event.point_version
    (7, 42, 'hello', 43)
    """

    model_config = ConfigDict(frozen=True)

    channel: str
    type: str
    time: datetime
    id: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def point_id(self) -> int | str | None:
        """The id of the point that changed: a number for a token, else a text; None for other events.

        >>> Event(channel="collection:docs", type="deleted", time=0, data={"id": "a", "version": 3}).point_id
        'a'
        """
        found = self.data.get("id") if self._is_change else None
        return found if isinstance(found, (int, str)) else None

    @property
    def version(self) -> int | None:
        """The version of the point that the change left behind; None for other events.

        >>> Event(channel="tokens", type="deleted", time=0, data={"id": 7, "version": 3}).version
        3
        """
        found = self.data.get("version") if self._is_change else None
        return found if isinstance(found, int) else None

    @property
    def matches(self) -> bool | None:
        """Answer of the filter for the point at delivery; None without a filter and for a deletion.

        >>> data = {"id": 7, "version": 3, "matches": False}
        >>> Event(channel="tokens", type="updated", time=0, data=data).matches
        False
        """
        found = self.data.get("matches") if self._is_change else None
        return found if isinstance(found, bool) else None

    @property
    def point_version(self) -> int | None:
        """The version of the point at delivery, which payload and text are of; None when the point is gone or was not
        asked for.

        >>> Event(channel="tokens", type="created", time=0, data={"id": 7, "version": 3}).point_version
        """
        found = self._point.get("version")
        return found if isinstance(found, int) else None

    @property
    def payload(self) -> dict[str, Any] | None:
        """The payload of the point at delivery, for a token its metadata; None when the point is gone or
        `include=["payload"]` was not asked for.

        >>> data = {"id": 7, "version": 3, "point": {"version": 3, "payload": {"lang": "fr"}}}
        >>> Event(channel="tokens", type="created", time=0, data=data).payload
        {'lang': 'fr'}
        """
        found = self._point.get("payload")
        return found if isinstance(found, dict) else None

    @property
    def text(self) -> str | None:
        """The text of the point at delivery; None when it has none, is gone, or `include=["text"]` was not asked for.

        >>> data = {"id": 7, "version": 3, "point": {"version": 3, "text": "bonjour"}}
        >>> Event(channel="tokens", type="created", time=0, data=data).text
        'bonjour'
        """
        found = self._point.get("text")
        return found if isinstance(found, str) else None

    @property
    def missed(self) -> int:
        """Number of events of this channel that were dropped before this place, because the reader was slow; 0 for
        everything that is a real event.

        Only channels that are in no log drop events. A program to which they do not matter may ignore it.

        >>> Event(channel="logs", type="missed", time=0, data={"count": 12}).missed
        12
        """
        found = self.data.get("count") if self.type == "missed" and self.id is None else None
        return found if isinstance(found, int) else 0

    @property
    def _is_change(self) -> bool:
        return self.channel == "tokens" or self.channel.startswith("collection:")

    @property
    def _point(self) -> dict[str, Any]:
        found = self.data.get("point") if self._is_change else None
        return found if isinstance(found, dict) else {}


class EventTicket(Answer):
    """A text that opens one stream of events, once, instead of credentials; the repr hides it.

    Attributes:
        ticket: the secret.
        expires_in: seconds from now.

    >>> given = EventTicket(ticket="tk_secret", expires_in=30)
    >>> given.expires_in, "tk_secret" in repr(given)
    (30.0, False)
    """

    ticket: str = Field(repr=False)
    expires_in: float
