"""One example of every struct on the wire, for the documentation. A test decodes each with the struct it stands for."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vectrograph.control.records import CdnaEntry
from vectrograph.domain.cdna import PROFILES
from vectrograph.live.sse import EventLine, EventsDropped, StreamEnd, Ticket
from vectrograph.rest import requests, responses

_MORNING: Final = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
_NOON: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_EMBEDDING: Final = [0.5, -0.5, 0.5, 0.5]
_TOKEN: Final = responses.Token(
    id=7,
    text="hello world",
    embedding=_EMBEDDING,
    metadata={"category": "greeting"},
    created_at=_MORNING,
    updated_at=_MORNING,
)
_USER: Final = responses.User(
    user_id="developer",
    username="developer",
    email=None,
    full_name=None,
    role="developer",
    scopes=["tokens:read", "tokens:write"],
    disabled=False,
    tenant="default",
    created_at=_MORNING,
)
_ENTRY: Final = responses.AuditEntry(
    entry_id=12,
    at=_NOON,
    tenant="default",
    actor="admin",
    key_id=None,
    action="user.disable",
    target="viewer",
    outcome="ok",
    address="127.0.0.1",
    request_id="1f0e2d3c4b5a69788796a5b4c3d2e1f0",
)
_CONFIG: Final = responses.GridConfig(bucket_size=10.0, density_threshold=0.5, min_field_nodes=3)
_KEY: Final[dict[str, Any]] = {
    "key_id": "3f9c2a7b51d0e846",
    "name": "integration",
    "key_prefix": "ng_live_Zk3vQ9xT",
    "scopes": ["tokens:read"],
    "created_at": _MORNING,
    "expires_at": None,
    "last_used_at": _NOON,
    "is_active": True,
    "collections": None,
    "rate_limit": 100,
}

_CDNA: Final[dict[str, Any]] = {
    "version": "2.1.0",
    "profile": "explorer",
    "dimension_scales": [1.0, 3.0, 1.2, 2.0, 6.0, 2.5, 2.0, 5.0],
    "timestamp": _NOON,
    "changed_at": _MORNING,
    "modified": True,
    "curiosity_scale": 2.0,
    "novelty_scale": 1.0,
    "affinity_scale": 1.0,
}
_QUARANTINE: Final = responses.CdnaQuarantine(
    active=True,
    time_left=280,
    metrics=responses.CdnaMeasures(
        memory_growth=0.02, memory_growth_mb=4.0, connection_breaks=0.0, error_rate=0.0, token_churn=0.1, requests=42
    ),
    started_at=_NOON,
    ends_at=datetime(2026, 3, 1, 12, 5, tzinfo=UTC),
)
_PROFILE: Final = responses.CdnaProfile.of(PROFILES["analyzer"])
_SWITCH: Final = responses.CdnaHistoryEntry.of(
    CdnaEntry(action="profile_switch", at=1_772_366_400_000_000, details={"from": "explorer", "to": "analyzer"})
)

_EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    requests.Login(username="developer", password="developer123"),  # noqa: S106  (the documented account)
    requests.Refresh(refresh_token="eyJhbGciOi…"),  # noqa: S106
    requests.Logout(),
    requests.PasswordChange(old_password="developer123", new_password="a longer one"),  # noqa: S106
    requests.TokenCreate(
        text="hello world", metadata={"category": "greeting"}, coordinates={"L4Emotional": [0.8, 0.4, 0.1]}
    ),
    requests.TokenBatch(tokens=[requests.TokenCreate(text="hello"), requests.TokenCreate(text="world")]),
    requests.TokenUpdate(text="hello again", metadata=None),
    requests.TokenQuery(query_vector=_EMBEDDING, top_k=10, threshold=0.8),
    requests.TokenQueryMany(texts=["hello", "world"], top_k=3),
    requests.TokenDelete(ids=[7, 8]),
    requests.GridCreate(),
    requests.GridTokens(ids=[7, 8]),
    requests.ApiKeyRotate(overlap_seconds=3600),
    requests.EmbeddingRequest(texts=["hello world"]),
    requests.ApiKeyCreate(name="integration", scopes=["tokens:read"], expires_in_days=30),
    requests.UserCreate(username="ada", password="correct horse battery", role="developer"),  # noqa: S106
    requests.UserRole(role="viewer"),
    requests.UserPassword(password="correct horse battery"),  # noqa: S106
    responses.Session(access_token="eyJhbGciOi…", refresh_token="eyJhbGciOi…", expires_in=900, user=_USER),  # noqa: S106
    responses.TokenPair(access_token="eyJhbGciOi…", refresh_token="eyJhbGciOi…", expires_in=900),  # noqa: S106
    responses.Success(message="Logged out."),
    _USER,
    responses.UserList(users=[_USER], total=1),
    _ENTRY,
    responses.AuditEntries(entries=[_ENTRY]),
    _TOKEN,
    responses.TokenPage(tokens=[_TOKEN], total=1, limit=100, offset=0),
    responses.TokensCreated(tokens=[_TOKEN]),
    EventLine(channel="tokens", type="created", time="2026-03-01T08:30:00.000000Z", data={"id": 7, "version": 42}),
    EventsDropped(channel="logs", count=12),
    StreamEnd(code="SERVER_STOPPING", message="The server is stopping; open the stream again.", reconnect=True),
    Ticket(ticket="Bq9heM-aDV3PwqsmygUWZk4wEScf7TmsEDMx-7S-QfM", expires_in=30),
    responses.QueryResults(results=[responses.QueryHit(token=_TOKEN, similarity=0.93, distance=0.07)]),
    responses.QueryManyResults(results=[[responses.QueryHit(token=_TOKEN, similarity=0.93, distance=0.07)], []]),
    responses.TokensDeleted(deleted=1, missing=[8]),
    responses.Embeddings(embeddings=[_EMBEDDING], model="wordllama-256", dimension=4),
    responses.GridStatus(grids_count=1, grid_ids=[1], message="1 of at most 100 grids."),
    responses.GridCreated(grid_id=1, config=_CONFIG),
    responses.Grid(grid_id=1, token_count=2, config=_CONFIG),
    responses.GridTokenAdded(grid_id=1, token_id=7, grid_size=2),
    responses.GridTokensAdded(grid_id=1, added=1, present=[7], missing=[8], grid_size=2),
    responses.GridNeighborList(
        center_token_id=7,
        space=3,
        radius=10.0,
        neighbors=[responses.GridNeighbor(token_id=8, distance=1.25)],
        count=1,
    ),
    responses.GridRangeList(
        center=[0.0, 0.0, 0.0],
        radius=10.0,
        space=3,
        results=[responses.GridRangeItem(token_id=7, distance=0.9, position=[0.8, 0.4, 0.1])],
        count=1,
        total=1,
        limit=1_000,
        offset=0,
        bucket_size=10.0,
    ),
    responses.GridInfluence(position=[0.0, 0.0, 0.0], radius=10.0, influence=0.1),
    responses.GridDensity(position=[0.0, 0.0, 0.0], radius=10.0, density=0.00024, tokens_in_range=1),
    responses.ApiKey(**_KEY),
    responses.ApiKeyCreated(**_KEY, api_key="ng_live_Zk3vQ9xT…"),
    responses.ApiKeyList(api_keys=[responses.ApiKey(**_KEY)], total=1),
    requests.CdnaConfig(curiosity_scale=2.0),
    requests.CdnaScales(scales=[1.0, 1.5, 1.2, 2.0, 3.0, 2.5, 2.0, 5.0]),
    responses.CdnaStatus(cdna=responses.CdnaObject(**_CDNA), quarantine=_QUARANTINE, history_count=3),
    responses.CdnaConfigured(**_CDNA, warnings=[]),
    responses.CdnaProfiles(profiles={"analyzer": _PROFILE}, current="explorer"),
    _PROFILE,
    responses.CdnaSwitched(old_profile="explorer", new_profile="analyzer", scales=_PROFILE.scales),
    responses.CdnaVerdict(valid=True, warnings=["L5 is 16, above 50 % of its bound 30: caution"], errors=[]),
    _QUARANTINE,
    responses.CdnaQuarantineStarted(
        message="The quarantine ends in 300 seconds.", duration=300, ends_at=_QUARANTINE.ends_at
    ),
    responses.CdnaQuarantineStopped(message="The changes were applied.", applied=True),
    responses.CdnaHistory(history=[_SWITCH], total=1),
    responses.CdnaExport(
        data=responses.CdnaExportData(cdna=responses.CdnaObject(**_CDNA), history=[_SWITCH], exported_at=_NOON),
        filename="cdna-20260301T120000Z.json",
    ),
    responses.CdnaReset(message="The CDNA was reset.", cdna=responses.CdnaObject(**_CDNA)),
    responses.ApiKeyRevoked(key_id="3f9c2a7b51d0e846"),
    responses.Health(status="healthy", version="0.60.0", uptime_seconds=42.5, timestamp=_NOON, quarantined=0),
    responses.Status(
        status="healthy",
        api_version="0.60.0",
        runtime_version="3.11.9",
        tokens_count=1,
        collections_count=1,
        uptime_seconds=42.5,
        memory_usage_mb=180.25,
        requests_total=12,
        engine="embedded",
        engine_versions={"sqlite": "3.54.0"},
        quarantined={},
        unchecked=0,
    ),
    responses.LimitsAdvertised(
        max_body_bytes=67_108_864,
        max_batch=10_000,
        max_top_k=1_000,
        default_top_k=10,
        max_hits=100_000,
        max_answer_bytes=67_108_864,
        max_search_work=250_000_000_000,
        max_dimension=8_192,
        max_text_bytes=65_536,
        max_payload_bytes=1_048_576,
        max_name_bytes=255,
        max_page=1_000,
        max_id_bytes=512,
        max_filter_conditions=1_024,
        max_filter_paths=64,
        max_filter_work=500_000_000,
        max_collections=10_000,
        max_tenant_collections=5_000,
        embedding_model="wordllama-256",
        embedding_dimension=256,
        vector_media_type="application/vnd.neurograph.vectors",
    ),
    responses.Liveness(),
    responses.Readiness(quarantined=0),
    responses.Index(
        name="vectrograph", version="0.60.0", docs="/docs", openapi="/openapi.json", health="/api/v1/health"
    ),
    responses.Error(
        error=responses.ErrorBody(
            code="VALIDATION_ERROR",
            message="tokens.0.text: expected `str`, got `int`",
            details=responses.ErrorDetails(
                errors=[
                    responses.FieldError(field="tokens.0.text", message="expected `str`, got `int`", type="type_error")
                ],
                count=1,
            ),
            request_id="1f0e2d3c4b5a69788796a5b4c3d2e1f0",
        )
    ),
)

EXAMPLES: Final[Mapping[type[msgspec.Struct], msgspec.Struct]] = MappingProxyType(
    {type(example): example for example in _EXAMPLES}
)
"""Struct to an example of it."""
