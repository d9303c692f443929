"""One example of every struct on the wire, for the documentation. A test decodes each with the struct it stands for."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vectrograph.rest import answers, bodies

_MORNING: Final = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
_NOON: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_EMBEDDING: Final = [0.5, -0.5, 0.5, 0.5]
_TOKEN: Final = answers.Token(
    id=7,
    text="hello world",
    embedding=_EMBEDDING,
    metadata={"category": "greeting"},
    created_at=_MORNING,
    updated_at=_MORNING,
)
_USER: Final = answers.User(
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
_ENTRY: Final = answers.AuditEntry(
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

_EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    bodies.Login(username="developer", password="developer123"),  # noqa: S106  (the documented account)
    bodies.Refresh(refresh_token="eyJhbGciOi…"),  # noqa: S106
    bodies.Logout(),
    bodies.PasswordChange(old_password="developer123", new_password="a longer one"),  # noqa: S106
    bodies.TokenCreate(text="hello world", metadata={"category": "greeting"}),
    bodies.TokenBatch(tokens=[bodies.TokenCreate(text="hello"), bodies.TokenCreate(text="world")]),
    bodies.TokenUpdate(text="hello again", metadata=None),
    bodies.TokenQuery(query_vector=_EMBEDDING, top_k=10, threshold=0.8),
    bodies.TokenQueryMany(texts=["hello", "world"], top_k=3),
    bodies.TokenDelete(ids=[7, 8]),
    bodies.ApiKeyRotate(overlap_seconds=3600),
    bodies.EmbeddingRequest(texts=["hello world"]),
    bodies.ApiKeyCreate(name="integration", scopes=["tokens:read"], expires_in_days=30),
    bodies.UserCreate(username="ada", password="correct horse battery", role="developer"),  # noqa: S106
    bodies.UserRole(role="viewer"),
    bodies.UserPassword(password="correct horse battery"),  # noqa: S106
    answers.Session(access_token="eyJhbGciOi…", refresh_token="eyJhbGciOi…", expires_in=900, user=_USER),  # noqa: S106
    answers.TokenPair(access_token="eyJhbGciOi…", refresh_token="eyJhbGciOi…", expires_in=900),  # noqa: S106
    answers.Success(message="Logged out."),
    _USER,
    answers.UserList(users=[_USER], total=1),
    _ENTRY,
    answers.AuditEntries(entries=[_ENTRY]),
    _TOKEN,
    answers.TokenPage(tokens=[_TOKEN], total=1, limit=100, offset=0),
    answers.TokensCreated(tokens=[_TOKEN]),
    answers.QueryResults(results=[answers.QueryHit(token=_TOKEN, similarity=0.93, distance=0.07)]),
    answers.QueryManyResults(results=[[answers.QueryHit(token=_TOKEN, similarity=0.93, distance=0.07)], []]),
    answers.TokensDeleted(deleted=1, missing=[8]),
    answers.Embeddings(embeddings=[_EMBEDDING], model="wordllama-256", dimension=4),
    answers.ApiKey(**_KEY),
    answers.ApiKeyCreated(**_KEY, api_key="ng_live_Zk3vQ9xT…"),
    answers.ApiKeyList(api_keys=[answers.ApiKey(**_KEY)], total=1),
    answers.ApiKeyRevoked(key_id="3f9c2a7b51d0e846"),
    answers.Health(status="healthy", version="0.60.0", uptime_seconds=42.5, timestamp=_NOON, quarantined=0),
    answers.Status(
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
    answers.LimitsAdvertised(
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
    answers.Liveness(),
    answers.Readiness(quarantined=0),
    answers.Index(name="vectrograph", version="0.60.0", docs="/docs", openapi="/openapi.json", health="/api/v1/health"),
    answers.Error(
        error=answers.ErrorBody(
            code="VALIDATION_ERROR",
            message="tokens.0.text: expected `str`, got `int`",
            details=answers.ErrorDetails(
                errors=[
                    answers.FieldError(field="tokens.0.text", message="expected `str`, got `int`", type="type_error")
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
