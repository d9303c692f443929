"""Every call of the API as a value: what to send, and how to read the answer. No I/O."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel

from neurograph import decoding
from neurograph.encoding import encode, json_object, segment, texts, vector
from neurograph.exceptions import ValidationError
from neurograph.models import (
    APIKey,
    APIKeyCreated,
    HealthStatus,
    LoginResponse,
    ServerLimits,
    SystemStatus,
    Token,
    TokenCreate,
    User,
)
from neurograph.unset import UNSET, Unset
from neurograph.wire import Call, Request
from wirekit.batching import batches

NewToken: TypeAlias = "str | Mapping[str, Any] | TokenCreate"

# A server of this family takes 10,000 items and 64 MiB; a tenth of both keeps answers quick and memory small.
MAX_BATCH_COUNT = 1_000
MAX_BATCH_BYTES = 6 * 1024 * 1024

TOKENS = "/api/v1/tokens"
_API_KEYS = "/api/v1/api-keys"
_TOKEN_FIELDS = frozenset(TokenCreate.model_fields)


def login(username: str, password: str) -> Call[LoginResponse]:
    """Buy an access token with a password."""
    body = encode({"username": username, "password": password})
    return Call(Request("POST", "/api/v1/auth/login", body), decoding.login, public=True)


def refresh(refresh_token: str) -> Call[LoginResponse]:
    """Buy an access token with a refresh token, which may be good for one use only: not to be repeated."""
    body = encode({"refresh_token": refresh_token})
    return Call(Request("POST", "/api/v1/auth/refresh", body), decoding.login, idempotent=False, public=True)


def create_token(
    text: str,
    metadata: Mapping[str, Any] | None = None,
    embedding: Any = None,
    idempotency_key: str | None = None,
) -> Call[Token]:
    """Create one token, once however often it is sent."""
    body = _new_token({"text": text, "metadata": metadata, "embedding": embedding})
    return Call(Request("POST", TOKENS, encode(body), idempotency_key=idempotency_key or new_key()), decoding.token)


def encoded_token(item: NewToken, index: int) -> bytes:
    """One of many tokens to be created, as JSON text.

    Raises:
        ValidationError: the item at this index is no token.
    """
    return encode(_new_token(_fields(item, index), f"tokens.{index}."))


def create_tokens(encoded: Iterable[bytes]) -> Call[list[Token]]:
    """Create many tokens in one write, once however often it is sent; items as of `encoded_token`."""
    body = b'{"tokens":[' + b",".join(encoded) + b"]}"
    return Call(Request("POST", f"{TOKENS}/batch", body, idempotency_key=new_key()), decoding.tokens)


def get_token(token_id: int) -> Call[Token]:
    """Read one token."""
    return Call(Request("GET", _token_path(token_id)), decoding.token)


def update_token(
    token_id: int,
    text: str | Unset | None,
    embedding: Any,
    metadata: Mapping[str, Any] | Unset | None,
) -> Call[Token]:
    """Change what is given of a token; None clears, UNSET leaves."""
    body: dict[str, Any] = {}
    if text is not UNSET:
        body["text"] = text
    if embedding is not UNSET:
        body["embedding"] = None if embedding is None else vector(embedding, "embedding")
    if metadata is not UNSET:
        body["metadata"] = json_object(metadata, "metadata")
    if not body:
        raise ValidationError.of("update", "changes nothing; pass text, embedding or metadata (None clears)")
    return Call(Request("PUT", _token_path(token_id), encode(body)), decoding.token)


def delete_token(token_id: int) -> Call[bool]:
    """Remove one token."""
    return Call(Request("DELETE", _token_path(token_id)), decoding.nothing)


def embed(values: Sequence[str]) -> Iterator[Call[list[list[float]]]]:
    """Turn texts into vectors: one call per batch."""
    encoded = (encode(text) for text in texts(values, "texts"))
    for batch in batches(encoded, max_count=MAX_BATCH_COUNT, max_bytes=MAX_BATCH_BYTES, size=len):
        body = b'{"texts":[' + b",".join(batch) + b"]}"
        yield Call(Request("POST", "/api/v1/embeddings", body), decoding.vectors)


def create_api_key(name: str, scopes: Sequence[str] | None, expires_in_days: int | None) -> Call[APIKeyCreated]:
    """Make an API key."""
    body: dict[str, Any] = {"name": name}
    if scopes is not None:
        body["scopes"] = texts(scopes, "scopes")
    if expires_in_days is not None:
        body["expires_in_days"] = expires_in_days
    return Call(Request("POST", _API_KEYS, encode(body)), decoding.created_api_key, idempotent=False)


def list_api_keys() -> Call[list[APIKey]]:
    """Read all API keys that the caller may see."""
    return Call(Request("GET", _API_KEYS), decoding.api_keys)


def get_api_key(key_id: str) -> Call[APIKey]:
    """Read one API key, without its secret."""
    return Call(Request("GET", _key_path(key_id)), decoding.api_key)


def revoke_api_key(key_id: str) -> Call[bool]:
    """Disable an API key but keep its record; a repeat changes nothing."""
    return Call(Request("POST", f"{_key_path(key_id)}/revoke"), decoding.nothing)


def rotate_api_key(key_id: str, overlap_seconds: int) -> Call[APIKeyCreated]:
    """Replace an API key by a new one."""
    request = Request("POST", f"{_key_path(key_id)}/rotate", encode({"overlap_seconds": overlap_seconds}))
    return Call(request, decoding.created_api_key, idempotent=False)


def delete_api_key(key_id: str) -> Call[bool]:
    """Remove an API key and its record."""
    return Call(Request("DELETE", _key_path(key_id)), decoding.nothing)


def get_limits() -> Call[ServerLimits]:
    """Ask for the largest things that the server takes."""
    return Call(Request("GET", "/api/v1/limits"), decoding.limits, public=True)


def me() -> Call[User]:
    """Read the caller's account."""
    return Call(Request("GET", "/api/v1/auth/me"), decoding.user)


def logout() -> Call[bool]:
    """End the session of the credential that is sent."""
    return Call(Request("POST", "/api/v1/auth/logout", b"{}"), decoding.nothing)


def change_password(old: str, new: str) -> Call[bool]:
    """Change the caller's password; not to be repeated, the old one holds only once."""
    body = encode({"old_password": old, "new_password": new})
    return Call(Request("POST", "/api/v1/auth/change-password", body), decoding.nothing, idempotent=False)


def check_ready() -> Call[bool]:
    """Ask whether the server can answer requests; whoever polls wants the answer of this moment, not of a repeat."""
    return Call(Request("GET", "/readyz"), decoding.nothing, idempotent=False, public=True)


def check_health() -> Call[HealthStatus]:
    """Ask whether the server is well; needs no credentials."""
    return Call(Request("GET", "/api/v1/health"), decoding.health, public=True)


def get_status() -> Call[SystemStatus]:
    """Ask what the server holds and uses."""
    return Call(Request("GET", "/api/v1/status"), decoding.status)


def new_key() -> str:
    """A name for one request that no other has."""
    return os.urandom(16).hex()


def _token_path(token_id: int) -> str:
    return f"{TOKENS}/{segment(token_id, 'token_id')}"


def _key_path(key_id: str) -> str:
    return f"{_API_KEYS}/{segment(key_id, 'key_id')}"


def _fields(item: NewToken, index: int) -> Mapping[str, Any]:
    if isinstance(item, str):
        return {"text": item}
    if isinstance(item, BaseModel):
        return item.model_dump()
    place = f"tokens.{index}"
    if not isinstance(item, Mapping):
        raise ValidationError.of(place, f"is {type(item).__name__}; pass a text, a dictionary or a TokenCreate")
    unknown = [name for name in item if name not in _TOKEN_FIELDS]
    if unknown or "text" not in item:
        raise ValidationError.of(
            place, f"has the keys {', '.join(map(str, item))}; needed is text, allowed are metadata and embedding"
        )
    return item


def _new_token(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    body: dict[str, Any] = {"text": fields["text"]}
    metadata = json_object(fields.get("metadata"), f"{prefix}metadata")
    if metadata is not None:
        body["metadata"] = metadata
    if fields.get("embedding") is not None:
        body["embedding"] = vector(fields["embedding"], f"{prefix}embedding")
    return body
