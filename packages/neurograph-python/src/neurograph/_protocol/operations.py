"""Every operation of the API as a call: its request, and the way its response is read. No I/O."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel

from neurograph._arguments import UNSET, Unset
from neurograph._protocol import decoding
from neurograph._protocol.call import Body, Call
from neurograph._protocol.encoding import (
    checked,
    encode,
    json_object,
    plain_text,
    request_key,
    secret_text,
    segment,
    texts,
    whole,
)
from neurograph._protocol.frames import ACCEPT
from neurograph._protocol.vector_bodies import VectorBody
from neurograph._protocol.vectors import Vectors
from neurograph._wirekit import values
from neurograph._wirekit.batching import batches
from neurograph._wirekit.vectors import settled
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
from neurograph.wire import Request, Response

T = TypeVar("T")
NewToken: TypeAlias = "str | Mapping[str, Any] | TokenCreate"

# A server of this family takes 10,000 items and 64 MiB; a tenth of both keeps answers quick and memory small.
MAX_BATCH_COUNT = 1_000
# Bytes of the body.
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
    placement: Mapping[str, Any] | None = None,
) -> Call[Token]:
    """Create one token, once however often it is sent."""
    name = request_key(idempotency_key, "idempotency_key")
    request = Request("POST", TOKENS, accept=ACCEPT, idempotency_key=name or new_key())
    call = Call(request, decoding.token)
    stable = idempotency_key is not None
    document = {**new_token(text, metadata), **placement_fields(placement or {})}
    return with_vector(call, document, "embedding", embedding, stable=stable)


def with_vector(call: Call[T], document: dict[str, Any], name: str, value: Any, *, stable: bool = False) -> Call[T]:
    """Return the call with this document as its body, and in it, unless it is None, one vector under this name."""
    if value is None:
        return replace(call, request=replace(call.request, body=encode(document)))
    value = settled(value, name)
    return replace(call, body=VectorBody([value], [name], lambda row: {**document, name: row[0]}, stable))


def create_tokens(body: Body, idempotency_key: str | None = None) -> Call[list[Token]]:
    """Create many tokens in one write, once however often it is sent."""
    return _creating(body, idempotency_key, decoding.tokens)


def create_token_ids(body: Body, idempotency_key: str | None = None) -> Call[list[int]]:
    """Do as `create_tokens`, for those who want no more than the ids."""
    return _creating(body, idempotency_key, decoding.token_ids)


def _creating(body: Body, idempotency_key: str | None, decode: Callable[[Response], T]) -> Call[T]:
    request = Request("POST", f"{TOKENS}/batch", accept=ACCEPT, idempotency_key=idempotency_key or new_key())
    return Call(request, decode, body=body)


def get_token(token_id: int, include: Sequence[str] | None = None) -> Call[Token]:
    """Read one token."""
    query = "" if include is None else "?" + urlencode({"include": ",".join(texts(include, "include"))})
    return Call(Request("GET", f"{_token_path(token_id)}{query}", accept=ACCEPT), decoding.token)


def update_token(
    token_id: int,
    text: str | Unset | None,
    embedding: Any,
    metadata: Mapping[str, Any] | Unset | None,
    placement: Mapping[str, Any] | None = None,
) -> Call[Token]:
    """Change what is given of a token; None clears, UNSET leaves."""
    body: dict[str, Any] = {}
    if text is not UNSET:
        body["text"] = None if text is None else plain_text(text, "text")
    if embedding is None:
        body["embedding"] = None
    if metadata is not UNSET:
        body["metadata"] = json_object(metadata, "metadata")
    given = {name: value for name, value in (placement or {}).items() if value is not UNSET}
    body.update({name: None for name, value in given.items() if value is None})
    body.update(placement_fields(given))
    if not body and embedding is UNSET:
        raise ValidationError.of(
            "update", "changes nothing; pass text, embedding, metadata or coordinates (None clears)"
        )
    call = Call(Request("PUT", _token_path(token_id), accept=ACCEPT), decoding.token)
    return with_vector(call, body, "embedding", None if embedding is UNSET else embedding)


def delete_token(token_id: int) -> Call[bool]:
    """Remove one token."""
    return Call(Request("DELETE", _token_path(token_id)), decoding.nothing)


def embed(given: Sequence[str]) -> Iterator[Call[Vectors]]:
    """Turn texts into vectors: one call per batch."""
    encoded = (encode(text) for text in texts(given, "texts"))
    for batch in batches(encoded, max_count=MAX_BATCH_COUNT, max_bytes=MAX_BATCH_BYTES, size=len):
        body = b'{"texts":[' + b",".join(batch) + b"]}"
        yield Call(Request("POST", "/api/v1/embeddings", body, accept=ACCEPT), decoding.vectors)


def create_api_key(name: str, scopes: Sequence[str] | None, expires_in_days: int | None) -> Call[APIKeyCreated]:
    """Make an API key."""
    body: dict[str, Any] = {"name": plain_text(name, "name")}
    if scopes is not None:
        body["scopes"] = texts(scopes, "scopes")
    if expires_in_days is not None:
        body["expires_in_days"] = whole(expires_in_days, "expires_in_days")
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
    request = Request(
        "POST", f"{_key_path(key_id)}/rotate", encode({"overlap_seconds": whole(overlap_seconds, "overlap_seconds")})
    )
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
    body = encode({"old_password": secret_text(old, "old_password"), "new_password": secret_text(new, "new_password")})
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
    """Return a name for one request that no other has."""
    return os.urandom(16).hex()


def _token_path(token_id: int) -> str:
    return f"{TOKENS}/{segment(token_id, 'token_id')}"


def _key_path(key_id: str) -> str:
    return f"{_API_KEYS}/{segment(key_id, 'key_id')}"


def placement_fields(given: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return coordinates, weight, field radius and field strength, as far as they are given.

    Raises:
        ValidationError: one is no number, or no object of three numbers a level; errors put the prefix before the name.

    >>> placement_fields({"coordinates": {"L4Emotional": (1, 2, 3)}, "weight": None})
    {'coordinates': {'L4Emotional': [1.0, 2.0, 3.0]}}
    """
    fields: dict[str, Any] = {}
    coordinates = given.get("coordinates")
    if coordinates is not None:
        fields["coordinates"] = _levels(coordinates, f"{prefix}coordinates")
    for name in ("weight", "field_radius", "field_strength"):
        if given.get(name) is not None:
            fields[name] = checked(values.real, given[name], f"{prefix}{name}")
    return fields


def _levels(coordinates: Any, place: str) -> dict[str, list[float] | None]:
    if not isinstance(coordinates, Mapping):
        raise ValidationError.of(place, f"is {type(coordinates).__name__}; pass a dictionary of levels")
    return {plain_text(name, place): _axes(axes, f"{place}.{name}") for name, axes in coordinates.items()}


def _axes(axes: Any, place: str) -> list[float] | None:
    if axes is None:
        return None
    if isinstance(axes, (str, bytes, Mapping)) or not isinstance(axes, Iterable):
        raise ValidationError.of(place, f"is {type(axes).__name__}; pass a list of three numbers")
    return [checked(values.real, axis, f"{place}.{n}") for n, axis in enumerate(axes)]


def token_fields(item: NewToken, index: int) -> Mapping[str, Any]:
    """Return the token that an item of many describes.

    Raises:
        ValidationError: the item at this index is no token.
    """
    if type(item) is dict and "text" in item and item.keys() <= _TOKEN_FIELDS:
        return item  # what most items are, before the slower questions
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
            place,
            f"has the keys {', '.join(map(str, item))}; needed is text, allowed are metadata, embedding, "
            "coordinates, weight, field_radius and field_strength",
        )
    return item


def new_token(text: str | None, metadata: Mapping[str, Any] | None, prefix: str = "") -> dict[str, Any]:
    """Return a token to be created, but for its vector.

    Raises:
        ValidationError: metadata that JSON cannot carry; errors put the prefix before the name.
    """
    described = json_object(metadata, f"{prefix}metadata")
    said = None if text is None else plain_text(text, f"{prefix}text")
    return {"text": said} if described is None else {"text": said, "metadata": described}
