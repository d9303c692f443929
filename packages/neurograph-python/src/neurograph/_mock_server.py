"""A server's part of the conversation, in memory: what the mock clients talk to."""

import json
import math
import random
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote

from neurograph._mock_cdna import CDNAMemory, Refused
from neurograph._mock_events import AsyncMockLine, Changes, MockLine
from neurograph._mock_grid import FIELD_DEFAULTS, LEVELS, Grids, coordinates
from neurograph.wire import Request, Response

_Fields: TypeAlias = "dict[str, Any]"


class Memory:
    """Tokens, API keys and CDNA without a server.

    Filters are refused, not ignored: what they mean is for the server to decide.

    Args:
        seed: of the embeddings.
        dimension: components of an embedding.
    """

    def __init__(self, seed: int, dimension: int) -> None:
        self._seed = seed
        self._dimension = dimension
        self._tokens: dict[int, _Fields] = {}
        self._keys: dict[str, _Fields] = {}
        self._last_token = self._last_key = 0
        self._answered: dict[str, Response] = {}
        self._cdna = CDNAMemory()
        self._grids = Grids(self._tokens, self._cdna)
        self._changes = Changes(self._tokens)

    def answer(self, request: Request, line: type[MockLine | AsyncMockLine] = MockLine) -> Response:
        """Answer as a server would; an idempotency key gets its first answer again.

        Args:
            request: what is asked.
            line: how a stream of events is read.
        """
        key = request.idempotency_key
        if key is not None and key in self._answered:
            return self._answered[key]
        body: Any
        try:
            path = request.target.partition("?")[0]
            if path == _EVENTS:
                return self._changes.stream(request, _asked(request), line)
            if path == _WEBSOCKET:
                return self._changes.web_socket(request, line)
            status, body = self._handle(request)
        except Refused as refused:
            error = {"code": refused.code, "message": refused.message, "details": {}}
            status, body = refused.status, {"success": False, "error": error}
        in_lines = request.streamed and status < 300
        rows: list[Any] = [body]
        if in_lines:
            rows = body.get("results", body.get("tokens"))
        response = Response(request, status, {}, b"\n".join(json.dumps(row).encode() for row in rows))
        if key is not None and status < 300:
            self._answered[key] = response
        return response

    def _handle(self, request: Request) -> tuple[int, Any]:
        if request.content_type != "application/json":
            raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", "The mock reads JSON only")
        path = request.target.partition("?")[0]
        asked = _asked(request)
        body = json.loads(request.body) if request.body else {}
        for routes, holder in ((_ROUTES, self), (_CDNA_ROUTES, self._cdna)):
            for method, pattern, handler in routes:
                match = re.fullmatch(pattern, path)
                if match is not None and method == request.method:
                    return handler(holder, {**asked, **body}, *map(unquote, match.groups()))
        raise Refused(404, "ROUTE_NOT_FOUND", f"The mock does not know {request}")

    def _create(self, body: _Fields) -> tuple[int, Any]:
        return 201, _shown(self._new_token(body), body)

    def _create_many(self, body: _Fields) -> tuple[int, Any]:
        return 201, {"tokens": [_shown(self._new_token(fields), body) for fields in body["tokens"]]}

    def _list(self, asked: _Fields) -> tuple[int, Any]:
        offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", 100))
        rows = [self._tokens[number] for number in sorted(self._tokens)]
        shown = [_shown(row, asked) for row in rows[offset : offset + limit]]
        return 200, {"tokens": shown, "total": len(rows), "limit": limit, "offset": offset}

    def _export(self, asked: _Fields) -> tuple[int, Any]:
        return 200, {"tokens": [_shown(self._tokens[number], asked) for number in sorted(self._tokens)]}

    def _get(self, asked: _Fields, number: str) -> tuple[int, Any]:
        return 200, _shown(self._token(number), asked)

    def _update(self, body: _Fields, number: str) -> tuple[int, Any]:
        token = self._token(number)
        if body.get("embedding") is None and (body.get("text") is not None or "embedding" in body):
            body["embedding"] = self._embedding(body.get("text") or token["text"])
        _place(token, body)
        changed = {name: value for name, value in body.items() if name not in _PLACEMENT}
        token.update({name: {} if name == "metadata" and value is None else value for name, value in changed.items()})
        self._changes.add("updated", token["id"])
        return 200, _shown(token, {})

    def _delete(self, _: _Fields, number: str) -> tuple[int, Any]:
        self._remove(self._token(number)["id"])
        return 200, {"success": True}

    def _remove(self, number: int) -> bool:
        is_there = self._tokens.pop(number, None) is not None
        if is_there:
            self._changes.add("deleted", number)
        return is_there

    def _ticket(self, _: _Fields) -> tuple[int, Any]:
        return 201, self._changes.ticket()

    def _delete_many(self, body: _Fields) -> tuple[int, Any]:
        wanted = dict.fromkeys(body["ids"])
        missing = [number for number in wanted if not self._remove(number)]
        return 200, {"deleted": len(wanted) - len(missing), "missing": missing}

    def _query(self, body: _Fields) -> tuple[int, Any]:
        return 200, {"results": self._nearest(body, body.get("query_vector"), body.get("text"), body.get("token_id"))}

    def _query_many(self, body: _Fields) -> tuple[int, Any]:
        vectors, texts = body.get("query_vectors"), body.get("texts")
        asked = [(vector, None) for vector in vectors or ()] + [(None, text) for text in texts or ()]
        return 200, {"results": [self._nearest(body, vector, text, None) for vector, text in asked]}

    def _embed(self, body: _Fields) -> tuple[int, Any]:
        return 200, {"embeddings": [self._embedding(text) for text in body["texts"]], "dimension": self._dimension}

    def _create_key(self, body: _Fields) -> tuple[int, Any]:
        self._last_key += 1
        key_id, secret = f"key_{self._last_key:08d}", f"ng_mock_{self._last_key:032x}"
        fields = {"key_id": key_id, "name": body["name"], "key_prefix": secret[:12], "scopes": body.get("scopes") or []}
        self._keys[key_id] = {**fields, "created_at": _now(), "is_active": True, "api_key": None}
        return 201, {**self._keys[key_id], "api_key": secret}

    def _list_keys(self, _: _Fields) -> tuple[int, Any]:
        return 200, {"api_keys": list(self._keys.values()), "total": len(self._keys)}

    def _get_key(self, _: _Fields, key_id: str) -> tuple[int, Any]:
        return 200, self._key(key_id)

    def _revoke_key(self, _: _Fields, key_id: str) -> tuple[int, Any]:
        self._key(key_id)["is_active"] = False
        return 200, {"key_id": key_id, "status": "revoked"}

    def _rotate_key(self, _: _Fields, key_id: str) -> tuple[int, Any]:
        old = self._key(key_id)
        if not old["is_active"]:
            raise Refused(409, "CONFLICT", f"API key {key_id!r} is revoked")
        old["is_active"] = False
        return self._create_key({"name": old["name"], "scopes": old["scopes"]})

    def _delete_key(self, _: _Fields, key_id: str) -> tuple[int, Any]:
        del self._keys[self._key(key_id)["key_id"]]
        return 200, {"success": True}

    def _me(self, _: _Fields) -> tuple[int, Any]:
        return 200, {
            "user_id": "mock",
            "username": "mock",
            "role": "developer",
            "scopes": ["tokens:read", "tokens:write"],
        }

    def _ready(self, _: _Fields) -> tuple[int, Any]:
        return 200, {"status": "ready"}

    def _health(self, _: _Fields) -> tuple[int, Any]:
        return 200, {"status": "healthy", "version": "0.59.0-mock"}

    def _status(self, _: _Fields) -> tuple[int, Any]:
        counts = {"tokens_count": len(self._tokens), "api_keys_count": len(self._keys)}
        return 200, {"status": "healthy", "api_version": "0.59.0-mock", **counts}

    def _new_token(self, body: _Fields) -> _Fields:
        self._last_token += 1
        embedding = body.get("embedding") or self._embedding(body["text"])
        fields = {"id": self._last_token, "text": body["text"], "embedding": embedding, "created_at": _now()}
        token = {**fields, "metadata": body.get("metadata") or {}, "given_coordinates": {}, "placement": {}}
        _place(token, body)
        self._tokens[self._last_token] = token
        self._changes.add("created", self._last_token)
        return token

    def _grid_status(self, _: _Fields) -> tuple[int, Any]:
        return 200, self._grids.status()

    def _grid_create(self, body: _Fields) -> tuple[int, Any]:
        return 201, self._grids.create(body)

    def _grid_get(self, _: _Fields, grid: str) -> tuple[int, Any]:
        with _known_grid(grid):
            return 200, self._grids.get(int(grid))

    def _grid_delete(self, _: _Fields, grid: str) -> tuple[int, Any]:
        with _known_grid(grid):
            self._grids.delete(int(grid))
        return 204, None

    def _grid_add_many(self, body: _Fields, grid: str) -> tuple[int, Any]:
        with _known_grid(grid):
            return 200, self._grids.add(int(grid), body["ids"])

    def _grid_add(self, _: _Fields, grid: str, number: str) -> tuple[int, Any]:
        token_id = self._token(number)["id"]
        with _known_grid(grid):
            outcome = self._grids.add(int(grid), [token_id])
        if outcome["present"]:
            raise Refused(409, "RESOURCE_ALREADY_EXISTS", f"Token {number} is in grid {grid} already")
        size = outcome["grid_size"]
        return 200, {"grid_id": int(grid), "token_id": token_id, "status": "added", "grid_size": size}

    def _grid_remove(self, _: _Fields, grid: str, number: str) -> tuple[int, Any]:
        with _known_grid(grid):
            there = self._grids.remove(int(grid), int(number))
        if not there:
            raise Refused(404, "POINT_NOT_FOUND", f"Token {number} is not in grid {grid}")
        return 204, None

    def _grid_neighbors(self, asked: _Fields, grid: str, number: str) -> tuple[int, Any]:
        with _known_grid(grid):
            found = self._grids.neighbors(int(grid), int(number), asked)
        if found is None:
            raise Refused(404, "POINT_NOT_FOUND", f"Token {number} is not in grid {grid}")
        return 200, {"center_token_id": int(number), "neighbors": found, "count": len(found)}

    def _grid_question(self, asked: _Fields, grid: str, what: str) -> tuple[int, Any]:
        with _known_grid(grid):
            return 200, getattr(self._grids, what)(int(grid), asked)

    def _nearest(self, asked: _Fields, vector: Any, text: str | None, token_id: int | None) -> list[_Fields]:
        if token_id is not None:
            vector = self._token(str(token_id))["embedding"]
        near = vector if vector is not None else self._embedding(text or "")
        if len(near) != self._dimension:
            message = f"query_vector has {len(near)} components and this mock takes {self._dimension}"
            raise Refused(422, "VALIDATION_ERROR", message)
        hits: list[_Fields] = [
            {"token": _shown(token, asked), "similarity": similarity, "distance": 1 - similarity}
            for token in self._tokens.values()
            if token["id"] != token_id
            and (similarity := _cosine(near, token["embedding"])) >= (asked.get("threshold") or 0.0)
        ]
        hits.sort(key=lambda hit: (-hit["similarity"], -hit["token"]["id"]))
        offset = asked.get("offset", 0)
        return hits[offset : offset + (asked["top_k"] or 10)]

    def _embedding(self, text: str | None) -> list[float]:
        drawn = random.Random(f"{self._seed}:{text}")  # noqa: S311 - the same in every run
        return [drawn.random() for _ in range(self._dimension)]

    def _token(self, number: str) -> _Fields:
        token = self._tokens.get(int(number))
        if token is None:
            raise Refused(404, "POINT_NOT_FOUND", f"Token {number} does not exist")
        return token

    def _key(self, key_id: str) -> _Fields:
        key = self._keys.get(key_id)
        if key is None:
            raise Refused(404, "API_KEY_NOT_FOUND", f"API key {key_id!r} does not exist")
        return key


def _asked(request: Request) -> _Fields:
    """Return the parameters of a request."""
    asked = {name: values[-1] for name, values in parse_qs(request.target.partition("?")[2]).items()}
    if "filter" in asked or (request.body and "filter" in json.loads(request.body)):
        raise Refused(422, "MOCK_HAS_NO_FILTERS", "The mock does not know filters; test them against a real server")
    return asked


def _shown(token: _Fields, asked: _Fields) -> _Fields:
    """Return a token with the parts that were asked for."""
    include = asked.get("include")
    plain = {name: value for name, value in token.items() if name not in ("given_coordinates", "placement")}
    if include is None:
        return plain
    parts = include.split(",") if isinstance(include, str) else include
    empty: _Fields = {"text": None, "metadata": {}, "embedding": []}
    shown = {**plain, **{name: nothing for name, nothing in empty.items() if name not in parts}}
    if "coordinates" in parts:
        shown.update(coordinates=coordinates(token), **{**FIELD_DEFAULTS, **token["placement"]})
    return shown


def _place(token: _Fields, body: _Fields) -> None:
    """Take over what a body says about the place and the field of a token; None takes it back."""
    if "coordinates" in body:
        given = body["coordinates"]
        unknown = [name for name in given or () if name not in LEVELS]
        if unknown or any(axes is not None and len(axes) != 3 for axes in (given or {}).values()):
            raise Refused(422, "VALIDATION_ERROR", "coordinates need known levels with three axes each")
        merged = {} if given is None else {**token["given_coordinates"], **given}
        token["given_coordinates"] = {name: axes for name, axes in merged.items() if axes is not None}
    for name in FIELD_DEFAULTS:
        if name in body:
            token["placement"].pop(name, None)
            if body[name] is not None:
                token["placement"][name] = body[name]


@contextmanager
def _known_grid(grid: str) -> Generator[None, None, None]:
    """Turn a grid that is not there into a refusal."""
    try:
        yield
    except KeyError as error:
        raise Refused(404, "RESOURCE_NOT_FOUND", f"Grid {grid} does not exist") from error


def _cosine(one: list[float], other: list[float]) -> float:
    """Return cosine similarity from 0 to 1: what points away counts as 0, as the documented mock has it."""
    length = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
    product = sum(x * y for x, y in zip(one, other, strict=False))
    return min(1.0, max(0.0, product / length)) if length else 0.0


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


_API = "/api/v1"
_EVENTS = f"{_API}/events"
_WEBSOCKET = "/ws"
_PLACEMENT = ("coordinates", *FIELD_DEFAULTS)
_ROUTES: tuple[tuple[str, str, Callable[..., tuple[int, Any]]], ...] = (
    ("POST", f"{_API}/tokens", Memory._create),
    ("GET", f"{_API}/tokens", Memory._list),
    ("POST", f"{_API}/tokens/batch", Memory._create_many),
    ("GET", f"{_API}/tokens/export", Memory._export),
    ("POST", f"{_API}/tokens/query", Memory._query),
    ("POST", f"{_API}/tokens/query/many", Memory._query_many),
    ("POST", f"{_API}/tokens/delete", Memory._delete_many),
    ("GET", f"{_API}/tokens/(-?[0-9]+)", Memory._get),
    ("PUT", f"{_API}/tokens/(-?[0-9]+)", Memory._update),
    ("DELETE", f"{_API}/tokens/(-?[0-9]+)", Memory._delete),
    ("POST", f"{_API}/embeddings", Memory._embed),
    ("GET", f"{_API}/grid/status", Memory._grid_status),
    ("POST", f"{_API}/grid/create", Memory._grid_create),
    ("GET", f"{_API}/grid/(-?[0-9]+)", Memory._grid_get),
    ("DELETE", f"{_API}/grid/(-?[0-9]+)", Memory._grid_delete),
    ("POST", f"{_API}/grid/(-?[0-9]+)/tokens", Memory._grid_add_many),
    ("POST", f"{_API}/grid/(-?[0-9]+)/tokens/(-?[0-9]+)", Memory._grid_add),
    ("DELETE", f"{_API}/grid/(-?[0-9]+)/tokens/(-?[0-9]+)", Memory._grid_remove),
    ("GET", f"{_API}/grid/(-?[0-9]+)/neighbors/(-?[0-9]+)", Memory._grid_neighbors),
    ("GET", f"{_API}/grid/(-?[0-9]+)/(range|influence|density)", Memory._grid_question),
    ("POST", f"{_EVENTS}/ticket", Memory._ticket),
    ("POST", f"{_API}/api-keys", Memory._create_key),
    ("GET", f"{_API}/api-keys", Memory._list_keys),
    ("GET", f"{_API}/api-keys/([^/]+)", Memory._get_key),
    ("DELETE", f"{_API}/api-keys/([^/]+)", Memory._delete_key),
    ("POST", f"{_API}/api-keys/([^/]+)/revoke", Memory._revoke_key),
    ("POST", f"{_API}/api-keys/([^/]+)/rotate", Memory._rotate_key),
    ("GET", f"{_API}/auth/me", Memory._me),
    ("GET", "/readyz", Memory._ready),
    ("GET", f"{_API}/health", Memory._health),
    ("GET", f"{_API}/status", Memory._status),
)
_CDNA_ROUTES: tuple[tuple[str, str, Callable[..., tuple[int, Any]]], ...] = (
    ("GET", f"{_API}/cdna/status", CDNAMemory.status),
    ("PUT", f"{_API}/cdna/config", CDNAMemory.configure),
    ("GET", f"{_API}/cdna/profiles", CDNAMemory.profiles),
    ("GET", f"{_API}/cdna/profiles/([^/]+)", CDNAMemory.profile),
    ("POST", f"{_API}/cdna/profiles/([^/]+)/switch", CDNAMemory.switch),
    ("POST", f"{_API}/cdna/validate", CDNAMemory.validate),
    ("GET", f"{_API}/cdna/quarantine/status", CDNAMemory.quarantine),
    ("POST", f"{_API}/cdna/quarantine/start", CDNAMemory.start),
    ("POST", f"{_API}/cdna/quarantine/stop", CDNAMemory.stop),
    ("GET", f"{_API}/cdna/history", CDNAMemory.history),
    ("POST", f"{_API}/cdna/export", CDNAMemory.export),
    ("POST", f"{_API}/cdna/reset", CDNAMemory.reset),
)
